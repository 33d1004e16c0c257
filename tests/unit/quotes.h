/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON in C strings, written with ' where it has ". To be included after <cmocka.h>. */

#include <jansson.h>
#include <string.h>

#include "agent/base/cleanup.h"

/* The caller frees it. */
static inline char *with_quotes(const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

static inline json_t *json_of(const char *text)
{
	_cleanup_free_ char *json = with_quotes(text);
	json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	assert_non_null(value);
	return value;
}
