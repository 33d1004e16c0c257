/* SPDX-License-Identifier: Apache-2.0 */

/* amphorad-definition(5) has every field of the tables, and amphorad(8) every route: no more, no less. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/definition/fields.h"
#include "agent/definition/limits.h"
#include "api/router.h"
#include "tests/unit/manuals.h"

static const struct object_type *const object_types[] = {&load_balancer_type, &additional_vip_type,
	&stats_page_type, &listener_type, &listener_proxy_protocol_type, &l7policy_type, &l7rule_type,
	&pool_type, &session_persistence_type, &health_monitor_type, &member_type};

static void assert_says(const char *what, const char *text, const char *wanted)
{
	if (!strstr(text, wanted))
		fail_msg("%s: \"%s\" is not in \"%s\"", what, wanted, text);
}

/* The words of "… one of A , B or C ." after an introduction, as a set; NULL without it. */
static json_t *choices_after(const char *text, const char *introduction)
{
	_cleanup_strv_ char **words = NULL;
	_cleanup_free_ char *list = NULL;
	const char *start = strstr(text, introduction);
	json_t *set;

	if (!start)
		return NULL;
	set = json_object();
	list = strdup(start + strlen(introduction));
	assert_non_null(list);
	assert_int_equal(text_split(list, ' ', &words), 0);
	STRV_FOREACH (word, words) {
		if (streq(*word, ","))
			continue;
		if (!(*word)[1] && strchr(".:;", **word))
			break;
		add(set, *word);
	}
	return set;
}

static void check_choices(
	const char *what, const struct field *field, const char *text, const char *introduction)
{
	_cleanup_json_ json_t *listed = choices_after(text, introduction), *known = json_object();

	if (!listed)
		fail_msg("%s: \"%s\" expected in \"%s\"", what, introduction, text);
	for (const char *const *choice = field->choices; *choice; choice++)
		add(known, *choice);
	assert_same(known, "the table", listed, what);
}

static void check_string(const char *what, const struct field *field, const char *text)
{
	_cleanup_json_ json_t *listed = field->check ? choices_after(text, "ne of ") : NULL;
	const char *choice;
	json_t *value;

	if (field->default_text)
		assert_starts(what, text, "String, default %s . ", field->default_text);
	if (listed && json_object_size(listed) > 1) {
		json_object_foreach (listed, choice, value)
			if (field->check(choice))
				fail_msg("%s: \"%s\" is refused: %s", what, choice,
					field->check(choice));
		return;
	}
	if (field->default_text)
		return;
	if (field->minimum > 0)
		assert_starts(what, text, "String of %lld to %lld characters",
			(long long)field->minimum, (long long)field->maximum);
	else
		assert_starts(
			what, text, "String of at most %lld characters", (long long)field->maximum);
}

static void check_integer(const char *what, const struct field *field, const char *text)
{
	long long low = field->minimum, high = field->maximum, standard = field->default_value;

	if (field->flags & FIELD_CONFIGURED)
		assert_starts(what, text,
			"Integer from %lld to %lld, in milliseconds, default from the "
			"configuration.",
			low, high);
	else if (field->flags & FIELD_REQUIRED)
		assert_starts(what, text, "Required. Integer from %lld to %lld.", low, high);
	else if (standard >= low)
		assert_starts(what, text, "Integer from %lld to %lld, default %lld . ", low, high,
			standard);
	else
		assert_starts(what, text, "Integer from %lld to %lld. ", low, high);
}

static const char *after_required(const char *text)
{
	const char *rest = text_after_prefix(text, "Required. ");

	return rest ? rest : text;
}

