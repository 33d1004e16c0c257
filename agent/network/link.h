/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Network interfaces of a namespace.
 */

#include <net/if.h>

#include "agent/network/ip.h"

struct nl_sock; /* netlink.h */

struct link {
	int index;
	char name[IF_NAMESIZE];
	bool is_up;       /* administratively */
	bool has_carrier; /* and the other end is there */
	unsigned mtu;
};

/* -ENODEV if there is none. Of several with one Ethernet address (a bond and its members) the one that belongs to no
 * other is taken; never the loopback interface. */
int link_find_by_mac(struct nl_sock *sock, const uint8_t mac[static MAC_LENGTH], struct link *ret);
int link_find_by_name(struct nl_sock *sock, const char *name, struct link *ret);
int link_find_by_index(struct nl_sock *sock, int index, struct link *ret);

/* Up or down, and with another MTU unless that is 0. */
int link_set(struct nl_sock *sock, const struct link *link, bool up, unsigned mtu);

/* Into another namespace under another name, in one step: it comes there down and without addresses. */
int link_move(struct nl_sock *sock, const struct link *link, int namespace_fd, const char *name);
