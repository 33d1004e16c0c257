/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/client/table.h"
#include "api/client/target.h"
#include "api/client/view.h"

#define RATE_MAX 1e15
#define SESSIONS_MAX (INT64_C(1) << 40)
#define LINE_FORMAT "%-20s %-13s %-10s %6s %8s %9s %11s %11s %s\n"

/* What is known of one object; sums of them are those of what is above it. */
struct figures {
	bool known, rated;
	int64_t sessions;
	double requests, bytes_in, bytes_out; /* a second */
};

/* One look's rows by what they are about. */
static int index_activity(const json_t *activity, json_t **ret)
{
	json_auto_t *index = json_object();
	json_t *listener, *pool, *member;
	size_t i, j;

	json_array_foreach (json_object_get(activity, "listeners"), i, listener)
		if (json_object_set(index, view_string(listener, "id"), listener) < 0)
			return -ENOMEM;
	json_array_foreach (json_object_get(activity, "pools"), i, pool) {
		_cleanup_text_ struct text key = TEXT_INIT;
		size_t length;

		text_printf(&key, "%s:%s", view_string(pool, "id"), view_string(pool, "listener_id"));
		length = key.length;
		if (key.failed || json_object_set(index, text_peek(&key), pool) < 0)
			return -ENOMEM;
		json_array_foreach (json_object_get(pool, "members"), j, member) {
			text_truncate(&key, length);
			text_printf(&key, "/%s", view_string(member, "id"));
			if (key.failed || json_object_set(index, text_peek(&key), member) < 0)
				return -ENOMEM;
		}
	}
	if (!index)
		return -ENOMEM;
	*ret = TAKE_PTR(index);
	return 0;
}

struct builder {
	json_t *now, *before; /* indexes */
	double elapsed_s;     /* 0: there is no earlier look */
	json_t *rows;
};

static double difference(const json_t *now, const json_t *before, const char *key)
{
	return (double)json_integer_value(json_object_get(now, key)) -
	       (double)json_integer_value(json_object_get(before, key));
}

/* A counter that went back is one of a new worker: nothing is known of the time between. */
static void measure(const struct builder *b, const char *key, struct figures *ret)
{
	const json_t *now = json_object_get(b->now, key), *before = json_object_get(b->before, key);
	double connections, requests;

	*ret = (struct figures){.known = now != NULL};
	ret->sessions = json_integer_value(json_object_get(now, "active_connections"));
	if (ret->sessions < 0 || ret->sessions > SESSIONS_MAX)
		ret->sessions = 0;
	if (!now || !before || b->elapsed_s <= 0)
		return;
	connections = difference(now, before, "total_connections");
	requests = difference(now, before, "requests");
	ret->requests = (requests > connections ? requests : connections) / b->elapsed_s;
	ret->bytes_in = difference(now, before, "bytes_in") / b->elapsed_s;
	ret->bytes_out = difference(now, before, "bytes_out") / b->elapsed_s;
	ret->rated = connections >= 0 && requests >= 0 && ret->bytes_in >= 0 && ret->bytes_out >= 0;
}

static void add_up(struct figures *sum, const struct figures *part)
{
	sum->known = sum->known || part->known;
	sum->sessions += part->sessions;
	if (!part->rated)
		return;
	sum->rated = true;
	sum->requests += part->requests;
	sum->bytes_in += part->bytes_in;
	sum->bytes_out += part->bytes_out;
}

static json_t *rate(const struct figures *figures, double value)
{
	/* A tenth is as exact as anybody wants it, and what a server makes up ends somewhere. */
	if (value > RATE_MAX)
		value = RATE_MAX;
	return figures->rated ? json_real((double)(int64_t)(value * 10 + 0.5) / 10) : json_null();
}

static int set_figures(json_t *row, const struct figures *figures)
{
	return json_object_set_new(row, "active_connections",
		       figures->known ? json_integer(figures->sessions) : json_null()) < 0 ||
			json_object_set_new(row, "requests_per_s", rate(figures, figures->requests)) < 0 ||
			json_object_set_new(row, "bytes_in_per_s", rate(figures, figures->bytes_in)) < 0 ||
			json_object_set_new(row, "bytes_out_per_s", rate(figures, figures->bytes_out)) < 0
		? -ENOMEM
		: 0;
}

/* Where an object stands. */
struct place {
	const char *kind;
	unsigned depth;
	const char *path; /* of what is above it, "" or with a '/' at its end */
};

/* Without figures, which may depend on what is below it. *ret stays the list's. */
static int add_row(struct builder *b, const struct place *place, const json_t *object, const char *status, json_t **ret)
{
	_cleanup_text_ struct text name = TEXT_INIT, path = TEXT_INIT;
	json_t *row;

	target_append_name(object, &name);
	text_printf(&path, "%s%s", place->path, text_peek(&name));
	row = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:n}", "kind", place->kind, "depth", (int)place->depth, "path",
		text_peek(&path), "id", view_string(object, "id"), "name", text_peek(&name), "operating_status", status,
		"weight");
	if (name.failed || path.failed || json_array_append_new(b->rows, row) < 0)
		return -ENOMEM;
	*ret = row;
	return 0;
}

