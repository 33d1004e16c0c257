/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/values.h"

#include <stdarg.h>
#include <string.h>

#include "agent/base/text.h"

/* Walks the field tables: JSON to struct, and freeing. The way back is serialise.c; rules between fields are in check.c. */

static void location_write(const struct location *where, struct text *text)
{
	if (!where)
		return;
	location_write(where->parent, text);
	if (!where->name) {
		text_printf(text, "/%zu", where->index);
		return;
	}
	text_append_char(text, '/');
	for (const char *p = where->name;;) { /* RFC 6901, section 3 */
		size_t plain = strcspn(p, "~/");

		text_append_bytes(text, p, plain);
		p += plain;
		if (!*p)
			return;
		text_append(text, *p++ == '~' ? "~0" : "~1");
	}
}

int location_error(const struct location *where, enum error_code code, struct error *err, const char *format, ...)
{
	_cleanup_text_ struct text pointer = TEXT_INIT;
	_cleanup_free_ char *message = NULL;
	va_list arguments;

	location_write(where, &pointer);
	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	return error_set(err, code, text_peek(&pointer), "%s", message ? message : "no memory");
}

char *location_text(const struct location *where)
{
	_cleanup_text_ struct text pointer = TEXT_INIT;
	char *text;

	location_write(where, &pointer);
	return text_finish(&pointer, &text, NULL) < 0 ? NULL : text;
}

static int parse_child(const struct field *field, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void **ret, struct error *err)
{
	void *child;
	int r;

	if (!json_is_object(json))
		return value_wrong_type(where, json, "an object", err);
	child = calloc(1, field->object->size);
	if (!child)
		return -ENOMEM;
	r = object_parse(field->object, json, where, defaults, child, err);
	if (r < 0) {
		object_done(field->object, child);
		free(child);
		return r;
	}
	*ret = child;
	return 0;
}

static int parse_list(const struct field *field, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void *object, struct error *err)
{
	size_t n = json_array_size(json), *count = field_at(object, field->count_offset);
	void **items = field_at(object, field->offset);

	if (!json_is_array(json))
		return value_wrong_type(where, json, "an array", err);
	if (n > (size_t)field->maximum)
		return location_error(where, ERROR_TOO_LARGE, err, "has %zu items, more than the %lld that are allowed",
			n, (long long)field->maximum);
	if (n == 0)
		return 0;
	*items = calloc(n, field->object->size);
	if (!*items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct location inner = {where, NULL, i};
		int r;

		*count = i + 1; /* a half-filled item is freed with the others */
		r = object_parse(field->object, json_array_get(json, i), &inner, defaults,
			field_at(*items, i * field->object->size), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_field(const struct field *field, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void *object, struct error *err)
{
	void *target = field_at(object, field->offset);

	switch (field->type) {
	case FIELD_OBJECT:
		return parse_child(field, json, where, defaults, target, err);
	case FIELD_LIST:
		return parse_list(field, json, where, defaults, object, err);
	default:
		return value_parse(field, json, where, target, err);
	}
}

static int set_default(const struct field *field, const struct definition_defaults *defaults, void *object)
{
	void *target = field_at(object, field->offset);

	switch (field->type) {
	case FIELD_BOOL:
		*(bool *)target = field->default_value;
		return 0;
	case FIELD_ENUM:
		*(int *)target = (int)field->default_value;
		return 0;
	case FIELD_INTEGER:
		*(int64_t *)target = field->flags & FIELD_CONFIGURED
			? *(const int64_t *)field_const_at(defaults, (size_t)field->default_value)
			: field->default_value;
		return 0;
	case FIELD_STRING:
		if (!field->default_text)
			return 0;
		*(char **)target = strdup(field->default_text);
		return *(char **)target ? 0 : -ENOMEM;
	default:
		return 0;
	}
}

const struct field *object_find_field(const struct object_type *type, const char *name)
{
	for (const struct field *field = type->fields; field->name; field++)
		if (streq(field->name, name))
			return field;
	return NULL;
}

static bool is_absent(const struct field *field, const json_t *value)
{
	return !value || json_is_null(value) ||
		((field->flags & FIELD_EMPTY_IS_ABSENT) && json_is_string(value) && json_string_length(value) == 0);
}

const struct definition_defaults definition_stored;

static bool is_known(const struct field *field, const struct definition_defaults *defaults)
{
	return field && (defaults == &definition_stored || !(field->flags & FIELD_STORED));
}

int object_parse(const struct object_type *type, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void *object, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return value_wrong_type(where, json, "an object", err);
	json_object_foreach((json_t *)json, key, value)
	{
		struct location inner = {where, key, 0};

		if (!is_known(object_find_field(type, key), defaults))
			return location_error(&inner, ERROR_INVALID, err, "unknown field of a %s", type->name);
	}
	for (const struct field *field = type->fields; field->name; field++) {
		struct location inner = {where, field->name, 0};
		int r;

		value = json_object_get(json, field->name);
		if (!is_absent(field, value))
			r = parse_field(field, value, &inner, defaults, object, err);
		else if (field->flags & FIELD_REQUIRED)
			r = location_error(&inner, ERROR_INVALID, err, "is required");
		else
			r = set_default(field, defaults, object);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Frees what the field owns, and leaves nothing there. */
static void field_done(const struct field *field, void *object)
{
	void *target = field_at(object, field->offset);
	size_t *count = field_at(object, field->count_offset);

	switch (field->type) {
	case FIELD_STRING:
	case FIELD_REFERENCE:
	case FIELD_ADDRESS:
	case FIELD_VERSION:
		free(*(char **)target);
		break;
	case FIELD_SWITCHES:
	case FIELD_TAGS:
		json_decref(*(json_t **)target);
		break;
	case FIELD_CIDRS:
	case FIELD_STRINGS:
		strv_free(*(char ***)target);
		break;
	case FIELD_OBJECT:
		if (*(void **)target)
			object_done(field->object, *(void **)target);
		free(*(void **)target);
		break;
	case FIELD_LIST:
		for (size_t i = 0; i < *count; i++)
			object_done(field->object, field_at(*(void **)target, i * field->object->size));
		free(*(void **)target);
		*count = 0;
		break;
	default:
		return;
	}
	*(void **)target = NULL;
}

void object_done(const struct object_type *type, void *object)
{
	for (const struct field *field = type->fields; field->name; field++)
		field_done(field, object);
	memset(object, 0, type->size);
}

int object_update(const struct object_type *type, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void *object, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return value_wrong_type(where, json, "an object", err);
	json_object_foreach((json_t *)json, key, value)
	{
		const struct field *field = object_find_field(type, key);
		struct location inner = {where, key, 0};
		int r;

		if (!is_known(field, defaults) || (field->flags & FIELD_TRANSIENT))
			return location_error(&inner, ERROR_INVALID, err, "unknown field of a %s", type->name);
		if (field->flags & FIELD_FIXED)
			return location_error(&inner, ERROR_INVALID, err, "cannot be changed");
		if (is_absent(field, value) && (field->flags & FIELD_REQUIRED))
			return location_error(&inner, ERROR_INVALID, err, "must not be null");
		field_done(field, object);
		r = is_absent(field, value) ? set_default(field, defaults, object)
					    : parse_field(field, value, &inner, defaults, object, err);
		if (r < 0)
			return r;
	}
	return 0;
}
