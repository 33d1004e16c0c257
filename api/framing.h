/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The headers of a request: copied, and asked how long the body is.
 */

#include <microhttpd.h>
#include <stdbool.h>

#include "api/request.h"

struct framing {
	const char *content_type;   /* the connection's; NULL if absent */
	const char *content_length; /* likewise */
	const char *transfer_encoding;
	unsigned n_lengths, n_encodings, n_hosts;
	bool malformed; /* a name is no token, or a value has a control character */
	struct request_values *values;
	int result;
};

/* Copies all headers to "values". -ENOMEM. */
int framing_read(
	struct MHD_Connection *connection, struct request_values *values, struct framing *ret);

/* The length of the body, -1 if it is chunked. What could be read in two ways is refused (RFC 9112,
 * sections 3.2, 5.1 and 6.3; RFC 9110, section 5.5), so that no proxy in front of us can disagree about where a
 * request ends, and to whom it goes. */
int framing_judge(const struct framing *framing, long long *ret_length, struct error *err);
