/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Gives messages to the controllers, and says in the log what happens to them: once when it begins,
 * once when it ends. Used by the health thread alone.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/health/message.h"
#include "agent/health/monitor.h"

struct heartbeat;

/* ERROR_INVALID: controllers without amphora_id or key, or a list that cannot be read. */
int heartbeat_new(const struct health_options *options, struct heartbeat **ret, struct error *err);
void heartbeat_free(struct heartbeat *heartbeat);
DEFINE_CLEANUP(struct heartbeat *, heartbeat_free);

/* NULL if there is nobody to send to. */
const char *heartbeat_amphora_id(const struct heartbeat *heartbeat);
/* Whether the message was sent, whose text may be taken. "number" is the caller's and grows, "n_members" is for the log. */
bool heartbeat_send(
	struct heartbeat *heartbeat, uint64_t number, struct heartbeat_text *message, size_t n_members);
/* The number of a message that was sent and did not arrive, as far as the network says so (sender.h). false: there is none. */
bool heartbeat_next_loss(struct heartbeat *heartbeat, uint64_t *ret_number);
