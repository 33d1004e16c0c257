/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/stats.h"

#include <stdbool.h>
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

struct parser {
	char *p, *end;
	unsigned line; /* that is being read */
	unsigned next_line;
	size_t index_of[ELEMENTSOF(columns)]; /* column -> field */
	size_t n_needed;                      /* fields that a row must have */
	char *fields[FIELDS_MAX];             /* of the line read last */
	size_t allocated;
	struct stats_table table;
};

static int broken(const struct parser *parser, const char *what, struct error *err)
{
	return error_set(
		err, ERROR_INTERNAL, NULL, "\"show stat\", line %u: %s", parser->line, what);
}

/*
 * Ends a field in place and returns what followed it: ',' or '\n', or -EBADMSG where the text ends
 * or a quote is not closed. Management guide, 9.1: fields are quoted where they need it, a quote
 * within is doubled (RFC 4180).
 */
static int read_field(struct parser *parser, char **ret_field)
{
	char *p = parser->p, *out = p, *field = p;
	char separator;

	if (p == parser->end || *p != '"') {
		/* Nearly all of them, and nothing to copy. */
		while (p < parser->end && *p != ',' && *p != '\n')
			p++;
		out = p;
	} else {
		for (p++; p < parser->end; p++) {
			if (*p == '"') {
				if (p + 1 == parser->end || p[1] != '"') {
					p++;
					break;
				}
				p++;
			} else if (*p == '\n') {
				parser->next_line++;
			}
			*out++ = *p;
		}
	}
	if (p == parser->end || (*p != ',' && *p != '\n'))
		return -EBADMSG;
	separator = *p;
	*out = '\0';
	parser->p = p + 1;
	*ret_field = field;
	return separator;
}

static int read_line(struct parser *parser, size_t *ret_n_fields, struct error *err)
{
	size_t n = 0;
	int separator;

	parser->line = parser->next_line++;
	do {
		if (n == FIELDS_MAX)
			return broken(parser, "too many columns", err);
		separator = read_field(parser, &parser->fields[n]);
		if (separator < 0)
			return broken(parser, "the line is cut short", err);
		n++;
	} while (separator == ',');
	*ret_n_fields = n;
	return 0;
}

static int read_header(struct parser *parser, struct error *err)
{
	size_t length = (size_t)(parser->end - parser->p);
	size_t n_fields;
	int r;

	if (length < 2 || memcmp(parser->p, "# ", 2) != 0) {
		char words[80] = "";

		/* "Permission denied", or the words of whoever listens there instead. */
		for (size_t i = 0; i < length && i < sizeof(words) - 1 && parser->p[i] != '\n'; i++)
			words[i] = parser->p[i] >= ' ' && parser->p[i] < 0x7f ? parser->p[i] : '?';
		return error_set(
			err, ERROR_INTERNAL, NULL, "\"show stat\", line 1: no CSV: %s", words);
	}
	parser->p += 2;
	r = read_line(parser, &n_fields, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTSOF(columns); i++) {
		size_t field = 0;

		while (field < n_fields && !streq(parser->fields[field], columns[i].name))
			field++;
		if (field == n_fields && columns[i].type == COLUMN_OPTIONAL) {
			parser->index_of[i] = NO_FIELD;
			continue;
		}
		if (field == n_fields)
			return error_set(err, ERROR_INTERNAL, NULL,
				"\"show stat\", line 1: the column \"%s\" is missing",
				columns[i].name);
		parser->index_of[i] = field;
		if (parser->n_needed <= field)
			parser->n_needed = field + 1;
	}
	return 0;
}

/* Counters are unsigned in HAProxy: what does not fit is the largest number. */
static bool to_number(const char *field, int64_t *ret)
{
	int r;

	if (field[0] == '\0') {
		*ret = 0;
		return true;
	}
	r = text_to_int64(field, ret);
	if (r == -ERANGE)
		*ret = field[0] == '-' ? INT64_MIN : INT64_MAX;
	return r == 0 || r == -ERANGE;
}

static int read_row(
	struct parser *parser, struct stats_row *ret_row, bool *ret_known, struct error *err)
{
	struct stats_row row = {0};
	bool known = true;

	for (size_t i = 0; i < ELEMENTSOF(columns); i++) {
		char *field, *target = (char *)&row + columns[i].offset;
		int64_t number = 0;

		if (parser->index_of[i] == NO_FIELD)
			continue;
		field = parser->fields[parser->index_of[i]];
		if (columns[i].type == COLUMN_STRING) {
			memcpy(target, &field, sizeof(field));
			continue;
		}
		if (!to_number(field, &number))
			return error_set(err, ERROR_INTERNAL, NULL,
				"\"show stat\", line %u: \"%s\" is no number", parser->line,
				columns[i].name);
		if (columns[i].type != COLUMN_KIND) {
			memcpy(target, &number, sizeof(number));
			continue;
		}
		known = field[0] != '\0' && number >= STATS_FRONTEND && number <= STATS_LISTENER;
		if (known)
			row.kind = (enum stats_kind)number;
	}
	*ret_row = row;
	*ret_known = known;
	return 0;
}

static int read_rows(struct parser *parser, struct error *err)
{
	struct stats_table *table = &parser->table;

	/* An empty line ends the table. */
	while (parser->p < parser->end && *parser->p != '\n') {
		struct stats_row row;
		size_t n_fields;
		bool known = false;
		int r;

		r = read_line(parser, &n_fields, err);
		if (r < 0)
			return r;
		if (n_fields < parser->n_needed)
			return broken(parser, "the line is cut short", err);
		r = read_row(parser, &row, &known, err);
		if (r < 0)
			return r;
		if (!known)
			continue;
		if (table->n_rows == parser->allocated) {
			size_t wanted = parser->allocated ? parser->allocated * 2 : 16;
			struct stats_row *grown;

			grown = reallocarray(table->rows, wanted, sizeof(*grown));
			if (!grown)
				return error_set_errno(err, -ENOMEM, "\"show stat\"");
			table->rows = grown;
			parser->allocated = wanted;
		}
		table->rows[table->n_rows++] = row;
	}
	return 0;
}

int stats_parse(char *csv, size_t length, struct stats_table *ret, struct error *err)
{
	struct parser parser = {
		.p = csv,
		.end = csv + length,
		.line = 1,
		.next_line = 1,
		.table.storage = csv,
	};
	int r;

	if (memchr(csv, '\0', length))
		r = error_set(err, ERROR_INTERNAL, NULL, "\"show stat\": a NUL byte in the reply");
	else
		r = read_header(&parser, err);
	if (r == 0)
		r = read_rows(&parser, err);
	if (r < 0) {
		stats_done(&parser.table);
		return r;
	}
	*ret = parser.table;
	return 0;
}

void stats_done(struct stats_table *table)
{
	free(table->rows);
	free(table->storage);
	*table = (struct stats_table){0};
}
