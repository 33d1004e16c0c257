/* SPDX-License-Identifier: Apache-2.0 */

/* HAProxy's reply to "show stat" into the table. All strings together are no longer than what they
 * come from. In pieces it reads the same. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/haproxy/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_pieces(const uint8_t *data, size_t size, struct stats_table *ret)
{
	struct stats_reader *reader = NULL;
	size_t piece = size > 0 ? 1 + data[size / 2] % 64 : 1;
	int r;

	if (stats_reader_new(&reader) < 0)
		abort();
	r = 0;
	for (size_t at = 0; r == 0 && at < size; at += piece)
		r = stats_reader_feed(reader, (const char *)data + at, size - at < piece ? size - at : piece, NULL);
	if (r == 0)
		r = stats_reader_finish(reader, ret, NULL);
	stats_reader_free(reader);
	return r;
}

static size_t check_row(const struct stats_row *row, const struct stats_row *again)
{
	if (row->kind > STATS_LISTENER || row->kind != again->kind || row->total_sessions != again->total_sessions ||
		strcmp(row->proxy, again->proxy) != 0 || strcmp(row->name, again->name) != 0 ||
		strcmp(row->status, again->status) != 0 || strcmp(row->last_check, again->last_check) != 0)
		abort();
	return strlen(row->proxy) + strlen(row->name) + strlen(row->status) + strlen(row->check_status) +
	       strlen(row->last_check);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_stats_ struct stats_table table = {0}, pieces = {0};
	_cleanup_error_ struct error err = ERROR_INIT;
	size_t total = 0;
	int r = stats_parse((const char *)data, size, &table, &err);

	if (read_pieces(data, size, &pieces) != r || (r < 0) != (err.message != NULL) || table.n_rows != pieces.n_rows)
		abort();
	for (size_t i = 0; i < table.n_rows; i++)
		total += check_row(&table.rows[i], &pieces.rows[i]);
	if (total > size)
		abort();
	return 0;
}
