/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/values.h"

#include <string.h>

#include "agent/base/json.h"
#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/uuid.h"

/* What can be read without knowing objects: each type of field by its row. */

int value_wrong_type(const struct location *where, const json_t *json, const char *wanted, struct error *err)
{
	return location_error(where, ERROR_INVALID, err, "must be %s, not %s", wanted, json_kind_name(json));
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
		return value_wrong_type(where, json, "a string", err);
	r = check_text(value, json_string_length(json), field->minimum, field->maximum, where, err);
	if (r < 0)
		return r;
	wanted = field->check ? field->check(value) : NULL;
	if (wanted)
		return location_error(where, ERROR_INVALID, err, "%s", wanted);
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

static int parse_own_id(const json_t *json, const struct location *where, char ret[UUID_SIZE], struct error *err)
{
	const char *value = json_string_value(json);

	if (!value)
		return value_wrong_type(where, json, "a UUID", err);
	if (!text_is_uuid(value))
		return location_error(where, ERROR_INVALID, err,
			"must be a UUID in lower case, like 9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10");
	memcpy(ret, value, UUID_SIZE);
	return 0;
}

/* Things of other services, and objects by their ids: as their clients write them. */
static int parse_reference(const json_t *json, const struct location *where, char **ret, struct error *err)
{
	const char *value = json_string_value(json);
	char uuid[UUID_SIZE];

	if (!value)
		return value_wrong_type(where, json, "a UUID", err);
	if (uuid_read(value, uuid) < 0)
		return location_error(
			where, ERROR_INVALID, err, "must be a UUID, like 9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10");
	*ret = strdup(uuid);
	return *ret ? 0 : -ENOMEM;
}

static int parse_address(const json_t *json, const struct location *where, char **ret, struct error *err)
{
	const char *value = json_string_value(json);
	int r;

	if (!value)
		return value_wrong_type(where, json, "an IP address", err);
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
	return value_wrong_type(where, json, "true or false", err);
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
		return value_wrong_type(where, json, "an integer", err);
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
		return value_wrong_type(where, json, "an array of networks", err);
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

static int parse_string_item(const struct field *field, const json_t *json, const struct location *where, json_t *seen,
	char **ret, struct error *err)
{
	const struct field rules = {.type = FIELD_STRING, .minimum = 1, .maximum = LIMIT_NAME, .check = field->check};
	_cleanup_free_ char *string = NULL;
	int r;

	r = parse_string(&rules, json, where, &string, err);
	if (r < 0)
		return r;
	if (field->choices && find_choice(field->choices, string) < 0)
		return choice_error(field->choices, where, err);
	if (json_object_get(seen, string))
		return location_error(where, ERROR_INVALID, err, "is there twice");
	if (json_object_set_new_nocheck(seen, string, json_true()) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(string);
	return 0;
}

static int parse_strings(const struct field *field, const json_t *json, const struct location *where, char ***ret,
	struct error *err)
{
	_cleanup_strv_ char **strings = NULL;
	json_auto_t *seen = json_object();
	size_t n = json_array_size(json);

	if (!json_is_array(json))
		return value_wrong_type(where, json, "an array of strings", err);
	if (n > (size_t)field->maximum)
		return location_error(where, ERROR_TOO_LARGE, err, "has %zu items, more than the %lld that are allowed",
			n, (long long)field->maximum);
	if (n < (size_t)field->minimum)
		return location_error(where, ERROR_INVALID, err, "must not be empty; leave it out for the default");
	if (n == 0)
		return 0;
	strings = calloc(n + 1, sizeof(*strings));
	if (!strings || !seen)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct location item = {where, NULL, i};
		int r = parse_string_item(field, json_array_get(json, i), &item, seen, &strings[i], err);

		if (r < 0)
			return r;
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
		return value_wrong_type(where, json, "an object", err);
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
		return value_wrong_type(where, json, "an array of strings", err);
	if (json_array_size(json) > LIMIT_TAGS)
		return location_error(where, ERROR_TOO_LARGE, err, "has more than %d tags", LIMIT_TAGS);
	json_array_foreach(json, i, item)
	{
		struct location inner = {where, NULL, i};
		int r;

		if (!json_is_string(item))
			return value_wrong_type(&inner, item, "a string", err);
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

/* Only our own files have times: whatever else there is says that they are not. */
static int parse_time(const json_t *json, const struct location *where, char ret[DEFINITION_TIME_SIZE], struct error *err)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	const char *value = json_string_value(json);
	bool good = value && strlen(value) == sizeof(form) - 1;

	for (size_t i = 0; good && form[i]; i++)
		good = form[i] == 'd' ? value[i] >= '0' && value[i] <= '9' : value[i] == form[i];
	if (!good)
		return location_error(where, ERROR_INVALID, err, "must be a time like 2026-01-31T23:59:59");
	memcpy(ret, value, DEFINITION_TIME_SIZE);
	return 0;
}

int value_parse(const struct field *field, const json_t *json, const struct location *where, void *target,
	struct error *err)
{
	switch (field->type) {
	case FIELD_OWN_ID:
		return parse_own_id(json, where, target, err);
	case FIELD_REFERENCE:
		return parse_reference(json, where, target, err);
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
	case FIELD_TIME:
		return parse_time(json, where, target, err);
	case FIELD_OBJECT:
	case FIELD_LIST:
		break;
	}
	return -EINVAL;
}
