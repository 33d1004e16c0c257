/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What reaches the terminal.
 *
 * Names and messages come from the server and from files, so they are never trusted: a control
 * character (C0, DEL, C1), a bidirectional override or a line separator of Unicode is written as
 * '?', and so is every byte that is not UTF-8, or not ASCII where the locale is not UTF-8.
 * Everything the program prints is built in a struct text by these functions and written at once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/text.h"

enum colour {
	COLOUR_PLAIN,
	COLOUR_BOLD,
	COLOUR_DIM,
	COLOUR_RED,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOUR_CYAN,
	_COLOUR_MAX,
};

enum colour_when {
	COLOUR_AUTO, /* on a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb says
			otherwise */
	COLOUR_ALWAYS,
	COLOUR_NEVER,
	_COLOUR_WHEN_MAX,
};

/* "auto", "always", "never": by enum value, NULL-terminated. */
extern const char *const colour_when_names[];

struct terminal {
	bool interactive; /* a person looks at it */
	bool colour;
	bool utf8;
};

/* Looks at the descriptor, the locale (setlocale() was called before) and the environment. */
void terminal_open(struct terminal *ret, int fd, enum colour_when when);

/* Appends one line's worth of foreign text: newlines and tabs are unsafe, too. */
void terminal_append(
	const struct terminal *terminal, struct text *out, enum colour colour, const char *string);

/* Appends foreign lines, each after "indent" and ended by a newline. Tabs are kept, blank lines at
 * the end dropped. */
void terminal_append_lines(const struct terminal *terminal, struct text *out, enum colour colour,
	const char *indent, const char *string);

/* Appends the text of a JSON document, its unsafe characters as \uXXXX: for a parser, it is the
 * same document. */
void terminal_append_json(struct text *out, const char *json);

/* Columns that terminal_append() fills. */
size_t terminal_width(const struct terminal *terminal, const char *string);

void terminal_pad(struct text *out, size_t columns);

/* The colour of an operating_status or provisioning_status. */
enum colour terminal_status_colour(const char *status);

/* 999, 12.3k, 4.5M … and 999 B, 1.2 KiB, 3.4 GiB …: four or five characters and the unit. */
enum { HUMAN_SIZE = 24 };
void human_count(uint64_t number, char ret[HUMAN_SIZE]);
void human_bytes(uint64_t bytes, char ret[HUMAN_SIZE]);
