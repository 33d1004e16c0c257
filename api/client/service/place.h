/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reading foreign JSON so that every complaint says where: the file and a JSON Pointer (RFC 6901)
 * into it. A place is a chain of links on the stack, from the inside out; its last link is the
 * file.
 *
 * The getters take what is absent or null for not given and leave *ret as it is. Strings are
 * borrowed from the document. A string with a control character, and any value of another type, is
 * ERROR_INVALID.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "agent/base/error.h"

struct place {
	const struct place *parent; /* NULL: "name" is the file */
	const char *name;           /* NULL: an index */
	size_t index;
};

/* Reports "FILE: POINTER: words". */
int place_error(const struct place *where, enum error_code code, struct error *err,
	const char *format, ...) _printf_(4, 5);

int place_get_object(const json_t *json, const char *name, const struct place *where,
	const json_t **ret, struct error *err);
/* Of at most "limit" items: ERROR_TOO_LARGE. */
int place_get_array(const json_t *json, const char *name, size_t limit, const struct place *where,
	const json_t **ret, struct error *err);
int place_get_string(const json_t *json, const char *name, const struct place *where,
	const char **ret, struct error *err);
int place_get_integer(const json_t *json, const char *name, int64_t minimum, int64_t maximum,
	const struct place *where, int64_t *ret, struct error *err);
int place_get_bool(const json_t *json, const char *name, const struct place *where, bool *ret,
	struct error *err);

/* An item of an array, which "where" is the place of. */
int place_item_object(const json_t *item, const struct place *where, struct error *err);
int place_item_string(
	const json_t *item, const struct place *where, const char **ret, struct error *err);
