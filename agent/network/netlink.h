/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A routing netlink socket (rtnetlink(7)) that was opened inside a network namespace and acts there. Used by one thread
 * at a time. Private to network/: whoever is outside uses network.h.
 *
 * The functions of link.h, address.h, route.h and rule.h take such a socket and return -errno. Strings and addresses
 * that they fill come from the kernel; a dump is taken as a whole and repeated if it changed meanwhile.
 */

#include <netlink/errno.h>

#include "agent/base/error.h"
#include "agent/network/ip.h"
#include "agent/network/libnl.h"

/* -1: in the namespace of the calling thread. libnl is there until the last socket is closed, and no object of it may
 * outlive that. -EOPNOTSUPP: it is not installed. */
int netlink_open(int namespace_fd, struct nl_sock **ret, struct error *err);
void netlink_close(struct nl_sock *sock);

/* libnl's own negative error numbers to negative errno. */
int netlink_errno(int problem);

int netlink_address(const struct ip *ip, unsigned prefix, struct nl_addr **ret);
/* -EINVAL for a family that is none of ours. */
int netlink_ip(const struct nl_addr *address, struct ip_network *ret);

DEFINE_CLEANUP(struct nl_sock *, netlink_close);
DEFINE_CLEANUP(struct nl_cache *, sym_nl_cache_free);
DEFINE_CLEANUP(struct nl_addr *, sym_nl_addr_put);
#define _cleanup_nl_socket_ _cleanup_(netlink_closep)
#define _cleanup_nl_cache_ _cleanup_(sym_nl_cache_freep)
#define _cleanup_nl_addr_ _cleanup_(sym_nl_addr_putp)

#define NL_FOREACH(object, cache)                                                                  \
	for (struct nl_object *object = sym_nl_cache_get_first(cache); object;                         \
		object = sym_nl_cache_get_next(object))
