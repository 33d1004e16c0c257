/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/message.h"

#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <zlib.h>

#include "agent/base/text.h"

enum {
	DIGEST_BYTES = 32, /* SHA-256 */
	DIGEST_HEX = 2 * DIGEST_BYTES,
	QUICK_MAX = 32 * 1024, /* half of what a datagram holds */
	JSON_LIMIT = 64 * 1024 * 1024,
};

static json_t *listener_to_json(
	const char *lb_id, const struct listener_health *listener, const struct counters *counters)
{
	struct listener_totals unsent = counters_unsent(counters, lb_id, listener->id);

	return json_pack("{s:s, s:{s:I, s:I, s:I, s:I, s:I}}", "status", listener->status, "stats",
		"tx", (json_int_t)unsent.bytes_out, "rx", (json_int_t)unsent.bytes_in, "conns",
		(json_int_t)listener->current_connections, "totconns",
		(json_int_t)unsent.total_connections, "ereq", (json_int_t)unsent.request_errors);
}

static json_t *pool_to_json(const struct pool_health *pool)
{
	_cleanup_(json_decrefp) json_t *members = json_object();

	for (size_t i = 0; i < pool->n_members; i++) {
		const struct member_health *member = &pool->members[i];

		if (json_object_set_new(members, member->id,
			    json_string(member_status_word(member->status))) < 0)
			return NULL;
	}
	return json_pack("{s:s, s:o}", "status", pool->status, "members", TAKE_PTR(members));
}

int heartbeat_message(const char *amphora_id, uint64_t sequence,
	struct health_snapshot *const *snapshots, size_t n_snapshots,
	const struct counters *counters, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *message = NULL;
	json_t *listeners, *pools;

	message = json_pack("{s:s, s:I, s:{}, s:{}, s:i}", "id", amphora_id, "seq",
		(json_int_t)sequence, "listeners", "pools", "ver", HEARTBEAT_VERSION);
	if (!message)
		return -ENOMEM;
	listeners = json_object_get(message, "listeners");
	pools = json_object_get(message, "pools");
	for (size_t i = 0; i < n_snapshots; i++) {
		const struct health_snapshot *s = snapshots[i];

		if (!s->answered)
			continue;
		for (size_t j = 0; j < s->n_listeners; j++)
			if (json_object_set_new(listeners, s->listeners[j].id,
				    listener_to_json(s->lb_id, &s->listeners[j], counters)) < 0)
				return -ENOMEM;
		for (size_t j = 0; j < s->n_pools; j++)
			if (json_object_set_new(
				    pools, s->pools[j].key, pool_to_json(&s->pools[j])) < 0)
				return -ENOMEM;
	}
	*ret = TAKE_PTR(message);
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

/* With room for the digest. Quickly, as this is most of what a heartbeat costs; well where every byte of a datagram may count. */
static int compress_text(const char *text, uint8_t **ret_bytes, uLongf *ret_length, struct error *err)
{
	const uLong size = (uLong)strlen(text), room = compressBound(size);
	_cleanup_free_ uint8_t *bytes = malloc(room + DIGEST_HEX);
	uLongf length = room;

	if (!bytes)
		return error_set_errno(err, -ENOMEM, "heartbeat");
	if (compress2(bytes, &length, (const Bytef *)text, size, Z_BEST_SPEED) != Z_OK)
		return error_set_errno(err, -ENOMEM, "heartbeat: compression");
	if (length > QUICK_MAX) {
		length = room;
		if (compress2(bytes, &length, (const Bytef *)text, size, Z_BEST_COMPRESSION) != Z_OK)
			return error_set_errno(err, -ENOMEM, "heartbeat: compression");
	}
	*ret_bytes = TAKE_PTR(bytes);
	*ret_length = length;
	return 0;
}

int heartbeat_wrap(const json_t *message, const char *key, uint8_t **ret_bytes, size_t *ret_length,
	struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	char hex[DIGEST_HEX + 1];
	uLongf length = 0;
	int r;

	if (!key || !*key)
		return error_set(err, ERROR_INVALID, NULL, "heartbeat: no key to sign with");
	text = json_dumps(message, JSON_COMPACT);
	if (!text)
		return error_set_errno(err, -ENOMEM, "heartbeat");
	r = compress_text(text, &bytes, &length, err);
	if (r < 0)
		return r;
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

int heartbeat_unwrap(
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
