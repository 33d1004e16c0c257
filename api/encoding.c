/* SPDX-License-Identifier: Apache-2.0 */
#include "api/encoding.h"

#include "agent/base/text.h"

size_t utf8_sequence(const char *bytes, size_t length)
{
	const unsigned char *b = (const unsigned char *)bytes;
	/* The second byte's range excludes overlong forms, surrogates and what lies over U+10FFFF
	 * (RFC 3629, section 4). */
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (length == 0)
		return 0;
	if (b[0] < 0x80)
		return 1;
	if (b[0] >= 0xc2 && b[0] <= 0xdf)
		n = 2;
	else if (b[0] >= 0xe0 && b[0] <= 0xef)
		n = 3;
	else if (b[0] >= 0xf0 && b[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (length < n)
		return 0;
	if (b[0] == 0xe0)
		low = 0xa0;
	else if (b[0] == 0xed)
		high = 0x9f;
	else if (b[0] == 0xf0)
		low = 0x90;
	else if (b[0] == 0xf4)
		high = 0x8f;
	if (b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (b[i] < 0x80 || b[i] > 0xbf)
			return 0;
	return n;
}

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
