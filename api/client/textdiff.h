/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The difference of two texts, in the unified format: three lines of context, and behind "@@" the
 * section that the hunk is in (the last line above it that is not indented), as fits a haproxy.cfg.
 * A missing newline at the end of a text makes no difference.
 *
 * Source: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986),
 * section 4b: the shortest edit script in linear space.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/client/terminal.h"

enum { TEXTDIFF_MAX_LINES = 1000000 };

struct textdiff;

/* Both texts must outlive the result. -EFBIG: a text has more than TEXTDIFF_MAX_LINES lines.
 * -ENOMEM. */
int textdiff_new(const char *old_text, const char *new_text, struct textdiff **ret);
void textdiff_free(struct textdiff *diff);
DEFINE_CLEANUP(struct textdiff *, textdiff_free);
#define _cleanup_textdiff_ _cleanup_(textdiff_freep)

size_t textdiff_removed(const struct textdiff *diff);
size_t textdiff_added(const struct textdiff *diff);

/* Appends nothing for equal texts. The names stand behind "---" and "+++". */
void textdiff_print(const struct textdiff *diff, const char *old_name, const char *new_name,
	const struct terminal *terminal, struct text *out);
