/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json_write.h"

/* RFC 8259, section 7: what must not stand in a string as it is. */
static bool is_escaped(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

static void write_escaped(struct text *out, unsigned char c)
{
	static const char letters[] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};

	if (letters[c])
		text_append_bytes(out, (const char[]){'\\', letters[c]}, 2);
	else
		text_printf(out, "\\u%04X", c);
}

void json_write_string(struct text *out, const char *string)
{
	text_append_char(out, '"');
	for (const char *p = string;;) {
		const char *plain = p;

		while (!is_escaped((unsigned char)*p))
			p++;
		text_append_bytes(out, plain, (size_t)(p - plain));
		if (!*p)
			break;
		write_escaped(out, (unsigned char)*p++);
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
