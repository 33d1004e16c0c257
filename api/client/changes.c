/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/changes.h"

#include <errno.h>
#include <string.h>

#include "api/client/target.h"
#include "api/client/view.h"

enum {
	MAX_DEPTH = 8,  /* no definition is deeper */
	SHOWN_VALUE = 60, /* bytes of a value */
};

/* Members of a definition that are objects of their own. */
static const struct kind {
	const char *key, *name;
	bool is_list;
} kinds[] = {
	{"listeners", "listener", true},
	{"l7policies", "L7 policy", true},
	{"rules", "rule", true},
	{"pools", "pool", true},
	{"healthmonitor", "health monitor", false},
	{"members", "member", true},
};

static const struct kind *find_kind(const char *key)
{
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		if (streq(kinds[i].key, key))
			return &kinds[i];
	return NULL;
}

/* Where an object stands. */
struct place {
	const char *kind;
	const char *of; /* "pool web"; "" for the first level */
	unsigned depth;
};

static int compare_objects(json_t *list, const struct place *place, const json_t *old, const json_t *new);

static int append_change(json_t *list, const char *change, const struct place *place, const json_t *object, json_t *fields)
{
	_cleanup_text_ struct text name = TEXT_INIT;
	json_auto_t *owned = fields;

	target_append_name(object, &name);
	return json_array_append_new(list,
		       json_pack("{s:s, s:s, s:s, s:s, s:s*, s:O*}", "change", change, "kind", place->kind, "id",
			       view_string(object, "id"), "name", text_peek(&name), "of",
			       *place->of ? place->of : NULL, "fields", owned)) < 0
		? -ENOMEM
		: 0;
}

static int index_by_id(const json_t *array, json_t **ret)
{
	json_t *index = json_object(), *item;
	size_t i;

	json_array_foreach (array, i, item)
		if (json_object_set(index, view_string(item, "id"), item) < 0) {
			json_decref(index);
			return -ENOMEM;
		}
	*ret = index;
	return index ? 0 : -ENOMEM;
}

static int compare_lists(json_t *list, const struct place *place, const json_t *old, const json_t *new)
{
	json_auto_t *old_index = NULL, *new_index = NULL;
	json_t *item;
	size_t i;
	int r = index_by_id(old, &old_index);

	if (r == 0)
		r = index_by_id(new, &new_index);
	json_array_foreach (new, i, item) {
		const json_t *before = json_object_get(old_index, view_string(item, "id"));

		if (r == 0)
			r = before ? compare_objects(list, place, before, item)
				   : append_change(list, "added", place, item, NULL);
	}
	json_array_foreach (old, i, item)
		if (r == 0 && !json_object_get(new_index, view_string(item, "id")))
			r = append_change(list, "removed", place, item, NULL);
	return r;
}

static int compare_single(json_t *list, const struct place *place, const json_t *old, const json_t *new)
{
	bool was = json_is_object(old), is = json_is_object(new);

	if (was && is && streq(view_string(old, "id"), view_string(new, "id")))
		return compare_objects(list, place, old, new);
	if (was && append_change(list, "removed", place, old, NULL) < 0)
		return -ENOMEM;
	return is ? append_change(list, "added", place, new, NULL) : 0;
}

static int compare_children(json_t *list, const struct place *place, const json_t *old, const json_t *new)
{
	_cleanup_text_ struct text of = TEXT_INIT;
	struct place below = {.depth = place->depth + 1};
	int r = 0;

	if (place->depth > 0) {
		text_printf(&of, "%s ", place->kind);
		target_append_name(new, &of);
	}
	below.of = text_peek(&of);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(kinds); i++) {
		const json_t *before = json_object_get(old, kinds[i].key), *now = json_object_get(new, kinds[i].key);

		below.kind = kinds[i].name;
		if (kinds[i].is_list)
			r = compare_lists(list, &below, before, now);
		else
			r = compare_single(list, &below, before, now);
	}
	return r;
}

