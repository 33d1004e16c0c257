/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/plug.h"

#include <stdarg.h>
#include <string.h>

#include "agent/base/text.h"

enum {
	MTU_MIN = 68, /* RFC 791 */
	MTU_MAX = 65535,
	POINTER_SIZE = 64,
	WORDS_SIZE = 200,
};

/* What is being read, and where: pointers are made of short names and numbers. */
struct reading {
	size_t n_host_routes; /* so far */
	enum plug_mistake mistake;
	struct error *err;
};

static int wrong(struct reading *reading, enum plug_mistake mistake, const char *where, const char *name,
	const char *format, ...) _printf_(5, 6);

static int wrong(struct reading *reading, enum plug_mistake mistake, const char *where, const char *name,
	const char *format, ...)
{
	char pointer[POINTER_SIZE + 32], words[WORDS_SIZE];
	va_list arguments;

	snprintf(pointer, sizeof(pointer), "%s/%s", where, name);
	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	reading->mistake = mistake;
	return error_set(reading->err, ERROR_INVALID, pointer, "%s", words);
}

static bool is_absent(const json_t *value)
{
	return !value || json_is_null(value);
}

/* An address of the given version (0: any), or none where that is allowed: family 0. */
static int read_ip(const json_t *object, const char *where, const char *name, int family, bool optional,
	enum plug_mistake mistake, struct ip *ret, struct reading *reading)
{
	const json_t *value = json_object_get(object, name);
	struct ip ip;

	if (optional && is_absent(value)) {
		ret->family = 0;
		return 0;
	}
	if (!json_is_string(value) || ip_parse(json_string_value(value), &ip) < 0 || !ip_is_unicast(&ip))
		return wrong(reading, mistake, where, name, "must be an IP address");
	if (family && ip.family != family)
		return wrong(reading, mistake, where, name, "must be an IPv%d address", family == AF_INET6 ? 6 : 4);
	*ret = ip;
	return 0;
}

static int read_subnet(const json_t *object, const char *where, int family, enum plug_mistake mistake,
	struct ip_network *ret, struct reading *reading)
{
	const char *text = json_string_value(json_object_get(object, "subnet_cidr"));
	struct ip_network subnet;

	if (!text || ip_network_parse(text, &subnet) < 0)
		return wrong(reading, mistake, where, "subnet_cidr", "must be a network, ADDRESS/PREFIX");
	if (subnet.ip.family != family)
		return wrong(reading, mistake, where, "subnet_cidr", "must be of the address's IP version");
	if (ip_network_mask(&subnet))
		return wrong(reading, mistake, where, "subnet_cidr", "%.64s has host bits set", text);
	*ret = subnet;
	return 0;
}

static int read_host_route(const json_t *json, const char *where, struct plug_host_route *ret, struct reading *reading)
{
	const char *text = json_string_value(json_object_get(json, "destination"));

	if (!text || ip_network_parse(text, &ret->destination) < 0)
		return wrong(reading, PLUG_INVALID_INFORMATION, where, "destination", "must be a network, ADDRESS/PREFIX");
	ip_network_mask(&ret->destination);
	return read_ip(json, where, "nexthop", ret->destination.ip.family, false, PLUG_INVALID_INFORMATION, &ret->nexthop,
		reading);
}

static int read_host_routes(const json_t *object, const char *where, struct plug_address *address, struct reading *reading)
{
	const json_t *list = json_object_get(object, "host_routes");
	char place[POINTER_SIZE];
	json_t *item;
	size_t i;

	if (is_absent(list))
		return 0;
	reading->n_host_routes += json_array_size(list);
	if (!json_is_array(list) || reading->n_host_routes > PLUG_MAX_HOST_ROUTES)
		return wrong(reading, PLUG_INVALID_INFORMATION, where, "host_routes",
			"must be an array, with at most %d routes in all", (int)PLUG_MAX_HOST_ROUTES);
	address->host_routes = calloc(json_array_size(list) + 1, sizeof(*address->host_routes));
	if (!address->host_routes)
		return error_set_errno(reading->err, -ENOMEM, "host_routes");
	json_array_foreach (list, i, item) {
		int r;

		snprintf(place, sizeof(place), "%s/host_routes/%zu", where, i);
		r = read_host_route(item, place, &address->host_routes[address->n_host_routes++], reading);
		if (r < 0)
			return r;
	}
	return 0;
}

/* All but the address itself, which decides on the IP version. */
static int read_subnet_of(const json_t *object, const char *where, enum plug_mistake mistake, struct plug_address *address,
	struct reading *reading)
{
	int r;

	r = read_subnet(object, where, address->address.family, mistake, &address->subnet, reading);
	if (r == 0)
		r = read_ip(object, where, "gateway", address->address.family, true, PLUG_INVALID_INFORMATION,
			&address->gateway, reading);
	return r < 0 ? r : read_host_routes(object, where, address, reading);
}

/* Objects with "ip_address", behind those that "addresses" holds already. */
static int read_addresses(const json_t *object, const char *where, const char *name, enum plug_mistake mistake,
	struct plug_address **addresses, size_t *n, struct reading *reading)
{
	const json_t *list = json_object_get(object, name);
	struct plug_address *grown;
	char place[POINTER_SIZE];
	json_t *item;
	size_t i;

