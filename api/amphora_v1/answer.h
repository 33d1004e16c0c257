/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bodies of the Amphora API 1.0, as Octavia's client reads them.
 */

#include "api/response.h"

/* {"message": …} or, with details, {"message": …, "details": …}. */
int amphora_answer(struct response *response, unsigned status, const char *message, const char *details,
	struct error *err);

/* 400 with the words in "message", the reason in "details", and what the Python agent's framework makes of them in "error" and
 * "http_code". */
int amphora_bad_request(struct response *response, const char *words, const struct error *problem, struct error *err);

/* ETag: the MD5 of the bytes, in hexadecimal, without quotes, as Octavia's client compares it. */
int amphora_add_etag(struct response *response, const void *bytes, size_t length, char ret_md5[33], struct error *err);
