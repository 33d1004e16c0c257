/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Values of single fields out of JSON: between document.c, which walks objects, and the rows of the field tables.
 */

#include "agent/definition/fields.h"

/* "must be …, not …". */
int value_wrong_type(const struct location *where, const json_t *json, const char *wanted, struct error *err);

/* Any type but FIELD_OBJECT and FIELD_LIST. "target" is where the row says, and is untouched on failure. */
int value_parse(const struct field *field, const json_t *json, const struct location *where, void *target,
	struct error *err);
