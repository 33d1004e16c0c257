/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The commands' table (command_table.c) and bodies. All return an enum exit_status. */

#include "api/client/client.h"

#define CLIENT_SOCKET "/run/amphorad/amphorad.sock"

/* Both end in a row without a name. */
extern const struct option_row client_options[];
extern const struct command client_commands[];
extern const struct command certificate_actions[];
extern const struct option_row service_options[];
extern const struct command member_actions[];
extern const struct command proxy_protocol_actions[];

int command_apply(struct client *client, char *const *arguments, size_t n_arguments);
int command_diff(struct client *client, char *const *arguments, size_t n_arguments);
int command_delete(struct client *client, char *const *arguments, size_t n_arguments);
int command_list(struct client *client, char *const *arguments, size_t n_arguments);
int command_show(struct client *client, char *const *arguments, size_t n_arguments);
int command_status(struct client *client, char *const *arguments, size_t n_arguments);
int command_stats(struct client *client, char *const *arguments, size_t n_arguments);
int command_config(struct client *client, char *const *arguments, size_t n_arguments);
int command_revisions(struct client *client, char *const *arguments, size_t n_arguments);
int command_rollback(struct client *client, char *const *arguments, size_t n_arguments);
int command_watch(struct client *client, char *const *arguments, size_t n_arguments);
int command_service(struct client *client, char *const *arguments, size_t n_arguments);
int command_complete(struct client *client, char *const *arguments, size_t n_arguments);
int command_heartbeat(struct client *client, char *const *arguments, size_t n_arguments);
int command_version(struct client *client, char *const *arguments, size_t n_arguments);

/* What "apply" and "diff" do with a document, wherever it comes from. */
struct document;
int change_apply(struct client *client, const struct document *document);
int change_diff(struct client *client, const struct document *document);
