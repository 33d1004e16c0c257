/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/plug.h"

#include <string.h>

/* The program that new files name: as Octavia's agent from 12.0.0 on, wherever ours is (see apply.c). */
#define MASQUERADE "/usr/local/bin/lvs-masquerade.sh"

static void addresses_free(struct plug_address *addresses, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(addresses[i].host_routes);
	free(addresses);
}

void plug_done(struct plug *plug)
{
	addresses_free(plug->vips, plug->n_vips);
	addresses_free(plug->fixed_ips, plug->n_fixed_ips);
	*plug = (struct plug){0};
}

/* An interface file that is being written. */
struct writing {
	json_t *addresses, *routes, *rules; /* borrowed */
	bool has_ipv4, has_ipv6;
	bool failed; /* no memory */
};

static void append(struct writing *writing, json_t *list, json_t *item)
{
	if (json_array_append_new(list, item) < 0)
		writing->failed = true;
}

static void note_version(struct writing *writing, const struct ip *ip)
{
	if (ip->family == AF_INET6)
		writing->has_ipv6 = true;
	else
		writing->has_ipv4 = true;
}

static void append_address(struct writing *writing, const struct ip *ip, unsigned prefix, bool exploded)
{
	char text[IP_TEXT_SIZE];

	if (exploded)
		ip_format_exploded(ip, text);
	else
		ip_format(ip, text);
	append(writing, writing->addresses, json_pack("{s:s, s:i}", "address", text, "prefixlen", (int)prefix));
}

/* A "table" of 0 is not written: the main one. */
static void append_route_over(
	struct writing *writing, const char *destination, const struct ip *gateway, unsigned table)
{
	json_t *route = json_object();
	char text[IP_TEXT_SIZE];

	ip_format(gateway, text);
	if (json_object_set_new(route, "dst", json_string(destination)) < 0 ||
		json_object_set_new(route, "gateway", json_string(text)) < 0 ||
		json_object_set_new(route, "flags", json_pack("[s]", "onlink")) < 0 ||
		(table && json_object_set_new(route, "table", json_integer(table)) < 0))
		writing->failed = true;
	append(writing, writing->routes, route);
}

static void append_default_routes(struct writing *writing, const struct plug_address *address, bool active_standby)
{
	const char *everywhere = address->address.family == AF_INET6 ? "::/0" : "0.0.0.0/0";

	if (!address->gateway.family)
		return;
	append_route_over(writing, everywhere, &address->gateway, 0);
	if (!active_standby)
		append_route_over(writing, everywhere, &address->gateway, ROUTE_TABLE_VIP);
}

static void append_host_routes(struct writing *writing, const struct plug_address *address, unsigned table)
{
	char destination[IP_NETWORK_TEXT_SIZE];

	for (size_t i = 0; i < address->n_host_routes; i++) {
		ip_network_format(&address->host_routes[i].destination, destination);
		append_route_over(writing, destination, &address->host_routes[i].nexthop, table);
	}
}

/* Answers leave from the VIP by the VIP's own network and gateway, whatever the main table says. */
static void append_vip_routing(struct writing *writing, const struct plug_address *vip, const char *address,
	const char *network, bool active_standby)
{
	append(writing, writing->routes, json_pack("{s:s, s:s}", "dst", network, "scope", "link"));
	if (active_standby)
		return;
	append(writing, writing->routes,
		json_pack("{s:s, s:s, s:s, s:i}", "dst", network, "prefsrc", address, "scope", "link", "table",
			(int)ROUTE_TABLE_VIP));
	append(writing, writing->rules,
		json_pack("{s:s, s:i, s:i}", "src", address, "src_len", (int)ip_bits(vip->address.family), "table",
			(int)ROUTE_TABLE_VIP));
}

