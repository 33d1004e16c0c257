/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_BLOCK = 256,
	LARGEST_BLOCK = 32 * 1024, /* but for a longer string */
};

struct arena_block {
	struct arena_block *next;
	size_t size; /* of "bytes" */
	char bytes[];
};

static int add_block(struct arena *arena, size_t wanted)
{
	size_t size = arena->blocks ? arena->blocks->size * 2 : FIRST_BLOCK;
	struct arena_block *block;

	if (size > LARGEST_BLOCK)
		size = LARGEST_BLOCK;
	if (size < wanted)
		size = wanted;
	if (size > SIZE_MAX - sizeof(*block))
		return -1;
	block = malloc(sizeof(*block) + size);
	if (!block)
		return -1;
	block->next = arena->blocks;
	block->size = size;
	arena->blocks = block;
	arena->left = size;
	return 0;
}

const char *arena_copy(struct arena *arena, const char *bytes, size_t length)
{
	char *copy;

	if (length == 0)
		return "";
	if (length == SIZE_MAX || (arena->left <= length && add_block(arena, length + 1) < 0))
		return NULL;
	copy = arena->blocks->bytes + arena->blocks->size - arena->left;
	memcpy(copy, bytes, length);
	copy[length] = '\0';
	arena->left -= length + 1;
	return copy;
}

const char *arena_string(struct arena *arena, const char *string)
{
	return arena_copy(arena, string, strlen(string));
}

void arena_join(struct arena *into, struct arena *from)
{
	struct arena_block **end = &into->blocks;

	if (!into->blocks) {
		*into = *from;
	} else {
		while (*end)
			end = &(*end)->next;
		*end = from->blocks;
	}
	*from = ARENA_INIT;
}

void arena_done(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	*arena = ARENA_INIT;
}
