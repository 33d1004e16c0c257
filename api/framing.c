/* SPDX-License-Identifier: Apache-2.0 */
#include "api/framing.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "agent/base/text.h"

/* RFC 9110, section 5.6.2. "Content-Length : 5" is a header of another name to the library, and the length of the body to
 * others. */
static bool is_token(const char *name)
{
	static const char characters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

	return *name && name[strspn(name, characters)] == '\0';
}

static bool has_control(const char *value)
{
	for (const char *c = value; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
			return true;
	return false;
}

static enum MHD_Result take_header(
	void *cls, enum MHD_ValueKind kind _unused_, const char *name, const char *value)
{
	struct framing *framing = cls;

	value = value ? value : "";
	framing->malformed |= !is_token(name) || has_control(value);
	framing->n_hosts += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
	if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
		framing->content_length = value;
		framing->n_lengths++;
	} else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
		framing->transfer_encoding = value;
		framing->n_encodings++;
	} else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_TYPE) == 0 && !framing->content_type) {
		framing->content_type = value;
	}
	framing->result = request_values_add_header(framing->values, name, value);
	return framing->result < 0 ? MHD_NO : MHD_YES;
}

int framing_read(
	struct MHD_Connection *connection, struct request_values *values, struct framing *ret)
{
	*ret = (struct framing){.values = values};
	MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, ret);
	return ret->result;
}

int framing_judge(const struct framing *framing, long long *ret_length, struct error *err)
{
	int64_t length = 0;

	if (framing->malformed)
		return error_set(err, ERROR_INVALID, NULL,
			"a header has a name that is none, or a control character");
	if (framing->n_hosts > 1)
		return error_set(err, ERROR_INVALID, NULL, "there is more than one Host header");
	if (framing->n_lengths + framing->n_encodings > 1)
		return error_set(err, ERROR_INVALID, NULL,
			"the length of the body is given more than once (Content-Length, "
			"Transfer-Encoding)");
	if (framing->transfer_encoding) {
		if (strcasecmp(framing->transfer_encoding, "chunked") != 0)
			return error_set(err, ERROR_UNSUPPORTED, NULL,
				"Transfer-Encoding: only 'chunked' is supported");
		*ret_length = -1;
		return 0;
	}
	/* libmicrohttpd has refused what is no number, so this is one that is too large. */
	if (framing->content_length &&
		(text_to_int64(framing->content_length, &length) < 0 || length < 0))
		length = INT64_MAX;
	*ret_length = length;
	return 0;
}
