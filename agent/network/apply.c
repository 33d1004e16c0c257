/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/apply.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/network/address.h"
#include "agent/network/command.h"
#include "agent/network/dhcp.h"
#include "agent/network/link.h"
#include "agent/network/sysctl.h"

enum {
	/* One solicitation after at most a second, a second for the answer (RFC 4862, section 5.4.2; RFC 4861, section 10). */
	TENTATIVE_TIMEOUT_MS = 5000,
	TENTATIVE_INTERVAL_MS = 20,
	ADDRESS_ROUNDS = 3,
};

static int set_interface_sysctl(
	const struct apply_context *context, const struct interface *interface, const char *key, const char *value)
{
	char path[96];
	int r;

	snprintf(path, sizeof(path), "net/ipv6/conf/%s/%s", interface->name, key);
	r = sysctl_write(context->namespace_fd, path, value);
	if (r < 0 && r != -ENOENT)
		log_warning("%s: cannot set %s to %s: %s", interface->name, path, value, strerror(-r));
	return r;
}

/* accept_ra 2: also where packets are forwarded (Documentation/networking/ip-sysctl.rst). Before the interface comes up,
 * when it asks for routers. */
static void set_autoconfiguration(const struct apply_context *context, const struct interface *interface, bool on)
{
	set_interface_sysctl(context, interface, "accept_ra", on ? "2" : "0");
	set_interface_sysctl(context, interface, "autoconf", on ? "1" : "0");
}

static bool is_host_address(const struct interface_address *address)
{
	return address->network.prefix == ip_bits(address->network.ip.family);
}

/*
 * A controller gives each port an address of its own: nothing is gained by waiting two seconds until the kernel has found
 * that nobody else has it; it finds out meanwhile. A VIP may well be on the amphora that this one replaces, and must not
 * be lost to it; keepalived sets it the same way.
 */
static enum duplicate_detection detection_of(const struct interface_address *address)
{
	return is_host_address(address) ? DETECT_NOT : DETECT_MEANWHILE;
}

static int bring_up(const struct apply_context *context, const struct interface *interface, struct link *link,
	struct error *err)
{
	unsigned mtu = interface->mtu == link->mtu ? 0 : interface->mtu;
	int r;

	if (interface->wants_autoconfiguration)
		set_autoconfiguration(context, interface, true);
	if (interface->type != INTERFACE_LOOPBACK)
		set_interface_sysctl(context, interface, "optimistic_dad", "1");
	if (link->is_up && !mtu)
		return 0;
	r = link_set(context->sock, link, true, mtu);
	if (r == 0)
		r = link_find_by_index(context->sock, link->index, link);
	if (r < 0 && mtu)
		return error_set_errno(err, r, "cannot bring up %s with an MTU of %u", interface->name, mtu);
	return r < 0 ? error_set_errno(err, r, "cannot bring up %s", interface->name) : 0;
}

static const struct interface_address *find_wanted(const struct interface *interface, const struct ip_network *network)
{
	for (size_t i = 0; i < interface->n_addresses; i++)
		if (ip_network_equal(&interface->addresses[i].network, network))
			return &interface->addresses[i];
	return NULL;
}

static bool is_there(const struct address *addresses, size_t n, const struct ip_network *network)
{
	for (size_t i = 0; i < n; i++)
		if (ip_network_equal(&addresses[i].network, network))
			return true;
	return false;
}

static bool is_stale(const struct interface *interface, const struct address *address)
{
	if (!address->is_permanent || address->is_link_local || interface->type == INTERFACE_LOOPBACK ||
		find_wanted(interface, &address->network))
		return false;
	/* The lease of a client that sets no lifetime. */
	return !(interface->wants_dhcp && address->network.ip.family == AF_INET && address->network.prefix < 32);
}

static int add_missing(const struct apply_context *context, const struct interface *interface, int index,
	const struct address *current, size_t n, struct error *err)
{
	for (size_t i = 0; i < interface->n_addresses; i++) {
		const struct interface_address *wanted = &interface->addresses[i];
		char text[IP_NETWORK_TEXT_SIZE];
		int r;

		if (!wanted->is_ours || is_there(current, n, &wanted->network))
			continue;
		r = address_add(context->sock, index, &wanted->network, detection_of(wanted));
		if (r < 0 && r != -EEXIST) {
			ip_network_format(&wanted->network, text);
			return error_set_errno(err, r, "cannot add address %s to %s", text, interface->name);
		}
	}
	return 0;
}

/* *ret_deleted: whether there was any. */
static int delete_stale(const struct apply_context *context, const struct interface *interface, int index,
	const struct address *current, size_t n, bool *ret_deleted, struct error *err)
{
	*ret_deleted = false;
	for (size_t i = 0; i < n; i++) {
		char text[IP_NETWORK_TEXT_SIZE];
		int r;

		if (!is_stale(interface, &current[i]))
			continue;
		*ret_deleted = true;
		r = address_delete(context->sock, index, &current[i].network);
		if (r < 0 && r != -EADDRNOTAVAIL) {
			ip_network_format(&current[i].network, text);
			return error_set_errno(err, r, "cannot remove address %s from %s", text, interface->name);
		}
	}
	return 0;
}

