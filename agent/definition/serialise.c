/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include <stdlib.h>

#include "agent/base/text.h"

/* Walks the field tables the other way: struct to JSON, as the API shows it. What is stored is written by write.c. */

static int part_to_json(const struct object_type *type, const void *object, json_t **ret);

static json_t *strings_to_json(char *const *strings)
{
	json_auto_t *json = json_array();

	STRV_FOREACH(string, strings)
		if (json_array_append_new(json, json_string(*string)) < 0)
			return NULL;
	return TAKE_PTR(json);
}

static json_t *parts_to_json(const struct object_type *type, const char *items, size_t n)
{
	json_auto_t *json = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *item = NULL;

		if (part_to_json(type, items + i * type->size, &item) < 0 || json_array_append_new(json, item) < 0)
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
		return part_to_json(field->object, *(void *const *)source, ret);
	case FIELD_LIST:
		json = parts_to_json(field->object, *(void *const *)source,
			*(const size_t *)field_const_at(object, field->count_offset));
		break;
	}
	if (!json)
		return -ENOMEM;
	*ret = json;
	return 0;
}

/* Of an object that has no id. Its secrets are shown to nobody. */
static int part_to_json(const struct object_type *type, const void *object, json_t **ret)
{
	json_auto_t *json = json_object();

	if (!json)
		return -ENOMEM;
	for (const struct field *field = type->fields; field->name; field++) {
		json_t *value;
		int r;

		if (field->flags & (FIELD_TRANSIENT | FIELD_SECRET))
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

/* A child by its id, a list of children by theirs. */
static json_t *show_child(const struct field *field, const void *object)
{
	const void *items = *(void *const *)field_const_at(object, field->offset);

	if (field->type == FIELD_LIST)
		return ids_to_json(
			field->object, items, *(const size_t *)field_const_at(object, field->count_offset));
	return items ? json_string(object_const_id(field->object, items)) : json_null();
}

static bool is_child(const struct field *field)
{
	return field->object && object_type_has_id(field->object);
}

static int show_field(const struct field *field, const void *object, json_t **ret)
{
	json_auto_t *value = NULL;
	json_t *part;
	size_t i;
	int r;

	if (is_child(field)) {
		*ret = show_child(field, object);
		return *ret ? 0 : -ENOMEM;
	}
	r = field_to_json(field, object, &value);
	if (r < 0)
		return r;
	if (value && field->type == FIELD_VERSION) { /* a number, there */
		json_t *number = json_real(strtod(json_string_value(value), NULL));

		json_decref(value);
		value = number;
	} else if (!value) {
		value = absent_to_json(field);
	}
	if (field->type == FIELD_OBJECT && json_is_object(value) && add_absent_parts(field->object, value) < 0)
		return -ENOMEM;
	if (field->type == FIELD_LIST)
		json_array_foreach(value, i, part)
			if (add_absent_parts(field->object, part) < 0)
				return -ENOMEM;
	if (!value)
		return -ENOMEM;
	*ret = TAKE_PTR(value);
	return 0;
}

/* What a name has to end in to be that of a field: "healthmonitor" is shown as "healthmonitor_id". */
static const char *suffix_of(const struct field *field)
{
	return is_child(field) && field->type == FIELD_OBJECT ? "_id" : "";
}

int object_to_resource(const struct object_type *type, const void *object, json_t **ret)
{
	json_auto_t *resource = json_object();

	for (const struct field *field = type->fields; field->name; field++) {
		char name[64];
		json_t *value;
		int r;

		if (field->flags & FIELD_TRANSIENT)
			continue;
		r = show_field(field, object, &value);
		if (r < 0)
			return r;
		snprintf(name, sizeof(name), "%s%s", field->name, suffix_of(field));
		if (json_object_set_new_nocheck(resource, name, value) < 0)
			return -ENOMEM;
	}
	if (!resource)
		return -ENOMEM;
	*ret = TAKE_PTR(resource);
	return 0;
}

int object_to_resource_member(const struct object_type *type, const void *object, const char *name, json_t **ret)
{
	for (const struct field *field = type->fields; field->name; field++) {
		const char *rest = field->flags & FIELD_TRANSIENT ? NULL : text_after_prefix(name, field->name);

		if (rest && streq(rest, suffix_of(field)))
			return show_field(field, object, ret);
	}
	*ret = NULL;
	return 0;
}
