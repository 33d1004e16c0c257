/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What we call of libnl, which is loaded when somebody works with netlink. Private to network/.
 */

#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/cache.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <netlink/socket.h>

#include "agent/base/library.h"

#define LIBNL_FUNCTIONS(F) \
	F(nl_addr_build) F(nl_addr_get_binary_addr) F(nl_addr_get_family) F(nl_addr_get_len) \
	F(nl_addr_get_prefixlen) F(nl_addr_put) F(nl_addr_set_prefixlen) F(nl_cache_free) \
	F(nl_cache_get_first) F(nl_cache_get_next) F(nl_cache_nitems) F(nl_connect) \
	F(nl_recvmsgs_default) F(nl_send_auto) F(nl_socket_alloc) F(nl_socket_disable_auto_ack) \
	F(nl_socket_free) F(nl_socket_get_fd) F(nl_socket_modify_cb) \
	F(nl_socket_set_buffer_size) F(nla_data) F(nla_get_u16) F(nla_get_u32) F(nla_get_u64) \
	F(nla_len) F(nla_nest_end) F(nla_nest_start) F(nla_parse_nested) F(nla_put) \
	F(nla_put_u16) F(nlmsg_alloc) F(nlmsg_free) F(nlmsg_hdr)

#define LIBNL_ROUTE_FUNCTIONS(F) \
	F(rtnl_addr_add) F(rtnl_addr_alloc) F(rtnl_addr_alloc_cache) F(rtnl_addr_delete) \
	F(rtnl_addr_get_flags) F(rtnl_addr_get_ifindex) F(rtnl_addr_get_local) \
	F(rtnl_addr_get_prefixlen) F(rtnl_addr_put) F(rtnl_addr_set_flags) \
	F(rtnl_addr_set_ifindex) F(rtnl_addr_set_local) F(rtnl_addr_set_prefixlen) \
	F(rtnl_link_alloc) F(rtnl_link_alloc_cache) F(rtnl_link_change) F(rtnl_link_get_addr) \
	F(rtnl_link_get_flags) F(rtnl_link_get_ifindex) F(rtnl_link_get_kernel) \
	F(rtnl_link_get_master) F(rtnl_link_get_mtu) F(rtnl_link_get_name) F(rtnl_link_put) \
	F(rtnl_link_set_flags) F(rtnl_link_set_mtu) F(rtnl_link_set_name) \
	F(rtnl_link_set_ns_fd) F(rtnl_link_unset_flags) F(rtnl_route_add) \
	F(rtnl_route_add_nexthop) F(rtnl_route_alloc) F(rtnl_route_alloc_cache) \
	F(rtnl_route_delete) F(rtnl_route_get_dst) F(rtnl_route_get_nnexthops) \
	F(rtnl_route_get_pref_src) F(rtnl_route_get_protocol) F(rtnl_route_get_scope) \
	F(rtnl_route_get_table) F(rtnl_route_nexthop_n) F(rtnl_route_nh_alloc) \
	F(rtnl_route_nh_free) F(rtnl_route_nh_get_gateway) F(rtnl_route_nh_get_ifindex) \
	F(rtnl_route_nh_set_gateway) F(rtnl_route_nh_set_ifindex) F(rtnl_route_put) \
	F(rtnl_route_set_dst) F(rtnl_route_set_flags) F(rtnl_route_set_pref_src) \
	F(rtnl_route_set_protocol) F(rtnl_route_set_scope) F(rtnl_route_set_table) \
	F(rtnl_route_set_type) F(rtnl_rule_add) F(rtnl_rule_alloc) F(rtnl_rule_alloc_cache) \
	F(rtnl_rule_delete) F(rtnl_rule_get_protocol) F(rtnl_rule_get_src) \
	F(rtnl_rule_get_table) F(rtnl_rule_put) F(rtnl_rule_set_action) F(rtnl_rule_set_family) \
	F(rtnl_rule_set_prio) F(rtnl_rule_set_src) F(rtnl_rule_set_table)

#define LIBNL_GENL_FUNCTIONS(F) \
	F(genl_connect) F(genl_ctrl_resolve) F(genlmsg_parse) F(genlmsg_put) \
	F(genlmsg_valid_hdr)

LIBNL_FUNCTIONS(LIBRARY_EXTERN_POINTER)
LIBNL_ROUTE_FUNCTIONS(LIBRARY_EXTERN_POINTER)
LIBNL_GENL_FUNCTIONS(LIBRARY_EXTERN_POINTER)

/* For routing netlink, for as long as there are users; a plug is rare. */
int libnl_use_route(struct error *err);
void libnl_release_route(void);
/* For generic netlink, for good: each heartbeat asks IPVS. */
int libnl_keep_genl(struct error *err);
