/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include "agent/base/text.h"

/* Walks the field tables the other way: struct to JSON. */

static json_t *strings_to_json(char *const *strings)
{
	json_auto_t *json = json_array();

	STRV_FOREACH(string, strings)
		if (json_array_append_new(json, json_string(*string)) < 0)
			return NULL;
	return TAKE_PTR(json);
}

static json_t *list_to_json(const struct object_type *type, const char *items, size_t n)
{
	json_auto_t *json = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *item = NULL;

		if (object_to_json(type, items + i * type->size, &item) < 0 || json_array_append_new(json, item) < 0)
			return NULL;
	}
	return TAKE_PTR(json);
}

static int field_to_json(const struct field *field, const void *object, json_t **ret)
{
	const void *source = field_const_at(object, field->offset);
	json_t *json = NULL;

	*ret = NULL;
	switch (field->type) {
	case FIELD_OWN_ID:
		json = json_string(source);
		break;
	case FIELD_STRING:
	case FIELD_REFERENCE:
	case FIELD_ADDRESS:
	case FIELD_VERSION:
		if (!*(char *const *)source)
			return 0;
		json = json_string(*(char *const *)source);
		break;
	case FIELD_BOOL:
		json = json_boolean(*(const bool *)source);
		break;
	case FIELD_INTEGER:
		/* A default outside the range means "absent" (monitor_port). */
		if (*(const int64_t *)source < field->minimum)
			return 0;
		json = json_integer(*(const int64_t *)source);
		break;
	case FIELD_ENUM:
		if (*(const int *)source < 0)
			return 0;
		json = json_string(field->choices[*(const int *)source]);
		break;
	case FIELD_SWITCHES:
	case FIELD_TAGS:
		if (!*(json_t *const *)source)
			return 0;
		json = json_incref(*(json_t *const *)source);
		break;
	case FIELD_CIDRS:
	case FIELD_STRINGS:
		if (!*(char **const *)source)
			return 0;
		json = strings_to_json(*(char **const *)source);
		break;
	case FIELD_OBJECT:
		if (!*(void *const *)source)
			return 0;
		return object_to_json(field->object, *(void *const *)source, ret);
	case FIELD_LIST:
		json = list_to_json(field->object, *(void *const *)source,
			*(const size_t *)field_const_at(object, field->count_offset));
		break;
	}
	if (!json)
		return -ENOMEM;
	*ret = json;
	return 0;
}

int object_to_json(const struct object_type *type, const void *object, json_t **ret)
{
	json_auto_t *json = json_object();

	if (!json)
		return -ENOMEM;
	for (const struct field *field = type->fields; field->name; field++) {
		json_t *value;
		int r;

		if (field->flags & FIELD_TRANSIENT)
			continue;
		r = field_to_json(field, object, &value);
		if (r < 0)
			return r;
		if (value && json_object_set_new_nocheck(json, field->name, value) < 0)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(json);
	return 0;
}
