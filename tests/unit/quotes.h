/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON in C strings, written with ' where it has ". To be included after <cmocka.h>. */

#include <jansson.h>
#include <string.h>

#include "agent/base/cleanup.h"
#include "agent/definition/model.h"

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

/* What a definition is as a document, a new reference. */
static inline json_t *document_of(const struct load_balancer *lb, enum definition_use use)
{
	_cleanup_free_ char *text = NULL;
	json_t *document;

	assert_int_equal(definition_to_text(lb, use, &text, NULL), 0);
	document = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(document);
	return document;
}
