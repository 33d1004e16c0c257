/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of the configuration have in common: the option table (config.c), reading an INI file (config_ini.c), the
 * rules between options (config_check.c). */

#include "agent/config.h"

#define CONFIG_AUTO "auto"

/* The value of one option, as a file has it; "where" is its "file:line". ERROR_INVALID. */
int config_set_option(const struct option_row *row, struct config *config, const char *value, const char *where,
	struct error *err);
