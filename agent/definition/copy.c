/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include <string.h>

#include "agent/base/text.h"

/* Walks the field tables with objects on both sides: copies and comparisons. */

static int copy_strings(char *const *from, char ***to)
{
	size_t n = strv_length(from);

	if (!from)
		return 0;
	*to = calloc(n + 1, sizeof(**to));
	if (!*to)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		(*to)[i] = strdup(from[i]);
		if (!(*to)[i])
			return -ENOMEM;
	}
	return 0;
}

static int copy_children(const struct object_type *type, const void *from, size_t n, void **to, size_t *n_to)
{
	if (n == 0 || !from)
		return 0;
	*to = calloc(n, type->size);
	if (!*to)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r;

		if (n_to)
			*n_to = i + 1;
		r = object_copy(type, field_const_at(from, i * type->size), field_at(*to, i * type->size));
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_field(const struct field *field, const void *from, void *to)
{
	const void *source = field_const_at(from, field->offset);
	void *target = field_at(to, field->offset);

	switch (field->type) {
	case FIELD_OWN_ID:
		memcpy(target, source, UUID_SIZE);
		return 0;
	case FIELD_TIME:
		memcpy(target, source, DEFINITION_TIME_SIZE);
		return 0;
	case FIELD_BOOL:
		*(bool *)target = *(const bool *)source;
		return 0;
	case FIELD_INTEGER:
		*(int64_t *)target = *(const int64_t *)source;
		return 0;
	case FIELD_ENUM:
		*(int *)target = *(const int *)source;
		return 0;
	case FIELD_STRING:
	case FIELD_REFERENCE:
	case FIELD_ADDRESS:
	case FIELD_VERSION:
		if (!*(char *const *)source)
			return 0;
		*(char **)target = strdup(*(char *const *)source);
		return *(char **)target ? 0 : -ENOMEM;
	case FIELD_CIDRS:
	case FIELD_STRINGS:
		return copy_strings(*(char **const *)source, target);
	case FIELD_SWITCHES:
	case FIELD_TAGS: /* never changed, only replaced */
		*(json_t **)target = json_incref(*(json_t *const *)source);
		return 0;
	case FIELD_OBJECT:
		return copy_children(field->object, *(void *const *)source, 1, target, NULL);
	case FIELD_LIST:
		return copy_children(field->object, *(void *const *)source,
			*(const size_t *)field_const_at(from, field->count_offset), target,
			field_at(to, field->count_offset));
	}
	return -EINVAL;
}

int object_copy(const struct object_type *type, const void *from, void *to)
{
	for (const struct field *field = type->fields; field->name; field++) {
		int r = copy_field(field, from, to);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool strings_equal(char *const *a, char *const *b)
{
	if (!a || !b)
		return a == b;
	while (*a && *b)
		if (!streq(*a++, *b++))
			return false;
	return *a == *b;
}

/* What is empty is shown like what is not there (object_to_resource()). */
static bool text_equal(const char *a, const char *b)
{
	return streq(a ? a : "", b ? b : "");
}

static bool is_empty(const json_t *json)
{
	return json_array_size(json) == 0 && json_object_size(json) == 0;
}

/* "ignored": flags of fields that may differ. */
static bool fields_equal(const struct object_type *type, const void *a, const void *b, bool whole, unsigned ignored);

static bool children_equal(const struct object_type *type, const void *a, const void *b, size_t n, bool whole, unsigned ignored)
{
	for (size_t i = 0; i < n; i++)
		if (!fields_equal(type, field_const_at(a, i * type->size), field_const_at(b, i * type->size), whole, ignored))
			return false;
	return true;
}

static bool field_equal(const struct field *field, const void *a, const void *b, bool whole, unsigned ignored)
{
	const void *x = field_const_at(a, field->offset), *y = field_const_at(b, field->offset);

	switch (field->type) {
	case FIELD_OWN_ID:
	case FIELD_TIME:
		return streq(x, y);
	case FIELD_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case FIELD_INTEGER:
		return *(const int64_t *)x == *(const int64_t *)y;
	case FIELD_ENUM:
		return *(const int *)x == *(const int *)y;
	case FIELD_STRING:
		return text_equal(*(char *const *)x, *(char *const *)y);
	case FIELD_REFERENCE:
	case FIELD_ADDRESS:
	case FIELD_VERSION:
		return streq_null(*(char *const *)x, *(char *const *)y);
	case FIELD_CIDRS:
	case FIELD_STRINGS:
		return strings_equal(*(char **const *)x, *(char **const *)y);
	case FIELD_SWITCHES:
	case FIELD_TAGS:
		return (is_empty(*(json_t *const *)x) && is_empty(*(json_t *const *)y)) ||
			json_equal(*(json_t *const *)x, *(json_t *const *)y);
	case FIELD_OBJECT:
		if (!*(void *const *)x || !*(void *const *)y)
			return *(void *const *)x == *(void *const *)y;
		return fields_equal(field->object, *(void *const *)x, *(void *const *)y, whole, ignored);
	case FIELD_LIST: {
		size_t n = *(const size_t *)field_const_at(a, field->count_offset);

		return n == *(const size_t *)field_const_at(b, field->count_offset) &&
			children_equal(field->object, *(void *const *)x, *(void *const *)y, n, whole, ignored);
	}
	}
	return false;
}

static bool fields_equal(const struct object_type *type, const void *a, const void *b, bool whole, unsigned ignored)
{
	for (const struct field *field = type->fields; field->name; field++) {
		bool child = field->object && object_type_has_id(field->object);

		if ((field->flags & ignored) || (child && !whole))
			continue;
		if (!field_equal(field, a, b, whole, ignored))
			return false;
	}
	return true;
}

bool object_equal(const struct object_type *type, const void *a, const void *b, bool whole)
{
	return fields_equal(type, a, b, whole, FIELD_STORED);
}

bool object_renders_alike(const struct object_type *type, const void *a, const void *b)
{
	return fields_equal(type, a, b, true, FIELD_STORED | FIELD_LABEL);
}
