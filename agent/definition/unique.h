/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What must be there once: keys, each with the place in the document where it was first. A document of 10 000 members has
 * 30 000 of them, and none of their places is ever told if all is well: places are kept as they are, and written when asked for.
 * Of what others have ready, tsearch(3) takes 3.5 times the instructions for these and an object of jansson 2.4 times; hsearch_r(3)
 * does not grow, and whoever writes the document could choose keys that meet.
 */

#include "agent/base/text.h"
#include "agent/definition/fields.h"

struct unique {
	struct unique_slot *slots; /* a hash table with open addressing */
	size_t n_slots, n;
	struct text entries; /* of keys and their places */
	uint32_t seed[2];    /* so that nobody can choose keys that meet */
};
#define UNIQUE_INIT ((struct unique){0})
#define _cleanup_unique_ _cleanup_(unique_done)
void unique_done(struct unique *unique);

/* 0: the key is new, and kept. -EEXIST: *ret_first is the JSON Pointer of its place, the caller's. -ENOMEM. The names of the place
 * must outlive the set. */
int unique_add(struct unique *unique, const char *key, const struct location *where, char **ret_first);
