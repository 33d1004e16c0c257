/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"

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
	for (const char *p = where->name; *p; p++) /* RFC 6901, section 3 */
		if (*p == '~' || *p == '/')
			text_append(text, *p == '~' ? "~0" : "~1");
		else
			text_append_char(text, *p);
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

static const char *json_kind(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

static int wrong_type(const struct location *where, const json_t *json, const char *wanted, struct error *err)
{
	return location_error(where, ERROR_INVALID, err, "must be %s, not %s", wanted, json_kind(json));
}

/* Characters of UTF-8 text (jansson has checked the encoding). */
static int64_t characters(const char *value)
{
	int64_t count = 0;

	for (const char *p = value; *p; p++)
		count += ((unsigned char)*p & 0xc0) != 0x80;
	return count;
}

/* A string that is safe to keep: within the limits and without control characters. */
static int check_text(const char *value, size_t length, int64_t minimum, int64_t maximum,
	const struct location *where, struct error *err)
{
	int64_t count = characters(value);

	if (text_has_control(value, length))
		return location_error(where, ERROR_INVALID, err, "must not have control characters");
	if (count < minimum)
		return location_error(where, ERROR_INVALID, err, "must not be empty");
	if (count > maximum)
		return location_error(where, ERROR_INVALID, err,
			"has %lld characters, more than the %lld that are allowed", (long long)count,
			(long long)maximum);
	return 0;
}

static int parse_string(const struct field *field, const json_t *json, const struct location *where, char **ret,
	struct error *err)
{
	const char *value = json_string_value(json);
	const char *wanted;
	int r;

	if (!value)
		return wrong_type(where, json, "a string", err);
	r = check_text(value, json_string_length(json), field->minimum, field->maximum, where, err);
	if (r < 0)
		return r;
	wanted = field->check ? field->check(value) : NULL;
	if (wanted)
		return location_error(where, ERROR_INVALID, err, "%s", wanted);
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

static int parse_uuid(const json_t *json, const struct location *where, const char **ret, struct error *err)
{
	const char *value = json_string_value(json);

	if (!value)
		return wrong_type(where, json, "a UUID", err);
	if (!text_is_uuid(value))
		return location_error(where, ERROR_INVALID, err,
			"must be a UUID in lower case, like 9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10");
	*ret = value;
	return 0;
}

static int parse_address(const json_t *json, const struct location *where, char **ret, struct error *err)
{
	const char *value = json_string_value(json);
	int r;

	if (!value)
		return wrong_type(where, json, "an IP address", err);
	r = grammar_address(value, ret);
	if (r == -EINVAL)
		return location_error(where, ERROR_INVALID, err, "must be an IPv4 or IPv6 address");
	return r;
}

static int parse_bool(const json_t *json, const struct location *where, bool *ret, struct error *err)
{
	const char *value = json_string_value(json);

	if (json_is_boolean(json)) {
		*ret = json_is_true(json);
		return 0;
	}
	if (value && text_to_bool(value, ret) == 0)
		return 0;
	return wrong_type(where, json, "true or false", err);
}

/* Octavia's clients send numbers as strings too. */
static int parse_integer(const struct field *field, const json_t *json, const struct location *where, int64_t *ret,
	struct error *err)
{
	const char *text = json_string_value(json);
	int64_t value;

	if (json_is_integer(json))
		value = json_integer_value(json);
	else if (!text || text_to_int64(text, &value) < 0)
		return wrong_type(where, json, "an integer", err);
	if (value < field->minimum || value > field->maximum)
		return location_error(where, ERROR_INVALID, err, "%lld is not between %lld and %lld",
			(long long)value, (long long)field->minimum, (long long)field->maximum);
	*ret = value;
	return 0;
}

static int find_choice(const char *const *choices, const char *value)
{
	for (int i = 0; choices[i]; i++)
		if (streq(choices[i], value))
			return i;
	return -1;
}

static int choice_error(const char *const *choices, const struct location *where, struct error *err)
{
	_cleanup_text_ struct text list = TEXT_INIT;

	for (size_t i = 0; choices[i]; i++)
		text_printf(&list, "%s%s", i ? ", " : "", choices[i]);
	return location_error(where, ERROR_INVALID, err, "must be one of %s", text_peek(&list));
}

static int parse_enum(const struct field *field, const json_t *json, const struct location *where, int *ret,
	struct error *err)
{
	const char *value = json_string_value(json);
	int choice = value ? find_choice(field->choices, value) : -1;

	if (choice < 0)
		return choice_error(field->choices, where, err);
	*ret = choice;
	return 0;
}

static int parse_version(const struct field *field, const json_t *json, const struct location *where, char **ret,
	struct error *err)
{
	int choice = -1;

	if (json_is_string(json))
		choice = find_choice(field->choices, json_string_value(json));
	for (int i = 0; json_is_number(json) && field->choices[i]; i++)
		if (json_number_value(json) == strtod(field->choices[i], NULL))
			choice = i;
	if (choice < 0)
		return choice_error(field->choices, where, err);
	*ret = strdup(field->choices[choice]);
	return *ret ? 0 : -ENOMEM;
}

static int parse_cidrs(const struct field *field, const json_t *json, const struct location *where, char ***ret,
	struct error *err)
{
	_cleanup_strv_ char **cidrs = NULL;
	size_t n = json_array_size(json);

	if (!json_is_array(json))
		return wrong_type(where, json, "an array of networks", err);
	if (n > (size_t)field->maximum)
		return location_error(where, ERROR_TOO_LARGE, err, "has %zu networks, more than %lld", n,
			(long long)field->maximum);
	if (n == 0) /* as Octavia takes it: no restriction */
		return 0;
	cidrs = calloc(n + 1, sizeof(*cidrs));
	if (!cidrs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct location item = {where, NULL, i};
		const char *value = json_string_value(json_array_get(json, i));
		int r = value ? grammar_cidr(value, &cidrs[i]) : -EINVAL;

		if (r == -EINVAL)
			return location_error(&item, ERROR_INVALID, err,
				"must be a network like 192.0.2.0/24 or 2001:db8::/32");
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(cidrs);
	return 0;
}

static bool is_among(char *const *list, size_t n, const char *value)
{
	for (size_t i = 0; i < n; i++)
		if (streq(list[i], value))
			return true;
	return false;
}

/* Lists are short enough (LIMIT_SNI) to look for duplicates one by one. */
static int parse_strings(const struct field *field, const json_t *json, const struct location *where, char ***ret,
	struct error *err)
{
	struct field item_rules = {.type = FIELD_STRING, .minimum = 1, .maximum = LIMIT_NAME, .check = field->check};
	_cleanup_strv_ char **strings = NULL;
	size_t n = json_array_size(json);

	if (!json_is_array(json))
		return wrong_type(where, json, "an array of strings", err);
	if (n > (size_t)field->maximum)
		return location_error(where, ERROR_TOO_LARGE, err, "has %zu items, more than the %lld that are allowed",
			n, (long long)field->maximum);
	if (n < (size_t)field->minimum)
		return location_error(where, ERROR_INVALID, err, "must not be empty; leave it out for the default");
	if (n == 0)
		return 0;
	strings = calloc(n + 1, sizeof(*strings));
	if (!strings)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct location item = {where, NULL, i};
		const json_t *value = json_array_get(json, i);
		char *string = NULL;
		int r;

		r = parse_string(&item_rules, value, &item, &string, err);
		if (r == 0 && field->choices && find_choice(field->choices, string) < 0)
			r = choice_error(field->choices, &item, err);
		if (r == 0 && is_among(strings, i, string))
			r = location_error(&item, ERROR_INVALID, err, "is there twice");
		if (r < 0) {
			free(string);
			return r;
		}
		strings[i] = string;
	}
	*ret = TAKE_PTR(strings);
	return 0;
}

static int parse_switches(const struct field *field, const json_t *json, const struct location *where,
	json_t **ret, struct error *err)
{
	json_auto_t *switches = NULL;
	const char *key;
	json_t *item;

	if (!json_is_object(json))
		return wrong_type(where, json, "an object", err);
	switches = json_object();
	json_object_foreach((json_t *)json, key, item)
	{
		struct location inner = {where, key, 0};
		bool on;
		int r;

		if (find_choice(field->choices, key) < 0)
			return location_error(&inner, ERROR_INVALID, err,
				"unknown header; known are X-Forwarded-For, -Port, -Proto and, with TERMINATED_HTTPS, "
				"X-SSL-Client-Verify, -Has-Cert, -DN, -CN, -SHA1, -Not-Before, -Not-After and X-SSL-Issuer");
		r = parse_bool(item, &inner, &on, err);
		if (r < 0)
			return r;
	}
	/* In the table's order, so that equal definitions have equal texts. */
	for (size_t i = 0; field->choices[i]; i++) {
		bool on = false;

		item = json_object_get(json, field->choices[i]);
		if (!item)
			continue;
		parse_bool(item, where, &on, NULL);
		if (json_object_set_new(switches, field->choices[i], json_string(on ? "true" : "false")) < 0)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(switches);
	return 0;
}

static int parse_tags(const json_t *json, const struct location *where, json_t **ret, struct error *err)
{
	json_auto_t *tags = json_array();
	size_t i;
	json_t *item;

	if (!json_is_array(json))
		return wrong_type(where, json, "an array of strings", err);
	if (json_array_size(json) > LIMIT_TAGS)
		return location_error(where, ERROR_TOO_LARGE, err, "has more than %d tags", LIMIT_TAGS);
	json_array_foreach(json, i, item)
	{
		struct location inner = {where, NULL, i};
		int r;

		if (!json_is_string(item))
			return wrong_type(&inner, item, "a string", err);
		r = check_text(json_string_value(item), json_string_length(item), 1, LIMIT_TAG, &inner, err);
		if (r < 0)
			return r;
		if (json_array_append(tags, item) < 0)
			return -ENOMEM;
	}
	if (!tags)
		return -ENOMEM;
	*ret = TAKE_PTR(tags);
	return 0;
}

static int parse_child(const struct field *field, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void **ret, struct error *err)
{
	void *child;
	int r;

	if (!json_is_object(json))
		return wrong_type(where, json, "an object", err);
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
		return wrong_type(where, json, "an array", err);
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
	const char *uuid;
	int r;

	switch (field->type) {
	case FIELD_OWN_ID:
		r = parse_uuid(json, where, &uuid, err);
		if (r == 0)
			memcpy(target, uuid, UUID_SIZE);
		return r;
	case FIELD_REFERENCE:
		r = parse_uuid(json, where, &uuid, err);
		if (r < 0)
			return r;
		*(char **)target = strdup(uuid);
		return *(char **)target ? 0 : -ENOMEM;
	case FIELD_STRING:
		return parse_string(field, json, where, target, err);
	case FIELD_ADDRESS:
		return parse_address(json, where, target, err);
	case FIELD_BOOL:
		return parse_bool(json, where, target, err);
	case FIELD_INTEGER:
		return parse_integer(field, json, where, target, err);
	case FIELD_ENUM:
		return parse_enum(field, json, where, target, err);
	case FIELD_VERSION:
		return parse_version(field, json, where, target, err);
	case FIELD_CIDRS:
		return parse_cidrs(field, json, where, target, err);
	case FIELD_SWITCHES:
		return parse_switches(field, json, where, target, err);
	case FIELD_STRINGS:
		return parse_strings(field, json, where, target, err);
	case FIELD_TAGS:
		return parse_tags(json, where, target, err);
	case FIELD_OBJECT:
		return parse_child(field, json, where, defaults, target, err);
	case FIELD_LIST:
		return parse_list(field, json, where, defaults, object, err);
	}
	return -EINVAL;
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

static const struct field *find_field(const struct object_type *type, const char *name)
{
	for (const struct field *field = type->fields; field->name; field++)
		if (streq(field->name, name))
			return field;
	return NULL;
}

int object_parse(const struct object_type *type, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void *object, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return wrong_type(where, json, "an object", err);
	json_object_foreach((json_t *)json, key, value)
	{
		struct location inner = {where, key, 0};

		if (!find_field(type, key))
			return location_error(&inner, ERROR_INVALID, err, "unknown field of a %s, or one that this version does not support", type->name);
	}
	for (const struct field *field = type->fields; field->name; field++) {
		struct location inner = {where, field->name, 0};
		int r;

		value = json_object_get(json, field->name);
		if (value && !json_is_null(value))
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

void object_done(const struct object_type *type, void *object)
{
	for (const struct field *field = type->fields; field->name; field++) {
		void *target = field_at(object, field->offset);

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
			for (size_t i = 0; i < *(size_t *)field_at(object, field->count_offset); i++)
				object_done(field->object, field_at(*(void **)target, i * field->object->size));
			free(*(void **)target);
			break;
		default:
			break;
		}
	}
	memset(object, 0, type->size);
}