static void check_field(const char *what, const struct field *field, const char *text)
{
	char wanted[128] = "";

	if (field->flags & FIELD_REQUIRED)
		assert_starts(what, text, "Required. ");
	else if (text_after_prefix(text, "Required. "))
		fail_msg("%s is not required", what);
	switch (field->type) {
	case FIELD_OWN_ID:
	case FIELD_REFERENCE:
		assert_starts(what, text, "UUID");
		return;
	case FIELD_STRING:
		check_string(what, field, after_required(text));
		return;
	case FIELD_ADDRESS:
		snprintf(wanted, sizeof(wanted), "IP address");
		break;
	case FIELD_BOOL:
		if (field->flags & FIELD_REQUIRED)
			assert_starts(what, text, "Required. Boolean. ");
		else
			assert_starts(what, text, "Boolean, default %s . ",
				field->default_value ? "true" : "false");
		return;
	case FIELD_INTEGER:
		check_integer(what, field, text);
		return;
	case FIELD_ENUM:
		check_choices(what, field, text, "One of ");
		return;
	case FIELD_VERSION:
		check_choices(what, field, text, "one of ");
		return;
	case FIELD_SWITCHES:
		check_choices(what, field, text, "each of ");
		return;
	case FIELD_CIDRS:
		snprintf(wanted, sizeof(wanted), "List of at most %lld networks",
			(long long)field->maximum);
		break;
	case FIELD_STRINGS:
		if (field->choices)
			check_choices(what, field, text, "List of ");
		else
			assert_starts(what, text, "List of at most %lld ", (long long)field->maximum);
		return;
	case FIELD_TAGS:
		snprintf(wanted, sizeof(wanted), "List of at most %d strings of 1 to %d characters",
			LIMIT_TAGS, LIMIT_TAG);
		break;
	case FIELD_OBJECT:
		snprintf(wanted, sizeof(wanted), "%s object", field->object->name);
		break;
	case FIELD_LIST:
		snprintf(wanted, sizeof(wanted), "List of at most %lld %s objects",
			(long long)field->maximum, field->object->name);
		break;
	case FIELD_TIME:
		break;
	}
	assert_true(*wanted);
	assert_says(what, text, wanted);
}

static const struct field *find_field(const struct object_type *type, const char *name)
{
	for (const struct field *field = type->fields; field->name; field++)
		if (streq(field->name, name))
			return field;
	return NULL;
}

static const struct object_type *find_type(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(object_types); i++)
		if (streq(object_types[i]->name, name))
			return object_types[i];
	return NULL;
}

static void test_definition_page(void **state)
{
	_cleanup_strv_ char **lines = read_page(MAN "amphorad-definition.5");
	_cleanup_json_ json_t *objects = items_of(lines, "FIELDS");
	const char *object, *name;
	json_t *items, *item;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(object_types); i++)
		for (const struct field *field = object_types[i]->fields; field->name; field++) {
			_cleanup_free_ char *what = NULL;

			if (field->flags & FIELD_STORED)
				continue; /* no document has it */

			assert_true(asprintf(&what, "amphorad-definition.5, %s of a %s",
					    field->name, object_types[i]->name) > 0);
			item = json_object_get(
				json_object_get(objects, object_types[i]->name), field->name);
			if (!item)
				fail_msg("%s is missing", what);
			check_field(what, field, json_string_value(item));
			/* An object that a later field brings in needs a row in object_types, too.
			 */
			if (field->object)
				assert_ptr_equal(find_type(field->object->name), field->object);
		}
	json_object_foreach (objects, object, items) {
		const struct object_type *type = find_type(object);

		if (!type)
			fail_msg("amphorad-definition.5: there is no object %s", object);
		json_object_foreach (items, name, item)
			if (!find_field(type, name))
				fail_msg("amphorad-definition.5: a %s has no field %s", object,
					name);
	}
}

/* The first display of the page is a whole document. */
static void test_definition_example(void **state)
{
	static const struct definition_defaults defaults = {50000, 5000, 50000, 0, NULL};
	_cleanup_strv_ char **lines = read_page(MAN "amphorad-definition.5");
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_text_ struct text document = TEXT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	bool inside = false;

	(void)state;
	STRV_FOREACH (line, lines) {
		if (inside && streq(*line, ".Ed"))
			break;
		if (inside)
			text_append(&document, *line);
		if (text_after_prefix(*line, ".Bd"))
			inside = true;
	}
	if (definition_parse("7b0d3a52-9a3e-4c0e-8f4b-d3c0e2a4b1f6", text_peek(&document),
		    document.length, &defaults, &lb, &err) < 0)
		fail_msg("%s: %s", err.pointer ? err.pointer : "", error_message(&err));
	assert_int_equal(lb->n_listeners, 1);
}

static void test_routes(void **state)
{
	_cleanup_strv_ char **lines = read_page(MAN "amphorad.8");
	_cleanup_json_ json_t *served = json_object(), *described = json_object();
	char key[512];

	(void)state;
	for (const struct route *route = routes; route->method; route++) {
		snprintf(key, sizeof(key), "%s Pa %s", route->method, route->pattern);
		add(served, key);
	}
	STRV_FOREACH (line, lines) {
		const char *item = argument_of(*line, ".It Ic");

		if (item)
			add(described, item);
	}
	assert_same(served, "api/routes.c", described, "amphorad.8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definition_page),
		cmocka_unit_test(test_definition_example),
		cmocka_unit_test(test_routes),
	};

	return cmocka_run_group_tests_name("manuals_fields", tests, NULL, NULL);
}
