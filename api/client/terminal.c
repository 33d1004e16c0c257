/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/terminal.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define RESET "\033[0m"

const char *const colour_when_names[] = {
	[COLOUR_AUTO] = "auto",
	[COLOUR_ALWAYS] = "always",
	[COLOUR_NEVER] = "never",
	[_COLOUR_WHEN_MAX] = NULL,
};

/* ECMA-48, 8.3.117 "select graphic rendition". */
static const char *const colour_codes[_COLOUR_MAX] = {
	[COLOUR_PLAIN] = NULL,
	[COLOUR_BOLD] = "\033[1m",
	[COLOUR_DIM] = "\033[2m",
	[COLOUR_RED] = "\033[31m",
	[COLOUR_GREEN] = "\033[32m",
	[COLOUR_YELLOW] = "\033[33m",
	[COLOUR_CYAN] = "\033[36m",
};

static bool environment_allows_colour(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return !(no_color && *no_color) && term && *term && !streq(term, "dumb");
}

void terminal_open(struct terminal *ret, int fd, enum colour_when when)
{
	ret->interactive = isatty(fd);
	ret->utf8 = streq(nl_langinfo(CODESET), "UTF-8");
	ret->colour = when == COLOUR_ALWAYS ||
		      (when == COLOUR_AUTO && ret->interactive && environment_allows_colour());
}

enum { NOT_UTF8 = 0x110000 }; /* one more than the last code point */

/* Reads one character as RFC 3629 defines it (no overlong form, no surrogate) and returns its
 * length; 1 and NOT_UTF8 for a byte that starts none. The string ends in a NUL, which is no
 * continuation byte. */
static size_t decode(const char *string, uint32_t *ret_code_point)
{
	static const struct {
		unsigned char mask, lead;
		size_t length;
		uint32_t minimum;
	} forms[] = {
		{0x80, 0x00, 1, 0},
		{0xe0, 0xc0, 2, 0x80},
		{0xf0, 0xe0, 3, 0x800},
		{0xf8, 0xf0, 4, 0x10000},
	};
	const unsigned char *bytes = (const unsigned char *)string;

	*ret_code_point = NOT_UTF8;
	for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
		uint32_t code_point;

		if ((bytes[0] & forms[i].mask) != forms[i].lead)
			continue;
		code_point = bytes[0] & (unsigned char)~forms[i].mask;
		for (size_t j = 1; j < forms[i].length; j++) {
			if ((bytes[j] & 0xc0) != 0x80)
				return 1;
			code_point = code_point << 6 | (bytes[j] & 0x3f);
		}
		if (code_point < forms[i].minimum || code_point >= NOT_UTF8 ||
			(code_point >= 0xd800 && code_point <= 0xdfff))
			return 1;
		*ret_code_point = code_point;
		return forms[i].length;
	}
	return 1;
}

/* What a terminal obeys instead of showing, or what shows text in another order than it is (Unicode
 * TR 36). */
static bool is_unsafe(uint32_t code_point)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x00, 0x1f},
		{0x7f, 0x9f},
		{0x61c, 0x61c},
		{0x200e, 0x200f},
		{0x2028, 0x202e},
		{0x2066, 0x2069},
		{NOT_UTF8, UINT32_MAX},
	};

	for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
		if (code_point >= ranges[i].first && code_point <= ranges[i].last)
			return true;
	return false;
}

/* Whether the character is written as it is; otherwise as one '?'. */
static bool is_shown(const struct terminal *terminal, uint32_t code_point)
{
	return !is_unsafe(code_point) && (code_point < 0x80 || terminal->utf8);
}

/* Appends up to the NUL, or to the newline if it stops there, and returns where it stopped. */
static const char *append_safe(
	const struct terminal *terminal, struct text *out, const char *string, bool one_of_lines)
{
	while (*string && !(one_of_lines && *string == '\n')) {
		uint32_t code_point;
		size_t length = decode(string, &code_point);

		if (is_shown(terminal, code_point) || (one_of_lines && code_point == '\t'))
			text_append_bytes(out, string, length);
		else
			text_append_char(out, '?');
		string += length;
	}
	return string;
}

