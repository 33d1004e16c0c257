/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is said about a conversion: what became what, and what could not be honoured.
 *
 * Like a struct text, the list remembers a failed allocation: whoever reads it looks at "failed"
 * once. Of a hostile Service there could be any number of them: those over NOTES_MAX are counted.
 */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "agent/base/cleanup.h"
#include "api/client/terminal.h"

enum { NOTES_MAX = 1000 };

enum note_kind {
	NOTE_MAPPED,  /* source -> target = value, because */
	NOTE_UNUSED,  /* source has no target, and nobody misses one, because */
	NOTE_WARNING, /* source is not honoured, or not all of it: because */
};

struct note {
	enum note_kind kind;
	char *source; /* an annotation's name, or a field as kubectl's jsonpath has it; all owned */
	char *target; /* "listener protocol"; of NOTE_MAPPED only */
	char *value;  /* of NOTE_MAPPED only */
	char *because;
};

struct notes {
	struct note *list; /* owned */
	size_t n;
	size_t n_left_out;
	bool failed;
	const char *prefix; /* of the sources that follow: "shop/web: ", or NULL; borrowed */
};

#define NOTES_INIT ((struct notes){0})
#define _cleanup_notes_ _cleanup_(notes_done)

void notes_mapped(struct notes *notes, const char *source, const char *target, const char *value,
	const char *because);
void notes_unused(struct notes *notes, const char *source, const char *because);
void notes_warn(struct notes *notes, const char *source, const char *format, ...) _printf_(3, 4);

size_t notes_count(const struct notes *notes, enum note_kind kind);

/* What is mapped or unused, two lines each. */
void notes_explain(const struct notes *notes, const struct terminal *terminal, struct text *out);
/* One line each: "SOURCE: words". */
void notes_warnings(const struct notes *notes, const struct terminal *terminal, const char *indent,
	struct text *out);
/* {"explanation": […], "warnings": […]}, a new reference; NULL: no memory. */
json_t *notes_to_json(const struct notes *notes);

void notes_done(struct notes *notes);
