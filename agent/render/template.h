/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The template engine: a strict subset of Mustache, see mustache(5) and the specification's rules
 * for interpolation, sections, inverted sections, comments, partials and standalone lines
 * (https://github.com/mustache/spec, MIT; the rules, not its text).
 *
 * Differences from Mustache, on purpose:
 *  - {{name}} and {{&name}} write the value as it is: no HTML escaping. Quoting for HAProxy happens
 *    in the view. {{{name}}} is a syntax error, and so are lambdas, set delimiters and dotted names
 *    with an empty part.
 *  - An unknown name is an error, in sections too: the view must hold every name that the template
 *    uses (JSON null and false are "present and empty").
 *  - A value with a control character (tab and newline included) is an error: a value can never add
 *    a line.
 *  - Only strings and integers can be interpolated; a true, a real number, an object or an array in
 *    {{name}} is an error. A null or false writes nothing.
 *  - Sections: true, objects, strings and integers render once (all but a true become the context),
 *    arrays once per item, false, null and empty arrays not at all; a real number is an error in a
 *    section. An empty string and 0 are present: the view says null for "absent". {{.}} is the
 *    current item.
 *  - Partials {{>name}} are files "name.mustache" of the same folder, at most 8 deep, loaded with
 *    the template; each of their lines, empty ones too, is indented like the standalone tag that
 *    names them. A partial that includes itself, directly or through others, is an error.
 *  - Names are parts of letters, digits, '_' and '-', joined by single dots. Only comments may span
 *    lines.
 *
 * A loaded template is immutable and may be rendered by several threads at once.
 */

#include <jansson.h>

#include "agent/base/error.h"

enum {
	TEMPLATE_MAX_PARTIAL_DEPTH = 8,
	TEMPLATE_MAX_SECTION_DEPTH = 16, /* sections in sections of one file */
	TEMPLATE_MAX_FILE_BYTES = 1024 * 1024,
	TEMPLATE_MAX_RESULT_BYTES = 64 * 1024 * 1024, /* 10 000 servers take about 2 MiB */
};

struct template;

/* Loads and compiles "name.mustache" and all its partials from a folder. Errors carry
 * "name.mustache:line": ERROR_INVALID for what breaks a rule, ERROR_TOO_LARGE, and ERROR_NOT_FOUND
 * for a missing file, with the place that names it. */
int template_load(
	const char *directory, const char *name, struct template **ret, struct error *err);

/* Compiles a template given as text (tests, fuzzing); partials come from "directory", which may be
 * NULL. */
int template_compile(const char *name, const char *text, const char *directory,
	struct template **ret, struct error *err);

/* Renders a view (a JSON object). The text is the caller's. Errors carry "name.mustache:line" too:
 * ERROR_INVALID for a value with a control character, ERROR_TOO_LARGE for a result over
 * TEMPLATE_MAX_RESULT_BYTES, ERROR_INTERNAL for a view that does not fit the template. No message
 * repeats a value. */
int template_render(const struct template *template, const json_t *view, char **ret_text,
	size_t *ret_length, struct error *err);

void template_free(struct template *template);
DEFINE_CLEANUP(struct template *, template_free);
#define _cleanup_template_ _cleanup_(template_freep)
