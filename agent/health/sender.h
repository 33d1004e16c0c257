/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sends datagrams to the configured controllers, one after the other: each message goes to the next
 * in the list. Nobody acknowledges them, but the network may say that one did not arrive: nobody
 * listens there, there is no such host or way to it (ICMP; RFC 1122, 4.1.3.3). Each of the newest
 * messages has a socket of its own, so that what is said is known to be about it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

struct sender;

/* A failed resolution of an address takes Linux three seconds (arp(7): mcast_solicit), a heartbeat is sent every second at most. */
enum { SENDER_IN_FLIGHT = 8 };

struct sender_loss {
	uint64_t number;
	const char *controller; /* its text, valid as long as the sender */
	int error;              /* errno: ECONNREFUSED, EHOSTUNREACH, ... */
	bool again;             /* the message to it before this one was lost as well */
};

/* "controllers" is controller_ip_port_list as Octavia writes it: "192.0.2.1:5555,
 * [2001:db8::1]:5555, host:5555". ERROR_INVALID names the item. An empty list is allowed: nothing
 * is sent. */
int sender_new(const char *controllers, struct sender **ret, struct error *err);
void sender_free(struct sender *sender);
DEFINE_CLEANUP(struct sender *, sender_free);

size_t sender_controllers(const struct sender *sender);
/* Sends to the next controller and moves on, also when sending failed. "number" is the caller's and grows. "*ret_controller" (may be
 * NULL) is the item's text, valid as long as the sender. -EMSGSIZE when it does not fit a datagram.
 * 0 with an empty list. */
int sender_send(struct sender *sender, uint64_t number, const uint8_t *bytes, size_t length,
	const char **ret_controller, struct error *err);
/* One of the last SENDER_IN_FLIGHT messages of which the network has said that it did not arrive. Each is told once; false if
 * there is none. */
bool sender_next_loss(struct sender *sender, struct sender_loss *ret);
