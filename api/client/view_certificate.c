/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/view.h"

#include <stdio.h>
#include <time.h>

enum {
	SOON_S = 30 * 24 * 60 * 60,
	SHOWN_REASONS = 5,
	TIME_SIZE = sizeof("2026-01-31T23:59:59"),
};

/* Times of the API sort as text does. */
static void format_time(int64_t time_s, char ret[TIME_SIZE])
{
	time_t value = (time_t)time_s;
	struct tm tm;

	if (!gmtime_r(&value, &tm) || strftime(ret, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		ret[0] = '\0';
}

static enum colour end_colour(const char *not_after, int64_t now_s)
{
	char now[TIME_SIZE], soon[TIME_SIZE];

	format_time(now_s, now);
	format_time(now_s + SOON_S, soon);
	if (!*not_after)
		return COLOUR_PLAIN;
	return strcmp(not_after, now) < 0 ? COLOUR_RED : strcmp(not_after, soon) < 0 ? COLOUR_YELLOW : COLOUR_PLAIN;
}

static void append_end(const json_t *certificate, int64_t now_s, struct text *out)
{
	const char *end = view_string(certificate, "not_after");

	text_append(out, *end ? end : "-");
	if (end_colour(end, now_s) == COLOUR_RED)
		text_append(out, " (expired)");
}

static void append_names(const json_t *certificate, struct text *out)
{
	const json_t *names = json_object_get(certificate, "dns_names");
	const char *fallback = view_string(certificate, "subject");
	const char *first = json_string_value(json_array_get(names, 0));

	if (!*fallback)
		fallback = view_string(certificate, "issuer");
	text_append(out, first ? first : fallback);
	if (json_array_size(names) > 1)
		text_printf(out, " and %zu more", json_array_size(names) - 1);
}

int view_certificates(const json_t *reply, int64_t now_s, const struct terminal *terminal, struct text *out)
{
	static const struct table_column columns[] = {
		{"NAME", false}, {"TYPE", false}, {"VALID UNTIL", false}, {"USES", true}, {"FOR", false}};
	_cleanup_table_ struct table *table = NULL;
	json_t *certificate;
	size_t i;

	if (table_new(columns, ELEMENTSOF(columns), &table) < 0)
		return -ENOMEM;
	json_array_foreach (json_object_get(reply, "certificates"), i, certificate) {
		_cleanup_text_ struct text end = TEXT_INIT, names = TEXT_INIT;
		char uses[HUMAN_SIZE];

		snprintf(uses, sizeof(uses), "%zu", json_array_size(json_object_get(certificate, "used_by")));
		append_end(certificate, now_s, &end);
		append_names(certificate, &names);
		if (end.failed || names.failed || table_add_row(table) < 0 ||
			table_set(table, 0, COLOUR_BOLD, view_string(certificate, "name")) < 0 ||
			table_set(table, 1, COLOUR_PLAIN, view_string(certificate, "type")) < 0 ||
			table_set(table, 2, end_colour(view_string(certificate, "not_after"), now_s), text_peek(&end)) < 0 ||
			table_set(table, 3, COLOUR_PLAIN, uses) < 0 ||
			table_set(table, 4, COLOUR_PLAIN, text_peek(&names)) < 0)
			return -ENOMEM;
	}
	table_print(table, terminal, out);
	return 0;
}

static int add_field(struct table *table, const char *key, enum colour colour, const char *value)
{
	if (!*value)
		return 0;
	return table_add_row(table) < 0 || table_set(table, 0, COLOUR_DIM, key) < 0 ||
			table_set(table, 1, colour, value) < 0
		? -ENOMEM
		: 0;
}

static int add_users(struct table *table, const json_t *users)
{
	json_t *user;
	size_t i;

	json_array_foreach (users, i, user) {
		_cleanup_text_ struct text line = TEXT_INIT;
		const char *pool = view_string(user, "pool_id");

		text_printf(&line, "%s of %s %s of load balancer %s", view_string(user, "field"),
			*pool ? "pool" : "listener", *pool ? pool : view_string(user, "listener_id"),
			view_string(user, "loadbalancer_id"));
		if (line.failed || add_field(table, i == 0 ? "used_by" : "", COLOUR_PLAIN, text_peek(&line)) < 0)
			return -ENOMEM;
	}
	return i > 0 ? 0 : add_field(table, "used_by", COLOUR_DIM, "nobody");
}

int view_certificate(const json_t *reply, int64_t now_s, const struct terminal *terminal, struct text *out)
{
	static const char *const keys[] = {"name", "type", "subject", "issuer", "key_type", "serial", "not_before"};
	static const struct table_column columns[] = {{NULL, false}, {NULL, false}};
	const json_t *certificate = json_object_get(reply, "certificate"), *name;
	_cleanup_table_ struct table *table = NULL;
	_cleanup_text_ struct text end = TEXT_INIT;
	char count[HUMAN_SIZE];
	size_t i;

	if (table_new(columns, ELEMENTSOF(columns), &table) < 0)
		return -ENOMEM;
	for (i = 0; i < ELEMENTSOF(keys); i++)
		if (add_field(table, keys[i], COLOUR_PLAIN, view_string(certificate, keys[i])) < 0)
			return -ENOMEM;
	append_end(certificate, now_s, &end);
	if (end.failed || add_field(table, "not_after", end_colour(view_string(certificate, "not_after"), now_s),
				  text_peek(&end)) < 0)
		return -ENOMEM;
	json_array_foreach (json_object_get(certificate, "dns_names"), i, name)
		if (add_field(table, i == 0 ? "dns_names" : "", COLOUR_PLAIN, json_is_string(name) ? json_string_value(name) : "") < 0)
			return -ENOMEM;
	snprintf(count, sizeof(count), "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(certificate, "count")));
	if (add_field(table, "count", COLOUR_PLAIN, count) < 0 ||
		add_field(table, "sha256", COLOUR_PLAIN, view_string(certificate, "sha256")) < 0 ||
		add_users(table, json_object_get(certificate, "used_by")) < 0)
		return -ENOMEM;
	table_print(table, terminal, out);
	return 0;
}

void view_certificate_applied(const char *name, const json_t *reply, bool created, const struct terminal *terminal,
	struct text *out)
{
	const json_t *list = json_object_get(json_object_get(reply, "apply"), "loadbalancers");
	json_t *lb;
	size_t i;

	terminal_append(terminal, out, COLOUR_BOLD, name);
	text_append(out, created ? ": created" : ": stored");
	if (json_array_size(list) == 0)
		text_append(out, ", no load balancer uses it yet");
	text_append_char(out, '\n');
	json_array_foreach (list, i, lb) {
		const char *action = view_string(lb, "action"), *trouble = view_string(lb, "trouble");
		const json_t *reasons = json_object_get(lb, "reasons"), *duration = json_object_get(lb, "duration_ms");

		text_append(out, "  ");
		terminal_append(terminal, out, COLOUR_PLAIN, view_string(lb, "id"));
		text_append(out, ": ");
		if (*trouble) {
			terminal_append(terminal, out, COLOUR_RED, trouble);
			text_append_char(out, '\n');
			continue;
		}
		terminal_append(terminal, out, view_action_colour(action), action);
		if (json_array_size(reasons) > 0) {
			text_append(out, ": ");
			view_items(reasons, SHOWN_REASONS, "", "; ", COLOUR_PLAIN, terminal, out);
		}
		if (json_is_integer(duration))
			text_printf(out, " (%" JSON_INTEGER_FORMAT " ms)", json_integer_value(duration));
		text_append_char(out, '\n');
	}
}