static int add_member(struct builder *b, const struct place *place, const char *backend, const json_t *member,
	const char *status, struct figures *sum)
{
	_cleanup_text_ struct text key = TEXT_INIT;
	struct figures figures;
	const json_t *weight;
	json_t *row;

	text_printf(&key, "%s/%s", backend, view_string(member, "id"));
	if (key.failed || add_row(b, place, member, status, &row) < 0)
		return -ENOMEM;
	measure(b, text_peek(&key), &figures);
	add_up(sum, &figures);
	weight = json_object_get(json_object_get(b->now, text_peek(&key)), "weight");
	if (weight && json_object_set(row, "weight", (json_t *)weight) < 0)
		return -ENOMEM;
	return set_figures(row, &figures);
}

static int add_members(struct builder *b, const struct place *place, const char *backend, const json_t *pool,
	struct figures *sum)
{
	json_t *member;
	size_t i;
	int r = 0;

	json_array_foreach (json_object_get(pool, "members"), i, member)
		if (r == 0)
			r = add_member(b, place, backend, member, view_string(member, "operating_status"), sum);
	/* Those that were removed serve on until their sessions end. */
	json_array_foreach (json_object_get(json_object_get(b->now, backend), "members"), i, member)
		if (r == 0 && json_is_true(json_object_get(member, "leaving")))
			r = add_member(b, place, backend, member, "LEAVING", sum);
	return r;
}

