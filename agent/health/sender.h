/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sends datagrams to the configured controllers, one after the other: each message goes to the next
 * in the list.
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

struct sender;

/* "controllers" is controller_ip_port_list as Octavia writes it: "192.0.2.1:5555,
 * [2001:db8::1]:5555, host:5555". ERROR_INVALID names the item. An empty list is allowed: nothing
 * is sent. */
int sender_new(const char *controllers, struct sender **ret, struct error *err);
void sender_free(struct sender *sender);
DEFINE_CLEANUP(struct sender *, sender_free);

size_t sender_controllers(const struct sender *sender);
/* Sends to the next controller and moves on, also when sending failed. "*ret_controller" (may be
 * NULL) is the item's text, valid as long as the sender. -EMSGSIZE when it does not fit a datagram.
 * 0 with an empty list. */
int sender_send(struct sender *sender, const uint8_t *bytes, size_t length,
	const char **ret_controller, struct error *err);
