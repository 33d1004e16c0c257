/* SPDX-License-Identifier: Apache-2.0 */
#include "api/encoding.h"

#include "agent/base/text.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_plain_utf8(const char *text, size_t length)
{
	size_t n;

	if (text_has_control(text, length))
		return false;
	for (size_t i = 0; i < length; i += n) {
		n = utf8_sequence(text + i, length - i);
		if (n == 0)
			return false;
	}
	return true;
}

int percent_decode(const char *text, size_t length, bool plus_is_space, const char *what,
	char **ret, struct error *err)
{
	_cleanup_free_ char *decoded = NULL;
	size_t n = 0;

	decoded = malloc(length + 1);
	if (!decoded)
		return error_set_errno(err, -ENOMEM, "decoding %s", what);
	for (size_t i = 0; i < length; i++) {
		int high, low;

		if (text[i] != '%') {
			decoded[n++] = plus_is_space && text[i] == '+' ? ' ' : text[i];
			continue;
		}
		high = i + 1 < length ? hex_digit(text[i + 1]) : -1;
		low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
		if (high < 0 || low < 0)
			return error_set(err, ERROR_INVALID, NULL,
				"%s has a '%%' that is not followed by two hexadecimal digits",
				what);
		decoded[n++] = (char)(high << 4 | low);
		i += 2;
	}
	decoded[n] = '\0';
	if (!is_plain_utf8(decoded, n))
		return error_set(err, ERROR_INVALID, NULL,
			"%s holds a control character or is not valid UTF-8", what);
	*ret = TAKE_PTR(decoded);
	return 0;
}
