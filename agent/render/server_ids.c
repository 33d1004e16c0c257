/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/server_ids.h"

#include <string.h>

/* FNV-1a, folded; "attempt" gives a member another number when one is taken. 0 is no id for HAProxy. */
static uint32_t choose(const char *member_id, uint32_t attempt)
{
	uint32_t hash = 2166136261U;

	for (const char *p = member_id; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619U;
	for (; attempt > 0; attempt >>= 8)
		hash = (hash ^ (attempt & 0xff)) * 16777619U;
	hash = (hash >> SERVER_ID_BITS) ^ (hash & SERVER_ID_MAX);
	return hash ? hash : 1;
}

static int compare_members(const void *a, const void *b)
{
	const struct member *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

int server_ids(const struct pool *pool, uint32_t **ret)
{
	_cleanup_free_ const struct member **sorted = NULL;
	_cleanup_free_ uint8_t *taken = NULL; /* one bit a number */
	_cleanup_free_ uint32_t *ids = NULL;

	/* Half of them, so that a free one is found soon. */
	if (pool->n_members > SERVER_ID_MAX / 2)
		return -EINVAL;
	sorted = calloc(pool->n_members + 1, sizeof(*sorted));
	ids = calloc(pool->n_members + 1, sizeof(*ids));
	taken = calloc(1, (SERVER_ID_MAX + 1) / 8);
	if (!sorted || !ids || !taken)
		return -ENOMEM;
	for (size_t i = 0; i < pool->n_members; i++)
		sorted[i] = &pool->members[i];
	qsort(sorted, pool->n_members, sizeof(*sorted), compare_members);
	for (size_t i = 0; i < pool->n_members; i++) {
		uint32_t attempt = 0, id;

		do
			id = choose(sorted[i]->id, attempt++);
		while (taken[id / 8] & (1U << (id % 8)));
		taken[id / 8] |= (uint8_t)(1U << (id % 8));
		ids[sorted[i] - pool->members] = id;
	}
	*ret = TAKE_PTR(ids);
	return 0;
}
