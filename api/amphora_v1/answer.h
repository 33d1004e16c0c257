/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bodies of the Amphora API 1.0, as Octavia's client reads them.
 */

#include "api/response.h"

/* {"message": …} or, with details, {"message": …, "details": …}. */
int amphora_answer(struct response *response, unsigned status, const char *message, const char *details,
	struct error *err);

/* ETag: the MD5 of the bytes, in hexadecimal, without quotes, as Octavia's client compares it. */
int amphora_add_etag(struct response *response, const void *bytes, size_t length, char ret_md5[33], struct error *err);
