/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/envelope.h"

#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <zlib.h>

enum {
	DIGEST_BYTES = 32, /* SHA-256 */
	DIGEST_HEX = 2 * DIGEST_BYTES,
	HEADER_BYTES = 2,   /* RFC 1950, 2.2 */
	CHECKSUM_BYTES = 4, /* the same */
	FLUSH_BYTES = 16,   /* more than Z_SYNC_FLUSH writes of its own */
	JSON_LIMIT = 64 * 1024 * 1024,
};

struct envelope {
	char *tail; /* NULL: there was none yet */
	size_t tail_length;
	uint8_t *packed;
	size_t packed_length;
	uLong checksum;
};

int envelope_new(struct envelope **ret)
{
	struct envelope *envelope = calloc(1, sizeof(*envelope));

	if (!envelope)
		return -ENOMEM;
	*ret = envelope;
	return 0;
}

void envelope_free(struct envelope *envelope)
{
	if (!envelope)
		return;
	free(envelope->tail);
	free(envelope->packed);
	free(envelope);
}

/* How the halves are compressed: without a header of their own (negative window), the head quickly and with little
 * memory. Most of the tail are identifiers, which are random: short repetitions in them cost more than they save, which is
 * what Z_FILTERED is about. */
struct strength {
	int level, window_bits, memory_level, strategy, flush;
};
static const struct strength head_strength = {Z_BEST_SPEED, -12, 6, Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH},
			     tail_strength = {4, -MAX_WBITS, 8, Z_FILTERED, Z_FINISH};

static void cleanup_deflate(z_stream *stream)
{
	deflateEnd(stream);
}

/* The result is at "before" in what is allocated, with room for "after" bytes behind it. */
static int pack(const struct text *text, const struct strength *how, size_t before, size_t after, uint8_t **ret_bytes,
	size_t *ret_length, struct error *err)
{
	_cleanup_(cleanup_deflate) z_stream stream = {0};
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t room;

	if (text->length > UINT_MAX / 2)
		return error_set(err, ERROR_TOO_LARGE, NULL, "heartbeat: the message is too large");
	if (deflateInit2(&stream, how->level, Z_DEFLATED, how->window_bits, how->memory_level, how->strategy) != Z_OK)
		return error_set_errno(err, -ENOMEM, "heartbeat: compression");
	room = deflateBound(&stream, (uLong)text->length) + FLUSH_BYTES;
	bytes = malloc(before + room + after);
	if (!bytes)
		return error_set_errno(err, -ENOMEM, "heartbeat");
	stream.next_in = (z_const Bytef *)text_peek(text);
	stream.avail_in = (uInt)text->length;
	stream.next_out = bytes + before;
	stream.avail_out = (uInt)room;
	/* zlib.h: room that is left over says that nothing is left to flush. */
	if (deflate(&stream, how->flush) != (how->flush == Z_FINISH ? Z_STREAM_END : Z_OK) || stream.avail_in > 0 ||
		stream.avail_out == 0)
		return error_set_errno(err, -EIO, "heartbeat: compression");
	*ret_length = room - stream.avail_out;
	*ret_bytes = TAKE_PTR(bytes);
	return 0;
}

static uLong checksum_of(const struct text *text)
{
	return adler32(1, (const Bytef *)text_peek(text), (uInt)text->length);
}

static int keep_tail(struct envelope *envelope, struct text *tail, struct error *err)
{
	_cleanup_free_ uint8_t *packed = NULL;
	_cleanup_free_ char *text = NULL;
	size_t length, packed_length;
	uLong checksum;
	int r;

	if (envelope->tail && envelope->tail_length == tail->length &&
		memcmp(envelope->tail, text_peek(tail), tail->length) == 0)
		return 0;
	r = pack(tail, &tail_strength, 0, 0, &packed, &packed_length, err);
	if (r < 0)
		return r;
	checksum = checksum_of(tail);
	r = text_finish(tail, &text, &length);
	if (r < 0)
		return error_set_errno(err, r, "heartbeat");
	free(envelope->tail);
	free(envelope->packed);
	*envelope = (struct envelope){.tail = TAKE_PTR(text),
		.tail_length = length,
		.packed = TAKE_PTR(packed),
		.packed_length = packed_length,
		.checksum = checksum};
	return 0;
}

static int sign(const uint8_t *bytes, size_t length, const char *key, char ret_hex[DIGEST_HEX + 1])
{
	uint8_t digest[DIGEST_BYTES];

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, strlen(key), bytes, length, digest) < 0)
		return -EIO;
	text_hex(digest, sizeof(digest), ret_hex);
	return 0;
}

