/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <inttypes.h>
#include <string.h>

#include "api/client/changes.h"
#include "api/client/view.h"

/* What a load balancer was before, and the way back. */

enum { SHOWN_CHANGES = 50 };

static int usage(struct client *client, const char *words)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	error_set(&err, ERROR_INVALID, NULL, "%s", words);
	client_complain(client, &err);
	return CLIENT_USAGE;
}

static int parse_revision(struct client *client, const char *argument, int64_t *ret)
{
	if (text_to_int64(argument, ret) == 0 && *ret > 0)
		return CLIENT_OK;
	return usage(client, "a revision is a number (amphoractl revisions ID|NAME)");
}

/* *ret is NULL if it is not kept. */
static int ask_for_revision(struct client *client, const char *id, int64_t revision, json_t **ret)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	char path[CLIENT_PATH_SIZE], below[40];
	int status;

	snprintf(below, sizeof(below), "/revisions/%" PRId64, revision);
	client_path(path, id, below);
	status = client_get(client, path, 404, &reply);
	if (status == CLIENT_OK && reply.status != 404)
		return client_parse(client, &reply, "loadbalancer", ret);
	*ret = NULL;
	return status;
}

static int get_revision(struct client *client, const char *id, int64_t revision, json_t **ret)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	int status = ask_for_revision(client, id, revision, ret);

	if (status != CLIENT_OK || *ret)
		return status;
	error_set(&err, ERROR_NOT_FOUND, NULL,
		"revision %" PRId64 " is not kept (\"amphoractl revisions ID|NAME\" lists those that are)", revision);
	client_complain(client, &err);
	return CLIENT_REFUSED;
}

static int find_changes(struct client *client, const json_t *old, const json_t *new, json_t **ret)
{
	if (changes_find(json_object_get(old, "loadbalancer"), json_object_get(new, "loadbalancer"), ret) < 0)
		return client_out_of_memory(client);
	return CLIENT_OK;
}

/* Gives each revision of the list, newest first, what it changed. The oldest has nothing to be compared with, nor has one
 * whose predecessor was dropped meanwhile. */
static int add_changes(struct client *client, const char *id, json_t *revisions)
{
	_cleanup_(json_decrefp) json_t *newer = NULL;
	json_t *row, *newer_row = NULL;
	size_t i;

	json_array_foreach (revisions, i, row) {
		_cleanup_(json_decrefp) json_t *older = NULL, *changes = NULL;
		int status = ask_for_revision(
			client, id, json_integer_value(json_object_get(row, "revision")), &older);

		if (status == CLIENT_OK && !older)
			break;
		if (status == CLIENT_OK && newer)
			status = find_changes(client, older, newer, &changes);
		if (status != CLIENT_OK)
			return status;
		if (changes && json_object_set(newer_row, "changes", changes) < 0)
			return client_out_of_memory(client);
		json_decref(newer);
		newer = TAKE_PTR(older);
		newer_row = row;
	}
	return CLIENT_OK;
}

static int set_number(struct table *table, size_t column, const json_t *object, const char *key)
{
	char number[HUMAN_SIZE];

	snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(object, key)));
	return table_set(table, column, COLOUR_PLAIN, number);
}

static int view_revisions(const json_t *revisions, const struct terminal *terminal, struct text *out)
{
	static const struct table_column columns[] = {
		{"REVISION", true}, {"UPDATED (UTC)", false}, {"MEMBERS", true}, {"CHANGES", false}};
	_cleanup_table_ struct table *table = NULL;
	json_t *row;
	size_t i;

	if (table_new(columns, ELEMENTSOF(columns), &table) < 0)
		return -ENOMEM;
	json_array_foreach (revisions, i, row) {
		const json_t *changes = json_object_get(row, "changes");
		bool current = json_is_true(json_object_get(row, "current"));
		_cleanup_text_ struct text summary = TEXT_INIT;

		changes_summarise(changes, &summary);
		if (table_add_row(table) < 0 || set_number(table, 0, row, "revision") < 0 ||
			table_set(table, 1, current ? COLOUR_BOLD : COLOUR_PLAIN, view_string(row, "updated_at")) <
				0 ||
			set_number(table, 2, row, "members") < 0 || summary.failed ||
			table_set(table, 3, COLOUR_PLAIN, changes ? text_peek(&summary) : "(the oldest that is kept)") <
				0)
			return -ENOMEM;
	}
	table_print(table, terminal, out);
	return 0;
}

static int list_revisions(struct client *client, const char *id)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[CLIENT_PATH_SIZE];
	json_t *revisions;
	int status;

	client_path(path, id, "/revisions");
	status = client_get_json(client, path, "revisions", &reply);
	revisions = json_object_get(reply, "revisions");
	if (status == CLIENT_OK)
		status = add_changes(client, id, revisions);
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, reply);
	if (view_revisions(revisions, &client->out, &out) < 0)
		return client_out_of_memory(client);
	return client_print(client, &out);
}