static void append_vip(struct writing *writing, const struct plug_address *vip, bool active_standby)
{
	char address[IP_TEXT_SIZE], network[IP_TEXT_SIZE], cidr[IP_NETWORK_TEXT_SIZE];

	note_version(writing, &vip->address);
	append_default_routes(writing, vip, active_standby);
	ip_format_exploded(&vip->address, address);
	append(writing, writing->addresses,
		json_pack("{s:s, s:i, s:b}", "address", address, "prefixlen", (int)ip_bits(vip->address.family),
			"octavia_owned", !active_standby));
	ip_format_exploded(&vip->subnet.ip, network);
	snprintf(cidr, sizeof(cidr), "%s/%u", network, vip->subnet.prefix);
	append_vip_routing(writing, vip, address, cidr, active_standby);
	append_host_routes(writing, vip, 0);
	append_host_routes(writing, vip, ROUTE_TABLE_VIP);
}

static void append_vips(struct writing *writing, const struct plug *plug, bool active_standby)
{
	bool ipv4 = false, ipv6 = false;

	for (size_t i = 0; i < plug->n_vips; i++) {
		ipv4 = ipv4 || plug->vips[i].address.family == AF_INET;
		ipv6 = ipv6 || plug->vips[i].address.family == AF_INET6;
	}
	if (plug->vrrp_ip.family) {
		append_address(writing, &plug->vrrp_ip, plug->vips[0].subnet.prefix, true);
	} else {
		if (ipv4)
			append(writing, writing->addresses, json_pack("{s:b}", "dhcp", 1));
		if (ipv6)
			append(writing, writing->addresses, json_pack("{s:b}", "ipv6auto", 1));
	}
	for (size_t i = 0; i < plug->n_vips; i++)
		append_vip(writing, &plug->vips[i], active_standby);
}

static void append_fixed_ips(struct writing *writing, const struct plug *plug, bool active_standby)
{
	for (size_t i = 0; i < plug->n_fixed_ips; i++) {
		const struct plug_address *fixed_ip = &plug->fixed_ips[i];

		note_version(writing, &fixed_ip->address);
		append_address(writing, &fixed_ip->address, fixed_ip->subnet.prefix, false);
		/* Ports of members only lead to their networks. */
		if (plug->n_vips > 0)
			append_default_routes(writing, fixed_ip, active_standby);
		append_host_routes(writing, fixed_ip, 0);
	}
	if (plug->n_vips == 0 && plug->n_fixed_ips == 0) {
		writing->has_ipv4 = writing->has_ipv6 = true;
		append(writing, writing->addresses, json_pack("{s:b, s:b}", "dhcp", 1, "ipv6auto", 1));
	}
}

static json_t *make_commands(const struct writing *writing, const char *action, const char *name, bool is_sriov)
{
	static const char *const versions[] = {"ipv4", "ipv6"};
	const bool wanted[] = {writing->has_ipv4, writing->has_ipv6};
	json_auto_t *list = json_array();
	char command[128];

	for (size_t i = 0; i < ELEMENTSOF(versions); i++) {
		if (!wanted[i])
			continue;
		snprintf(command, sizeof(command), MASQUERADE " %s %s %s%s", action, versions[i], name,
			is_sriov ? " sriov" : "");
		if (json_array_append_new(list, json_pack("{s:s}", "command", command)) < 0)
			return NULL;
	}
	return TAKE_PTR(list);
}

int plug_to_json(const struct plug *plug, const char *name, bool active_standby, json_t **ret)
{
	json_auto_t *addresses = json_array(), *routes = json_array(), *rules = json_array(), *json = NULL;
	struct writing writing = {.addresses = addresses, .routes = routes, .rules = rules};

	if (plug->n_vips > 0)
		append_vips(&writing, plug, active_standby);
	append_fixed_ips(&writing, plug, active_standby);
	json = json_pack("{s:s, s:s, s:O, s:O, s:O, s:{s:o, s:o}, s:b}", "name", name, "if_type",
		plug->n_vips > 0 ? "vip" : "backend", "addresses", addresses, "routes", routes, "rules", rules, "scripts",
		"up", make_commands(&writing, "add", name, plug->is_sriov), "down",
		make_commands(&writing, "delete", name, plug->is_sriov), "is_sriov", (int)plug->is_sriov);
	if (writing.failed || !json || (plug->mtu && json_object_set_new(json, "mtu", json_integer(plug->mtu)) < 0))
		return -ENOMEM;
	*ret = TAKE_PTR(json);
	return 0;
}
