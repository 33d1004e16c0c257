/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/client/view.h"

#define COLLECTION "/v2/lbaas/loadbalancers"

static void say(struct client *client, enum colour colour, const char *message)
{
	_cleanup_text_ struct text line = TEXT_INIT;
	_cleanup_text_ struct text out = TEXT_INIT;

	if (client->heard) {
		text_truncate(client->heard, 0);
		text_append(client->heard, message);
		return;
	}
	text_printf(&line, "amphoractl: %s", message);
	terminal_append_lines(&client->err, &out, colour, "", text_peek(&line));
	fputs(out.failed ? "amphoractl: out of memory\n" : text_peek(&out), stderr);
}

void client_complain(struct client *client, const struct error *err)
{
	_cleanup_text_ struct text message = TEXT_INIT;

	if (err->pointer)
		text_printf(&message, "%s: ", err->pointer);
	text_append(&message, error_message(err));
	say(client, COLOUR_RED, text_peek(&message));
}

int client_out_of_memory(struct client *client)
{
	say(client, COLOUR_RED, strerror(ENOMEM));
	return CLIENT_FAILED;
}

void client_remark(struct client *client, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list arguments;

	if (client->options->quiet)
		return;
	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	if (message)
		say(client, COLOUR_DIM, message);
}

int client_print(struct client *client, struct text *out)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *string = NULL;
	size_t length = 0;

	if (text_finish(out, &string, &length) < 0)
		return client_out_of_memory(client);
	if (fwrite(string, 1, length, stdout) == length && fflush(stdout) == 0)
		return CLIENT_OK;
	error_set_errno(&err, -errno, "cannot write to standard output");
	client_complain(client, &err);
	return CLIENT_FAILED;
}

int client_print_json(struct client *client, const json_t *value)
{
	_cleanup_text_ struct text out = TEXT_INIT;
	size_t flags =
		JSON_INDENT(2) | JSON_ENCODE_ANY | (client->out.utf8 ? 0 : JSON_ENSURE_ASCII);
	_cleanup_free_ char *json = json_dumps(value, flags);

	if (!json)
		return client_out_of_memory(client);
	terminal_append_json(&out, json);
	text_append_char(&out, '\n');
	return client_print(client, &out);
}

void client_path(char ret[CLIENT_PATH_SIZE], const char *id, const char *below)
{
	snprintf(ret, CLIENT_PATH_SIZE, COLLECTION "/%s%s", id, below);
}

/* What a person can do about HAProxy's and the system's commonest words, or NULL. */
static const char *advice_on(const char *fault)
{
	static const struct {
		const char *words, *advice;
	} rows[] = {
		{"cannot bind socket (Cannot assign requested address)",
			"Does that machine have the address? (ip address) Without vip_address, default_vip_address is used."},
		{"cannot bind socket (Address already in use)",
			"Another program has this port. (ss -ltnp, as root)"},
		{"cannot bind socket (Permission denied)", "Ports below 1024 take an amphorad that runs as root."},
		{"No space left on device", "Nothing was changed. Make room on amphorad's machine (df) and try again."},
	};

	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		if (strstr(fault, rows[i].words))
			return rows[i].advice;
	return NULL;
}

/* Octavia's error body; what a proxy in between may send is not shown. */
static void complain_refused(struct client *client, const struct http_reply *reply)
{
	_cleanup_(json_decrefp) json_t *body =
		json_loadb(reply->body, reply->length, JSON_REJECT_DUPLICATES, NULL);
	const char *fault = view_string(body, "faultstring");
	const char *details = view_string(body, "debuginfo");
	_cleanup_text_ struct text message = TEXT_INIT;

	text_printf(&message, "refused (%ld): %s", reply->status,
		*fault ? fault : "the server does not say why");
	if (*details)
		text_printf(&message, "\n%s", details);
	if (advice_on(fault))
		text_printf(&message, "\n%s", advice_on(fault));
	say(client, COLOUR_RED, text_peek(&message));
}

int client_exchange(struct client *client, const struct http_request *request, long tolerated,
	struct http_reply *ret)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (http_exchange(client->http, request, &reply, &err) < 0) {
		client_complain(client, &err);
		return CLIENT_UNREACHABLE;
	}
	if ((reply.status < 200 || reply.status > 299) && reply.status != tolerated) {
		complain_refused(client, &reply);
		return CLIENT_REFUSED;
	}
	*ret = reply;
	reply = HTTP_REPLY_INIT;
	return CLIENT_OK;
}

int client_get(struct client *client, const char *path, long tolerated, struct http_reply *ret)
{
	struct http_request request = {.method = "GET", .path = path};

	return client_exchange(client, &request, tolerated, ret);
}

static int another_server(struct client *client)
{
	say(client, COLOUR_RED, "the reply is not what amphorad sends: is another server there?");
	return CLIENT_UNREACHABLE;
}

int client_parse(
	struct client *client, const struct http_reply *reply, const char *member, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *body =
		json_loadb(reply->body, reply->length, JSON_REJECT_DUPLICATES, NULL);

	if (!json_object_get(body, member))
		return another_server(client);
	*ret = TAKE_PTR(body);
	return CLIENT_OK;
}

