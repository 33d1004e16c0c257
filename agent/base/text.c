/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <strings.h>

static bool reserve(struct text *text, size_t extra)
{
	size_t wanted;
	char *grown;

	if (text->failed)
		return false;
	if (__builtin_add_overflow(text->length, extra, &wanted) ||
		__builtin_add_overflow(wanted, 1, &wanted))
		goto failed;
	if (wanted <= text->allocated)
		return true;
	if (wanted < text->allocated * 2)
		wanted = text->allocated * 2;
	if (wanted < 64)
		wanted = 64;
	grown = realloc(text->data, wanted);
	if (!grown)
		goto failed;
	text->data = grown;
	text->allocated = wanted;
	return true;
failed:
	text->failed = true;
	return false;
}

void text_append_bytes(struct text *text, const void *bytes, size_t length)
{
	if (!reserve(text, length))
		return;
	if (length > 0)
		memcpy(text->data + text->length, bytes, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void text_append(struct text *text, const char *string)
{
	text_append_bytes(text, string, strlen(string));
}

void text_append_char(struct text *text, char c)
{
	text_append_bytes(text, &c, 1);
}

void text_printf(struct text *text, const char *format, ...)
{
	char small[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(small, sizeof(small), format, arguments);
	va_end(arguments);
	if (length < 0) {
		text->failed = true;
		return;
	}
	if ((size_t)length < sizeof(small)) {
		text_append_bytes(text, small, (size_t)length);
		return;
	}
	if (!reserve(text, (size_t)length))
		return;
	va_start(arguments, format);
	vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
	va_end(arguments);
	text->length += (size_t)length;
}

void text_truncate(struct text *text, size_t length)
{
	if (length >= text->length)
		return;
	text->length = length;
	text->data[length] = '\0';
}

int text_finish(struct text *text, char **ret_string, size_t *ret_length)
{
	if (!reserve(text, 0)) {
		text_done(text);
		return -ENOMEM;
	}
	text->data[text->length] = '\0';
	if (ret_length)
		*ret_length = text->length;
	*ret_string = text->data;
	*text = TEXT_INIT;
	return 0;
}

const char *text_peek(const struct text *text)
{
	return text->data ? text->data : "";
}

void text_done(struct text *text)
{
	free(text->data);
	*text = TEXT_INIT;
}

const char *text_after_prefix(const char *string, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(string, prefix, length) == 0 ? string + length : NULL;
}

int text_to_int64(const char *string, int64_t *ret_value)
{
	char *end = NULL;
	intmax_t value;

	if (!isdigit((unsigned char)string[0]) &&
		!((string[0] == '-' || string[0] == '+') && isdigit((unsigned char)string[1])))
		return -EINVAL;
	errno = 0;
	value = strtoimax(string, &end, 10);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE || value > INT64_MAX || value < INT64_MIN)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int text_to_bool(const char *string, bool *ret_value)
{
	static const char *const words[2][4] = {
		{"false", "no", "off", "0"},
		{"true", "yes", "on", "1"},
	};

	for (size_t value = 0; value < 2; value++)
		for (size_t i = 0; i < ELEMENTSOF(words[value]); i++)
			if (strcasecmp(string, words[value][i]) == 0) {
				*ret_value = value == 1;
				return 0;
			}
	return -EINVAL;
}

bool text_is_uuid(const char *string)
{
	size_t i;

	for (i = 0; i < 36; i++) {
		bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
		char c = string[i];

		if (hyphen ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return string[36] == '\0';
}

bool text_has_control(const char *string, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)string;

	for (size_t i = 0; i < length; i++) {
		if (bytes[i] < 0x20 || bytes[i] == 0x7f)
			return true;
		if (bytes[i] == 0xc2 && i + 1 < length && bytes[i + 1] >= 0x80 && bytes[i + 1] <= 0x9f)
			return true;
	}
	return false;
}

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

void text_make_printable(char *string)
{
	size_t n;

	for (size_t length = strlen(string); length > 0; string += n, length -= n) {
		n = utf8_sequence(string, length);
		if (n > 0 && !text_has_control(string, n))
			continue;
		n = n > 0 ? n : 1;
		memset(string, '?', n);
	}
}

int text_split(const char *string, char separator, char ***ret_parts)
{
	_cleanup_strv_ char **parts = NULL;
	size_t count = 0, slots = 2;

	for (const char *p = string; *p; p++)
		slots += *p == separator;
	parts = calloc(slots, sizeof(*parts));
	if (!parts)
		return -ENOMEM;

	for (const char *start = string; start;) {
		const char *next = strchr(start, separator);
		const char *end = next ? next : start + strlen(start);

		while (start < end && isspace((unsigned char)*start))
			start++;
		while (end > start && isspace((unsigned char)end[-1]))
			end--;
		if (end > start) {
			parts[count] = strndup(start, (size_t)(end - start));
			if (!parts[count++])
				return -ENOMEM;
		}
		start = next ? next + 1 : NULL;
	}
	*ret_parts = TAKE_PTR(parts);
	return 0;
}

void text_hex(const uint8_t *bytes, size_t length, char *ret_hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		ret_hex[2 * i] = digits[bytes[i] >> 4];
		ret_hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret_hex[2 * length] = '\0';
}

size_t strv_length(char *const *strings)
{
	size_t length = 0;

	while (strings && strings[length])
		length++;
	return length;
}

int strv_push(char ***strings, size_t *n, char *string)
{
	char **grown = string ? reallocarray(*strings, *n + 2, sizeof(*grown)) : NULL;

	if (!grown) {
		free(string);
		return -ENOMEM;
	}
	grown[(*n)++] = string;
	grown[*n] = NULL;
	*strings = grown;
	return 0;
}

void strv_free(char **strings)
{
	for (char **s = strings; s && *s; s++)
		free(*s);
	free(strings);
}

enum { DISTANCE_MAX_LENGTH = 32 };

size_t text_distance(const char *a, const char *b)
{
	size_t row[DISTANCE_MAX_LENGTH + 1], n = strlen(b);

	if (strlen(a) > DISTANCE_MAX_LENGTH || n > DISTANCE_MAX_LENGTH)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[n];
}
