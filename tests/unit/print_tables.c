/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prints the route table and the field tables as JSON: what tests/api/test_openapi.py compares api/openapi.yaml with.
 */

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/fields.h"
#include "agent/definition/limits.h"
#include "api/router.h"

static const char *const type_names[] = {
	[FIELD_OWN_ID] = "own_id",
	[FIELD_STRING] = "string",
	[FIELD_REFERENCE] = "reference",
	[FIELD_ADDRESS] = "address",
	[FIELD_BOOL] = "bool",
	[FIELD_INTEGER] = "integer",
	[FIELD_ENUM] = "enum",
	[FIELD_VERSION] = "version",
	[FIELD_CIDRS] = "cidrs",
	[FIELD_SWITCHES] = "switches",
	[FIELD_STRINGS] = "strings",
	[FIELD_TAGS] = "tags",
	[FIELD_OBJECT] = "object",
	[FIELD_LIST] = "list",
	[FIELD_TIME] = "time",
};

static const char *const body_names[] = {
	[BODY_NONE] = "none",
	[BODY_JSON] = "json",
	[BODY_ANY] = "any",
	[BODY_SECRET] = "secret",
	[BODY_PEM] = "pem",
};

static json_t *choices_of(const struct field *field)
{
	json_t *list;

	if (!field->choices)
		return json_null();
	list = json_array();
	for (const char *const *choice = field->choices; *choice; choice++)
		json_array_append_new(list, json_string(*choice));
	return list;
}

/* Null where there is none, or where the configuration has it. */
static json_t *default_of(const struct field *field)
{
	long long value = field->default_value;

	if (field->flags & (FIELD_REQUIRED | FIELD_CONFIGURED))
		return json_null();
	if (field->type == FIELD_BOOL)
		return json_boolean(value);
	if (field->type == FIELD_INTEGER && value >= field->minimum)
		return json_integer(value);
	if (field->type == FIELD_ENUM && value >= 0)
		return json_string(field->choices[value]);
	return field->default_text ? json_string(field->default_text) : json_null();
}

static json_t *field_json(const struct field *field)
{
	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:o, s:o, s:s?}", "type", type_names[field->type],
		"required", !!(field->flags & FIELD_REQUIRED), "fixed", !!(field->flags & FIELD_FIXED), "transient",
		!!(field->flags & FIELD_TRANSIENT), "stored", !!(field->flags & FIELD_STORED), "child",
		field->object && object_type_has_id(field->object), "minimum", (json_int_t)field->minimum, "maximum",
		(json_int_t)field->maximum, "default", default_of(field), "choices", choices_of(field), "object",
		field->object ? field->object->name : NULL);
}

static void add_object(json_t *objects, const struct object_type *type)
{
	json_t *fields;

	if (json_object_get(objects, type->name))
		return;
	fields = json_object();
	json_object_set_new(objects, type->name, fields);
	for (const struct field *field = type->fields; field->name; field++) {
		json_object_set_new(fields, field->name, field_json(field));
		if (field->object)
			add_object(objects, field->object);
	}
}

static json_t *routes_json(void)
{
	json_t *list = json_array();

	for (const struct route *route = routes; route->method; route++)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s, s:s}", "method", route->method, "path", route->pattern, "body",
				body_names[route->body], "style",
				route->style == ERROR_STYLE_LBAAS ? "lbaas" : "amphora", "summary", route->summary));
	return list;
}

int main(void)
{
	json_auto_t *objects = json_object(), *all = NULL;

	add_object(objects, &load_balancer_type);
	all = json_pack("{s:o, s:O, s:{s:i, s:i}}", "routes", routes_json(), "objects", objects, "limits", "tags", LIMIT_TAGS,
		"tag", LIMIT_TAG);
	if (!all || json_dumpf(all, stdout, JSON_INDENT(1)) < 0 || putchar('\n') == EOF)
		return 1;
	return 0;
}
