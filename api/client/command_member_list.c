/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/member.h"

#include <string.h>

#include "api/client/view.h"

/* The members of one pool or of all, with what goes on in them. */

/* id -> operating_status of every member of a pool that is there for "pools". */
static int collect_statuses(const json_t *parent, json_t *index)
{
	json_t *pool, *member;
	size_t i, j;

	json_array_foreach (json_object_get(parent, "pools"), i, pool)
		json_array_foreach (json_object_get(pool, "members"), j, member)
			if (json_object_set_new(index, view_string(member, "id"),
				    json_string(view_string(member, "operating_status"))) < 0)
				return -ENOMEM;
	return 0;
}

static int index_statuses(const json_t *reply, json_t **ret)
{
	const json_t *lb = json_object_get(json_object_get(reply, "statuses"), "loadbalancer");
	json_auto_t *index = json_object();
	json_t *listener;
	size_t i;
	int r = index ? collect_statuses(lb, index) : -ENOMEM;

	json_array_foreach (json_object_get(lb, "listeners"), i, listener)
		if (r == 0)
			r = collect_statuses(listener, index);
	if (r == 0)
		*ret = TAKE_PTR(index);
	return r;
}

/* id -> sessions of every member: one of ten thousand is found at once. */
static int index_sessions(const json_t *activity, json_t **ret)
{
	json_auto_t *index = json_object();
	json_t *pool, *member;
	size_t i, j;

	if (!index)
		return -ENOMEM;
	json_array_foreach (json_object_get(activity, "pools"), i, pool)
		json_array_foreach (json_object_get(pool, "members"), j, member) {
			const char *id = view_string(member, "id");
			json_int_t others = json_integer_value(json_object_get(index, id));

			if (json_object_set_new(index, id, json_integer(others + member_row_sessions(member))) < 0)
				return -ENOMEM;
		}
	*ret = TAKE_PTR(index);
	return 0;
}

/* One row: the member as it is defined, and what it does. */
static int append_member(
	json_t *rows, const json_t *pool, const json_t *member, const json_t *statuses, const json_t *sessions)
{
	const char *id = view_string(member, "id"), *status = view_string(statuses, id);
	json_auto_t *row = json_copy((json_t *)member);
	const json_t *own = json_object_get(sessions, id);

	if (!row || json_object_set(row, "pool_id", json_object_get(pool, "id")) < 0 ||
		json_object_set(row, "pool_name", json_object_get(pool, "name")) < 0 ||
		json_object_set_new(row, "operating_status", json_string(status)) < 0 ||
		json_object_set_new(row, "active_connections", own ? json_incref((json_t *)own) : json_null()) < 0 ||
		json_array_append(rows, row) < 0)
		return -ENOMEM;
	return 0;
}

/* "only": the id of a pool, NULL: of all. */
static int append_rows(struct client *client, const json_t *lb, const char *only, json_t *rows)
{
	_cleanup_(json_decrefp) json_t *status_reply = NULL, *activity_reply = NULL, *statuses = NULL,
			      *sessions = NULL;
	const char *id = view_string(lb, "id");
	char path[CLIENT_PATH_SIZE];
	json_t *pool, *member;
	size_t i, j;
	int status;

	client_path(path, id, "/status");
	status = client_get_json(client, path, "statuses", &status_reply);
	client_path(path, id, "/activity");
	if (status == CLIENT_OK)
		status = client_get_json(client, path, "activity", &activity_reply);
	if (status != CLIENT_OK)
		return status;
	if (index_statuses(status_reply, &statuses) < 0 ||
		index_sessions(json_object_get(activity_reply, "activity"), &sessions) < 0)
		return client_out_of_memory(client);
	json_array_foreach (json_object_get(lb, "pools"), i, pool) {
		if (only && !streq(view_string(pool, "id"), only))
			continue;
		json_array_foreach (json_object_get(pool, "members"), j, member)
			if (append_member(rows, pool, member, statuses, sessions) < 0)
				return client_out_of_memory(client);
	}
	return CLIENT_OK;
}

static int append_all_of(struct client *client, json_t *lb, const char *revision, void *rows)
{
	(void)revision;
	return append_rows(client, lb, NULL, rows);
}

static int append_all(struct client *client, json_t *rows)
{
	char *const wanted[] = {(char *)client->options->loadbalancer};

	return client_each_definition(client, wanted, *wanted ? 1 : 0, append_all_of, rows);
}

static int set_integer(struct table *table, size_t column, const json_t *value)
{
	char number[HUMAN_SIZE] = "-";

	if (json_is_integer(value))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return table_set(table, column, COLOUR_PLAIN, number);
}

static int view_members(const json_t *rows, const struct terminal *terminal, struct text *out)
{
	static const struct table_column columns[] = {{"MEMBER", false}, {"ADDRESS", false}, {"STATUS", false},
		{"WEIGHT", true}, {"SESSIONS", true}, {"POOL", false}, {"ID", false}};
	_cleanup_table_ struct table *table = NULL;
	json_t *row;
	size_t i;

	if (table_new(columns, ELEMENTSOF(columns), &table) < 0)
		return -ENOMEM;
	json_array_foreach (rows, i, row) {
		const char *status = view_string(row, "operating_status"), *pool = view_string(row, "pool_name");
		_cleanup_text_ struct text name = TEXT_INIT, endpoint = TEXT_INIT;

		target_append_name(row, &name);
		target_append_endpoint(row, &endpoint);
		if (name.failed || endpoint.failed || table_add_row(table) < 0 ||
			table_set(table, 0, COLOUR_PLAIN, text_peek(&name)) < 0 ||
			table_set(table, 1, COLOUR_PLAIN, text_peek(&endpoint)) < 0 ||
			table_set(table, 2, terminal_status_colour(status), status) < 0 ||
			set_integer(table, 3, json_object_get(row, "weight")) < 0 ||
			set_integer(table, 4, json_object_get(row, "active_connections")) < 0 ||
			table_set(table, 5, COLOUR_PLAIN, *pool ? pool : view_string(row, "pool_id")) < 0 ||
			table_set(table, 6, COLOUR_DIM, view_string(row, "id")) < 0)
			return -ENOMEM;
	}
	table_print(table, terminal, out);
	return 0;
}

int member_list(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_(json_decrefp) json_t *reply = json_pack("{s:[]}", "members");
	json_t *rows = json_object_get(reply, "members");
	_cleanup_target_ struct target pool = TARGET_INIT;
	_cleanup_text_ struct text out = TEXT_INIT;
	int status;

	if (!rows)
		return client_out_of_memory(client);
	if (n_arguments > 0) {
		status = target_find(client, TARGET_POOL, arguments[0], &pool);
		if (status == CLIENT_OK)
			status = append_rows(client, pool.lb, view_string(pool.object, "id"), rows);
	} else {
		status = append_all(client, rows);
	}
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, reply);
	if (json_array_size(rows) == 0) {
		client_remark(client, "no members yet (amphoractl member add POOL ADDRESS:PORT)");
		return CLIENT_OK;
	}
	if (view_members(rows, &client->out, &out) < 0)
		return client_out_of_memory(client);
	return client_print(client, &out);
}
