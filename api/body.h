/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A request's body, collected into memory under two limits: its own, and a budget for all bodies in
 * flight.
 */

#include <stdatomic.h>
#include <stddef.h>

#include "agent/base/error.h"

struct body_budget {
	size_t max;
	atomic_size_t used;
};

struct body {
	struct body_budget *budget;
	char *data; /* owned; NUL-terminated once something was appended */
	size_t length;
	size_t allocated; /* counted in the budget */
};

/* ERROR_BUSY if a body of this length cannot fit now. Reserves nothing: a client that only
 * announces takes no memory. */
int body_check_budget(struct body_budget *budget, size_t length, struct error *err);

/* ERROR_TOO_LARGE over "max", ERROR_BUSY over the budget. "expected" is the announced length, 0 if
 * it is not known. */
int body_append(struct body *body, const void *bytes, size_t length, size_t max, size_t expected,
	struct error *err);

/* Frees the memory and gives it back to the budget. */
void body_done(struct body *body);
