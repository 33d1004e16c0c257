/* SPDX-License-Identifier: Apache-2.0 */
#include "api/body.h"

#include <stdbool.h>
#include <string.h>

enum { FIRST_ALLOCATION = 16 * 1024 };

static int refuse_busy(struct error *err)
{
	return error_set(err, ERROR_BUSY, NULL, "too much is being uploaded at once; try again");
}

int body_check_budget(struct body_budget *budget, size_t length, struct error *err)
{
	size_t used = atomic_load(&budget->used);

	if (used > budget->max || length > budget->max - used)
		return refuse_busy(err);
	return 0;
}

static bool take_from_budget(struct body_budget *budget, size_t bytes)
{
	size_t used = atomic_load(&budget->used);

	do {
		if (bytes > budget->max - used)
			return false;
	} while (!atomic_compare_exchange_weak(&budget->used, &used, used + bytes));
	return true;
}

/* Doubles, but not beyond what was announced, so that a large body is not held in twice its size.
 */
static size_t next_allocation(const struct body *body, size_t wanted, size_t expected)
{
	size_t allocated = body->allocated ? 2 * body->allocated : FIRST_ALLOCATION;

	if (expected > 0 && allocated > expected + 1)
		allocated = expected + 1;
	return allocated < wanted ? wanted : allocated;
}

int body_append(struct body *body, const void *bytes, size_t length, size_t max, size_t expected,
	struct error *err)
{
	if (length > max || body->length > max - length)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"the body is too large; at most %zu bytes are taken here", max);
	if (body->length + length + 1 > body->allocated) {
		size_t allocated = next_allocation(body, body->length + length + 1, expected);
		size_t more = allocated - body->allocated;
		char *data;

		if (!take_from_budget(body->budget, more))
			return refuse_busy(err);
		data = realloc(body->data, allocated);
		if (!data) {
			atomic_fetch_sub(&body->budget->used, more);
			return refuse_busy(err);
		}
		body->data = data;
		body->allocated = allocated;
	}
	memcpy(body->data + body->length, bytes, length);
	body->length += length;
	body->data[body->length] = '\0';
	return 0;
}

void body_done(struct body *body)
{
	free(body->data);
	if (body->allocated > 0)
		atomic_fetch_sub(&body->budget->used, body->allocated);
	*body = (struct body){.budget = body->budget};
}
