/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/firewall_rules.h"

#include <string.h>

#include "agent/base/text.h"

/* Octavia's names, so that its agent finds and replaces the same table. */
#define FAMILY "inet"
#define TABLE "amphora_table"
#define BASE_CHAIN "amphora_chain"
#define VIP_CHAIN "amphora_vip_chain"
#define VIP_INTERFACE "eth1"

enum { PROTOCOL_VRRP = 112 };
enum { TCP_SYN = 0x02, TCP_ACK = 0x10 }; /* RFC 9293, 3.1 */

static const struct protocol {
	const char *name;     /* in a request */
	uint8_t number;
	const char *nft_name; /* of its header; NULL: it has no port */
} protocols[] = {
	{"TCP", IPPROTO_TCP, "tcp"},
	{"UDP", IPPROTO_UDP, "udp"},
	{"SCTP", IPPROTO_SCTP, "sctp"},
	{"vrrp", PROTOCOL_VRRP, NULL}, /* what Octavia sends */
	{"VRRP", PROTOCOL_VRRP, NULL}, /* what its schema says */
};

static const struct protocol *protocol_of_name(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(protocols); i++)
		if (streq(protocols[i].name, name))
			return &protocols[i];
	return NULL;
}

static const struct protocol *protocol_of_number(uint8_t number)
{
	for (size_t i = 0; i < ELEMENTSOF(protocols); i++)
		if (protocols[i].number == number)
			return &protocols[i];
	return NULL;
}

void firewall_rules_done(struct firewall_rules *rules)
{
	free(rules->items);
	*rules = FIREWALL_RULES_INIT;
}

static int refuse(struct error *err, size_t index, const char *field, const char *words)
{
	char pointer[64];

	snprintf(pointer, sizeof(pointer), "/%zu%s%s", index, field ? "/" : "", field ? field : "");
	return error_set(err, ERROR_INVALID, pointer, "%s", words);
}

/* "0.0.0.0/0" is what a controller writes for everybody, whatever the VIP's version. */
static int parse_source(const json_t *value, size_t index, struct firewall_rule *rule, struct error *err)
{
	const char *text;

	if (json_is_null(value))
		return 0;
	text = json_string_value(value);
	if (!text || ip_network_parse(text, &rule->source) < 0)
		return refuse(err, index, "cidr", "must be an IPv4 or IPv6 network, or null");
	ip_network_mask(&rule->source);
	rule->has_source = rule->source.prefix > 0 || rule->source.ip.family != AF_INET;
	if (!rule->has_source)
		memset(&rule->source, 0, sizeof(rule->source));
	return 0;
}

static int parse_rule(const json_t *value, size_t index, struct firewall_rule *ret, struct error *err)
{
	const json_t *cidr = json_object_get(value, "cidr"), *port = json_object_get(value, "port");
	const char *name = json_string_value(json_object_get(value, "protocol"));
	const struct protocol *protocol = name ? protocol_of_name(name) : NULL;
	struct firewall_rule rule = {0};
	int r;

	if (!json_is_object(value))
		return refuse(err, index, NULL, "must be an object");
	if (!protocol)
		return refuse(err, index, "protocol", "must be TCP, UDP, SCTP or vrrp");
	if (!cidr)
		return refuse(err, index, "cidr", "is missing");
	if (!json_is_integer(port) || json_integer_value(port) < 1 || json_integer_value(port) > 65535)
		return refuse(err, index, "port", "must be a number from 1 to 65535");
	if (json_object_size(value) != 3)
		return refuse(err, index, NULL, "must have protocol, cidr and port and nothing else");
	rule.protocol = protocol->number;
	rule.port = protocol->nft_name ? (uint16_t)json_integer_value(port) : 0;
	r = parse_source(cidr, index, &rule, err);
	if (r < 0)
		return r;
	*ret = rule;
	return 0;
}

static int compare_rules(const void *a, const void *b)
{
	const struct firewall_rule *x = a, *y = b;

	if (x->protocol != y->protocol)
		return x->protocol < y->protocol ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->source.ip.family != y->source.ip.family) /* 0 for everybody */
		return x->source.ip.family < y->source.ip.family ? -1 : 1;
	if (x->source.prefix != y->source.prefix)
		return x->source.prefix < y->source.prefix ? -1 : 1;
	return memcmp(x->source.ip.bytes, y->source.ip.bytes, sizeof(x->source.ip.bytes));
}

/* All of them accept, so their order means nothing: the same set is the same transaction. */
static void sort_and_unite(struct firewall_rules *rules)
{
	size_t kept = 0;

	if (rules->n > 1)
		qsort(rules->items, rules->n, sizeof(*rules->items), compare_rules);
	for (size_t i = 0; i < rules->n; i++)
		if (kept == 0 || compare_rules(&rules->items[kept - 1], &rules->items[i]) != 0)
			rules->items[kept++] = rules->items[i];
	rules->n = kept;
}

