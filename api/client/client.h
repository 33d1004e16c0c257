/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the commands share: asking the server, finding a load balancer, and telling the person.
 * Whoever finds that a command cannot go on says so on standard error and returns an exit status;
 * callers only hand it on.
 */

#include <stddef.h>

#include <jansson.h>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "api/client/http.h"
#include "api/client/options.h"
#include "api/client/terminal.h"

enum exit_status {
	CLIENT_OK = 0,
	CLIENT_DIFFERS = 1, /* diff */
	CLIENT_FAILED = 1,  /* the others: a failure of this machine, or a heartbeat that is none */
	CLIENT_USAGE = 2,   /* options, arguments, files; also every failure of diff */
	CLIENT_REFUSED = 3, /* the server's answer was no */
	CLIENT_UNREACHABLE = 4,
	CLIENT_TIMEOUT = 5, /* what was waited for did not happen in time */
};

struct client {
	const struct options *options;
	struct terminal out, err; /* of standard output and standard error */
	struct http *http;
	struct text *heard; /* what would be said on standard error goes here; NULL: to standard error */
};

/* Path of a load balancer: id is a checked UUID. */
enum { CLIENT_PATH_SIZE = 128 };
void client_path(char ret[CLIENT_PATH_SIZE], const char *id, const char *below);

/* Asks. A status of 200 to 299 is CLIENT_OK, and so is "tolerated" (0: none). */
int client_exchange(struct client *client, const struct http_request *request, long tolerated,
	struct http_reply *ret);
int client_get(struct client *client, const char *path, long tolerated, struct http_reply *ret);

/* The body of a reply: a JSON object with that member. A new reference. */
int client_parse(
	struct client *client, const struct http_reply *reply, const char *member, json_t **ret);
int client_get_json(struct client *client, const char *path, const char *member, json_t **ret);

/* The definition, and its revision as the reply's ETag gives it. NULL (and CLIENT_OK) if there is
 * none. */
int client_get_definition(
	struct client *client, const char *id, json_t **ret, char ret_revision[HTTP_MAX_HEADER]);

/* The ids that a command is about: of the arguments (ids or names), or of all load balancers if
 * there are none. Owned by the caller, NULL-terminated. */
int client_find(struct client *client, char *const *arguments, size_t n_arguments, char ***ret_ids);
int client_find_one(struct client *client, const char *argument, char **ret_id);

/* Gives the definitions of these to "handle" one after the other, until it returns something else than CLIENT_OK. "lb" is the
 * definition's "loadbalancer"; "revision" is as of client_get_definition(). Those that a controller uploaded have none and are
 * passed over. */
typedef int (*client_handle_definition)(struct client *client, json_t *lb, const char *revision, void *userdata);
int client_each_definition(struct client *client, char *const *arguments, size_t n_arguments,
	client_handle_definition handle, void *userdata);

/* Writes to standard output what a command built, and empties it. */
int client_print(struct client *client, struct text *out);
int client_print_json(struct client *client, const json_t *value);

/* To standard error, as "amphoractl: …". */
void client_complain(struct client *client, const struct error *err);
/* The same for running out of memory. Returns CLIENT_FAILED. */
int client_out_of_memory(struct client *client);
/* What is only good to know: not with --quiet. */
void client_remark(struct client *client, const char *format, ...) _printf_(2, 3);
