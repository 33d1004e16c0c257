/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Many small strings that live and die together, in a few blocks instead of an allocation each.
 */

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* owned; the first one is being filled */
	size_t left;                /* bytes free in it */
};

#define ARENA_INIT ((struct arena){.blocks = NULL})
#define _cleanup_arena_ _cleanup_(arena_done)

/* A copy with a NUL behind it, which stays where it is until arena_done(); "" is always the same. NULL without memory. */
const char *arena_copy(struct arena *arena, const char *bytes, size_t length);
const char *arena_string(struct arena *arena, const char *string);
/* Lets "into" own what "from" has, which is empty then. */
void arena_join(struct arena *into, struct arena *from);
void arena_done(struct arena *arena);
