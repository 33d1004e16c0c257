/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The headers of a request: copied, and asked how long the body is.
 */

#include <microhttpd.h>

#include "api/request.h"

struct framing {
	const char *content_type;   /* the connection's; NULL if absent */
	const char *content_length; /* likewise */
	const char *transfer_encoding;
	unsigned n_lengths, n_encodings;
	struct request_values *values;
	int result;
};

/* Copies all headers to "values". -ENOMEM. */
int framing_read(
	struct MHD_Connection *connection, struct request_values *values, struct framing *ret);

/* The length of the body, -1 if it is chunked. What could be read in two ways is refused (RFC 9112,
 * section 6.3), so that no proxy in front of us can disagree about where a request ends. */
int framing_judge(const struct framing *framing, long long *ret_length, struct error *err);
