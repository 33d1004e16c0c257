/* SPDX-License-Identifier: Apache-2.0 */
#include "api/openapi.h"

#include <gnutls/crypto.h>

#include "agent/base/text.h"

static const uint8_t document[] = {
#include "api/openapi_yaml.h"
};

enum {
	TAG_BYTES = 16, /* of the SHA-256 */
	TAG_SIZE = 2 * TAG_BYTES + 3, /* hexadecimal, in quotes, NUL */
};

static int make_tag(char ret[static TAG_SIZE], struct error *err)
{
	uint8_t digest[32];
	char hex[2 * TAG_BYTES + 1];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, document, sizeof(document), digest) < 0)
		return error_set(err, ERROR_INTERNAL, NULL, "openapi.yaml: no SHA-256");
	text_hex(digest, TAG_BYTES, hex);
	snprintf(ret, TAG_SIZE, "\"%s\"", hex);
	return 0;
}

/* RFC 9110, 13.1.2: a list of tags, compared weakly, or "*". */
static bool matches(const char *if_none_match, const char *tag)
{
	_cleanup_strv_ char **tags = NULL;

	if (!if_none_match || text_split(if_none_match, ',', &tags) < 0)
		return false;
	STRV_FOREACH(item, tags) {
		const char *strong = text_after_prefix(*item, "W/");

		if (streq(*item, "*") || streq(strong ? strong : *item, tag))
			return true;
	}
	return false;
}

int openapi_get(const struct request *request, struct response *response, struct error *err)
{
	char tag[TAG_SIZE];
	char *copy;
	int r;

	r = make_tag(tag, err);
	if (r < 0)
		return r;
	if (response_add_header(response, "ETag", "%s", tag) < 0)
		return error_set_errno(err, -ENOMEM, "openapi.yaml");
	if (matches(request_header(request, "If-None-Match"), tag)) {
		response->status = 304;
		return 0;
	}
	copy = malloc(sizeof(document));
	if (!copy)
		return error_set_errno(err, -ENOMEM, "openapi.yaml");
	memcpy(copy, document, sizeof(document));
	response_set_body(response, 200, "application/yaml", copy, sizeof(document));
	return 0;
}
