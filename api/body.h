/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A request's body on its way in: in memory while it is small, in an unlinked file from SPOOL_BYTES on, so that uploads of
 * megabytes do not stay in the agent's memory. Both kinds have a budget for all bodies in flight; where no file can be made,
 * memory has to do.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

enum { SPOOL_BYTES = 256 * 1024 };

struct body_budget {
	size_t max; /* bytes in memory */
	atomic_size_t used;
	const char *spool_dir; /* NULL: everything stays in memory */
	size_t spool_max;      /* bytes in files */
	atomic_size_t spooled;
};

struct body {
	struct body_budget *budget;
	char *data;       /* owned; NUL-terminated once something was appended */
	size_t length;
	size_t allocated; /* counted in the budget */
	int spool_fd;     /* -1: in memory */
	bool secret;      /* holds a key: never in a file, and wiped; set before the first byte */
	size_t mapped;    /* bytes of the file that "data" is a view of, after body_finish() */
};

#define BODY_INIT(b) ((struct body){.budget = (b), .spool_fd = -1})

/* ERROR_BUSY if a body of this length cannot fit now. Reserves nothing: a client that only
 * announces takes no memory. */
int body_check_budget(struct body_budget *budget, bool secret, size_t length, struct error *err);

/* ERROR_TOO_LARGE over "max", ERROR_BUSY over the budget. "expected" is the announced length, 0 if
 * it is not known. */
int body_append(struct body *body, const void *bytes, size_t length, size_t max, size_t expected,
	struct error *err);

/* After the last byte: the body, NUL-terminated, "" if there is none. It stays the body's. */
int body_finish(struct body *body, const char **ret, struct error *err);

/* Frees everything and gives it back to the budget. */
void body_done(struct body *body);
