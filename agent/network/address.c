/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/address.h"

#include <linux/if_addr.h>
#include <string.h>

#include "agent/network/netlink.h"

DEFINE_CLEANUP(struct rtnl_addr *, sym_rtnl_addr_put);
#define _cleanup_rtnl_addr_ _cleanup_(sym_rtnl_addr_putp)

static int describe(struct rtnl_addr *from, struct address *ret)
{
	struct nl_addr *local = sym_rtnl_addr_get_local(from);
	unsigned flags = sym_rtnl_addr_get_flags(from);
	struct address address = {.index = sym_rtnl_addr_get_ifindex(from)};

	if (!local || netlink_ip(local, &address.network) < 0)
		return -EINVAL;
	address.network.prefix = (unsigned)sym_rtnl_addr_get_prefixlen(from);
	address.is_permanent = flags & IFA_F_PERMANENT;
	address.is_tentative = (flags & IFA_F_TENTATIVE) && !(flags & IFA_F_OPTIMISTIC);
	address.is_duplicate = flags & IFA_F_DADFAILED;
	address.is_link_local = address.network.ip.family == AF_INET6 && address.network.ip.bytes[0] == 0xfe &&
		(address.network.ip.bytes[1] & 0xc0) == 0x80;
	*ret = address;
	return 0;
}

int address_list(struct nl_sock *sock, int index, struct address **ret, size_t *ret_n)
{
	_cleanup_free_ struct address *list = NULL;
	_cleanup_nl_cache_ struct nl_cache *cache = NULL;
	size_t n = 0;
	int r;

	r = sym_rtnl_addr_alloc_cache(sock, &cache);
	if (r < 0)
		return netlink_errno(r);
	list = calloc((size_t)sym_nl_cache_nitems(cache) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	NL_FOREACH (object, cache)
		if (describe((struct rtnl_addr *)object, &list[n]) == 0 && (index == 0 || list[n].index == index))
			n++;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static int build(int index, const struct ip_network *network, struct rtnl_addr **ret)
{
	_cleanup_rtnl_addr_ struct rtnl_addr *address = sym_rtnl_addr_alloc();
	_cleanup_nl_addr_ struct nl_addr *local = NULL;
	int r;

	if (!address)
		return -ENOMEM;
	r = netlink_address(&network->ip, network->prefix, &local);
	if (r < 0)
		return r;
	sym_rtnl_addr_set_ifindex(address, index);
	r = sym_rtnl_addr_set_local(address, local);
	if (r < 0)
		return netlink_errno(r);
	sym_rtnl_addr_set_prefixlen(address, (int)network->prefix);
	*ret = TAKE_PTR(address);
	return 0;
}

int address_add(struct nl_sock *sock, int index, const struct ip_network *network, enum duplicate_detection detection)
{
	_cleanup_rtnl_addr_ struct rtnl_addr *address = NULL;
	int r;

	r = build(index, network, &address);
	if (r < 0)
		return r;
	if (network->ip.family == AF_INET6 && detection != DETECT_FIRST)
		sym_rtnl_addr_set_flags(address, detection == DETECT_NOT ? IFA_F_NODAD : IFA_F_OPTIMISTIC);
	return netlink_errno(sym_rtnl_addr_add(sock, address, NLM_F_EXCL));
}

int address_delete(struct nl_sock *sock, int index, const struct ip_network *network)
{
	_cleanup_rtnl_addr_ struct rtnl_addr *address = NULL;
	int r;

	r = build(index, network, &address);
	return r < 0 ? r : netlink_errno(sym_rtnl_addr_delete(sock, address, 0));
}
