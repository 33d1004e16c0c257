/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Routes over one interface, and the rules that choose a routing table (ip-route(8), ip-rule(8)).
 */

#include "agent/network/ip.h"

struct nl_sock; /* netlink.h */

enum {
	ROUTE_TABLE_MAIN = 254,
	ROUTE_TABLE_VIP = 1, /* what leaves from a VIP */
	RULE_PRIORITY = 32000, /* of our rules: pyroute2's default, which Octavia's agent leaves in place */
};

struct ip_route {
	struct ip_network destination; /* masked */
	struct ip gateway;             /* family 0: none */
	struct ip source;              /* preferred source address; family 0: none */
	uint32_t table;
	bool is_on_link; /* the gateway is reached over the interface, whatever its address */
	bool is_local;   /* scope "link": the destination is on the interface's own network */
};

/* The same destination, gateway, source and table. */
bool route_equal(const struct ip_route *a, const struct ip_route *b);

/* Those that an agent (this one or Octavia's) made: protocol "static". The caller frees. */
int route_list(struct nl_sock *sock, int index, struct ip_route **ret, size_t *ret_n);
int route_add(struct nl_sock *sock, int index, const struct ip_route *route);
int route_delete(struct nl_sock *sock, int index, const struct ip_route *route);

struct ip_rule {
	struct ip_network source;
	uint32_t table;
};

bool rule_equal(const struct ip_rule *a, const struct ip_rule *b);

/* Those that look at the source address, but for the kernel's and keepalived's. The caller frees. */
int rule_list(struct nl_sock *sock, struct ip_rule **ret, size_t *ret_n);
int rule_add(struct nl_sock *sock, const struct ip_rule *rule);
int rule_delete(struct nl_sock *sock, const struct ip_rule *rule);
