/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"

const char *json_kind_name(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

/* Characters that stand for themselves, RFC 8259, section 7. */
static size_t plain_length(const char *string)
{
	size_t n = 0;

	while ((unsigned char)string[n] >= 0x20 && (unsigned char)string[n] < 0x80 && string[n] != '"' &&
		string[n] != '\\')
		n++;
	return n;
}

static void write_escaped(struct text *text, char c)
{
	static const char letters[] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
	unsigned char byte = (unsigned char)c;

	if (byte < sizeof(letters) && letters[byte])
		text_append_bytes(text, (const char[]){'\\', letters[byte]}, 2);
	else
		text_printf(text, "\\u%04X", byte);
}

void json_write_string(struct text *text, const char *string)
{
	const char *end = string + strlen(string);

	text_append_char(text, '"');
	for (const char *p = string; p < end;) {
		size_t n = plain_length(p), sequence;

		text_append_bytes(text, p, n);
		p += n;
		if (p == end)
			break;
		sequence = utf8_sequence(p, (size_t)(end - p));
		if (sequence == 0)
			text_append_char(text, '?');
		else if (sequence == 1)
			write_escaped(text, *p);
		else
			text_append_bytes(text, p, sequence);
		p += sequence ? sequence : 1;
	}
	text_append_char(text, '"');
}