static int print_changes(struct client *client, const json_t *changes, const char *none)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	if (client->options->json)
		return client_print_json(client, changes);
	if (json_array_size(changes) == 0)
		text_printf(&out, "%s\n", none);
	changes_print(changes, SHOWN_CHANGES, "", &client->out, &out);
	return client_print(client, &out);
}

/* From one revision to another one, or to the definition in force. */
static int compare_revisions(struct client *client, const char *id, char *const *arguments, size_t n)
{
	_cleanup_(json_decrefp) json_t *old = NULL, *new = NULL, *changes = NULL;
	char revision[HTTP_MAX_HEADER];
	int64_t from, to = 0;
	int status = parse_revision(client, arguments[0], &from);

	if (status == CLIENT_OK && n > 1)
		status = parse_revision(client, arguments[1], &to);
	if (status == CLIENT_OK)
		status = get_revision(client, id, from, &old);
	if (status == CLIENT_OK)
		status = to > 0 ? get_revision(client, id, to, &new) : client_get_definition(client, id, &new, revision);
	if (status == CLIENT_OK)
		status = find_changes(client, old, new, &changes);
	return status == CLIENT_OK ? print_changes(client, changes, "There is no difference.") : status;
}

int command_revisions(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_free_ char *id = NULL;
	int status = client_find_one(client, arguments[0], &id);

	if (status != CLIENT_OK)
		return status;
	if (n_arguments > 1)
		return compare_revisions(client, id, arguments + 1, n_arguments - 1);
	return list_revisions(client, id);
}

/* The newest one that is older than that in force. */
static int find_previous(struct client *client, const char *id, int64_t *ret)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	char path[CLIENT_PATH_SIZE];
	bool seen = false;
	json_t *row;
	size_t i;
	int status;

	client_path(path, id, "/revisions");
	status = client_get_json(client, path, "revisions", &reply);
	if (status != CLIENT_OK)
		return status;
	json_array_foreach (json_object_get(reply, "revisions"), i, row) {
		if (seen) {
			*ret = json_integer_value(json_object_get(row, "revision"));
			return CLIENT_OK;
		}
		seen = json_is_true(json_object_get(row, "current"));
	}
	usage(client, "there is no revision before this one (amphoractl revisions ID|NAME)");
	return CLIENT_REFUSED;
}

static int post_rollback(struct client *client, const char *id, int64_t revision, const char *if_match, json_t **ret,
	char ret_apply[HTTP_MAX_HEADER])
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	char path[CLIENT_PATH_SIZE], body[64];
	const struct http_request request = {
		.method = "POST",
		.path = path,
		.body = body,
		.body_length = (size_t)snprintf(body, sizeof(body), "{\"revision\": %" PRId64 "}", revision),
		.if_match = if_match,
	};
	int status;

	client_path(path, id, client->options->dry_run ? "/rollback?dry_run=true" : "/rollback");
	status = client_exchange(client, &request, 0, &reply);
	if (status != CLIENT_OK)
		return status;
	memcpy(ret_apply, reply.apply, HTTP_MAX_HEADER);
	return client_parse(client, &reply, "loadbalancer", ret);
}

static int report_rollback(
	struct client *client, const char *id, const json_t *changes, json_t *reply, const char *apply)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	if (client->options->json) {
		if (json_object_set(reply, "changes", (json_t *)changes) < 0)
			return client_out_of_memory(client);
		return client_print_json(client, reply);
	}
	if (client->options->quiet)
		return CLIENT_OK;
	changes_print(changes, SHOWN_CHANGES, "", &client->out, &out);
	if (client->options->dry_run)
		view_plan(id, reply, &client->out, &out);
	else
		view_applied(id, reply, false, apply, &client->out, &out);
	return client_print(client, &out);
}

/* What is shown is what is done: a change by somebody else in between is refused. */
int command_rollback(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_(json_decrefp) json_t *current = NULL, *wanted = NULL, *changes = NULL, *reply = NULL;
	char revision[HTTP_MAX_HEADER], apply[HTTP_MAX_HEADER];
	_cleanup_free_ char *id = NULL;
	int64_t number = 0;
	int status = n_arguments > 1 ? parse_revision(client, arguments[1], &number) : CLIENT_OK;

	if (status == CLIENT_OK)
		status = client_find_one(client, arguments[0], &id);
	if (status == CLIENT_OK && number == 0)
		status = find_previous(client, id, &number);
	if (status == CLIENT_OK)
		status = get_revision(client, id, number, &wanted);
	if (status == CLIENT_OK)
		status = client_get_definition(client, id, &current, revision);
	if (status == CLIENT_OK)
		status = find_changes(client, current, wanted, &changes);
	if (status == CLIENT_OK)
		status = post_rollback(client, id, number, *revision ? revision : NULL, &reply, apply);
	return status == CLIENT_OK ? report_rollback(client, id, changes, reply, apply) : status;
}
