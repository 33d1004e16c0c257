/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	SHOWN_REASONS = 5,
	SHOWN_COMMANDS = 50,
	SHOWN_DIFFERENCES = 20,
};

const char *view_string(const json_t *object, const char *key)
{
	const char *string = json_string_value(json_object_get(object, key));

	return string ? string : "";
}

const json_t *view_find(const json_t *array, const char *id)
{
	json_t *item;
	size_t i;

	json_array_foreach (array, i, item)
		if (streq(view_string(item, "id"), id))
			return item;
	return NULL;
}

static const char *first_not_empty(const char *a, const char *b)
{
	return *a ? a : b;
}

static int set_length(struct table *table, size_t column, const json_t *array)
{
	char number[HUMAN_SIZE];

	snprintf(number, sizeof(number), "%zu", json_array_size(array));
	return table_set(table, column, COLOUR_PLAIN, number);
}

int view_list(const json_t *reply, const struct terminal *terminal, struct text *out)
{
	static const struct table_column columns[] = {
		{"NAME", false},
		{"VIP", false},
		{"OPERATING", false},
		{"PROVISIONING", false},
		{"LISTENERS", true},
		{"POOLS", true},
		{"ID", false},
	};
	static const char *const keys[] = {
		"name", "vip_address", "operating_status", "provisioning_status"};
	_cleanup_table_ struct table *table = NULL;
	json_t *lb;
	size_t i;

	if (table_new(columns, ELEMENTSOF(columns), &table) < 0)
		return -ENOMEM;
	json_array_foreach (json_object_get(reply, "loadbalancers"), i, lb) {
		int r = table_add_row(table);

		for (size_t c = 0; r == 0 && c < ELEMENTSOF(keys); c++) {
			const char *value = view_string(lb, keys[c]);

			r = table_set(table, c,
				c < 2 ? COLOUR_PLAIN : terminal_status_colour(value),
				first_not_empty(value, "-"));
		}
		if (r == 0)
			r = set_length(table, 4, json_object_get(lb, "listeners"));
		if (r == 0)
			r = set_length(table, 5, json_object_get(lb, "pools"));
		if (r == 0)
			r = table_set(table, 6, COLOUR_DIM, view_string(lb, "id"));
		if (r < 0)
			return r;
	}
	table_print(table, terminal, out);
	return 0;
}

static int add_field(struct table *table, const char *key, enum colour colour, const char *value)
{
	int r = table_add_row(table);

	if (r == 0)
		r = table_set(table, 0, COLOUR_DIM, key);
	return r == 0 ? table_set(table, 1, colour, value) : r;
}

/* Anything that is no string, as compact JSON. */
static int add_json_field(struct table *table, const char *key, const json_t *value)
{
	_cleanup_free_ char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	return json ? add_field(table, key, COLOUR_PLAIN, json) : -ENOMEM;
}

/* A list of strings, or of objects known by their id: one line each, with the name that the
 * definition gives. */
static int add_list_field(
	struct table *table, const char *key, const json_t *list, const json_t *definition)
{
	json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		_cleanup_text_ struct text line = TEXT_INIT;
		const char *id = view_string(item, "id");
		const char *name = view_string(view_find(definition, id), "name");
		int r;

		if (json_is_string(item))
			text_append(&line, json_string_value(item));
		else
			text_printf(&line, "%s%s%s", id, *name ? "  " : "", name);
		r = add_field(table, i == 0 ? key : "", COLOUR_PLAIN, text_peek(&line));
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_value(
	struct table *table, const char *key, const json_t *value, const json_t *definition)
{
	size_t length = strlen(key);
	bool is_status = length > 7 && streq(key + length - 7, "_status");

	if (!value || json_is_null(value) ||
		(json_is_string(value) && json_string_length(value) == 0))
		return 0;
	if (json_is_array(value))
		return add_list_field(table, key, value, json_object_get(definition, key));
	if (json_is_string(value))
		return add_field(table, key,
			is_status ? terminal_status_colour(json_string_value(value)) : COLOUR_PLAIN,
			json_string_value(value));
	return add_json_field(table, key, value);
}

int view_resource(const json_t *reply, const json_t *definition, const char *revision,
	const struct terminal *terminal, struct text *out)
{
	static const struct table_column columns[] = {{NULL, false}, {NULL, false}};
	static const char *const first[] = {
		"name", "id", "vip_address", "operating_status", "provisioning_status", "revision"};
	json_t *lb = json_object_get(reply, "loadbalancer"), *value;
	_cleanup_table_ struct table *table = NULL;
	const char *key;
	int r = table_new(columns, ELEMENTSOF(columns), &table);

	definition = json_object_get(definition, "loadbalancer");
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(first); i++)
		r = add_value(table, first[i], json_object_get(lb, first[i]), definition);
	if (r == 0 && *revision && !json_object_get(lb, "revision"))
		r = add_field(table, "revision", COLOUR_PLAIN, revision);
	json_object_foreach (lb, key, value) {
		bool shown = false;

		for (size_t i = 0; i < ELEMENTSOF(first); i++)
			shown = shown || streq(key, first[i]);
		if (!shown && r == 0)
			r = add_value(table, key, value, definition);
	}
	if (r == 0)
		table_print(table, terminal, out);
	return r;
}

