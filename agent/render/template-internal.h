/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parser and the renderer of the template engine share. Nobody else includes this.
 *
 * A template is a list of units, one a file: the named one first, then its partials in the order in
 * which they are first named. Each file is compiled once however often it is used, so that a
 * partial costs one pointer.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/render/template.h"

struct unit;

enum node_kind {
	NODE_TEXT,
	NODE_VARIABLE,
	NODE_SECTION,
	NODE_INVERTED,
	NODE_PARTIAL,
};

/* The tree in preorder: the body of a section is what lies between it and its "end". Comments leave
 * no node. */
struct node {
	enum node_kind kind;
	size_t line;
	/* NODE_TEXT: begins a line of its file, so it is where a partial's indentation goes. Such a
	 * node is empty if a tag opens the line. NODE_PARTIAL: the tag stood alone on its line, and
	 * "text" is the indentation in front of it. */
	bool own_line;
	const char *text; /* NODE_TEXT, NODE_PARTIAL: into the unit's source, not terminated */
	size_t length;
	char *name;   /* NODE_VARIABLE, NODE_SECTION, NODE_INVERTED: as written; owned */
	char **parts; /* the name split at its dots, NULL for {{.}}; owned */
	size_t end;   /* NODE_SECTION, NODE_INVERTED: index of the first node after the body */
	const struct unit *partial;
};

struct unit {
	char *name;
	char *file; /* "name.mustache", for errors */
	char *source;
	struct node *nodes;
	size_t n_nodes;
	size_t n_allocated;
	size_t height;    /* length of the longest chain of partials below */
	bool in_progress; /* being compiled: naming it now is recursion */
};

struct template
{
	struct unit **units; /* units[0] is the template itself */
	size_t n_units;
};

/* Where the partials of a template under construction come from. */
struct loader {
	struct template *template;
	int dir_fd; /* -1: there are no partials */
};

/* Whether "name" is made of parts of [A-Za-z0-9_-], separated by single dots: a name in a view, and
 * a file name that cannot leave its folder. */
bool template_name_is_valid(const char *name);

/* Sets the error with the pointer "file:line" (the file alone for line 0). Returns what error_set()
 * does. */
int template_fail(const struct unit *unit, size_t line, enum error_code code, struct error *err,
	const char *format, ...) _printf_(5, 6);

/* Compiles the source of a unit that is "depth" partials below the template. */
int template_parse(struct loader *loader, struct unit *unit, size_t depth, struct error *err);

/* The partial that "unit" names in "line", compiled if it is new. */
int template_find_partial(struct loader *loader, struct unit *unit, size_t line, size_t depth,
	const char *name, const struct unit **ret, struct error *err);
