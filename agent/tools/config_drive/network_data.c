/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tools/config_drive/network_data.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "agent/base/text.h"

#define WHERE "network_data.json"

enum { MTU_MIN = 68, MTU_MAX = 65535 };

/* How a network type of nova is configured (network_data.json's schema in nova's documentation). */
static const struct network_type {
	const char *name;
	int family;
	const char *dhcp; /* NULL: an address is given */
	bool is_advertised; /* routers say */
} network_types[] = {
	{"ipv4", AF_INET, NULL, false},
	{"ipv4_dhcp", AF_INET, "ipv4", false},
	{"ipv6", AF_INET6, NULL, false},
	{"ipv6_dhcp", AF_INET6, "ipv6", true},
	{"ipv6_slaac", AF_INET6, NULL, true},
	{"ipv6_dhcpv6-stateful", AF_INET6, "ipv6", true},
	{"ipv6_dhcpv6-stateless", AF_INET6, NULL, true},
};

/* What is said about one link. */
struct link {
	const char *id;
	struct text network, routes;
	bool dhcp4, dhcp6, advertised, is_configured;
};

static void link_done(struct link *link)
{
	text_done(&link->network);
	text_done(&link->routes);
}

static int refuse(struct error *err, const char *what)
{
	return error_set(err, ERROR_INVALID, WHERE, "%s", what);
}

static const struct network_type *find_type(const char *name)
{
	for (size_t i = 0; name && i < ELEMENTSOF(network_types); i++)
		if (streq(name, network_types[i].name))
			return &network_types[i];
	return NULL;
}

static bool mac_is_good(const char *mac)
{
	if (!mac || strlen(mac) != 17)
		return false;
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
			return false;
	return true;
}

/* The length of a netmask, -1 for what is none. */
static int prefix_of(int family, const char *netmask)
{
	uint8_t bytes[16] = {0};
	size_t size = family == AF_INET ? 4 : 16;
	int length = 0;

	if (!netmask || inet_pton(family, netmask, bytes) != 1)
		return -1;
	while (length < (int)size * 8 && bytes[length / 8] & (0x80 >> length % 8))
		length++;
	for (int bit = length; bit < (int)size * 8; bit++)
		if (bytes[bit / 8] & (0x80 >> bit % 8))
			return -1;
	return length;
}

/* ADDRESS/LENGTH from nova's "ip_address" with "netmask", or with the length in it; false for what is neither. */
static bool append_prefix(struct text *text, int family, const char *address, const char *netmask)
{
	char copy[INET6_ADDRSTRLEN + 4], binary[16];
	int64_t length = prefix_of(family, netmask);
	char *slash;

	if (!address || strlen(address) >= sizeof(copy))
		return false;
	memcpy(copy, address, strlen(address) + 1);
	slash = strchr(copy, '/');
	if (slash) {
		*slash = '\0';
		if (!isdigit((unsigned char)slash[1]) || text_to_int64(slash + 1, &length) < 0)
			return false;
	}
	if (length < 0 || length > (family == AF_INET ? 32 : 128) || inet_pton(family, copy, binary) != 1)
		return false;
	text_printf(text, "%s/%d\n", copy, (int)length);
	return true;
}

static int add_routes(const json_t *routes, int family, struct link *link, struct error *err)
{
	size_t i;
	json_t *route;

	json_array_foreach (routes, i, route) {
		const char *gateway = json_string_value(json_object_get(route, "gateway"));
		char binary[16];

		if (i >= NETWORK_LINKS_MAX * 4 || !gateway || inet_pton(family, gateway, binary) != 1)
			return refuse(err, "a route has no gateway, or there are too many");
		text_append(&link->routes, "\n[Route]\nDestination=");
		if (!append_prefix(&link->routes, family, json_string_value(json_object_get(route, "network")),
			    json_string_value(json_object_get(route, "netmask"))))
			return refuse(err, "a route has no network or netmask");
		text_printf(&link->routes, "Gateway=%s\n", gateway);
	}
	return 0;
}