static const struct {
	const char *title, *key;
	bool bytes;
} stats_columns[] = {
	{"ACTIVE", "active_connections", false},
	{"TOTAL", "total_connections", false},
	{"IN", "bytes_in", true},
	{"OUT", "bytes_out", true},
	{"ERRORS", "request_errors", false},
};

int view_stats_table(struct table **ret)
{
	static const struct table_column columns[] = {
		{"LOAD BALANCER / LISTENER", false},
		{"ACTIVE", true},
		{"TOTAL", true},
		{"IN", true},
		{"OUT", true},
		{"ERRORS", true},
	};

	_Static_assert(
		ELEMENTSOF(columns) == ELEMENTSOF(stats_columns) + 1, "a name and the numbers");
	return table_new(columns, ELEMENTSOF(columns), ret);
}

static int add_stats_row(struct table *table, enum colour colour, const char *indent,
	const char *name, const json_t *stats)
{
	_cleanup_text_ struct text label = TEXT_INIT;
	int r = table_add_row(table);

	text_printf(&label, "%s%s", indent, name);
	if (r == 0)
		r = table_set(table, 0, colour, text_peek(&label));
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(stats_columns); i++) {
		const json_t *value = json_object_get(stats, stats_columns[i].key);
		json_int_t number = json_integer_value(value);
		bool is_error = streq(stats_columns[i].key, "request_errors") && number > 0;
		char text[HUMAN_SIZE] = "-";

		if (json_is_integer(value) && number >= 0 && stats_columns[i].bytes)
			human_bytes((uint64_t)number, text);
		else if (json_is_integer(value) && number >= 0)
			human_count((uint64_t)number, text);
		r = table_set(table, i + 1, is_error ? COLOUR_YELLOW : COLOUR_PLAIN, text);
	}
	return r;
}

int view_stats(struct table *table, const char *id, const json_t *reply, const json_t *definition)
{
	const json_t *lb = json_object_get(definition, "loadbalancer");
	const json_t *listeners = json_object_get(lb, "listeners");
	json_t *listener;
	size_t i;
	int r = add_stats_row(table, COLOUR_BOLD, "", first_not_empty(view_string(lb, "name"), id),
		json_object_get(reply, "stats"));

	json_array_foreach (json_object_get(reply, "listeners"), i, listener) {
		const char *listener_id = view_string(listener, "id");
		const char *name = view_string(view_find(listeners, listener_id), "name");

		if (r == 0)
			r = add_stats_row(table, COLOUR_PLAIN, "  ",
				first_not_empty(name, listener_id), listener);
	}
	return r;
}

enum colour view_action_colour(const char *action)
{
	static const struct {
		const char *action;
		enum colour colour;
	} colours[] = {
		{"none", COLOUR_GREEN},
		{"runtime", COLOUR_GREEN},
		{"reload", COLOUR_YELLOW},
		{"start", COLOUR_CYAN},
	};

	for (size_t i = 0; i < ELEMENTSOF(colours); i++)
		if (streq(action, colours[i].action))
			return colours[i].colour;
	return COLOUR_PLAIN;
}

void view_subject(
	const char *id, const char *name, const struct terminal *terminal, struct text *out)
{
	if (*name) {
		terminal_append(terminal, out, COLOUR_BOLD, name);
		text_append(out, " (");
	}
	terminal_append(terminal, out, COLOUR_PLAIN, id);
	if (*name)
		text_append_char(out, ')');
}

/* Foreign lines of a list, the first few. */
void view_items(const json_t *list, size_t shown, const char *indent,
	const char *separator, enum colour colour, const struct terminal *terminal,
	struct text *out)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n && i < shown; i++) {
		const char *item = json_string_value(json_array_get(list, i));

		text_append(out, i > 0 ? separator : "");
		text_append(out, indent);
		terminal_append(terminal, out, colour, item ? item : "");
	}
	if (n > shown)
		text_printf(out, "%s%sand %zu more", separator, indent, n - shown);
}