/* New ones first, so that no connection is without a source. With the first IPv4 address of a network the kernel may
 * remove the others of that network (promote_secondaries): another look finds and adds them again. */
static int apply_addresses(
	const struct apply_context *context, const struct interface *interface, int index, struct error *err)
{
	bool deleted = true;
	int r = 0;

	for (int round = 0; r == 0 && deleted && round < ADDRESS_ROUNDS; round++) {
		_cleanup_free_ struct address *current = NULL;
		size_t n;

		r = address_list(context->sock, index, &current, &n);
		if (r < 0)
			return error_set_errno(err, r, "cannot read the addresses of %s", interface->name);
		r = add_missing(context, interface, index, current, n, err);
		if (r == 0)
			r = delete_stale(context, interface, index, current, n, &deleted, err);
	}
	return r;
}

static int count_tentative(const struct apply_context *context, const struct interface *interface, int index)
{
	_cleanup_free_ struct address *current = NULL;
	int tentative = 0;
	size_t n;
	int r;

	r = address_list(context->sock, index, &current, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		char text[IP_NETWORK_TEXT_SIZE];

		if (!find_wanted(interface, &current[i].network))
			continue;
		if (current[i].is_duplicate) {
			ip_network_format(&current[i].network, text);
			log_error("%s: another host has address %s: it cannot be used", interface->name, text);
		} else if (current[i].is_tentative) {
			tentative++;
		}
	}
	return tentative;
}

/* Until every address can be used. Without a carrier no neighbor can be asked, however long we wait. */
static void wait_for_addresses(
	const struct apply_context *context, const struct interface *interface, const struct link *link)
{
	int64_t deadline = process_now_ms() + TENTATIVE_TIMEOUT_MS;
	int tentative;

	while ((tentative = count_tentative(context, interface, link->index)) > 0) {
		if (!link->has_carrier || process_now_ms() >= deadline) {
			log_warning("%s: %d IPv6 address%s cannot be used yet: it is not known whether another host has %s",
				interface->name, tentative, tentative == 1 ? "" : "es", tentative == 1 ? "it" : "them");
			return;
		}
		usleep(TENTATIVE_INTERVAL_MS * 1000);
	}
}

