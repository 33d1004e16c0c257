/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a configuration file. A value that is taken has no control character but those that
 * INI cannot see. */

#include <stdint.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_values(const struct config *config)
{
	for (const struct option_row *row = config_options; row->name; row++) {
		const void *value = (const char *)config + row->offset;

		if (row->type == OPTION_INTEGER && (*(const int64_t *)value < row->minimum ||
							   *(const int64_t *)value > row->maximum))
			abort();
		/* A carriage return within a line is a blank; newlines and the marks of the reader
		 * never stay. */
		if (row->type == OPTION_STRING && strpbrk(*(char *const *)value, "\n\x01\x02\x03"))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_config_ struct config *config = NULL;
	_cleanup_error_ struct error err = ERROR_INIT, rule = ERROR_INIT;
	_cleanup_free_ char *copy = malloc(size ? size : 1);

	log_set_level(LOG_WARNING);
	if (!copy || config_new(&config, NULL) < 0)
		return 0;
	/* Of exactly that size, so that reading beyond it is seen. */
	if (size > 0)
		memcpy(copy, data, size);
	if (config_read_text(config, "file", copy, size, &err) < 0) {
		if (!err.message)
			abort();
		return 0;
	}
	check_values(config);
	if (config_check(config, &rule) < 0 && !rule.message)
		abort();
	return 0;
}
