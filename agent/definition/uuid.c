/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/uuid.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/random.h>

#include "agent/base/text.h"

static unsigned hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The first 16 bytes, with the version and the variant. */
static void write_uuid(uint8_t *bytes, unsigned version, char ret[UUID_SIZE])
{
	static const size_t lengths[] = {8, 4, 4, 4, 12};
	char hex[33];
	const char *from = hex;

	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | version << 4);
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	text_hex(bytes, 16, hex);
	for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
		memcpy(ret, from, lengths[i]);
		ret += lengths[i];
		from += lengths[i];
		*ret++ = '-';
	}
	ret[-1] = '\0';
}

static void read_bytes(const char *uuid, uint8_t ret[16])
{
	for (const char *p = uuid; *p; p += 2) {
		if (*p == '-')
			p++;
		*ret++ = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
	}
}

int uuid_derive(const char *namespace_uuid, const char *name, char ret[UUID_SIZE])
{
	size_t length = 16 + strlen(name);
	_cleanup_free_ uint8_t *large = NULL;
	uint8_t small[256], hash[20], *input = small;

	if (!text_is_uuid(namespace_uuid))
		return -EINVAL;
	if (length > sizeof(small)) {
		large = input = malloc(length);
		if (!large)
			return -ENOMEM;
	}
	read_bytes(namespace_uuid, input);
	memcpy(input + 16, name, length - 16);
	if (gnutls_hash_fast(GNUTLS_DIG_SHA1, input, length, hash) < 0)
		return -EIO;
	write_uuid(hash, 5, ret);
	return 0;
}

int uuid_random(char ret[UUID_SIZE])
{
	uint8_t bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return errno ? -errno : -EIO;
	write_uuid(bytes, 4, ret);
	return 0;
}

int uuid_read(const char *text, char ret[UUID_SIZE])
{
	bool hyphens = strlen(text) == UUID_SIZE - 1;
	char uuid[UUID_SIZE];
	size_t n = 0;

	if (!hyphens && strlen(text) != 32)
		return -EINVAL;
	for (const char *p = text; *p; p++) {
		if (!hyphens && (n == 8 || n == 13 || n == 18 || n == 23))
			uuid[n++] = '-';
		uuid[n++] = (char)(*p >= 'A' && *p <= 'F' ? *p - 'A' + 'a' : *p);
	}
	uuid[n] = '\0';
	if (!text_is_uuid(uuid))
		return -EINVAL;
	memcpy(ret, uuid, sizeof(uuid));
	return 0;
}