static const char *colour_code(const struct terminal *terminal, enum colour colour)
{
	return terminal->colour ? colour_codes[colour] : NULL;
}

void terminal_append(
	const struct terminal *terminal, struct text *out, enum colour colour, const char *string)
{
	const char *code = *string ? colour_code(terminal, colour) : NULL;

	if (code)
		text_append(out, code);
	append_safe(terminal, out, string, false);
	if (code)
		text_append(out, RESET);
}

void terminal_append_lines(const struct terminal *terminal, struct text *out, enum colour colour,
	const char *indent, const char *string)
{
	const char *code = colour_code(terminal, colour);
	size_t blank_lines = 0;

	while (*string) {
		if (*string == '\n') {
			blank_lines++;
			string++;
			continue;
		}
		for (; blank_lines > 0; blank_lines--)
			text_append_char(out, '\n');
		text_append(out, indent);
		if (code)
			text_append(out, code);
		string = append_safe(terminal, out, string, true);
		if (code)
			text_append(out, RESET);
		text_append_char(out, '\n');
		if (*string == '\n')
			string++;
	}
}

void terminal_append_json(struct text *out, const char *json)
{
	while (*json) {
		uint32_t code_point;
		size_t length = decode(json, &code_point);

		/* Below 0x20 the serialiser has escaped what is in strings; what is left are its
		 * line breaks. */
		if (code_point >= 0x20 && is_unsafe(code_point))
			text_printf(out, "\\u%04x", code_point == NOT_UTF8 ? 0xfffd : code_point);
		else
			text_append_bytes(out, json, length);
		json += length;
	}
}

size_t terminal_width(const struct terminal *terminal, const char *string)
{
	size_t width = 0;

	while (*string) {
		uint32_t code_point;
		size_t length = decode(string, &code_point);
		int columns = 1;

		if (code_point >= 0x80 && is_shown(terminal, code_point))
			columns = wcwidth((wchar_t)code_point);
		width += columns < 0 ? 1 : (size_t)columns;
		string += length;
	}
	return width;
}

void terminal_pad(struct text *out, size_t columns)
{
	for (; columns > 0; columns--)
		text_append_char(out, ' ');
}

enum colour terminal_status_colour(const char *status)
{
	static const struct {
		const char *status;
		enum colour colour;
	} colours[] = {
		{"ONLINE", COLOUR_GREEN},
		{"ACTIVE", COLOUR_GREEN},
		{"DEGRADED", COLOUR_YELLOW},
		{"DRAINING", COLOUR_YELLOW},
		{"ERROR", COLOUR_RED},
		{"OFFLINE", COLOUR_DIM},
		{"NO_MONITOR", COLOUR_CYAN},
	};

	for (size_t i = 0; i < ELEMENTSOF(colours); i++)
		if (streq(status, colours[i].status))
			return colours[i].colour;
	return text_after_prefix(status, "PENDING_") ? COLOUR_YELLOW : COLOUR_PLAIN;
}

static void human(uint64_t number, double step, const char *const *units, char ret[HUMAN_SIZE])
{
	double value = (double)number;
	size_t unit = 0;

	/* What %.1f would round up to the next unit belongs to the next unit. */
	while (units[unit + 1] && value >= step - 0.05) {
		value /= step;
		unit++;
	}
	snprintf(ret, HUMAN_SIZE, unit == 0 ? "%.0f%s" : "%.1f%s", value, units[unit]);
}

void human_count(uint64_t number, char ret[HUMAN_SIZE])
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P", "E", NULL};

	human(number, 1000, units, ret);
}

void human_bytes(uint64_t bytes, char ret[HUMAN_SIZE])
{
	static const char *const units[] = {
		" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB", NULL};

	human(bytes, 1024, units, ret);
}