static int add_pools(struct builder *b, unsigned depth, const char *path, const json_t *parent, const char *listener_id)
{
	json_t *pool, *row;
	size_t i;

	json_array_foreach (json_object_get(parent, "pools"), i, pool) {
		const struct place place = {.kind = "pool", .depth = depth, .path = path};
		_cleanup_text_ struct text backend = TEXT_INIT, below = TEXT_INIT;
		struct figures sum = {.known = false};
		struct place members;

		text_printf(&backend, "%s:%s", view_string(pool, "id"), listener_id);
		text_printf(&below, "%s", path);
		target_append_name(pool, &below);
		text_append_char(&below, '/');
		members = (struct place){.kind = "member", .depth = depth + 1, .path = text_peek(&below)};
		if (backend.failed || below.failed ||
			add_row(b, &place, pool, view_string(pool, "operating_status"), &row) < 0 ||
			add_members(b, &members, text_peek(&backend), pool, &sum) < 0 || set_figures(row, &sum) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_listeners(struct builder *b, const char *path, const json_t *lb, struct figures *sum)
{
	const struct place place = {.kind = "listener", .depth = 1, .path = path};
	json_t *listener, *row;
	size_t i;

	json_array_foreach (json_object_get(lb, "listeners"), i, listener) {
		const char *id = view_string(listener, "id");
		_cleanup_text_ struct text below = TEXT_INIT;
		struct figures figures;

		text_append(&below, path);
		target_append_name(listener, &below);
		text_append_char(&below, '/');
		measure(b, id, &figures);
		add_up(sum, &figures);
		if (below.failed ||
			add_row(b, &place, listener, view_string(listener, "operating_status"), &row) < 0 ||
			set_figures(row, &figures) < 0 || add_pools(b, 2, text_peek(&below), listener, id) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int build(struct builder *b, const json_t *lb)
{
	const struct place place = {.kind = "load balancer", .path = ""};
	_cleanup_text_ struct text path = TEXT_INIT;
	struct figures sum = {.known = false};
	json_t *row;

	target_append_name(lb, &path);
	text_append_char(&path, '/');
	if (path.failed || add_row(b, &place, lb, view_string(lb, "operating_status"), &row) < 0 ||
		add_listeners(b, text_peek(&path), lb, &sum) < 0 || add_pools(b, 1, text_peek(&path), lb, "") < 0)
		return -ENOMEM;
	return set_figures(row, &sum);
}

int watch_rows(const json_t *status, const json_t *activity, const json_t *before, double elapsed_s, json_t **ret)
{
	json_auto_t *now_index = NULL, *before_index = NULL, *rows = json_array();
	struct builder builder = {.elapsed_s = before ? elapsed_s : 0, .rows = rows};

	if (!rows || index_activity(activity, &now_index) < 0 || index_activity(before, &before_index) < 0)
		return -ENOMEM;
	builder.now = now_index;
	builder.before = before_index;
	if (build(&builder, json_object_get(json_object_get(status, "statuses"), "loadbalancer")) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(rows);
	return 0;
}

/* 0, 3.5, 120, 12.3k. */
static void human_rate(const json_t *value, char ret[HUMAN_SIZE])
{
	double number = json_number_value(value);

	if (!json_is_number(value))
		snprintf(ret, HUMAN_SIZE, "-");
	else if (number > 0 && number < 99.95)
		snprintf(ret, HUMAN_SIZE, "%.1f", number);
	else
		human_count((uint64_t)(number + 0.5), ret);
}

static void human_bytes_rate(const json_t *value, char ret[HUMAN_SIZE])
{
	if (json_is_number(value))
		human_bytes((uint64_t)(json_number_value(value) + 0.5), ret);
	else
		snprintf(ret, HUMAN_SIZE, "-");
}

static void human_integer(const json_t *value, char ret[HUMAN_SIZE])
{
	if (json_is_integer(value))
		snprintf(ret, HUMAN_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		snprintf(ret, HUMAN_SIZE, "-");
}

static int table_row(struct table *table, const json_t *row)
{
	json_int_t depth = json_integer_value(json_object_get(row, "depth"));
	const char *kind = view_string(row, "kind"), *status = view_string(row, "operating_status");
	bool is_named = streq(kind, "load balancer") || streq(kind, "member");
	_cleanup_text_ struct text name = TEXT_INIT;
	char cells[5][HUMAN_SIZE];

	terminal_pad(&name, 2 * (size_t)depth);
	text_printf(&name, "%s%s%s", is_named ? "" : kind, is_named ? "" : " ", view_string(row, "name"));
	human_integer(json_object_get(row, "weight"), cells[0]);
	human_integer(json_object_get(row, "active_connections"), cells[1]);
	human_rate(json_object_get(row, "requests_per_s"), cells[2]);
	human_bytes_rate(json_object_get(row, "bytes_in_per_s"), cells[3]);
	human_bytes_rate(json_object_get(row, "bytes_out_per_s"), cells[4]);
	if (!streq(kind, "member"))
		cells[0][0] = '\0';
	if (name.failed || table_add_row(table) < 0 ||
		table_set(table, 0, depth == 0 ? COLOUR_BOLD : COLOUR_PLAIN, text_peek(&name)) < 0 ||
		table_set(table, 1, terminal_status_colour(status), status) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ELEMENTSOF(cells); i++)
		if (table_set(table, i + 2, COLOUR_PLAIN, cells[i]) < 0)
			return -ENOMEM;
	return 0;
}

int watch_table(const json_t *rows, const struct terminal *terminal, struct text *out)
{
	static const struct table_column columns[] = {{"NAME", false}, {"STATUS", false}, {"WEIGHT", true},
		{"SESSIONS", true}, {"REQ/S", true}, {"IN/S", true}, {"OUT/S", true}};
	_cleanup_table_ struct table *table = NULL;
	json_t *row;
	size_t i;
	int r = table_new(columns, ELEMENTSOF(columns), &table);

	json_array_foreach (rows, i, row)
		if (r == 0)
			r = table_row(table, row);
	if (r == 0)
		table_print(table, terminal, out);
	return r;
}

void watch_heading(struct text *out)
{
	text_printf(out, LINE_FORMAT, "TIME", "KIND", "STATUS", "WEIGHT", "SESSIONS", "REQ/S", "BYTES_IN/S",
		"BYTES_OUT/S", "NAME");
}

static void exact_rate(const json_t *value, int decimals, char ret[HUMAN_SIZE])
{
	if (json_is_number(value))
		snprintf(ret, HUMAN_SIZE, "%.*f", decimals, json_number_value(value));
	else
		snprintf(ret, HUMAN_SIZE, "-");
}

void watch_lines(const json_t *rows, const char *time, const struct terminal *terminal, struct text *out)
{
	json_t *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		const char *kind = view_string(row, "kind"), *status = view_string(row, "operating_status");
		_cleanup_text_ struct text path = TEXT_INIT, safe_status = TEXT_INIT;
		char weight[HUMAN_SIZE], sessions[HUMAN_SIZE], requests[HUMAN_SIZE], in[HUMAN_SIZE], out_s[HUMAN_SIZE];

		human_integer(json_object_get(row, "weight"), weight);
		human_integer(json_object_get(row, "active_connections"), sessions);
		exact_rate(json_object_get(row, "requests_per_s"), 1, requests);
		exact_rate(json_object_get(row, "bytes_in_per_s"), 0, in);
		exact_rate(json_object_get(row, "bytes_out_per_s"), 0, out_s);
		terminal_append(terminal, &path, COLOUR_PLAIN, view_string(row, "path"));
		terminal_append(terminal, &safe_status, COLOUR_PLAIN, *status ? status : "-");
		text_printf(out, LINE_FORMAT, time, streq(kind, "load balancer") ? "loadbalancer" : kind,
			text_peek(&safe_status), weight, sessions, requests, in, out_s, text_peek(&path));
	}
}
