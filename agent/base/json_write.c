/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json_write.h"

/* Characters that stand for themselves, RFC 8259, section 7. */
static size_t plain_length(const char *string)
{
	size_t n = 0;

	while ((unsigned char)string[n] >= 0x20 && (unsigned char)string[n] < 0x80 && string[n] != '"' &&
		string[n] != '\\')
		n++;
	return n;
}

static void write_escaped(struct text *out, char c)
{
	static const char letters[] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
	unsigned char byte = (unsigned char)c;

	if (byte < sizeof(letters) && letters[byte])
		text_append_bytes(out, (const char[]){'\\', letters[byte]}, 2);
	else
		text_printf(out, "\\u%04X", byte);
}

void json_write_string(struct text *out, const char *string)
{
	const char *end = string + strlen(string);

	text_append_char(out, '"');
	for (const char *p = string; p < end;) {
		size_t n = plain_length(p), sequence;

		text_append_bytes(out, p, n);
		p += n;
		if (p == end)
			break;
		sequence = utf8_sequence(p, (size_t)(end - p));
		if (sequence == 0)
			text_append_char(out, '?');
		else if (sequence == 1)
			write_escaped(out, *p);
		else
			text_append_bytes(out, p, sequence);
		p += sequence ? sequence : 1;
	}
	text_append_char(out, '"');
}

void json_write_integer(struct text *out, int64_t value)
{
	char digits[24], *p = digits + sizeof(digits);
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do
		*--p = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (value < 0)
		*--p = '-';
	text_append_bytes(out, p, (size_t)(digits + sizeof(digits) - p));
}

static int append(const char *bytes, size_t length, void *userdata)
{
	text_append_bytes(userdata, bytes, length);
	return 0;
}

void json_write(struct text *out, const json_t *json)
{
	if (json_dump_callback(json, append, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) < 0)
		out->failed = true;
}
