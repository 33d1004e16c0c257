/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config_internal.h"

#include <ini.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"

/*
 * What libinih reads is brought into the form of oslo.config, which it differs from in two ways: libinih cuts lines at a
 * length that is fixed when it is built (200 in Debian) and takes the rest for a new line, and it takes " ;" in a value
 * for a comment, so that a heartbeat key could be cut short in silence. So the rest of a long line is handed over as a
 * continuation line marked with JOIN, an indented line as one marked with CONTINUED, and ';' within a line as SEMICOLON;
 * set_value() undoes it. Control characters are refused before, so the marks cannot be in the file.
 */
#define OWN_SECTION "amphorad"

enum { JOIN = '\x01', SEMICOLON = '\x02', CONTINUED = '\x03' };

struct reading {
	struct config *config;
	const char *name;
	const char *text, *end; /* what is left of the file */
	const char *line_end;   /* of a long line that is under way, else NULL */
	size_t line;
	/* The option that is being read: libinih calls once per continuation line. */
	const struct option_row *row;
	struct text value;
	bool continued; /* over several lines */
	size_t row_line;
	struct error *err;
	int r;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Starts a line of the file; writes what has to stand before its content and returns its length. */
static size_t begin_line(struct reading *reading, char *buffer)
{
	const char *newline = memchr(reading->text, '\n', (size_t)(reading->end - reading->text));
	const char *content = reading->text;

	reading->line++;
	reading->line_end = newline ? newline : reading->end;
	for (const char *p = reading->text; p < reading->line_end; p++)
		if (((unsigned char)*p < 0x20 && !is_blank(*p)) || *p == 0x7f) {
			reading->r = error_set(reading->err, ERROR_INVALID, NULL, "%s:%zu: control character",
				reading->name, reading->line);
			return 0;
		}
	while (content < reading->line_end && is_blank(*content))
		content++;
	if (content == reading->line_end || *content == '#' || *content == ';') {
		reading->text = reading->line_end; /* empty, or a comment of any length */
		return 0;
	}
	if (content == reading->text)
		return 0;
	reading->text = content;
	buffer[0] = ' ';
	buffer[1] = CONTINUED;
	return 2;
}

static char *next_line(char *buffer, int size, void *userdata)
{
	struct reading *reading = userdata;
	size_t space = (size_t)size - 2, used;

	if (reading->r < 0 || (!reading->line_end && reading->text >= reading->end))
		return NULL;
	if (reading->line_end) {
		buffer[0] = ' ';
		buffer[1] = JOIN;
		used = 2;
	} else {
		used = begin_line(reading, buffer);
		if (reading->r < 0)
			return NULL;
	}
	while (reading->text < reading->line_end && used < space) {
		char c = *reading->text++;

		buffer[used++] = c == ';' ? SEMICOLON : c;
	}
	if (reading->text < reading->line_end) {
		/* Blanks at the cut would be trimmed: leave them to the next part. */
		while (used > 3 && is_blank(buffer[used - 1])) {
			used--;
			reading->text--;
		}
	} else {
		reading->line_end = NULL;
		if (reading->text < reading->end)
			reading->text++; /* the newline */
	}
	buffer[used++] = '\n';
	buffer[used] = '\0';
	return buffer;
}

/* oslo.config takes one pair of quotes off the first line of a value. */
static void take_quotes_off(struct text *value)
{
	const char *text = text_peek(value);

	if (value->length < 2 || (text[0] != '"' && text[0] != '\'') || text[value->length - 1] != text[0])
		return;
	memmove(value->data, value->data + 1, value->length - 2);
	text_truncate(value, value->length - 2);
}

static int finish_option(struct reading *reading)
{
	_cleanup_free_ char *where = NULL;
	const struct option_row *row = reading->row;

	if (!row)
		return 0;
	reading->row = NULL;
	if (asprintf(&where, "%s:%zu", reading->name, reading->row_line) < 0 || reading->value.failed)
		return error_set_errno(reading->err, -ENOMEM, "%s", reading->name);
	if (!reading->continued)
		take_quotes_off(&reading->value);
	return config_set_option(row, reading->config, text_peek(&reading->value), where, reading->err);
}

static const struct option_row *find_option(const char *section, const char *name)
{
	for (const struct option_row *row = config_options; row->name; row++)
		if (streq(row->section, section[0] ? section : "DEFAULT") && streq(row->name, name))
			return row;
	return NULL;
}

/* The option of our own section that is spelled nearly so, or NULL. */
static const char *guess_option(const char *name)
{
	size_t fewest = 3;
	const char *guess = NULL;

	for (const struct option_row *row = config_options; row->name; row++) {
		size_t errors = streq(row->section, OWN_SECTION) ? text_distance(name, row->name) : fewest;

		if (errors < fewest) {
			fewest = errors;
			guess = row->name;
		}
	}
	return guess;
}

static const char *section_of(const char *name)
{
	for (const struct option_row *row = config_options; row->name; row++)
		if (streq(row->name, name))
			return row->section;
	return NULL;
}

/* An option that is not in the table: a mistake in our own section. Sections of other Octavia services and options of other
 * agents are none, but one of ours in another section is not what somebody wanted. */
static int judge_unknown(const struct reading *reading, const char *section, const char *name)
{
	const char *home = section_of(name), *guess;

	if (streq(section, OWN_SECTION)) {
		if (home)
			return error_set(reading->err, ERROR_INVALID, NULL,
				"%s:%zu: unknown option %s in [" OWN_SECTION "]: it belongs in [%s]", reading->name,
				reading->line, name, home);
		guess = guess_option(name);
		return error_set(reading->err, ERROR_INVALID, NULL,
			"%s:%zu: unknown option %s in [" OWN_SECTION "]%s%s%s", reading->name, reading->line, name,
			guess ? ": did you mean " : "", guess ? guess : "", guess ? "?" : "");
	}
	if (home && streq(home, OWN_SECTION))
		log_warning("%s:%zu: option %s is not used %s%s%s: it belongs in [" OWN_SECTION "]", reading->name,
			reading->line, name, section[0] ? "in [" : "before the first section", section,
			section[0] ? "]" : "");
	else
		log_info("%s:%zu: option %s of [%s] is not used", reading->name, reading->line, name,
			section[0] ? section : "DEFAULT");
	return 0;
}

static int set_value(void *userdata, const char *section, const char *name, const char *value)
{
	struct reading *reading = userdata;
	const struct option_row *row;

	if (name[0] == JOIN)
		return 0; /* no '=' in the first part of a long line: no name could be that long */
	if (name[0] == CONTINUED) {
		reading->r = error_set(reading->err, ERROR_INVALID, NULL,
			"%s:%zu: a line that goes on with an option begins with a blank, but there is no option before it",
			reading->name, reading->line);
		return 0;
	}
	row = find_option(section, name);
	if (value[0] == JOIN || value[0] == CONTINUED) {
		if (row != reading->row)
			row = NULL; /* the rest of an option that is not used */
		if (row && value[0] == CONTINUED) {
			text_append_char(&reading->value, ' ');
			reading->continued = true;
		}
		value++;
	} else {
		reading->r = finish_option(reading);
		if (reading->r < 0)
			return 0;
		text_truncate(&reading->value, 0);
		reading->row = row;
		reading->continued = false;
		reading->row_line = reading->line;
		if (!row)
			reading->r = judge_unknown(reading, section, name);
		if (reading->r < 0)
			return 0;
	}
	if (!row)
		return 1;
	for (const char *p = value; *p; p++)
		text_append_char(&reading->value, *p == SEMICOLON ? ';' : *p);
	return 1;
}

int config_read_text(struct config *config, const char *name, const char *text, size_t length, struct error *err)
{
	struct reading reading = {
		.config = config, .name = name, .text = text, .end = text + length, .err = err};
	int problem, r;

	problem = ini_parse_stream(next_line, &reading, set_value, &reading);
	r = reading.r;
	if (r == 0 && problem != 0)
		r = problem < 0 ? error_set_errno(err, -ENOMEM, "%s", name)
				: error_set(err, ERROR_INVALID, NULL,
					  "%s: not an INI file: \"name = value\" expected near line %d", name,
					  problem);
	if (r == 0)
		r = finish_option(&reading);
	if (reading.value.data)
		explicit_bzero(reading.value.data, reading.value.allocated);
	text_done(&reading.value);
	return r;
}
