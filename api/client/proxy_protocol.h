/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between the commands about the PROXY protocol: command_proxy_protocol.c changes it, command_proxy_protocol_show.c puts it
 * into words.
 */

#include <stdbool.h>

#include "api/client/target.h"

/* Whether that protocol of a pool is the PROXY protocol, of any version. */
bool proxy_protocol_spoken(const char *protocol);

/* What a pool sends or a listener accepts. */
void proxy_protocol_append_state(enum target_kind kind, const json_t *object, struct text *out);

/* The listeners and pools of the named load balancers, or of all; an exit status. */
int proxy_protocol_show(struct client *client, char *const *arguments, size_t n_arguments);