int firewall_rules_parse(const json_t *document, struct firewall_rules *ret, struct error *err)
{
	_cleanup_firewall_rules_ struct firewall_rules rules = FIREWALL_RULES_INIT;
	size_t n = json_array_size(document);

	if (!json_is_array(document))
		return error_set(err, ERROR_INVALID, "", "must be a list of rules");
	if (n > FIREWALL_MAX_RULES)
		return error_set(err, ERROR_TOO_LARGE, "", "at most %d rules", (int)FIREWALL_MAX_RULES);
	rules.items = calloc(n + 1, sizeof(*rules.items));
	if (!rules.items)
		return error_set_errno(err, -ENOMEM, "rules");
	for (size_t i = 0; i < n; i++) {
		int r = parse_rule(json_array_get(document, i), i, &rules.items[i], err);

		if (r < 0)
			return r;
	}
	rules.n = n;
	sort_and_unite(&rules);
	*ret = rules;
	rules = FIREWALL_RULES_INIT;
	return 0;
}

static int append(json_t *array, json_t *item)
{
	return item ? json_array_append_new(array, item) : -1;
}

json_t *firewall_rules_to_json(const struct firewall_rules *rules)
{
	json_auto_t *array = json_array();

	for (size_t i = 0; i < rules->n; i++) {
		const struct firewall_rule *rule = &rules->items[i];
		const struct protocol *protocol = protocol_of_number(rule->protocol);
		char source[IP_NETWORK_TEXT_SIZE];

		if (rule->has_source)
			ip_network_format(&rule->source, source);
		if (append(array, json_pack("{s:s, s:s?, s:i}", "protocol", protocol->name, "cidr",
					 rule->has_source ? source : NULL, "port",
					 protocol->nft_name ? (int)rule->port : (int)PROTOCOL_VRRP)) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

/* {"match": …}; takes the right side. */
static json_t *match_payload(const char *protocol, const char *field, json_t *right)
{
	return json_pack("{s:{s:s, s:{s:{s:s, s:s}}, s:o}}", "match", "op", "==", "left", "payload", "protocol", protocol,
		"field", field, "right", right);
}

static json_t *match_meta(const char *key, json_t *right)
{
	return json_pack("{s:{s:s, s:{s:{s:s}}, s:o}}", "match", "op", "==", "left", "meta", "key", key, "right", right);
}

static json_t *match_ct_state(const char *state)
{
	return json_pack("{s:{s:s, s:{s:{s:s}}, s:s}}", "match", "op", "in", "left", "ct", "key", "state", "right", state);
}

static json_t *match_source(const struct ip_network *source)
{
	const char *protocol = source->ip.family == AF_INET6 ? "ip6" : "ip";
	char address[IP_TEXT_SIZE];

	if (source->prefix == 0) /* every IPv6 address */
		return match_meta("nfproto", json_string("ipv6"));
	ip_format(&source->ip, address);
	if (source->prefix == ip_bits(source->ip.family))
		return match_payload(protocol, "saddr", json_string(address));
	return match_payload(protocol, "saddr",
		json_pack("{s:{s:s, s:i}}", "prefix", "addr", address, "len", (int)source->prefix));
}

/* Takes the list of expressions. */
static json_t *add_rule(const char *chain, json_t *expressions)
{
	return json_pack("{s:{s:{s:s, s:s, s:s, s:o}}}", "add", "rule", "family", FAMILY, "table", TABLE, "chain", chain,
		"expr", expressions);
}

static json_t *verdict(const char *name)
{
	return json_pack("{s:n}", name);
}

static int append_rule(json_t *commands, const char *chain, const struct firewall_rule *rule)
{
	const struct protocol *protocol = protocol_of_number(rule->protocol);
	json_t *expressions = json_array();
	int r = 0;

	if (rule->has_source)
		r = append(expressions, match_source(&rule->source));
	/* Octavia writes "ip protocol 112", which is IPv4's only and contradicts an IPv6 source. */
	if (r == 0)
		r = append(expressions, protocol->nft_name
				? match_payload(protocol->nft_name, "dport", json_integer(rule->port))
				: match_meta("l4proto", json_integer(PROTOCOL_VRRP)));
	if (r == 0)
		r = append(expressions, verdict("accept"));
	if (r < 0) {
		json_decref(expressions);
		return r;
	}
	return append(commands, add_rule(chain, expressions));
}

/* What every interface gets, in Octavia's order. */
static int append_base_rules(json_t *commands)
{
	json_t *const rules[] = {
		/* Replies, and the ICMP errors that belong to them. */
		json_pack("[{s:{s:{s:{s:s}}, s:{s:[[s,{s:n}],[s,{s:n}],[s,{s:n}]]}}}]", "vmap", "key", "ct", "key", "state",
			"data", "set", "established", "accept", "related", "accept", "invalid", "drop"),
		/* The same of interfaces whose TCP is not tracked (lvs-masquerade.sh), to members on a network that is
		 * not SR-IOV: all but what opens a connection, SYN without ACK (RFC 9293, 3.5). */
		json_pack("[o,{s:{s:s, s:{s:[{s:{s:s, s:s}}, i]}, s:i}}, o]", match_ct_state("untracked"), "match", "op",
			"!=", "left", "&", "payload", "protocol", "tcp", "field", "flags", TCP_SYN | TCP_ACK, "right",
			TCP_SYN, verdict("accept")),
		json_pack("[o,o]", match_meta("iif", json_string("lo")), verdict("accept")),
		/* From elsewhere, loopback's addresses are forged. */
		json_pack("[o,o]", match_payload("ip", "saddr", json_pack("{s:{s:s, s:i}}", "prefix", "addr", "127.0.0.0",
							       "len", 8)),
			verdict("drop")),
		json_pack("[o,o]", match_payload("ip6", "saddr", json_string("::1")), verdict("drop")),
		/* Path MTU discovery (RFC 1191, RFC 8201) and neighbor discovery (RFC 4861). */
		json_pack("[o,o]", match_payload("icmp", "type", json_string("destination-unreachable")),
			verdict("accept")),
		json_pack("[o,o]", match_payload("icmpv6", "type",
					   json_pack("{s:[s,s,s,s,s]}", "set", "nd-neighbor-solicit", "nd-router-advert",
						   "nd-neighbor-advert", "packet-too-big", "destination-unreachable")),
			verdict("accept")),
		/* DHCP's answers. */
		json_pack("[o,o,o]", match_payload("udp", "sport", json_integer(67)),
			match_payload("udp", "dport", json_integer(68)), verdict("accept")),
		json_pack("[o,o,o]", match_payload("udp", "sport", json_integer(547)),
			match_payload("udp", "dport", json_integer(546)), verdict("accept")),
	};
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(rules); i++)
		if (!rules[i] || append(commands, add_rule(BASE_CHAIN, rules[i])) < 0)
			r = -1;
	return r;
}

static void chain_name(const char *interface, char *ret, size_t size)
{
	snprintf(ret, size, streq(interface, VIP_INTERFACE) ? VIP_CHAIN : VIP_CHAIN "_%s", interface);
}

static json_t *flush_chain(const char *chain)
{
	return json_pack("{s:{s:{s:s, s:s, s:s}}}", "flush", "chain", "family", FAMILY, "table", TABLE, "name", chain);
}

/* Each "add" of what is there does nothing. The chain is emptied, not deleted and made again: for an instant of such a
 * transaction (Octavia's) its policy is not in force yet, and packets pass that should not. */
static int append_base_chain(json_t *commands)
{
	int r;

	r = append(commands, json_pack("{s:{s:{s:s, s:s}}}", "add", "table", "family", FAMILY, "name", TABLE));
	if (r == 0)
		r = append(commands, json_pack("{s:{s:{s:s, s:s, s:s, s:s, s:s, s:i, s:s}}}", "add", "chain", "family", FAMILY,
					 "table", TABLE, "name", BASE_CHAIN, "type", "filter", "hook", "input", "prio", 0,
					 "policy", "drop"));
	if (r == 0)
		r = append(commands, flush_chain(BASE_CHAIN));
	return r == 0 ? append_base_rules(commands) : r;
}

/* Its rules in a chain of their own, and the way there. */
static int append_interface(json_t *commands, const struct firewall_interface *interface)
{
	char chain[64];
	int r;

	chain_name(interface->name, chain, sizeof(chain));
	r = append(commands, json_pack("{s:{s:{s:s, s:s, s:s}}}", "add", "chain", "family", FAMILY, "table", TABLE, "name",
				 chain));
	if (r == 0)
		r = append(commands, flush_chain(chain));
	for (size_t i = 0; r == 0 && i < interface->rules->n; i++)
		r = append_rule(commands, chain, &interface->rules->items[i]);
	if (r == 0)
		r = append(commands,
			add_rule(BASE_CHAIN, json_pack("[o,{s:{s:s}}]", match_meta("iifname", json_string(interface->name)),
						     "goto", "target", chain)));
	return r;
}

json_t *firewall_transaction(const struct firewall_interface *interfaces, size_t n)
{
	json_auto_t *commands = json_array();
	int r;

	r = append_base_chain(commands);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = append_interface(commands, &interfaces[i]);
	return r < 0 ? NULL : json_pack("{s:O}", "nftables", commands);
}
