/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Manual pages as tests read them: as mdoc(7) source. What describes one thing is an item of a list: in amphorad.conf.5 and
 * amphorad-definition.5 ".It Va NAME" below ".Ss SECTION" and a sentence of a fixed form, such as "Integer from 1 to 64,
 * default 4."; in amphorad.8 ".It Fl -option" and ".It Ic METHOD Pa PATH".
 */

#include <jansson.h>

#include "agent/base/text.h"

#define MAN "packaging/man/"

enum {
	FILE_LIMIT = 1024 * 1024,
	RUN_TIMEOUT_MS = 30000,
};

void cleanup_json(json_t **json);
#define _cleanup_json_ _cleanup_(cleanup_json)
char *path_of(const char *variable, const char *unset, const char *name);
/* The lines of a page without blanks around them; empty ones are left out. */
char **read_page(const char *name);
/* The argument of a macro line, or NULL if it is another line. */
const char *argument_of(const char *line, const char *macro);
/* A line as it is read: without its macro and the escapes of mandoc_char(7) that the pages use. */
void append_plain(struct text *text, const char *line);
void add(json_t *set, const char *key);
void assert_same(const json_t *a, const char *a_name, const json_t *b, const char *b_name);
/* ".It Va NAME" of a ".Sh", by ".Ss": {section: {name: text}}. An item ends where its list goes on
 * or ends. */
json_t *items_of(char *const *lines, const char *chapter);
void assert_starts(const char *what, const char *text, const char *format, ...)
	_printf_(3, 4);