	if (is_absent(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > PLUG_MAX_ADDRESSES)
		return wrong(reading, mistake, where, name, "must be an array of at most %d addresses",
			(int)PLUG_MAX_ADDRESSES);
	grown = reallocarray(*addresses, *n + json_array_size(list) + 1, sizeof(*grown));
	if (!grown)
		return error_set_errno(reading->err, -ENOMEM, "%s", name);
	*addresses = grown;
	json_array_foreach (list, i, item) {
		struct plug_address *address = &grown[(*n)++];
		int r;

		*address = (struct plug_address){0};
		snprintf(place, sizeof(place), "%s/%s/%zu", where, name, i);
		r = read_ip(item, place, "ip_address", 0, false, mistake, &address->address, reading);
		if (r == 0)
			r = read_subnet_of(item, place, mistake, address, reading);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The VIP, whose subnet stands in the object itself, and the additional ones. */
static int read_vips(const json_t *object, const char *where, const char *vip, struct plug *plug, struct reading *reading)
{
	int r;

	plug->vips = calloc(1, sizeof(*plug->vips));
	if (!plug->vips)
		return error_set_errno(reading->err, -ENOMEM, "vips");
	plug->n_vips = 1;
	if (!vip || ip_parse(vip, &plug->vips[0].address) < 0 || !ip_is_unicast(&plug->vips[0].address))
		return wrong(reading, PLUG_INVALID_VIP, where, "vip", "'%.64s' is no IPv4 or IPv6 address", vip ? vip : "");
	r = read_subnet_of(object, where, PLUG_INVALID_VIP, &plug->vips[0], reading);
	if (r == 0)
		r = read_addresses(object, where, "additional_vips", PLUG_INVALID_VIP, &plug->vips, &plug->n_vips, reading);
	if (r == 0)
		r = read_ip(object, where, "vrrp_ip", plug->vips[0].address.family, true, PLUG_INVALID_VRRP_ADDRESS,
			&plug->vrrp_ip, reading);
	return r;
}

static int read_port(const json_t *json, struct plug *plug, struct reading *reading)
{
	const json_t *mtu = json_object_get(json, "mtu"), *sriov = json_object_get(json, "is_sriov");
	const char *mac = json_string_value(json_object_get(json, "mac_address"));

	if (!mac || mac_parse(mac, plug->mac) < 0)
		return wrong(reading, PLUG_INVALID_INFORMATION, "", "mac_address", "must be an Ethernet address");
	if (!is_absent(mtu) && (!json_is_integer(mtu) || json_integer_value(mtu) > MTU_MAX ||
				       (json_integer_value(mtu) < MTU_MIN && json_integer_value(mtu) != 0)))
		return wrong(reading, PLUG_INVALID_INFORMATION, "", "mtu", "must be a number of bytes, %d to %d",
			(int)MTU_MIN, (int)MTU_MAX);
	if (!is_absent(sriov) && !json_is_boolean(sriov))
		return wrong(reading, PLUG_INVALID_INFORMATION, "", "is_sriov", "must be true or false");
	plug->mtu = (unsigned)json_integer_value(mtu);
	plug->is_sriov = json_is_true(sriov);
	return 0;
}

/* The members whose absence the Python agent answers itself (server.py). */
static int need(const json_t *json, const char *where, const char *const *names, struct reading *reading)
{
	if (!json_is_object(json))
		return wrong(reading, PLUG_INVALID_INFORMATION, where, "", "must be an object");
	for (; *names; names++)
		if (!json_object_get(json, *names))
			return wrong(reading, PLUG_INVALID_INFORMATION, where, *names, "is missing");
	return 0;
}

static int finish(int r, struct plug *plug, struct plug *ret, enum plug_mistake *ret_mistake, struct reading *reading)
{
	if (r < 0) {
		*ret_mistake = reading->mistake;
		return r;
	}
	*ret = *plug;
	*plug = (struct plug){0};
	return 0;
}

int plug_parse_vip(
	const json_t *json, const char *vip, struct plug *ret, enum plug_mistake *ret_mistake, struct error *err)
{
	static const char *const needed[] = {"subnet_cidr", "gateway", "mac_address", NULL};
	struct reading reading = {.err = err};
	_cleanup_plug_ struct plug plug = {0};
	int r;

	r = need(json, "", needed, &reading);
	if (r == 0)
		r = read_port(json, &plug, &reading);
	if (r == 0)
		r = read_vips(json, "", vip, &plug, &reading);
	return finish(r, &plug, ret, ret_mistake, &reading);
}

int plug_parse_network(const json_t *json, struct plug *ret, enum plug_mistake *ret_mistake, struct error *err)
{
	static const char *const needed[] = {"mac_address", NULL};
	static const char *const needed_of_vip[] = {"vip", "subnet_cidr", "gateway", NULL};
	const json_t *vip = json_object_get(json, "vip_net_info");
	struct reading reading = {.err = err};
	_cleanup_plug_ struct plug plug = {0};
	int r;

	r = need(json, "", needed, &reading);
	if (r == 0)
		r = read_port(json, &plug, &reading);
	if (r == 0)
		r = read_addresses(json, "", "fixed_ips", PLUG_INVALID_FIXED_IP, &plug.fixed_ips, &plug.n_fixed_ips, &reading);
	if (r == 0 && !is_absent(vip) && !(json_is_object(vip) && json_object_size(vip) == 0)) {
		r = need(vip, "/vip_net_info", needed_of_vip, &reading);
		if (r == 0)
			r = read_vips(vip, "/vip_net_info", json_string_value(json_object_get(vip, "vip")), &plug, &reading);
	}
	return finish(r, &plug, ret, ret_mistake, &reading);
}
