/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The commands' bodies; the table that names them is in main.c. All return an enum exit_status. */

#include "api/client/client.h"

int command_apply(struct client *client, char *const *arguments, size_t n_arguments);
int command_diff(struct client *client, char *const *arguments, size_t n_arguments);
int command_delete(struct client *client, char *const *arguments, size_t n_arguments);
int command_list(struct client *client, char *const *arguments, size_t n_arguments);
int command_show(struct client *client, char *const *arguments, size_t n_arguments);
int command_status(struct client *client, char *const *arguments, size_t n_arguments);
int command_stats(struct client *client, char *const *arguments, size_t n_arguments);
int command_config(struct client *client, char *const *arguments, size_t n_arguments);
int command_certificate(struct client *client, char *const *arguments, size_t n_arguments);
int command_heartbeat(struct client *client, char *const *arguments, size_t n_arguments);
int command_version(struct client *client, char *const *arguments, size_t n_arguments);
