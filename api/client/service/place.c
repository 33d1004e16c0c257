/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/place.h"

#include <stdarg.h>
#include <stdio.h>

#include "agent/base/json.h"
#include "agent/base/text.h"

/* RFC 6901, section 3. */
static void append_token(struct text *text, const char *name)
{
	text_append_char(text, '/');
	for (; *name; name++) {
		if (*name == '~')
			text_append(text, "~0");
		else if (*name == '/')
			text_append(text, "~1");
		else
			text_append_char(text, *name);
	}
}

static void append_place(struct text *text, const struct place *where)
{
	if (!where->parent) {
		text_append(text, where->name);
		text_append_char(text, ':');
		return;
	}
	append_place(text, where->parent);
	if (!where->parent->parent)
		text_append_char(text, ' ');
	if (where->name)
		append_token(text, where->name);
	else
		text_printf(text, "/%zu", where->index);
}

int place_error(
	const struct place *where, enum error_code code, struct error *err, const char *format, ...)
{
	_cleanup_text_ struct text place = TEXT_INIT;
	_cleanup_free_ char *words = NULL, *pointer = NULL;
	va_list arguments;

	append_place(&place, where);
	if (!where->parent) /* the file itself: the colon is the caller's */
		text_truncate(&place, place.length ? place.length - 1 : 0);
	va_start(arguments, format);
	if (vasprintf(&words, format, arguments) < 0)
		words = NULL;
	va_end(arguments);
	if (!words || text_finish(&place, &pointer, NULL) < 0)
		return -ENOMEM;
	return error_set(err, code, pointer, "%s", words);
}

static int wrong_type(
	const struct place *where, const json_t *json, const char *wanted, struct error *err)
{
	return place_error(where, ERROR_INVALID, err, "must be %s, not %s", wanted, json_kind_name(json));
}

static const json_t *get(const json_t *json, const char *name)
{
	const json_t *value = json_object_get(json, name);

	return json_is_null(value) ? NULL : value;
}

int place_get_object(const json_t *json, const char *name, const struct place *where,
	const json_t **ret, struct error *err)
{
	const json_t *value = get(json, name);
	const struct place inner = {where, name, 0};

	if (!value)
		return 0;
	if (!json_is_object(value))
		return wrong_type(&inner, value, "an object", err);
	*ret = value;
	return 0;
}

int place_get_array(const json_t *json, const char *name, size_t limit, const struct place *where,
	const json_t **ret, struct error *err)
{
	const json_t *value = get(json, name);
	const struct place inner = {where, name, 0};

	if (!value)
		return 0;
	if (!json_is_array(value))
		return wrong_type(&inner, value, "an array", err);
	if (json_array_size(value) > limit)
		return place_error(&inner, ERROR_TOO_LARGE, err,
			"has %zu items, more than the %zu that are allowed", json_array_size(value),
			limit);
	*ret = value;
	return 0;
}

int place_item_object(const json_t *item, const struct place *where, struct error *err)
{
	return json_is_object(item) ? 0 : wrong_type(where, item, "an object", err);
}

int place_item_string(
	const json_t *item, const struct place *where, const char **ret, struct error *err)
{
	if (!json_is_string(item))
		return wrong_type(where, item, "a string", err);
	if (text_has_control(json_string_value(item), json_string_length(item)))
		return place_error(where, ERROR_INVALID, err, "must not have control characters");
	*ret = json_string_value(item);
	return 0;
}

int place_get_string(const json_t *json, const char *name, const struct place *where,
	const char **ret, struct error *err)
{
	const json_t *value = get(json, name);
	const struct place inner = {where, name, 0};

	return value ? place_item_string(value, &inner, ret, err) : 0;
}

int place_get_integer(const json_t *json, const char *name, int64_t minimum, int64_t maximum,
	const struct place *where, int64_t *ret, struct error *err)
{
	const json_t *value = get(json, name);
	const struct place inner = {where, name, 0};

	if (!value)
		return 0;
	if (!json_is_integer(value))
		return wrong_type(&inner, value, "an integer", err);
	if (json_integer_value(value) < minimum || json_integer_value(value) > maximum)
		return place_error(&inner, ERROR_INVALID, err, "%lld is not between %lld and %lld",
			(long long)json_integer_value(value), (long long)minimum,
			(long long)maximum);
	*ret = json_integer_value(value);
	return 0;
}

int place_get_bool(const json_t *json, const char *name, const struct place *where, bool *ret,
	struct error *err)
{
	const json_t *value = get(json, name);
	const struct place inner = {where, name, 0};

	if (!value)
		return 0;
	if (!json_is_boolean(value))
		return wrong_type(&inner, value, "true or false", err);
	*ret = json_is_true(value);
	return 0;
}
