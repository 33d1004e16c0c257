/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bytes from the network into text: percent-encoding (RFC 3986, section 2.1) of UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

/* Decodes a path segment or a part of a query. A '%' without two hexadecimal digits, and a result
 * with NUL, a control character or invalid UTF-8, are ERROR_INVALID; "what" names the part in the
 * error's message. */
int percent_decode(const char *text, size_t length, bool plus_is_space, const char *what,
	char **ret, struct error *err);
