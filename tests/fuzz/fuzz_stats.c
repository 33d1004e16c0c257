/* SPDX-License-Identifier: Apache-2.0 */

/* HAProxy's reply to "show stat" into the table. All strings together are no longer than what they
 * come from. */

#include <stdint.h>
#include <string.h>

#include "agent/haproxy/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_stats_ struct stats_table table = {0};
	_cleanup_error_ struct error err = ERROR_INIT;
	char *csv;
	size_t total = 0;

	csv = malloc(size ? size : 1);
	if (!csv)
		return 0;
	if (size > 0)
		memcpy(csv, data, size);
	if (stats_parse(csv, size, &table, &err) < 0)
		return 0;
	for (size_t i = 0; i < table.n_rows; i++) {
		const struct stats_row *row = &table.rows[i];

		if (row->kind > STATS_LISTENER)
			abort();
		total += strlen(row->proxy) + strlen(row->name) + strlen(row->status) +
			 strlen(row->check_status) + strlen(row->last_check);
	}
	if (total > size)
		abort();
	return 0;
}
