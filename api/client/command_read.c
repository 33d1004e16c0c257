/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "api/client/commands.h"

#include <string.h>

#include "api/client/view.h"

/* Views fail only for want of memory. */
static int finish(struct client *client, int r, struct text *out)
{
	return r < 0 ? client_out_of_memory(client) : client_print(client, out);
}

int command_list(
	struct client *client, _unused_ char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	int status = client_get_json(client, "/v2/lbaas/loadbalancers", "loadbalancers", &reply);

	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, reply);
	if (json_array_size(json_object_get(reply, "loadbalancers")) == 0) {
		client_remark(client, "no load balancers yet (amphoractl apply FILE)");
		return CLIENT_OK;
	}
	return finish(client, view_list(reply, &client->out, &out), &out);
}

/* Without what the reply says beside it: "apply" takes this as it is. */
static int print_definition(struct client *client, const char *id)
{
	_cleanup_(json_decrefp) json_t *reply = NULL, *document = NULL;
	char path[CLIENT_PATH_SIZE];
	int status;

	client_path(path, id, "/definition");
	status = client_get_json(client, path, "loadbalancer", &reply);
	if (status != CLIENT_OK)
		return status;
	document = json_pack("{s:O}", "loadbalancer", json_object_get(reply, "loadbalancer"));
	return document ? client_print_json(client, document) : client_out_of_memory(client);
}

int command_show(struct client *client, char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_(json_decrefp) json_t *reply = NULL, *definition = NULL;
	_cleanup_free_ char *id = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[CLIENT_PATH_SIZE], revision[HTTP_MAX_HEADER];
	int status = client_find_one(client, arguments[0], &id);

	if (status != CLIENT_OK)
		return status;
	if (client->options->definition)
		return print_definition(client, id);
	client_path(path, id, "");
	status = client_get_json(client, path, "loadbalancer", &reply);
	if (status == CLIENT_OK && client->options->json)
		return client_print_json(client, reply);
	if (status == CLIENT_OK)
		status = client_get_definition(client, id, &definition, revision);
	if (status != CLIENT_OK)
		return status;
	return finish(client, view_resource(reply, definition, revision, &client->out, &out), &out);
}

/* One reply of each load balancer, and its definition, which has the names and the details. */
struct answer {
	json_t *reply, *definition;
};

static void answer_done(struct answer *answer)
{
	json_decref(answer->reply);
	json_decref(answer->definition);
}

static int ask(struct client *client, const char *id, const char *below, const char *member,
	struct answer *ret)
{
	char path[CLIENT_PATH_SIZE], revision[HTTP_MAX_HEADER];
	int status;

	client_path(path, id, below);
	status = client_get_json(client, path, member, &ret->reply);
	if (status == CLIENT_OK && !client->options->json)
		status = client_get_definition(client, id, &ret->definition, revision);
	return status;
}

/* With --json: the server's reply for one that was asked for, else all of them in a list. */
static int print_replies(
	struct client *client, char **ids, const char *below, const char *member, bool as_list)
{
	_cleanup_(json_decrefp) json_t *list = json_array();

	STRV_FOREACH (id, ids) {
		_cleanup_(answer_done) struct answer answer = {0};
		int status = ask(client, *id, below, member, &answer);

		if (status != CLIENT_OK)
			return status;
		if (!as_list)
			return client_print_json(client, answer.reply);
		if (json_object_set_new(answer.reply, "loadbalancer_id", json_string(*id)) < 0 ||
			json_array_append(list, answer.reply) < 0)
			return client_out_of_memory(client);
	}
	return client_print_json(client, list);
}

int command_status(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_strv_ char **ids = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	int status = client_find(client, arguments, n_arguments, &ids), r = 0;

	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return print_replies(client, ids, "/status", "statuses", n_arguments == 0);
	if (!*ids)
		client_remark(client, "no load balancers yet (amphoractl apply FILE)");
	STRV_FOREACH (id, ids) {
		_cleanup_(answer_done) struct answer answer = {0};

		status = ask(client, *id, "/status", "statuses", &answer);
		if (status != CLIENT_OK)
			return status;
		if (out.length > 0)
			text_append_char(&out, '\n');
		r = view_status(answer.reply, answer.definition, &client->out, &out);
		if (r < 0)
			break;
	}
	return finish(client, r, &out);
}

int command_stats(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_strv_ char **ids = NULL;
	_cleanup_table_ struct table *table = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	int status = client_find(client, arguments, n_arguments, &ids), r;

	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return print_replies(client, ids, "/stats", "stats", n_arguments == 0);
	r = view_stats_table(&table);
	STRV_FOREACH (id, ids) {
		_cleanup_(answer_done) struct answer answer = {0};

		status = ask(client, *id, "/stats", "stats", &answer);
		if (status != CLIENT_OK)
			return status;
		if (r == 0)
			r = view_stats(table, *id, answer.reply, answer.definition);
	}
	if (r == 0 && *ids)
		table_print(table, &client->out, &out);
	if (!*ids)
		client_remark(client, "no load balancers yet (amphoractl apply FILE)");
	return finish(client, r, &out);
}

int command_config(struct client *client, char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_free_ char *id = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[CLIENT_PATH_SIZE];
	int status = client_find_one(client, arguments[0], &id);

	if (status != CLIENT_OK)
		return status;
	client_path(path, id, "/haproxy.cfg");
	status = client_get(client, path, 0, &reply);
	if (status != CLIENT_OK)
		return status;
	/* Into a file or a pipe: byte for byte. */
	if (client->out.interactive)
		terminal_append_lines(&client->out, &out, COLOUR_PLAIN, "", reply.body);
	else
		text_append_bytes(&out, reply.body, reply.length);
	return client_print(client, &out);
}

int command_version(
	struct client *client, _unused_ char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	if (client->options->json)
		text_append(&out, "{\"amphoractl\": \"" PACKAGE_VERSION "\"}\n");
	else
		text_append(&out, "amphoractl " PACKAGE_VERSION "\n");
	return client_print(client, &out);
}
