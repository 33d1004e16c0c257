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

/* Numbers that are taken: a hash table with open addressing, which is never more than a quarter full. 0 is free. */
struct taken {
	uint32_t *slots;
	uint32_t mask;
};

static int taken_init(struct taken *taken, size_t n)
{
	uint32_t size = 16;

	while (size < 4 * n)
		size *= 2;
	taken->slots = calloc(size, sizeof(*taken->slots));
	taken->mask = size - 1;
	return taken->slots ? 0 : -ENOMEM;
}

/* False if it is taken already. */
static bool take(struct taken *taken, uint32_t id)
{
	uint32_t slot = id * 2654435761U & taken->mask; /* Knuth, The Art of Computer Programming 3, 6.4 */

	for (; taken->slots[slot]; slot = (slot + 1) & taken->mask)
		if (taken->slots[slot] == id)
			return false;
	taken->slots[slot] = id;
	return true;
}

static void taken_done(struct taken *taken)
{
	free(taken->slots);
}

int server_ids(const struct pool *pool, uint32_t **ret)
{
	_cleanup_free_ const struct member **sorted = NULL;
	_cleanup_(taken_done) struct taken taken = {0};
	_cleanup_free_ uint32_t *ids = NULL;

	/* Half of them, so that a free one is found soon. */
	if (pool->n_members > SERVER_ID_MAX / 2)
		return -EINVAL;
	sorted = calloc(pool->n_members + 1, sizeof(*sorted));
	ids = calloc(pool->n_members + 1, sizeof(*ids));
	if (!sorted || !ids || taken_init(&taken, pool->n_members) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < pool->n_members; i++)
		sorted[i] = &pool->members[i];
	qsort(sorted, pool->n_members, sizeof(*sorted), compare_members);
	for (size_t i = 0; i < pool->n_members; i++) {
		uint32_t attempt = 0, id;

		do
			id = choose(sorted[i]->id, attempt++);
		while (!take(&taken, id));
		ids[sorted[i] - pool->members] = id;
	}
	*ret = TAKE_PTR(ids);
	return 0;
}
