/* SPDX-License-Identifier: Apache-2.0 */
#include <gnutls/gnutls.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "agent/base/text.h"
#include "agent/tools/config_drive/files.h"

/* The names that cloud-init takes (cloudinit/config/cc_write_files.py, "encoding" in its schema). */
static const struct encoding {
	const char *name;
	bool is_base64, is_gzip;
} encodings[] = {
	{"text/plain", false, false},
	{"b64", true, false},
	{"base64", true, false},
	{"gz", false, true},
	{"gzip", false, true},
	{"gz+b64", true, true},
	{"gz+base64", true, true},
	{"gzip+b64", true, true},
	{"gzip+base64", true, true},
};

static void cleanup_inflate(z_stream **stream)
{
	inflateEnd(*stream);
}

/* Members that follow each other are one content (RFC 1952, 2.2). */
static int inflate_all(z_stream *stream, struct text *text, size_t limit)
{
	char buffer[16384];
	int r = Z_OK;

	do {
		if (r == Z_STREAM_END && inflateReset(stream) != Z_OK)
			return -EINVAL;
		stream->next_out = (Bytef *)buffer;
		stream->avail_out = sizeof(buffer);
		r = inflate(stream, Z_NO_FLUSH);
		if (r == Z_MEM_ERROR)
			return -ENOMEM;
		if (r != Z_OK && r != Z_STREAM_END)
			return -EINVAL;
		if (text->length + (sizeof(buffer) - stream->avail_out) > limit)
			return -EFBIG;
		text_append_bytes(text, buffer, sizeof(buffer) - stream->avail_out);
	} while (r != Z_STREAM_END || stream->avail_in > 0);
	return 0;
}

int drive_gunzip(const char *data, size_t length, size_t limit, char **ret_data, size_t *ret_length, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	z_stream stream = {.next_in = (Bytef *)data, .avail_in = (uInt)length};
	int r;

	if (length > DRIVE_CONTENT_MAX)
		return error_set(err, ERROR_TOO_LARGE, NULL, "too much gzip data");
	if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
		return error_set_errno(err, -ENOMEM, "gzip");
	{
		_unused_ _cleanup_(cleanup_inflate) z_stream *ended = &stream;

		r = inflate_all(&stream, &text, limit);
	}
	if (r == -EFBIG)
		return error_set(err, ERROR_TOO_LARGE, NULL, "more than %zu bytes come out of the gzip data", limit);
	if (r == -EINVAL)
		return error_set(err, ERROR_INVALID, NULL, "this is no whole gzip data");
	if (r == 0)
		r = text_finish(&text, ret_data, ret_length);
	return r < 0 ? error_set_errno(err, r, "gzip") : 0;
}

static int decode_base64(const char *content, size_t length, char **ret, size_t *ret_length, struct error *err)
{
	_cleanup_text_ struct text dense = TEXT_INIT;
	gnutls_datum_t in, out = {0};
	_cleanup_free_ char *copy = NULL;

	/* Lines of any length, also none. */
	for (size_t i = 0; i < length; i++)
		if (!strchr(" \t\r\n", content[i]) || content[i] == '\0')
			text_append_char(&dense, content[i]);
	if (dense.failed)
		return error_set_errno(err, -ENOMEM, "base64");
	in = (gnutls_datum_t){(unsigned char *)dense.data, (unsigned)dense.length};
	if (dense.length > 0 && gnutls_base64_decode2(&in, &out) < 0)
		return error_set(err, ERROR_INVALID, NULL, "this is no base64");
	copy = malloc((size_t)out.size + 1);
	if (copy) {
		if (out.size > 0)
			memcpy(copy, out.data, out.size);
		copy[out.size] = '\0';
	}
	gnutls_free(out.data);
	if (!copy)
		return error_set_errno(err, -ENOMEM, "base64");
	*ret_length = out.size;
	*ret = TAKE_PTR(copy);
	return 0;
}

static const struct encoding *find_encoding(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(encodings); i++)
		if (strcasecmp(name, encodings[i].name) == 0)
			return &encodings[i];
	return NULL;
}

int drive_decode(const char *encoding, const char *content, size_t length, size_t limit, char **ret_content,
	size_t *ret_length, struct error *err)
{
	const struct encoding *wanted = find_encoding(encoding ? encoding : "text/plain");
	_cleanup_free_ char *decoded = NULL;
	_cleanup_text_ struct text plain = TEXT_INIT;
	int r;

	if (!wanted)
		return error_set(err, ERROR_INVALID, NULL, "the encoding is none of b64, gzip and gz+b64");
	if (wanted->is_base64) {
		r = decode_base64(content, length, &decoded, &length, err);
		if (r < 0)
			return r;
		content = decoded;
	}
	if (wanted->is_gzip)
		return drive_gunzip(content, length, limit, ret_content, ret_length, err);
	if (length > limit)
		return error_set(err, ERROR_TOO_LARGE, NULL, "more than %zu bytes", limit);
	text_append_bytes(&plain, content, length);
	r = text_finish(&plain, ret_content, ret_length);
	return r < 0 ? error_set_errno(err, r, "content") : 0;
}