/* Two streams of RFC 1951 make one: the first ends at a byte and does not say that it is the last. */
int envelope_seal(struct envelope *envelope, const struct text *head, struct text *tail, const char *key,
	uint8_t **ret_bytes, size_t *ret_length, struct error *err)
{
	static const uint8_t header[HEADER_BYTES] = {0x78, 0x5e}; /* a window of 32 KiB, a fast algorithm */
	_cleanup_free_ uint8_t *bytes = NULL;
	char hex[DIGEST_HEX + 1];
	size_t length = 0;
	uLong checksum;
	int r;

	if (!key || !*key)
		return error_set(err, ERROR_INVALID, NULL, "heartbeat: no key to sign with");
	if (head->failed || tail->failed)
		return error_set_errno(err, -ENOMEM, "heartbeat");
	r = keep_tail(envelope, tail, err);
	if (r < 0)
		return r;
	r = pack(head, &head_strength, HEADER_BYTES, envelope->packed_length + CHECKSUM_BYTES + DIGEST_HEX, &bytes,
		&length, err);
	if (r < 0)
		return r;
	memcpy(bytes, header, HEADER_BYTES);
	length += HEADER_BYTES;
	memcpy(bytes + length, envelope->packed, envelope->packed_length);
	length += envelope->packed_length;
	checksum = adler32_combine(checksum_of(head), envelope->checksum, (z_off_t)envelope->tail_length);
	for (int shift = 24; shift >= 0; shift -= 8)
		bytes[length++] = (uint8_t)(checksum >> shift);
	r = sign(bytes, length, key, hex);
	if (r < 0)
		return error_set_errno(err, r, "heartbeat: HMAC-SHA256");
	memcpy(bytes + length, hex, DIGEST_HEX);
	*ret_length = length + DIGEST_HEX;
	*ret_bytes = TAKE_PTR(bytes);
	return 0;
}

static void cleanup_inflate(z_stream *stream)
{
	inflateEnd(stream);
}

/* A few kilobytes can open to gigabytes: the output grows as it comes and stops at the limit. */
static int decompress(const uint8_t *bytes, size_t length, struct text *json, struct error *err)
{
	_cleanup_(cleanup_inflate) z_stream stream = {0};
	uint8_t buffer[16384];
	int z;

	if (length > UINT_MAX)
		return error_set(err, ERROR_TOO_LARGE, NULL, "the message is too large");
	stream.next_in = (z_const Bytef *)bytes;
	stream.avail_in = (uInt)length;
	if (inflateInit(&stream) != Z_OK)
		return error_set_errno(err, -ENOMEM, "heartbeat: decompression");
	do {
		stream.next_out = buffer;
		stream.avail_out = sizeof(buffer);
		z = inflate(&stream, Z_NO_FLUSH);
		if (z == Z_MEM_ERROR)
			return error_set_errno(err, -ENOMEM, "heartbeat: decompression");
		if (z != Z_OK && z != Z_STREAM_END)
			return error_set(
				err, ERROR_INVALID, NULL, "the message is not complete zlib data");
		if (json->length + (sizeof(buffer) - stream.avail_out) > JSON_LIMIT)
			return error_set(err, ERROR_INVALID, NULL,
				"the message opens to more than %d bytes", JSON_LIMIT);
		text_append_bytes(json, buffer, sizeof(buffer) - stream.avail_out);
	} while (z != Z_STREAM_END);
	if (stream.avail_in > 0)
		return error_set(err, ERROR_INVALID, NULL,
			"the message has %u bytes after its zlib data", stream.avail_in);
	return 0;
}

static int check_signature(const uint8_t *bytes, size_t length, const char *key, struct error *err)
{
	char hex[DIGEST_HEX + 1];
	int r;

	r = sign(bytes, length, key, hex);
	if (r < 0)
		return error_set_errno(err, r, "heartbeat: HMAC-SHA256");
	if (gnutls_memcmp(hex, bytes + length, DIGEST_HEX) != 0)
		return error_set(
			err, ERROR_INVALID, NULL, "the message's signature does not match the key");
	return 0;
}

int envelope_open(
	const uint8_t *bytes, size_t length, const char *key, json_t **ret, struct error *err)
{
	_cleanup_(json_decrefp) json_t *message = NULL;
	_cleanup_text_ struct text json = TEXT_INIT;
	json_error_t reason;
	int r;

	if (length <= DIGEST_HEX)
		return error_set(
			err, ERROR_INVALID, NULL, "the message is too short: %zu bytes", length);
	length -= DIGEST_HEX;
	if (key) {
		r = check_signature(bytes, length, key, err);
		if (r < 0)
			return r;
	}
	r = decompress(bytes, length, &json, err);
	if (r < 0)
		return r;
	if (json.failed)
		return error_set_errno(err, -ENOMEM, "heartbeat");
	message = json_loadb(text_peek(&json), json.length, 0, &reason);
	if (!message)
		return error_set(
			err, ERROR_INVALID, NULL, "the message is not JSON: %s", reason.text);
	if (!json_is_object(message))
		return error_set(err, ERROR_INVALID, NULL, "the message is not a JSON object");
	*ret = TAKE_PTR(message);
	return 0;
}
