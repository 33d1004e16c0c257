/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/unique.h"

#include <string.h>
#include <sys/random.h>

enum {
	FIRST_SLOTS = 64,
	DEPTH_MAX = 16, /* of a place; those of definitions are 8 deep */
};

struct unique_slot {
	uint32_t hash;
	uint32_t entry; /* its offset in "entries" and 1; 0: the slot is free */
};

/* An entry: the number of links, the links from the inside out, the key. */
struct link {
	const char *name; /* NULL: an index */
	size_t index;
};

void unique_done(struct unique *unique)
{
	free(unique->slots);
	text_done(&unique->entries);
	*unique = UNIQUE_INIT;
}

/* The mixing step of wyhash32 (Wang Yi, public domain): no key meets another one but by chance, the seed being unknown. */
static void mix(uint32_t state[2], uint32_t a, uint32_t b)
{
	uint64_t product = (uint64_t)(state[0] ^ a ^ 0x53c5ca59U) * (state[1] ^ b ^ 0x74743c1bU);

	state[0] = (uint32_t)product;
	state[1] = (uint32_t)(product >> 32);
}

static uint32_t hash_key(const struct unique *unique, const char *key, size_t length)
{
	uint32_t state[2] = {unique->seed[0], unique->seed[1] ^ (uint32_t)length}, words[2];

	mix(state, 0, 0);
	for (size_t i = 0; i < length; i += sizeof(words)) {
		size_t rest = length - i;

		memset(words, 0, sizeof(words));
		memcpy(words, key + i, rest < sizeof(words) ? rest : sizeof(words));
		mix(state, words[0], words[1]);
	}
	mix(state, unique->seed[0], unique->seed[1]);
	return state[0] ^ state[1];
}

static const char *key_of(const struct unique *unique, uint32_t entry)
{
	const char *p = unique->entries.data + entry - 1;

	return p + 1 + (size_t)(unsigned char)*p * sizeof(struct link);
}

static struct unique_slot *find(const struct unique *unique, const char *key, uint32_t hash)
{
	size_t i = hash & (unique->n_slots - 1);

	for (; unique->slots[i].entry; i = (i + 1) & (unique->n_slots - 1))
		if (unique->slots[i].hash == hash && streq(key_of(unique, unique->slots[i].entry), key))
			break;
	return &unique->slots[i];
}

/* Never more than half full. */
static int grow(struct unique *unique)
{
	size_t n_slots = unique->n_slots ? 4 * unique->n_slots : FIRST_SLOTS;
	struct unique_slot *slots;

	if (2 * (unique->n + 1) <= unique->n_slots)
		return 0;
	if (!unique->slots && getrandom(unique->seed, sizeof(unique->seed), 0) != (ssize_t)sizeof(unique->seed))
		return -EIO;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < unique->n_slots; i++) {
		size_t j = unique->slots[i].hash & (n_slots - 1);

		if (!unique->slots[i].entry)
			continue;
		while (slots[j].entry)
			j = (j + 1) & (n_slots - 1);
		slots[j] = unique->slots[i];
	}
	free(unique->slots);
	unique->slots = slots;
	unique->n_slots = n_slots;
	return 0;
}

static void append_entry(struct text *entries, const char *key, size_t length, const struct location *where)
{
	struct link links[DEPTH_MAX];
	unsigned char n = 0;

	for (; where && n < DEPTH_MAX; where = where->parent)
		links[n++] = (struct link){where->name, where->index};
	text_append_bytes(entries, &n, 1);
	text_append_bytes(entries, links, n * sizeof(links[0]));
	text_append_bytes(entries, key, length + 1);
}

/* The place of an entry, again as links on the stack. */
static char *write_place(const struct unique *unique, uint32_t entry)
{
	const char *p = unique->entries.data + entry - 1;
	struct location locations[DEPTH_MAX];
	size_t n = (unsigned char)*p;

	for (size_t i = 0; i < n; i++) {
		struct link link;

		memcpy(&link, p + 1 + i * sizeof(link), sizeof(link));
		locations[i] = (struct location){i + 1 < n ? &locations[i + 1] : NULL, link.name, link.index};
	}
	return location_text(n > 0 ? &locations[0] : NULL);
}

int unique_add(struct unique *unique, const char *key, const struct location *where, char **ret_first)
{
	size_t length = strlen(key), entry = unique->entries.length + 1;
	struct unique_slot *slot;
	uint32_t hash;
	int r = grow(unique);

	if (r < 0)
		return r;
	hash = hash_key(unique, key, length);
	slot = find(unique, key, hash);
	if (slot->entry) {
		*ret_first = write_place(unique, slot->entry);
		return *ret_first ? -EEXIST : -ENOMEM;
	}
	append_entry(&unique->entries, key, length, where);
	if (unique->entries.failed || entry > UINT32_MAX)
		return -ENOMEM;
	*slot = (struct unique_slot){hash, (uint32_t)entry};
	unique->n++;
	return 0;
}
