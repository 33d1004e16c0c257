/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include <stdlib.h>

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

static json_t *list_to_json(const struct object_type *type, const char *items, size_t n, unsigned left_out)
{
	json_auto_t *json = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *item = NULL;

		if (object_to_json(type, items + i * type->size, left_out, &item) < 0 || json_array_append_new(json, item) < 0)
			return NULL;
	}
	return TAKE_PTR(json);
}

static int field_to_json(const struct field *field, const void *object, unsigned left_out, json_t **ret)
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
	case FIELD_TIME:
		if (!*(const char *)source)
			return 0;
		json = json_string(source);
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
		return object_to_json(field->object, *(void *const *)source, left_out, ret);
	case FIELD_LIST:
		json = list_to_json(field->object, *(void *const *)source,
			*(const size_t *)field_const_at(object, field->count_offset), left_out);
		break;
	}
	if (!json)
		return -ENOMEM;
	*ret = json;
	return 0;
}

int object_to_json(const struct object_type *type, const void *object, unsigned left_out, json_t **ret)
{
	json_auto_t *json = json_object();

	if (!json)
		return -ENOMEM;
	for (const struct field *field = type->fields; field->name; field++) {
		json_t *value;
		int r;

		if (field->flags & (FIELD_TRANSIENT | left_out))
			continue;
		r = field_to_json(field, object, left_out, &value);
		if (r < 0)
			return r;
		if (value && json_object_set_new_nocheck(json, field->name, value) < 0)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(json);
	return 0;
}

/* [{"id": …}, …] */
static json_t *ids_to_json(const struct object_type *type, const void *items, size_t n)
{
	json_auto_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *id = object_const_id(type, field_const_at(items, i * type->size));

		if (json_array_append_new(list, json_pack("{s:s}", "id", id)) < 0)
			return NULL;
	}
	return TAKE_PTR(list);
}

static int add_absent_parts(const struct object_type *type, json_t *part)
{
	for (const struct field *field = type->fields; field->name; field++)
		if (!json_object_get(part, field->name) && json_object_set_new_nocheck(part, field->name, json_null()) < 0)
			return -ENOMEM;
	return 0;
}

/* How Octavia shows a field that is not set. */
static json_t *absent_to_json(const struct field *field)
{
	switch (field->type) {
	case FIELD_TAGS:
	case FIELD_STRINGS:
		return json_array();
	case FIELD_SWITCHES:
		return json_object();
	case FIELD_STRING:
		if (streq(field->name, "name") || streq(field->name, "description"))
			return json_string("");
		return json_null();
	default:
		return json_null();
	}
}

static int show_child(const struct field *field, const void *object, json_t *resource)
{
	const void *items = *(void *const *)field_const_at(object, field->offset);
	_cleanup_free_ char *name = NULL;

	if (field->type == FIELD_LIST)
		return json_object_set_new_nocheck(resource, field->name,
			ids_to_json(field->object, items, *(const size_t *)field_const_at(object, field->count_offset)));
	if (asprintf(&name, "%s_id", field->name) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	return json_object_set_new_nocheck(
		resource, name, items ? json_string(object_const_id(field->object, items)) : json_null());
}

static int show_field(const struct field *field, const void *object, json_t *resource)
{
	json_t *value, *part;
	size_t i;
	int r;

	if (field->object && object_type_has_id(field->object))
		return show_child(field, object, resource) < 0 ? -ENOMEM : 0;
	r = field_to_json(field, object, FIELD_SECRET, &value);
	if (r < 0)
		return r;
	if (value && field->type == FIELD_VERSION) { /* a number, there */
		json_t *number = json_real(strtod(json_string_value(value), NULL));

		json_decref(value);
		value = number;
	} else if (!value) {
		value = absent_to_json(field);
	}
	if (json_object_set_new_nocheck(resource, field->name, value) < 0)
		return -ENOMEM;
	if (field->type == FIELD_OBJECT && json_is_object(value))
		return add_absent_parts(field->object, value);
	if (field->type == FIELD_LIST)
		json_array_foreach(value, i, part)
			if (add_absent_parts(field->object, part) < 0)
				return -ENOMEM;
	return 0;
}

int object_to_resource(const struct object_type *type, const void *object, json_t **ret)
{
	json_auto_t *resource = json_object();

	if (!resource)
		return -ENOMEM;
	for (const struct field *field = type->fields; field->name; field++) {
		int r = field->flags & FIELD_TRANSIENT ? 0 : show_field(field, object, resource);

		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(resource);
	return 0;
}