/* An address that is none of the wanted ones must have come by DHCP. */
static int has_lease(const struct apply_context *context, const struct interface *interface, int index)
{
	_cleanup_free_ struct address *current = NULL;
	size_t n;
	int r;

	r = address_list(context->sock, index, &current, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (current[i].network.ip.family == AF_INET && !find_wanted(interface, &current[i].network))
			return 1;
	return 0;
}

static int apply_dhcp(
	const struct apply_context *context, const struct interface *interface, int index, struct error *err)
{
	int r;

	if (interface->type == INTERFACE_LOOPBACK)
		return 0;
	if (!interface->wants_dhcp)
		return dhcp_is_running(interface->name) ? dhcp_stop(context->namespace_fd, interface->name, err) : 0;
	if (dhcp_is_running(interface->name) && has_lease(context, interface, index) == 1)
		return 0;
	r = dhcp_stop(context->namespace_fd, interface->name, err);
	if (r == 0)
		r = dhcp_start(context->namespace_fd, interface->name, err);
	if (r < 0)
		return r;
	r = has_lease(context, interface, index);
	if (r < 0)
		return error_set_errno(err, r, "cannot read the addresses of %s", interface->name);
	return r > 0 ? 0 : error_set(err, ERROR_INTERNAL, NULL, "%s got no address by DHCP", interface->name);
}

static void log_route(const struct interface *interface, const struct ip_route *route, const char *what, int r)
{
	char destination[IP_NETWORK_TEXT_SIZE], gateway[IP_TEXT_SIZE] = "";

	ip_network_format(&route->destination, destination);
	if (route->gateway.family)
		ip_format(&route->gateway, gateway);
	log_line(r < 0 ? LOG_WARNING : LOG_DEBUG, NULL, "%s: %s route to %s%s%s, table %u%s%s", interface->name, what,
		destination, gateway[0] ? " via " : "", gateway, route->table, r < 0 ? ": " : "",
		r < 0 ? strerror(-r) : "");
}

static bool is_among(const struct ip_route *routes, size_t n, const struct ip_route *route)
{
	for (size_t i = 0; i < n; i++)
		if (route_equal(&routes[i], route))
			return true;
	return false;
}

/* What is gone goes first: the kernel refuses a second route to the same destination, and the old one would stay. */
static int apply_routes(
	const struct apply_context *context, const struct interface *interface, int index, struct error *err)
{
	_cleanup_free_ struct ip_route *current = NULL;
	size_t n;
	int r;

	r = route_list(context->sock, index, &current, &n);
	if (r < 0)
		return error_set_errno(err, r, "cannot read the routes of %s", interface->name);
	for (size_t i = 0; i < n; i++) {
		if (is_among(interface->routes, interface->n_routes, &current[i]))
			continue;
		r = route_delete(context->sock, index, &current[i]);
		log_route(interface, &current[i], "removing", r == -ENOENT ? 0 : r);
	}
	for (size_t i = 0; i < interface->n_routes; i++) {
		const struct ip_route *route = &interface->routes[i];

		if (is_among(current, n, route) || is_among(interface->routes, i, route))
			continue;
		r = route_add(context->sock, index, route);
		/* There is one to that destination, of the kernel's or named before this one. */
		log_route(interface, route, "adding", r == -EEXIST ? 0 : r);
	}
	return 0;
}

static bool is_rule_among(const struct ip_rule *rules, size_t n, const struct ip_rule *rule)
{
	for (size_t i = 0; i < n; i++)
		if (rule_equal(&rules[i], rule))
			return true;
	return false;
}

/* New ones first: what leaves from a VIP never takes the main table's routes. */
static int apply_rules(const struct apply_context *context, const struct interface *interface, struct error *err)
{
	_cleanup_free_ struct ip_rule *current = NULL;
	size_t n;
	int r;

	r = rule_list(context->sock, &current, &n);
	for (size_t i = 0; r == 0 && i < interface->n_rules; i++) {
		if (is_rule_among(current, n, &interface->rules[i]))
			continue;
		r = rule_add(context->sock, &interface->rules[i]);
		r = r == -EEXIST ? 0 : r;
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (is_rule_among(interface->rules, interface->n_rules, &current[i]))
			continue;
		r = rule_delete(context->sock, &current[i]);
		r = r == -ENOENT ? 0 : r;
	}
	return r < 0 ? error_set_errno(err, r, "cannot set the routing rules of %s", interface->name) : 0;
}

int apply_up(const struct apply_context *context, const struct interface *interface, struct error *err)
{
	struct link link;
	int r;

	r = link_find_by_name(context->sock, interface->name, &link);
	if (r < 0)
		return error_set_errno(err, r, "interface %s", interface->name);
	log_info("%s: up, with %zu addresses, %zu routes and %zu rules", interface->name, interface->n_addresses,
		interface->n_routes, interface->n_rules);
	r = bring_up(context, interface, &link, err);
	if (r == 0)
		r = apply_dhcp(context, interface, link.index, err);
	if (r == 0)
		r = apply_addresses(context, interface, link.index, err);
	if (r < 0)
		return r;
	wait_for_addresses(context, interface, &link);
	r = apply_routes(context, interface, link.index, err);
	if (r == 0 && interface->type == INTERFACE_VIP)
		r = apply_rules(context, interface, err);
	STRV_FOREACH (command, interface->up_commands)
		if (r == 0)
			r = command_run(context->namespace_fd, context->tools_dir, *command, err);
	return r;
}

static int delete_addresses(const struct apply_context *context, int index)
{
	_cleanup_free_ struct address *current = NULL;
	size_t n;
	int first = 0, r;

	r = address_list(context->sock, index, &current, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = address_delete(context->sock, index, &current[i].network);
		if (r < 0 && r != -EADDRNOTAVAIL && first == 0)
			first = r;
	}
	return first;
}

/* The kernel forgets an interface's routes when it goes down, but not the rules. */
static int take_down(const struct apply_context *context, const struct interface *interface, const struct link *link)
{
	int first = 0, r;

	for (size_t i = 0; interface->type == INTERFACE_VIP && i < interface->n_rules; i++) {
		r = rule_delete(context->sock, &interface->rules[i]);
		if (r < 0 && r != -ENOENT && first == 0)
			first = r;
	}
	r = delete_addresses(context, link->index);
	first = first ? first : r;
	r = link_set(context->sock, link, false, 0);
	return first ? first : r;
}

int apply_down(const struct apply_context *context, const struct interface *interface, struct error *err)
{
	struct link link;
	int first = 0, r;

	r = link_find_by_name(context->sock, interface->name, &link);
	if (r < 0)
		return error_set_errno(err, r, "interface %s", interface->name);
	log_info("%s: down", interface->name);
	if (interface->wants_dhcp)
		first = dhcp_stop(context->namespace_fd, interface->name, err);
	if (interface->wants_autoconfiguration)
		set_autoconfiguration(context, interface, false);
	if (!link.is_up)
		return first;
	r = take_down(context, interface, &link);
	if (r < 0 && first == 0)
		first = error_set_errno(err, r, "cannot take %s down", interface->name);
	STRV_FOREACH (command, interface->down_commands) {
		r = command_run(context->namespace_fd, context->tools_dir, *command, first ? NULL : err);
		first = first ? first : r;
	}
	return first;
}