static int add_network(const json_t *network, struct link *link, struct error *err)
{
	const struct network_type *type = find_type(json_string_value(json_object_get(network, "type")));

	if (!type)
		return refuse(err, "a network is of a type that is not known");
	link->is_configured = true;
	link->advertised |= type->is_advertised;
	if (type->dhcp) {
		link->dhcp4 |= type->family == AF_INET;
		link->dhcp6 |= type->family == AF_INET6;
		return 0;
	}
	if (type->is_advertised)
		return 0;
	text_append(&link->network, "Address=");
	if (!append_prefix(&link->network, type->family, json_string_value(json_object_get(network, "ip_address")),
		    json_string_value(json_object_get(network, "netmask"))))
		return refuse(err, "a network has no ip_address with a netmask");
	return add_routes(json_object_get(network, "routes"), type->family, link, err);
}

static void append_unit(struct text *unit, struct link *link, const char *mac, json_int_t mtu)
{
	text_printf(unit,
		"# Written by amphora-config-drive from network_data.json at the first boot.\n"
		"[Match]\nMACAddress=%s\n",
		mac);
	if (mtu > 0)
		text_printf(unit, "\n[Link]\nMTUBytes=%d\n", (int)mtu);
	text_printf(unit, "\n[Network]\nDHCP=%s\nIPv6AcceptRA=%s\n%s",
		link->dhcp4 ? (link->dhcp6 ? "yes" : "ipv4") : link->dhcp6 ? "ipv6" : "no", link->advertised ? "yes" : "no",
		text_peek(&link->network));
	if (link->dhcp4)
		text_printf(unit, "\n[DHCPv4]\nClientIdentifier=mac\n%s", mtu > 0 ? "" : "UseMTU=yes\n");
	text_append(unit, text_peek(&link->routes));
	unit->failed |= link->network.failed || link->routes.failed;
}

static int add_link(const json_t *json, const json_t *networks, size_t number, const char *dir, struct drive_files *files,
	struct error *err)
{
	_cleanup_(link_done) struct link link = {.id = json_string_value(json_object_get(json, "id"))};
	const char *mac = json_string_value(json_object_get(json, "ethernet_mac_address"));
	json_int_t mtu = json_integer_value(json_object_get(json, "mtu"));
	_cleanup_drive_file_ struct drive_file file = {.mode = 0644};
	_cleanup_text_ struct text unit = TEXT_INIT;
	size_t i;
	json_t *network;
	int r;

	if (!link.id || !mac_is_good(mac) || (mtu != 0 && (mtu < MTU_MIN || mtu > MTU_MAX)))
		return refuse(err, "a link has no id, no ethernet_mac_address or an impossible mtu");
	json_array_foreach (networks, i, network) {
		if (!streq_null(json_string_value(json_object_get(network, "link")), link.id))
			continue;
		r = add_network(network, &link, err);
		if (r < 0)
			return r;
	}
	if (!link.is_configured)
		return 0;
	append_unit(&unit, &link, mac, mtu);
	r = text_finish(&unit, &file.content, &file.length);
	if (r < 0 || asprintf(&file.path, "%s/70-amphora-%zu.network", dir, number) < 0) {
		file.path = r < 0 ? file.path : NULL;
		return error_set_errno(err, -ENOMEM, WHERE);
	}
	return drive_files_add(files, &file, WHERE, err);
}

int network_data_parse(const char *data, size_t length, const char *dir, struct drive_files *files, struct error *err)
{
	json_error_t problem;
	json_auto_t *json = json_loadb(data, length, JSON_REJECT_DUPLICATES, &problem);
	const json_t *links = json_object_get(json, "links"), *networks = json_object_get(json, "networks");
	size_t i;
	json_t *link;

	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, WHERE, "no JSON object: %s", json ? "another type" : problem.text);
	if (json_array_size(links) > NETWORK_LINKS_MAX || json_array_size(networks) > NETWORK_LINKS_MAX * 4)
		return error_set(err, ERROR_TOO_LARGE, WHERE, "there are more than %d links or networks", NETWORK_LINKS_MAX);
	json_array_foreach (links, i, link) {
		int r = add_link(link, networks, i, dir, files, err);

		if (r < 0)
			return r;
	}
	return 0;
}
