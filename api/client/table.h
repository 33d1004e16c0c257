/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Aligned columns. Cells may hold foreign text; it is made safe when it is printed.
 */

#include <stdbool.h>
#include <stddef.h>

#include "api/client/terminal.h"

struct table_column {
	const char *title; /* all NULL: no heading */
	bool right;        /* numbers */
};

struct table;

/* "columns" must outlive the table. -ENOMEM. */
int table_new(const struct table_column *columns, size_t n_columns, struct table **ret);
void table_free(struct table *table);
DEFINE_CLEANUP(struct table *, table_free);
#define _cleanup_table_ _cleanup_(table_freep)

/* Adds an empty row; table_set() fills it. -ENOMEM. */
int table_add_row(struct table *table);

/* Copies "value" into a column of the last row. -ENOMEM. */
int table_set(struct table *table, size_t column, enum colour colour, const char *value);

void table_print(const struct table *table, const struct terminal *terminal, struct text *out);
