/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reads a haproxy.cfg, ours or an uploaded one, as sections and lines of words. It does not judge: HAProxy does.
 *
 * Source: HAProxy configuration manual, 2.1 "Configuration file format", 2.2 "Quoting and escaping", 2.7 for what a word
 * is. Environment variables are not expanded: words are compared, not run.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

struct cfg_line {
	char **words; /* NULL-terminated, at least one */
	char *raw;     /* as it is written, where an environment variable is in it ("$" between weak quotes), else NULL */
	size_t number; /* in the file, from 1 */
};

struct cfg_section {
	const char *keyword; /* "frontend" */
	const char *name;    /* "" where a section has none */
	struct cfg_line header; /* the line that begins it */
	struct cfg_line *lines;
	size_t n_lines;
};

struct cfg {
	struct cfg_section *sections;
	size_t n_sections;
	struct cfg_block *blocks; /* all words: they live as long as the whole */
};

#define CFG_INIT ((struct cfg){0})
#define _cleanup_cfg_ _cleanup_(cfg_done)

/* ERROR_INVALID with "line N" for an unterminated quote, or words before the first section. */
int cfg_parse(const char *text, size_t length, struct cfg *ret, struct error *err);
/* The same for somebody who asks about these "backend" and "listen" sections alone, NULL: all. The others have no lines. */
int cfg_parse_pools(const char *text, size_t length, char *const *pools, struct cfg *ret, struct error *err);
void cfg_done(struct cfg *cfg);

/* For readers: what stands for a password of a user list is CFG_HIDDEN in the new text. The old one is freed. */
#define CFG_HIDDEN "********"
int cfg_hide_secrets(char **text, size_t *length, struct error *err);

const struct cfg_section *cfg_find(const struct cfg *cfg, const char *keyword, const char *name);
bool cfg_line_equal(const struct cfg_line *a, const struct cfg_line *b);
/* "server NAME …" */
bool cfg_line_is_server(const struct cfg_line *line);

/* Calls once for each server name of either section, in the order of names, with NULL for the side that lacks it. Stops at
 * and returns the first negative result. O(n log n): a backend may have 10 000 servers. */
typedef int (*cfg_server_callback)(
	void *userdata, const char *name, const struct cfg_line *before, const struct cfg_line *after);
int cfg_compare_servers(const struct cfg_section *before, const struct cfg_section *after,
	cfg_server_callback callback, void *userdata);
