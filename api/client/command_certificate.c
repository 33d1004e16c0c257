/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "agent/base/secret.h"
#include "api/client/document.h"
#include "api/client/view.h"

#define COLLECTION "/v2/lbaas/certificates"

enum {
	NAME_MAX_BYTES = 200,
	PEM_MAX_BYTES = 1024 * 1024, /* what amphorad takes */
	PATH_BYTES = sizeof(COLLECTION "/") + NAME_MAX_BYTES,
};

/* The key in a file stays no longer than it has to. */
struct secret {
	char *data;
	size_t length;
};

static void secret_done(struct secret *secret)
{
	secret_free_bytes(secret->data, secret->length);
}

static int usage(struct client *client, const char *words)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	error_set(&err, ERROR_INVALID, NULL, "%s", words);
	client_complain(client, &err);
	return CLIENT_USAGE;
}

/* The name becomes a path: what the server would refuse is not sent. */
static int certificate_path(struct client *client, const char *name, char ret[PATH_BYTES])
{
	size_t length = strlen(name);

	if (length == 0 || length > NAME_MAX_BYTES || name[0] == '.' ||
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") !=
			length)
		return usage(client, "a certificate's name has letters, digits, '.', '_' and '-', and does "
				     "not begin with '.'");
	snprintf(ret, PATH_BYTES, COLLECTION "/%s", name);
	return CLIENT_OK;
}

static int append_file(struct client *client, const char *path, struct secret *all)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_(secret_done) struct secret file = {0};
	char *joined;

	if (document_read_file(path, PEM_MAX_BYTES, &file.data, &file.length, &err) < 0) {
		client_complain(client, &err);
		return CLIENT_USAGE;
	}
	joined = malloc(all->length + file.length + 2);
	if (!joined)
		return client_out_of_memory(client);
	if (all->length > 0)
		memcpy(joined, all->data, all->length);
	memcpy(joined + all->length, file.data, file.length);
	/* A file may lack its last newline. */
	memcpy(joined + all->length + file.length, "\n", 2);
	secret_done(all);
	*all = (struct secret){joined, all->length + file.length + 1};
	return CLIENT_OK;
}

static int add(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_(json_decrefp) json_t *body = NULL;
	_cleanup_(secret_done) struct secret pem = {0};
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[PATH_BYTES];
	struct http_request request = {
		.method = "PUT", .path = path, .content_type = "application/x-pem-file"};
	int status;

	status = certificate_path(client, arguments[0], path);
	for (size_t i = 1; status == CLIENT_OK && i < n_arguments; i++)
		status = append_file(client, arguments[i], &pem);
	if (status != CLIENT_OK)
		return status;
	request.body = pem.data;
	request.body_length = pem.length;
	status = client_exchange(client, &request, 0, &reply);
	if (status == CLIENT_OK)
		status = client_parse(client, &reply, "certificate", &body);
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, body);
	if (client->options->quiet)
		return CLIENT_OK;
	view_certificate_applied(arguments[0], body, reply.status == 201, &client->out, &out);
	return client_print(client, &out);
}

static int list(
	struct client *client, _unused_ char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	int status;

	status = client_get_json(client, COLLECTION, "certificates", &reply);
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, reply);
	if (json_array_size(json_object_get(reply, "certificates")) == 0) {
		client_remark(client, "no certificates yet (amphoractl certificate add NAME FILE)");
		return CLIENT_OK;
	}
	if (view_certificates(reply, time(NULL), &client->out, &out) < 0)
		return client_out_of_memory(client);
	return client_print(client, &out);
}

static int show(struct client *client, char *const *arguments, _unused_ size_t n_arguments)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[PATH_BYTES];
	int status;

	status = certificate_path(client, arguments[0], path);
	if (status == CLIENT_OK)
		status = client_get_json(client, path, "certificate", &reply);
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, reply);
	if (view_certificate(reply, time(NULL), &client->out, &out) < 0)
		return client_out_of_memory(client);
	return client_print(client, &out);
}

static int remove_one(struct client *client, const char *name)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_text_ struct text out = TEXT_INIT;
	char path[PATH_BYTES];
	struct http_request request = {.method = "DELETE", .path = path};
	int status = certificate_path(client, name, path);

	if (status == CLIENT_OK)
		status = client_exchange(client, &request, 0, &reply);
	if (status != CLIENT_OK || client->options->quiet)
		return status;
	terminal_append(&client->out, &out, COLOUR_BOLD, name);
	text_append(&out, ": removed\n");
	return client_print(client, &out);
}

/* A failure does not keep the others from being removed. */
static int remove_all(struct client *client, char *const *arguments, size_t n_arguments)
{
	int worst = CLIENT_OK;

	for (size_t i = 0; i < n_arguments; i++) {
		int status = remove_one(client, arguments[i]);

		worst = status > worst ? status : worst;
	}
	return worst;
}

const struct command certificate_actions[] = {
	{
		.name = "certificate add",
		.arguments = "NAME FILE|-...",
		.summary = "store or replace one",
		.description =
			"Stores PEM files under a name: a certificate with its private key and its\n"
			"chain, in any order; or authorities; or revocation lists. Load balancers that\n"
			"use it get it at once, or everything stays as it was.",
		.min_arguments = 2,
		.max_arguments = SIZE_MAX,
		.run = add,
	},
	{
		.name = "certificate list",
		.arguments = "",
		.summary = "all of them, and how long they are valid",
		.description =
			"Lists the certificates, until when they are valid and how often they\n"
			"are used.",
		.run = list,
	},
	{
		.name = "certificate show",
		.arguments = "NAME",
		.summary = "what one says, and who uses it",
		.description = "Shows what a certificate says and who uses it; never its key.",
		.min_arguments = 1,
		.max_arguments = 1,
		.run = show,
	},
	{
		.name = "certificate remove",
		.arguments = "NAME...",
		.summary = "remove what nobody uses",
		.description = "Removes certificates that no load balancer uses.",
		.min_arguments = 1,
		.max_arguments = SIZE_MAX,
		.run = remove_all,
	},
	{.name = NULL},
};
