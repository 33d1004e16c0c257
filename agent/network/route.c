/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/route.h"

#include <linux/rtnetlink.h>
#include <string.h>

#include "agent/network/netlink.h"

DEFINE_CLEANUP(struct rtnl_route *, sym_rtnl_route_put);
#define _cleanup_rtnl_route_ _cleanup_(sym_rtnl_route_putp)
DEFINE_CLEANUP(struct rtnl_nexthop *, sym_rtnl_route_nh_free);
#define _cleanup_rtnl_nexthop_ _cleanup_(sym_rtnl_route_nh_freep)

bool route_equal(const struct ip_route *a, const struct ip_route *b)
{
	return a->table == b->table && ip_network_equal(&a->destination, &b->destination) &&
		ip_equal(&a->gateway, &b->gateway) && ip_equal(&a->source, &b->source);
}

static void take_ip(struct nl_addr *address, struct ip *ret)
{
	struct ip_network network;

	if (address && sym_nl_addr_get_len(address) > 0 && netlink_ip(address, &network) == 0)
		*ret = network.ip;
}

/* -ENOENT: not one of ours. */
static int describe(struct rtnl_route *from, int index, struct ip_route *ret)
{
	struct rtnl_nexthop *hop = sym_rtnl_route_get_nnexthops(from) == 1 ? sym_rtnl_route_nexthop_n(from, 0) : NULL;
	struct ip_route route = {.table = sym_rtnl_route_get_table(from)};

	if (!hop || sym_rtnl_route_nh_get_ifindex(hop) != index || sym_rtnl_route_get_protocol(from) != RTPROT_STATIC ||
		netlink_ip(sym_rtnl_route_get_dst(from), &route.destination) < 0)
		return -ENOENT;
	take_ip(sym_rtnl_route_nh_get_gateway(hop), &route.gateway);
	take_ip(sym_rtnl_route_get_pref_src(from), &route.source);
	route.is_local = sym_rtnl_route_get_scope(from) == RT_SCOPE_LINK;
	*ret = route;
	return 0;
}

int route_list(struct nl_sock *sock, int index, struct ip_route **ret, size_t *ret_n)
{
	_cleanup_free_ struct ip_route *list = NULL;
	_cleanup_nl_cache_ struct nl_cache *cache = NULL;
	size_t n = 0;
	int r;

	r = sym_rtnl_route_alloc_cache(sock, AF_UNSPEC, 0, &cache);
	if (r < 0)
		return netlink_errno(r);
	list = calloc((size_t)sym_nl_cache_nitems(cache) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	NL_FOREACH (object, cache)
		if (describe((struct rtnl_route *)object, index, &list[n]) == 0)
			n++;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static int add_hop(struct rtnl_route *to, int index, const struct ip *gateway)
{
	_cleanup_rtnl_nexthop_ struct rtnl_nexthop *hop = sym_rtnl_route_nh_alloc();
	_cleanup_nl_addr_ struct nl_addr *address = NULL;

	if (!hop)
		return -ENOMEM;
	sym_rtnl_route_nh_set_ifindex(hop, index);
	if (gateway->family) {
		int r = netlink_address(gateway, ip_bits(gateway->family), &address);

		if (r < 0)
			return r;
		sym_rtnl_route_nh_set_gateway(hop, address);
	}
	sym_rtnl_route_add_nexthop(to, TAKE_PTR(hop));
	return 0;
}

static int build(int index, const struct ip_route *route, struct rtnl_route **ret)
{
	_cleanup_rtnl_route_ struct rtnl_route *built = sym_rtnl_route_alloc();
	_cleanup_nl_addr_ struct nl_addr *destination = NULL, *source = NULL;
	int r;

	if (!built)
		return -ENOMEM;
	r = netlink_address(&route->destination.ip, route->destination.prefix, &destination);
	if (r == 0)
		r = netlink_errno(sym_rtnl_route_set_dst(built, destination));
	if (r == 0 && route->source.family) {
		r = netlink_address(&route->source, ip_bits(route->source.family), &source);
		if (r == 0)
			r = netlink_errno(sym_rtnl_route_set_pref_src(built, source));
	}
	if (r == 0)
		r = add_hop(built, index, &route->gateway);
	if (r < 0)
		return r;
	sym_rtnl_route_set_table(built, route->table);
	sym_rtnl_route_set_protocol(built, RTPROT_STATIC);
	sym_rtnl_route_set_type(built, RTN_UNICAST);
	sym_rtnl_route_set_scope(built, route->is_local ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
	if (route->is_on_link)
		sym_rtnl_route_set_flags(built, RTNH_F_ONLINK);
	*ret = TAKE_PTR(built);
	return 0;
}

int route_add(struct nl_sock *sock, int index, const struct ip_route *route)
{
	_cleanup_rtnl_route_ struct rtnl_route *built = NULL;
	int r;

	r = build(index, route, &built);
	return r < 0 ? r : netlink_errno(sym_rtnl_route_add(sock, built, NLM_F_EXCL));
}

int route_delete(struct nl_sock *sock, int index, const struct ip_route *route)
{
	_cleanup_rtnl_route_ struct rtnl_route *built = NULL;
	int r;

	r = build(index, route, &built);
	return r < 0 ? r : netlink_errno(sym_rtnl_route_delete(sock, built, 0));
}
