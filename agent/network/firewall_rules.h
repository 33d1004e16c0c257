/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Firewall rules as a controller sends them, and the transaction that makes them nftables'.
 *
 * Source: octavia/amphorae/backends/agent/api_server/rules_schema.py, octavia/amphorae/backends/utils/nftable_utils.py;
 * libnftables-json(5).
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/network/ip.h"

/* nft takes a second or two for so many, and every new connection passes them one by one. */
enum { FIREWALL_MAX_RULES = 20000 };

struct firewall_rule {
	uint8_t protocol; /* IPPROTO_TCP, UDP, SCTP, or 112: VRRP, which has no port */
	uint16_t port;
	bool has_source;
	struct ip_network source; /* masked */
};

struct firewall_rules {
	struct firewall_rule *items; /* owned */
	size_t n;
};

#define FIREWALL_RULES_INIT ((struct firewall_rules){0})
#define _cleanup_firewall_rules_ _cleanup_(firewall_rules_done)
void firewall_rules_done(struct firewall_rules *rules);

/* [{"protocol": "TCP", "cidr": "192.0.2.0/24" or null, "port": 80}, …]. Each rule is kept once. ERROR_INVALID with a JSON
 * Pointer, ERROR_TOO_LARGE. */
int firewall_rules_parse(const json_t *document, struct firewall_rules *ret, struct error *err);

/* The document that firewall_rules_parse() takes. NULL without memory. */
json_t *firewall_rules_to_json(const struct firewall_rules *rules);

/* The rules of one interface. */
struct firewall_interface {
	const char *name;
	const struct firewall_rules *rules;
};

/* What "nft -j -f -" takes: all rules are replaced at once, no packet meets another set of them. What arrives is dropped,
 * but for replies, what belongs to them, ICMP that the network needs (path MTU discovery, neighbor discovery), DHCP, the
 * loopback interface, and what the rules of the interface allow. NULL without memory. */
json_t *firewall_transaction(const struct firewall_interface *interfaces, size_t n);
