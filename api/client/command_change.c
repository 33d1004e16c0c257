/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <string.h>

#include "api/client/document.h"
#include "api/client/textdiff.h"
#include "api/client/view.h"

static int load(struct client *client, const char *path, struct document *ret)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (document_load(path, client->options->id, ret, &err) == 0)
		return CLIENT_OK;
	client_complain(client, &err);
	return CLIENT_USAGE;
}

static int check_revision(struct client *client, const char *revision)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	int64_t number;

	if (!revision || (text_to_int64(revision, &number) == 0 && number >= 0 && *revision != '+'))
		return CLIENT_OK;
	error_set(&err, ERROR_INVALID, NULL, "--if-match must be a revision number");
	client_complain(client, &err);
	return CLIENT_USAGE;
}

int change_apply(struct client *client, const struct document *document)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_(json_decrefp) json_t *body = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[CLIENT_PATH_SIZE];
	struct http_request request = {
		.method = "PUT",
		.path = path,
		.body = document->text,
		.body_length = document->length,
		.if_match = client->options->if_match,
	};
	int status = check_revision(client, request.if_match);

	if (status != CLIENT_OK)
		return status;
	client_path(path, document->id, "/definition");
	status = client_exchange(client, &request, 0, &reply);
	if (status == CLIENT_OK)
		status = client_parse(client, &reply, "loadbalancer", &body);
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, body);
	if (client->options->quiet)
		return CLIENT_OK;
	view_applied(document->id, body, reply.status == 201, reply.apply, &client->out, &out);
	return client_print(client, &out);
}

int command_apply(struct client *client, char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_document_ struct document document = DOCUMENT_INIT;
	int status = load(client, arguments[0], &document);

	return status == CLIENT_OK ? change_apply(client, &document) : status;
}

/* What the server holds now: "" and NULL where there is nothing yet. */
struct present {
	char *configuration;
	json_t *definition;
	char revision[HTTP_MAX_HEADER];
};

static void present_done(struct present *present)
{
	free(present->configuration);
	json_decref(present->definition);
}

static int get_present(struct client *client, const char *id, struct present *ret)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	char path[CLIENT_PATH_SIZE];
	int status = client_get_definition(client, id, &ret->definition, ret->revision);

	if (status != CLIENT_OK)
		return status;
	client_path(path, id, "/haproxy.cfg");
	status = client_get(client, path, 404, &reply);
	if (status != CLIENT_OK)
		return status;
	ret->configuration = reply.status == 404 ? strdup("") : TAKE_PTR(reply.body);
	return ret->configuration ? CLIENT_OK : client_out_of_memory(client);
}

static int dry_run(struct client *client, const struct document *document, json_t **ret)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	char path[CLIENT_PATH_SIZE];
	struct http_request request = {
		.method = "PUT",
		.path = path,
		.body = document->text,
		.body_length = document->length,
	};
	int status;

	client_path(path, document->id, "/definition?dry_run=true");
	status = client_exchange(client, &request, 0, &reply);
	return status == CLIENT_OK ? client_parse(client, &reply, "dry_run", ret) : status;
}

static void print_configuration_changes(struct client *client, const struct present *present,
	const struct textdiff *diff, struct text *out)
{
	_cleanup_text_ struct text old_name = TEXT_INIT;

	if (*present->revision)
		text_printf(&old_name, "haproxy.cfg (revision %s)", present->revision);
	else
		text_append(&old_name, "haproxy.cfg (does not exist)");
	text_append_char(out, '\n');
	textdiff_print(diff, text_peek(&old_name), "haproxy.cfg (dry run)", &client->out, out);
}

/* Says what would change and whether anything would: in HAProxy, or only in what is stored. */
static int report_changes(struct client *client, const struct document *document,
	const struct present *present, const json_t *reply, bool *ret_differs)
{
	const json_t *plan = json_object_get(reply, "dry_run");
	const char *action = view_string(plan, "action");
	_cleanup_textdiff_ struct textdiff *diff = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	_cleanup_text_ struct text elsewhere = TEXT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	size_t found;
	int r = textdiff_new(present->configuration, view_string(plan, "haproxy_cfg"), &diff);

	if (r < 0) {
		error_set_errno(&err, r, "cannot compare the configurations");
		client_complain(client, &err);
		return CLIENT_FAILED;
	}
	found = view_differences(json_object_get(present->definition, "loadbalancer"),
		json_object_get(reply, "loadbalancer"), "  ", &client->out, &elsewhere);
	view_plan(document->id, reply, &client->out, &out);
	if (textdiff_removed(diff) + textdiff_added(diff) > 0) {
		print_configuration_changes(client, present, diff, &out);
		*ret_differs = true;
	} else if (found > 0) {
		text_append(&out, "The configuration stays as it is; these fields would change:\n");
		text_append(&out, text_peek(&elsewhere));
		*ret_differs = true;
	} else {
		*ret_differs = !streq(action, "none") || !present->definition;
		if (!*ret_differs)
			text_append(&out, "Nothing would change.\n");
	}
	if (client->options->json)
		return client_print_json(client, reply);
	return client->options->quiet ? CLIENT_OK : client_print(client, &out);
}

int change_diff(struct client *client, const struct document *document)
{
	_cleanup_(present_done) struct present present = {0};
	_cleanup_(json_decrefp) json_t *reply = NULL;
	bool differs = false;
	int status = dry_run(client, document, &reply);

	if (status == CLIENT_OK)
		status = get_present(client, document->id, &present);
	if (status == CLIENT_OK)
		status = report_changes(client, document, &present, reply, &differs);
	/* As diff(1) has it: 1 means a difference, and nothing else does. */
	if (status != CLIENT_OK)
		return CLIENT_USAGE;
	return differs ? CLIENT_DIFFERS : CLIENT_OK;
}

int command_diff(struct client *client, char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_document_ struct document document = DOCUMENT_INIT;

	return load(client, arguments[0], &document) == CLIENT_OK ? change_diff(client, &document)
								  : CLIENT_USAGE;
}

static int delete_one(struct client *client, const char *id, const char *argument)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[CLIENT_PATH_SIZE];
	struct http_request request = {.method = "DELETE", .path = path};
	int status;

	client_path(path, id, "/definition");
	status = client_exchange(client, &request, 0, &reply);
	if (status != CLIENT_OK || client->options->quiet)
		return status;
	view_subject(id, streq(argument, id) ? "" : argument, &client->out, &out);
	text_append(&out, ": deleted\n");
	return client_print(client, &out);
}

/* All names are looked up before anything is deleted; then a failure does not keep the others from
 * being deleted. */
int command_delete(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_strv_ char **ids = NULL;
	int status = client_find(client, arguments, n_arguments, &ids), worst = status;

	for (size_t i = 0; ids && ids[i]; i++) {
		status = delete_one(client, ids[i], arguments[i]);
		worst = status > worst ? status : worst;
	}
	return worst;
}
