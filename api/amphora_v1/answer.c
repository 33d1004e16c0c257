/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/answer.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "agent/base/text.h"

int amphora_answer(struct response *response, unsigned status, const char *message, const char *details,
	struct error *err)
{
	json_t *body = json_pack("{s:s, s:s*}", "message", message, "details", details);

	return body ? response_set_json(response, status, body) : error_set_errno(err, -ENOMEM, "reply");
}

int amphora_bad_request(struct response *response, const char *words, const struct error *problem, struct error *err)
{
	_cleanup_free_ char *page = NULL, *details = NULL;
	json_t *body;

	if (asprintf(&page, "400 Bad Request: %s", words) < 0)
		page = NULL;
	if (asprintf(&details, "%s%s%s", problem->pointer ? problem->pointer : "", problem->pointer ? ": " : "",
		    error_message(problem)) < 0)
		details = NULL;
	body = json_pack("{s:s, s:s*, s:s*, s:i}", "message", words, "details", details, "error", page, "http_code", 400);
	return body ? response_set_json(response, 400, body) : error_set_errno(err, -ENOMEM, "reply");
}

int amphora_add_etag(struct response *response, const void *bytes, size_t length, char ret_md5[33], struct error *err)
{
	uint8_t hash[16];

	/* Where MD5 is forbidden (FIPS), it is allowed as a checksum, as Python's usedforsecurity=False is. */
	GNUTLS_FIPS140_SET_LAX_MODE();
	if (gnutls_hash_fast(GNUTLS_DIG_MD5, bytes, length, hash) < 0) {
		GNUTLS_FIPS140_SET_STRICT_MODE();
		return error_set(err, ERROR_INTERNAL, NULL, "MD5 is not available");
	}
	GNUTLS_FIPS140_SET_STRICT_MODE();
	text_hex(hash, sizeof(hash), ret_md5);
	return response_add_header(response, "ETag", "%s", ret_md5) < 0 ? error_set_errno(err, -ENOMEM, "reply") : 0;
}
