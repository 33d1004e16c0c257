/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/stats.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"

enum {
	FIELDS_MAX = 1024, /* 2.6 has about 120 columns */
	NO_FIELD = FIELDS_MAX,
};

enum column_type {
	COLUMN_STRING,
	COLUMN_NUMBER,
	COLUMN_OPTIONAL, /* a number, 0 where there is no such column */
	COLUMN_KIND,
};

static const struct column {
	const char *name;
	enum column_type type;
	size_t offset;
} columns[] = {
	{"pxname", COLUMN_STRING, offsetof(struct stats_row, proxy)},
	{"svname", COLUMN_STRING, offsetof(struct stats_row, name)},
	{"scur", COLUMN_NUMBER, offsetof(struct stats_row, current_sessions)},
	{"stot", COLUMN_NUMBER, offsetof(struct stats_row, total_sessions)},
	{"bin", COLUMN_NUMBER, offsetof(struct stats_row, bytes_in)},
	{"bout", COLUMN_NUMBER, offsetof(struct stats_row, bytes_out)},
	{"ereq", COLUMN_NUMBER, offsetof(struct stats_row, request_errors)},
	{"req_tot", COLUMN_OPTIONAL, offsetof(struct stats_row, requests)},
	{"status", COLUMN_STRING, offsetof(struct stats_row, status)},
	{"weight", COLUMN_NUMBER, offsetof(struct stats_row, weight)},
	{"type", COLUMN_KIND, offsetof(struct stats_row, kind)},
	{"check_status", COLUMN_STRING, offsetof(struct stats_row, check_status)},
	{"last_chk", COLUMN_STRING, offsetof(struct stats_row, last_check)},
};

/* Where in a line the reader is. Management guide, 9.1: fields are quoted where they need it, a quote within is doubled
 * (RFC 4180). */
enum position {
	FIELD_START,
	PLAIN,
	QUOTED,
	QUOTE_IN_QUOTED, /* ends the field, or is the first of two */
};

struct field {
	const char *start;
	size_t length;
};

struct stats_reader {
	struct text pending; /* a line whose end has not come yet */
	enum position position;
	bool has_quotes; /* in the line that is being read */
	bool has_header, ended;
	unsigned line; /* that is being read */
	unsigned next_line;
	size_t index_of[ELEMENTSOF(columns)]; /* column -> field */
	size_t n_needed;                      /* fields that a row must have */
	struct field *fields;                 /* so many */
	size_t allocated;
	struct stats_table table;
};

static int broken(const struct stats_reader *reader, const char *what, struct error *err)
{
	return error_set(
		err, ERROR_INTERNAL, NULL, "\"show stat\", line %u: %s", reader->line, what);
}

static enum position next_position(enum position position, char c)
{
	if (position == QUOTED)
		return c == '"' ? QUOTE_IN_QUOTED : QUOTED;
	if (c == '"' && position != PLAIN)
		return QUOTED;
	return c == ',' || c == '\n' ? FIELD_START : PLAIN;
}

/* Whether the line ends in what has come; "*ret_length" of it belong to the line. */
static bool find_end(struct stats_reader *reader, const char *bytes, size_t length, size_t *ret_length)
{
	if (!reader->has_quotes) {
		const char *newline = memchr(bytes, '\n', length);
		size_t n = newline ? (size_t)(newline - bytes) + 1 : length;

		if (!memchr(bytes, '"', n)) {
			reader->position = next_position(PLAIN, bytes[n - 1]);
			*ret_length = n;
			return newline != NULL;
		}
		reader->has_quotes = true;
	}
	for (size_t i = 0; i < length; i++) {
		bool within = reader->position == QUOTED;

		reader->position = next_position(reader->position, bytes[i]);
		if (bytes[i] == '\n' && !within) {
			*ret_length = i + 1;
			return true;
		}
	}
	*ret_length = length;
	return false;
}

/*
 * The fields of a line without quotes, which nearly all of them are; what is behind the last one wanted is not looked at.
 * Without branches on what is read, as lengths of fields cannot be predicted: each byte is the end of the field until the
 * next one.
 */
static size_t split_plain(const char *line, size_t length, struct field *fields, size_t max)
{
	const char *start = line, *end = line + length;
	size_t n = 0;

	for (const char *p = line; p < end && n < max; p++) {
		bool separates = (*p == ',') | (*p == '\n');

		fields[n] = (struct field){start, (size_t)(p - start)};
		start = separates ? p + 1 : start;
		n += separates;
	}
	return n;
}

/* Takes the quotes away, in place. -EBADMSG where something follows the second one. */
static int unquote(char **p, const char *end, struct field *ret)
{
	char *in = *p + 1, *out = *p;

	for (; in < end; in++) {
		if (*in == '"' && *++in != '"')
			break;
		*out++ = *in;
	}
	if (in == end || (*in != ',' && *in != '\n'))
		return -EBADMSG;
	*ret = (struct field){*p, (size_t)(out - *p)};
	*p = in;
	return 0;
}