int client_get_json(struct client *client, const char *path, const char *member, json_t **ret)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	int status = client_get(client, path, 0, &reply);

	return status == CLIENT_OK ? client_parse(client, &reply, member, ret) : status;
}

int client_get_definition(
	struct client *client, const char *id, json_t **ret, char ret_revision[HTTP_MAX_HEADER])
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_(json_decrefp) json_t *definition = NULL;
	char path[CLIENT_PATH_SIZE];
	int status;

	client_path(path, id, "/definition");
	status = client_get(client, path, 404, &reply);
	if (status != CLIENT_OK)
		return status;
	if (reply.status == 404) {
		*ret = NULL;
		ret_revision[0] = '\0';
		return CLIENT_OK;
	}
	status = client_parse(client, &reply, "loadbalancer", &definition);
	if (status != CLIENT_OK)
		return status;
	/* Its id becomes part of paths. */
	if (!streq(view_string(json_object_get(definition, "loadbalancer"), "id"), id))
		return another_server(client);
	*ret = TAKE_PTR(definition);
	memcpy(ret_revision, reply.etag, HTTP_MAX_HEADER);
	return CLIENT_OK;
}

static bool is_wanted(const json_t *lb, const char *name)
{
	/* Ids become paths: what is no UUID is left out. */
	return text_is_uuid(view_string(lb, "id")) &&
	       (!name || streq(view_string(lb, "name"), name));
}

/* The ids with that name, or all for NULL. */
static int select_ids(struct client *client, const json_t *list, const char *name, char ***ret_ids)
{
	const json_t *lbs = json_object_get(list, "loadbalancers");
	_cleanup_strv_ char **ids = calloc(json_array_size(lbs) + 1, sizeof(*ids));
	size_t i, n = 0;
	json_t *lb;

	if (!ids)
		return client_out_of_memory(client);
	json_array_foreach (lbs, i, lb) {
		if (!is_wanted(lb, name))
			continue;
		ids[n] = strdup(view_string(lb, "id"));
		if (!ids[n++])
			return client_out_of_memory(client);
	}
	*ret_ids = TAKE_PTR(ids);
	return CLIENT_OK;
}

static int resolve(struct client *client, const json_t *list, const char *name, char **ret_id)
{
	_cleanup_strv_ char **ids = NULL;
	_cleanup_text_ struct text message = TEXT_INIT;
	size_t n;
	int status = select_ids(client, list, name, &ids);

	if (status != CLIENT_OK)
		return status;
	n = strv_length(ids);
	if (n == 1) {
		*ret_id = TAKE_PTR(ids[0]);
		return CLIENT_OK;
	}
	if (n == 0) {
		text_printf(&message, "no load balancer is named \"%s\" (amphoractl list)", name);
		say(client, COLOUR_RED, text_peek(&message));
		return CLIENT_REFUSED;
	}
	text_printf(
		&message, "%zu load balancers are named \"%s\", use one of their ids:", n, name);
	STRV_FOREACH (id, ids)
		text_printf(&message, "\n  %s", *id);
	say(client, COLOUR_RED, text_peek(&message));
	return CLIENT_USAGE;
}

int client_find(struct client *client, char *const *arguments, size_t n_arguments, char ***ret_ids)
{
	_cleanup_strv_ char **ids = calloc(n_arguments + 1, sizeof(*ids));
	_cleanup_(json_decrefp) json_t *list = NULL;
	int status = CLIENT_OK;

	if (!ids)
		return client_out_of_memory(client);
	if (n_arguments == 0) {
		status = client_get_json(client, COLLECTION, "loadbalancers", &list);
		return status == CLIENT_OK ? select_ids(client, list, NULL, ret_ids) : status;
	}
	for (size_t i = 0; i < n_arguments; i++) {
		if (text_is_uuid(arguments[i])) {
			ids[i] = strdup(arguments[i]);
			if (!ids[i])
				return client_out_of_memory(client);
			continue;
		}
		if (!list)
			status = client_get_json(client, COLLECTION, "loadbalancers", &list);
		if (status == CLIENT_OK)
			status = resolve(client, list, arguments[i], &ids[i]);
		if (status != CLIENT_OK)
			return status;
	}
	*ret_ids = TAKE_PTR(ids);
	return CLIENT_OK;
}

int client_find_one(struct client *client, const char *argument, char **ret_id)
{
	_cleanup_strv_ char **ids = NULL;
	char *const arguments[] = {(char *)argument};
	int status = client_find(client, arguments, 1, &ids);

	if (status == CLIENT_OK)
		*ret_id = TAKE_PTR(ids[0]);
	return status;
}

int client_each_definition(struct client *client, char *const *arguments, size_t n_arguments,
	client_handle_definition handle, void *userdata)
{
	_cleanup_strv_ char **ids = NULL;
	int status = client_find(client, arguments, n_arguments, &ids);

	STRV_FOREACH (id, ids) {
		_cleanup_(json_decrefp) json_t *reply = NULL;
		char revision[HTTP_MAX_HEADER];

		status = client_get_definition(client, *id, &reply, revision);
		if (status == CLIENT_OK && reply)
			status = handle(client, json_object_get(reply, "loadbalancer"), revision, userdata);
		if (status != CLIENT_OK)
			break;
	}
	return status;
}
