/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/link.h"

#include <string.h>

#include "agent/network/netlink.h"

DEFINE_CLEANUP(struct rtnl_link *, sym_rtnl_link_put);
#define _cleanup_rtnl_link_ _cleanup_(sym_rtnl_link_putp)

static void describe(struct rtnl_link *link, struct link *ret)
{
	const char *name = sym_rtnl_link_get_name(link);
	unsigned flags = sym_rtnl_link_get_flags(link);

	*ret = (struct link){
		.index = sym_rtnl_link_get_ifindex(link),
		.is_up = flags & IFF_UP,
		.has_carrier = flags & IFF_RUNNING,
		.mtu = sym_rtnl_link_get_mtu(link),
	};
	snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
}

static bool has_mac(struct rtnl_link *link, const uint8_t mac[static MAC_LENGTH])
{
	struct nl_addr *address = sym_rtnl_link_get_addr(link);

	return address && sym_nl_addr_get_len(address) == MAC_LENGTH && !(sym_rtnl_link_get_flags(link) & IFF_LOOPBACK) &&
		memcmp(sym_nl_addr_get_binary_addr(address), mac, MAC_LENGTH) == 0;
}

int link_find_by_mac(struct nl_sock *sock, const uint8_t mac[static MAC_LENGTH], struct link *ret)
{
	_cleanup_nl_cache_ struct nl_cache *cache = NULL;
	struct rtnl_link *found = NULL;
	int r;

	r = sym_rtnl_link_alloc_cache(sock, AF_UNSPEC, &cache);
	if (r < 0)
		return netlink_errno(r);
	NL_FOREACH (object, cache) {
		struct rtnl_link *link = (struct rtnl_link *)object;

		if (has_mac(link, mac) && (!found || !sym_rtnl_link_get_master(link)))
			found = link;
		if (found && !sym_rtnl_link_get_master(found))
			break;
	}
	if (!found)
		return -ENODEV;
	describe(found, ret);
	return 0;
}

static int get(struct nl_sock *sock, int index, const char *name, struct link *ret)
{
	_cleanup_rtnl_link_ struct rtnl_link *link = NULL;
	int r = sym_rtnl_link_get_kernel(sock, index, name, &link);

	if (r < 0)
		return netlink_errno(r);
	describe(link, ret);
	return 0;
}

int link_find_by_name(struct nl_sock *sock, const char *name, struct link *ret)
{
	return get(sock, 0, name, ret);
}

int link_find_by_index(struct nl_sock *sock, int index, struct link *ret)
{
	return get(sock, index, NULL, ret);
}

static int change(struct nl_sock *sock, const struct link *link, struct rtnl_link *changes)
{
	_cleanup_rtnl_link_ struct rtnl_link *original = NULL;
	int r;

	/* The library sends all flags, so they have to be those of now. */
	r = sym_rtnl_link_get_kernel(sock, link->index, NULL, &original);
	if (r == 0)
		r = sym_rtnl_link_change(sock, original, changes, 0);
	return netlink_errno(r);
}

int link_set(struct nl_sock *sock, const struct link *link, bool up, unsigned mtu)
{
	_cleanup_rtnl_link_ struct rtnl_link *changes = sym_rtnl_link_alloc();

	if (!changes)
		return -ENOMEM;
	if (mtu > 0)
		sym_rtnl_link_set_mtu(changes, mtu);
	if (up)
		sym_rtnl_link_set_flags(changes, IFF_UP);
	else
		sym_rtnl_link_unset_flags(changes, IFF_UP);
	return change(sock, link, changes);
}

int link_move(struct nl_sock *sock, const struct link *link, int namespace_fd, const char *name)
{
	_cleanup_rtnl_link_ struct rtnl_link *changes = sym_rtnl_link_alloc();

	if (!changes)
		return -ENOMEM;
	sym_rtnl_link_set_name(changes, name);
	sym_rtnl_link_set_ns_fd(changes, namespace_fd);
	return change(sock, link, changes);
}
