/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A routing netlink socket (rtnetlink(7)) that was opened inside a network namespace and acts there. Used by one thread
 * at a time. Private to network/: whoever is outside uses network.h.
 *
 * The functions of link.h, address.h, route.h and rule.h take such a socket and return -errno. Strings and addresses
 * that they fill come from the kernel; a dump is taken as a whole and repeated if it changed meanwhile.
 */

#include <netlink/addr.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>

#include "agent/base/error.h"
#include "agent/network/ip.h"

/* -1: in the namespace of the calling thread. */
int netlink_open(int namespace_fd, struct nl_sock **ret);

/* libnl's own negative error numbers to negative errno. */
int netlink_errno(int problem);

int netlink_address(const struct ip *ip, unsigned prefix, struct nl_addr **ret);
/* -EINVAL for a family that is none of ours. */
int netlink_ip(const struct nl_addr *address, struct ip_network *ret);

DEFINE_CLEANUP(struct nl_sock *, nl_socket_free);
DEFINE_CLEANUP(struct nl_cache *, nl_cache_free);
DEFINE_CLEANUP(struct nl_addr *, nl_addr_put);
#define _cleanup_nl_socket_ _cleanup_(nl_socket_freep)
#define _cleanup_nl_cache_ _cleanup_(nl_cache_freep)
#define _cleanup_nl_addr_ _cleanup_(nl_addr_putp)

#define NL_FOREACH(object, cache)                                                                  \
	for (struct nl_object *object = nl_cache_get_first(cache); object;                         \
		object = nl_cache_get_next(object))