/* The line ends in a newline; its fields are left in it. */
static int split_quoted(char *line, size_t length, struct field *fields, size_t max, size_t *ret_n)
{
	const char *end = line + length;
	size_t n = 0;

	for (char *p = line; p < end; p++) {
		struct field field = {p, 0};

		if (*p == '"') {
			int r = unquote(&p, end, &field);

			if (r < 0)
				return r;
		} else {
			while (*p != ',' && *p != '\n')
				p++;
			field.length = (size_t)(p - field.start);
		}
		if (n < max)
			fields[n] = field;
		n++;
	}
	*ret_n = n < max ? n : max;
	return 0;
}

/* "storage" has the fields of a line with quotes. */
static int split(const struct stats_reader *reader, const char *line, size_t length, struct text *storage,
	struct field *fields, size_t max, size_t *ret_n, struct error *err)
{
	if (!reader->has_quotes) {
		*ret_n = split_plain(line, length, fields, max);
		return 0;
	}
	text_append_bytes(storage, line, length);
	if (storage->failed)
		return error_set_errno(err, -ENOMEM, "\"show stat\"");
	if (split_quoted(storage->data, length, fields, max, ret_n) < 0)
		return broken(reader, "the line is cut short", err);
	return 0;
}

static bool field_is(const struct field *field, const char *string)
{
	return strncmp(string, field->start, field->length) == 0 && string[field->length] == '\0';
}

static int check_begin(const char *line, size_t length, struct error *err)
{
	char words[80] = "";

	if (length >= 2 && memcmp(line, "# ", 2) == 0)
		return 0;
	/* "Permission denied", or the words of whoever listens there instead. */
	for (size_t i = 0; i < length && i < sizeof(words) - 1 && line[i] != '\n'; i++)
		words[i] = line[i] >= ' ' && line[i] < 0x7f ? line[i] : '?';
	return error_set(err, ERROR_INTERNAL, NULL, "\"show stat\", line 1: no CSV: %s", words);
}

static int find_columns(struct stats_reader *reader, const struct field *fields, size_t n_fields, struct error *err)
{
	for (size_t i = 0; i < ELEMENTSOF(columns); i++) {
		size_t field = 0;

		while (field < n_fields && !field_is(&fields[field], columns[i].name))
			field++;
		if (field == n_fields && columns[i].type == COLUMN_OPTIONAL) {
			reader->index_of[i] = NO_FIELD;
			continue;
		}
		if (field == n_fields)
			return error_set(err, ERROR_INTERNAL, NULL,
				"\"show stat\", line 1: the column \"%s\" is missing",
				columns[i].name);
		reader->index_of[i] = field;
		if (reader->n_needed <= field)
			reader->n_needed = field + 1;
	}
	reader->fields = calloc(reader->n_needed, sizeof(*reader->fields));
	return reader->fields ? 0 : error_set_errno(err, -ENOMEM, "\"show stat\"");
}

static int read_header(struct stats_reader *reader, const char *line, size_t length, struct error *err)
{
	struct field fields[FIELDS_MAX + 1];
	_cleanup_text_ struct text storage = TEXT_INIT;
	size_t n_fields = 0;
	int r;

	r = check_begin(line, length, err);
	if (r == 0)
		r = split(reader, line + 2, length - 2, &storage, fields, ELEMENTSOF(fields), &n_fields, err);
	if (r < 0)
		return r;
	if (n_fields > FIELDS_MAX)
		return broken(reader, "too many columns", err);
	reader->has_header = true;
	return find_columns(reader, fields, n_fields, err);
}

/* Counters are unsigned in HAProxy: what does not fit is the largest number. No number is 0. */
static bool to_number(const struct field *field, int64_t *ret)
{
	bool negative = field->length > 0 && field->start[0] == '-', fits = true;
	size_t first = negative || (field->length > 0 && field->start[0] == '+');
	int64_t value = 0;

	if (first > 0 && first == field->length)
		return false;
	for (size_t i = first; i < field->length; i++) {
		int digit = field->start[i] - '0';

		if (digit < 0 || digit > 9)
			return false;
		fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
		       !__builtin_add_overflow(value, negative ? -digit : digit, &value);
	}
	*ret = fits ? value : negative ? INT64_MIN : INT64_MAX;
	return true;
}

/* Numbers and the kind; strings are kept only of rows that are. */
static int read_numbers(const struct stats_reader *reader, struct stats_row *row, bool *ret_known, struct error *err)
{
	bool known = true;

	for (size_t i = 0; i < ELEMENTSOF(columns); i++) {
		const struct field *field;
		int64_t number = 0;

		if (columns[i].type == COLUMN_STRING || reader->index_of[i] == NO_FIELD)
			continue;
		field = &reader->fields[reader->index_of[i]];
		if (!to_number(field, &number))
			return error_set(err, ERROR_INTERNAL, NULL,
				"\"show stat\", line %u: \"%s\" is no number", reader->line,
				columns[i].name);
		if (columns[i].type != COLUMN_KIND) {
			memcpy((char *)row + columns[i].offset, &number, sizeof(number));
			continue;
		}
		known = field->length > 0 && number >= STATS_FRONTEND && number <= STATS_LISTENER;
		if (known)
			row->kind = (enum stats_kind)number;
	}
	*ret_known = known;
	return 0;
}