void view_applied(const char *id, const json_t *reply, bool created, const char *action,
	const struct terminal *terminal, struct text *out)
{
	const json_t *apply = json_object_get(reply, "apply");
	const json_t *reasons = json_object_get(apply, "reasons");
	const json_t *revision = json_object_get(reply, "revision");
	const json_t *duration = json_object_get(apply, "duration_ms");
	const char *done = first_not_empty(view_string(apply, "action"), action);

	view_subject(
		id, view_string(json_object_get(reply, "loadbalancer"), "name"), terminal, out);
	text_append(out, created ? ": created" : ": ");
	if (json_is_integer(revision))
		text_printf(out, "%srevision %" JSON_INTEGER_FORMAT, created ? ", " : "",
			json_integer_value(revision));
	if (*done) {
		text_append(out, ", ");
		terminal_append(terminal, out, view_action_colour(done), done);
	}
	if (json_array_size(reasons) > 0) {
		text_append(out, ": ");
		view_items(reasons, SHOWN_REASONS, "", "; ", COLOUR_PLAIN, terminal, out);
	} else if (streq(done, "none")) {
		text_append(out, ": HAProxy runs it already");
	}
	if (json_is_integer(duration))
		text_printf(out, " (%" JSON_INTEGER_FORMAT " ms)", json_integer_value(duration));
	text_append_char(out, '\n');
}

void view_plan(
	const char *id, const json_t *reply, const struct terminal *terminal, struct text *out)
{
	const json_t *plan = json_object_get(reply, "dry_run");
	const json_t *reasons = json_object_get(plan, "reasons");
	const json_t *commands = json_object_get(plan, "commands");
	const char *action = view_string(plan, "action");
	const char *verdict = view_string(plan, "haproxy_verdict");

	text_append(out, "Plan for ");
	view_subject(
		id, view_string(json_object_get(reply, "loadbalancer"), "name"), terminal, out);
	text_append(out, ": ");
	terminal_append(terminal, out, view_action_colour(action), first_not_empty(action, "no plan"));
	text_append_char(out, '\n');
	if (json_array_size(reasons) > 0) {
		view_items(reasons, SIZE_MAX, "  ", "\n", COLOUR_PLAIN, terminal, out);
		text_append_char(out, '\n');
	}
	if (json_array_size(commands) > 0) {
		text_append(out, "Runtime API commands:\n");
		view_items(commands, SHOWN_COMMANDS, "  ", "\n", COLOUR_DIM, terminal, out);
		text_append_char(out, '\n');
	}
	if (*verdict)
		terminal_append_lines(terminal, out, COLOUR_PLAIN, "HAProxy: ", verdict);
}

struct comparison {
	const char *indent;
	const struct terminal *terminal;
	struct text *out;
	struct text pointer;
	size_t found;
};

/* Goes down where both have something; deeper than this no definition is. */
enum { MAX_DEPTH = 16 };
static void compare(struct comparison *c, const json_t *old, const json_t *new, unsigned depth);

static void compare_member(
	struct comparison *c, const char *key, const json_t *old, const json_t *new, unsigned depth)
{
	size_t length = c->pointer.length;

	text_append_char(&c->pointer, '/');
	for (; *key; key++) {
		if (*key == '~' || *key == '/')
			text_append(&c->pointer, *key == '~' ? "~0" : "~1");
		else
			text_append_char(&c->pointer, *key);
	}
	compare(c, old, new, depth + 1);
	text_truncate(&c->pointer, length);
}

static void compare(struct comparison *c, const json_t *old, const json_t *new, unsigned depth)
{
	if (json_is_object(old) && json_is_object(new) && depth < MAX_DEPTH) {
		const char *key;
		json_t *value;

		json_object_foreach ((json_t *)old, key, value) {
			const json_t *other = json_object_get(new, key);

			if (other)
				compare_member(c, key, value, other, depth);
		}
		return;
	}
	if (json_is_array(old) && json_array_size(old) == json_array_size(new) &&
		depth < MAX_DEPTH) {
		for (size_t i = 0; i < json_array_size(old); i++) {
			char index[HUMAN_SIZE];

			snprintf(index, sizeof(index), "%zu", i);
			compare_member(
				c, index, json_array_get(old, i), json_array_get(new, i), depth);
		}
		return;
	}
	if (json_equal(old, new))
		return;
	if (c->found++ < SHOWN_DIFFERENCES)
		terminal_append_lines(
			c->terminal, c->out, COLOUR_PLAIN, c->indent, text_peek(&c->pointer));
}

size_t view_differences(const json_t *old, const json_t *new, const char *indent,
	const struct terminal *terminal, struct text *out)
{
	struct comparison comparison = {.indent = indent, .terminal = terminal, .out = out};

	compare(&comparison, old, new, 0);
	if (comparison.found > SHOWN_DIFFERENCES)
		text_printf(out, "%sand %zu more\n", indent, comparison.found - SHOWN_DIFFERENCES);
	text_done(&comparison.pointer);
	return comparison.found;
}
