/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMN_GAP = 2 };

struct cell {
	char *value; /* NULL: empty */
	enum colour colour;
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	struct cell *cells; /* n_rows times n_columns */
	size_t n_rows;
	size_t allocated_rows;
};

int table_new(const struct table_column *columns, size_t n_columns, struct table **ret)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->columns = columns;
	table->n_columns = n_columns;
	*ret = table;
	return 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
		free(table->cells[i].value);
	free(table->cells);
	free(table);
}

int table_add_row(struct table *table)
{
	if (table->n_rows == table->allocated_rows) {
		size_t rows = table->allocated_rows ? 2 * table->allocated_rows : 16;
		struct cell *cells =
			reallocarray(table->cells, rows, table->n_columns * sizeof(*cells));

		if (!cells)
			return -ENOMEM;
		table->cells = cells;
		table->allocated_rows = rows;
	}
	memset(table->cells + table->n_rows * table->n_columns, 0,
		table->n_columns * sizeof(*table->cells));
	table->n_rows++;
	return 0;
}

int table_set(struct table *table, size_t column, enum colour colour, const char *value)
{
	struct cell *cell;
	char *copy;

	assert(table->n_rows > 0 && column < table->n_columns);
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	cell = &table->cells[(table->n_rows - 1) * table->n_columns + column];
	free(cell->value);
	cell->value = copy;
	cell->colour = colour;
	return 0;
}

static const struct cell *cell_at(const struct table *table, size_t row, size_t column)
{
	return &table->cells[row * table->n_columns + column];
}

static size_t column_width(
	const struct table *table, const struct terminal *terminal, size_t column)
{
	const char *title = table->columns[column].title;
	size_t width = title ? terminal_width(terminal, title) : 0;

	for (size_t row = 0; row < table->n_rows; row++) {
		const char *value = cell_at(table, row, column)->value;
		size_t w = value ? terminal_width(terminal, value) : 0;

		if (w > width)
			width = w;
	}
	return width;
}

struct line {
	const struct terminal *terminal;
	struct text *out;
	size_t blanks; /* owed before the next visible cell, so that no line ends in blanks */
};

static void print_cell(
	struct line *line, const struct table_column *column, size_t width, const struct cell *cell)
{
	size_t used = cell->value ? terminal_width(line->terminal, cell->value) : 0;
	size_t free_columns = width - used;

	if (used > 0) {
		terminal_pad(line->out, line->blanks + (column->right ? free_columns : 0));
		terminal_append(line->terminal, line->out, cell->colour, cell->value);
		line->blanks = column->right ? 0 : free_columns;
	} else {
		line->blanks += width;
	}
	line->blanks += COLUMN_GAP;
}

void table_print(const struct table *table, const struct terminal *terminal, struct text *out)
{
	_cleanup_free_ size_t *widths = calloc(table->n_columns, sizeof(*widths));
	bool titled = false;

	if (!widths) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < table->n_columns; i++) {
		widths[i] = column_width(table, terminal, i);
		titled = titled || table->columns[i].title;
	}
	if (titled) {
		struct line line = {terminal, out, 0};

		for (size_t i = 0; i < table->n_columns; i++) {
			struct cell cell = {(char *)table->columns[i].title, COLOUR_BOLD};

			print_cell(&line, &table->columns[i], widths[i], &cell);
		}
		text_append_char(out, '\n');
	}
	for (size_t row = 0; row < table->n_rows; row++) {
		struct line line = {terminal, out, 0};

		for (size_t i = 0; i < table->n_columns; i++)
			print_cell(&line, &table->columns[i], widths[i], cell_at(table, row, i));
		text_append_char(out, '\n');
	}
}