/* The fields of either that are not the same in both; what is not there is null. */
static int compare_fields(const json_t *old, const json_t *new, json_t *fields)
{
	const json_t *const sides[] = {old, new};
	const char *key;
	json_t *value;

	for (size_t i = 0; i < ELEMENTSOF(sides); i++)
		json_object_foreach ((json_t *)sides[i], key, value) {
			json_t *from = json_object_get(old, key), *to = json_object_get(new, key);

			if (find_kind(key) || json_object_get(fields, key) || (from && to && json_equal(from, to)) ||
				(!from && json_is_null(to)) || (!to && json_is_null(from)))
				continue;
			if (json_object_set_new(fields, key,
				    json_pack("{s:O?, s:O?}", "from", from, "to", to)) < 0)
				return -ENOMEM;
		}
	return 0;
}

static int compare_objects(json_t *list, const struct place *place, const json_t *old, const json_t *new)
{
	json_auto_t *fields = NULL;

	if (place->depth > MAX_DEPTH || json_equal(old, new))
		return 0;
	fields = json_object();
	if (!fields || compare_fields(old, new, fields) < 0)
		return -ENOMEM;
	if (json_object_size(fields) > 0 && append_change(list, "changed", place, new, json_incref(fields)) < 0)
		return -ENOMEM;
	return compare_children(list, place, old, new);
}

int changes_find(const json_t *old, const json_t *new, json_t **ret)
{
	static const struct place root = {.kind = "load balancer", .of = ""};
	json_auto_t *list = json_array();
	int r = list ? compare_objects(list, &root, old, new) : -ENOMEM;

	if (r == 0)
		*ret = TAKE_PTR(list);
	return r;
}

static void append_value(const json_t *value, struct text *out)
{
	_cleanup_free_ char *json = NULL;
	size_t length;

	if (json_is_string(value)) {
		text_append(out, *json_string_value(value) ? json_string_value(value) : "\"\"");
		return;
	}
	json = value && !json_is_null(value) ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("none");
	if (!json)
		return;
	length = strlen(json);
	text_append_bytes(out, json, length > SHOWN_VALUE ? SHOWN_VALUE : length);
	if (length > SHOWN_VALUE)
		text_append(out, "...");
}

/* "member a of pool web: weight 5 -> 0". */
static void append_words(const json_t *change, struct text *out)
{
	const char *key, *of = view_string(change, "of"), *separator = ": ";
	json_t *field;

	text_printf(out, "%s %s%s%s", view_string(change, "kind"), view_string(change, "name"), *of ? " of " : "", of);
	json_object_foreach (json_object_get(change, "fields"), key, field) {
		text_printf(out, "%s%s ", separator, key);
		append_value(json_object_get(field, "from"), out);
		text_append(out, " -> ");
		append_value(json_object_get(field, "to"), out);
		separator = ", ";
	}
}

static const struct sign {
	const char *change, *sign;
	enum colour colour;
} signs[] = {
	{"added", "+ ", COLOUR_GREEN},
	{"removed", "- ", COLOUR_RED},
	{"changed", "~ ", COLOUR_YELLOW},
};

static const struct sign *sign_of(const json_t *change)
{
	for (size_t i = 0; i < ELEMENTSOF(signs); i++)
		if (streq(view_string(change, "change"), signs[i].change))
			return &signs[i];
	return &signs[ELEMENTSOF(signs) - 1];
}

void changes_print(const json_t *changes, size_t shown, const char *indent, const struct terminal *terminal,
	struct text *out)
{
	json_t *change;
	size_t i;

	json_array_foreach (changes, i, change) {
		_cleanup_text_ struct text line = TEXT_INIT;

		if (i == shown)
			break;
		text_append(&line, sign_of(change)->sign);
		append_words(change, &line);
		text_append(out, indent);
		terminal_append(terminal, out, sign_of(change)->colour, text_peek(&line));
		text_append_char(out, '\n');
	}
	if (json_array_size(changes) > shown)
		text_printf(out, "%sand %zu more\n", indent, json_array_size(changes) - shown);
}

void changes_summarise(const json_t *changes, struct text *out)
{
	const json_t *first = json_array_get(changes, 0);
	size_t n = json_array_size(changes);

	if (n == 0)
		return;
	text_append(out, sign_of(first)->sign);
	append_words(first, out);
	if (n > 1)
		text_printf(out, ", and %zu more", n - 1);
}
