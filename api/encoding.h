/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bytes from the network into text: UTF-8 (RFC 3629) and percent-encoding (RFC 3986, section 2.1).
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

/* Length of the UTF-8 sequence at the start of "length" bytes, 0 if there is no valid one. Overlong
 * forms, surrogates and code points over U+10FFFF are not valid. */
size_t utf8_sequence(const char *bytes, size_t length);

/* Decodes a path segment or a part of a query. A '%' without two hexadecimal digits, and a result
 * with NUL, a control character or invalid UTF-8, are ERROR_INVALID; "what" names the part in the
 * error's message. */
int percent_decode(const char *text, size_t length, bool plus_is_space, const char *what,
	char **ret, struct error *err);