/* Servers of one pool have most of their strings in common. */
static int keep_strings(struct stats_reader *reader, struct stats_row *row)
{
	struct stats_table *table = &reader->table;
	const struct stats_row *former = table->n_rows > 0 ? &table->rows[table->n_rows - 1] : NULL;

	for (size_t i = 0; i < ELEMENTSOF(columns); i++) {
		const struct field *field;
		const char *string = NULL;

		if (columns[i].type != COLUMN_STRING)
			continue;
		field = &reader->fields[reader->index_of[i]];
		if (former)
			memcpy(&string, (const char *)former + columns[i].offset, sizeof(string));
		if (!string || !field_is(field, string))
			string = arena_copy(&table->strings, field->start, field->length);
		if (!string)
			return -ENOMEM;
		memcpy((char *)row + columns[i].offset, &string, sizeof(string));
	}
	return 0;
}

static int add_row(struct stats_reader *reader, const struct stats_row *row)
{
	struct stats_table *table = &reader->table;

	if (table->n_rows == reader->allocated) {
		size_t wanted = reader->allocated ? reader->allocated * 2 : 16;
		struct stats_row *grown = reallocarray(table->rows, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		table->rows = grown;
		reader->allocated = wanted;
	}
	table->rows[table->n_rows++] = *row;
	return 0;
}

static int read_row(struct stats_reader *reader, const char *line, size_t length, struct error *err)
{
	_cleanup_text_ struct text storage = TEXT_INIT;
	struct stats_row row = {0};
	size_t n_fields = 0;
	bool known = false;
	int r;

	r = split(reader, line, length, &storage, reader->fields, reader->n_needed, &n_fields, err);
	if (r < 0)
		return r;
	if (n_fields < reader->n_needed)
		return broken(reader, "the line is cut short", err);
	r = read_numbers(reader, &row, &known, err);
	if (r < 0 || !known)
		return r;
	r = keep_strings(reader, &row);
	if (r == 0)
		r = add_row(reader, &row);
	return r < 0 ? error_set_errno(err, r, "\"show stat\"") : 0;
}

static int take_line(struct stats_reader *reader, const char *line, size_t length, struct error *err)
{
	int r = 0;

	reader->line = reader->next_line++;
	if (!reader->has_header)
		r = read_header(reader, line, length, err);
	else if (length == 1)
		reader->ended = true; /* an empty line ends the table */
	else
		r = read_row(reader, line, length, err);
	if (reader->has_quotes)
		for (size_t i = 0; i + 1 < length; i++)
			reader->next_line += line[i] == '\n';
	reader->has_quotes = false;
	return r;
}

int stats_reader_new(struct stats_reader **ret)
{
	struct stats_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->next_line = 1;
	*ret = reader;
	return 0;
}

void stats_reader_free(struct stats_reader *reader)
{
	if (!reader)
		return;
	text_done(&reader->pending);
	free(reader->fields);
	stats_done(&reader->table);
	free(reader);
}

int stats_reader_feed(struct stats_reader *reader, const char *bytes, size_t length, struct error *err)
{
	if (length > 0 && memchr(bytes, '\0', length))
		return error_set(err, ERROR_INTERNAL, NULL, "\"show stat\": a NUL byte in the reply");
	while (length > 0 && !reader->ended) {
		size_t n = 0;
		bool whole = find_end(reader, bytes, length, &n);
		int r = 0;

		if (whole && reader->pending.length == 0) {
			r = take_line(reader, bytes, n, err);
		} else {
			text_append_bytes(&reader->pending, bytes, n);
			if (reader->pending.failed)
				return error_set_errno(err, -ENOMEM, "\"show stat\"");
			if (whole) {
				r = take_line(reader, reader->pending.data, reader->pending.length, err);
				text_truncate(&reader->pending, 0);
			}
		}
		if (r < 0)
			return r;
		bytes += n;
		length -= n;
	}
	return 0;
}

int stats_reader_finish(struct stats_reader *reader, struct stats_table *ret, struct error *err)
{
	int r;

	reader->line = reader->next_line;
	if (!reader->has_header) {
		r = check_begin(text_peek(&reader->pending), reader->pending.length, err);
		return r < 0 ? r : broken(reader, "the line is cut short", err);
	}
	if (reader->pending.length > 0)
		return broken(reader, "the line is cut short", err);
	*ret = reader->table;
	reader->table = (struct stats_table){0};
	return 0;
}

int stats_parse(const char *csv, size_t length, struct stats_table *ret, struct error *err)
{
	_cleanup_(stats_reader_freep) struct stats_reader *reader = NULL;
	int r = stats_reader_new(&reader);

	if (r < 0)
		return error_set_errno(err, r, "\"show stat\"");
	r = stats_reader_feed(reader, csv, length, err);
	return r < 0 ? r : stats_reader_finish(reader, ret, err);
}

void stats_done(struct stats_table *table)
{
	free(table->rows);
	arena_done(&table->strings);
	*table = (struct stats_table){0};
}
