/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the kernel's IPVS says of one virtual service and its destinations. It is asked over generic netlink: the files
 * /proc/net/ip_vs and ip_vs_stats have no counters of single services.
 *
 * Source: linux/ip_vs.h; net/netfilter/ipvs/ip_vs_ctl.c (IPVS_CMD_GET_SERVICE, IPVS_CMD_GET_DEST).
 */

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

struct nlmsghdr;

/* An address and port of either family; what is not used is 0, so that two can be compared as bytes. */
struct ipvs_address {
	int family; /* AF_INET, AF_INET6 */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
	uint16_t port;
};

struct ipvs_counters {
	uint64_t connections, bytes_in, bytes_out; /* since the kernel knows it */
};

struct ipvs_destination {
	struct ipvs_address address;
	uint32_t weight;
	uint32_t active_connections; /* always 0 for UDP, which has no states */
	struct ipvs_counters counters;
};

struct ipvs_service {
	struct ipvs_counters counters;
	struct ipvs_destination *destinations; /* owned */
	size_t n_destinations;
};
#define IPVS_SERVICE_INIT ((struct ipvs_service){0})
void ipvs_service_done(struct ipvs_service *service);
#define _cleanup_ipvs_service_ _cleanup_(ipvs_service_done)

struct ipvs;

/* "namespace_fd" is only used here; -1: that of the calling thread. -EOPNOTSUPP: this kernel has no IPVS. */
int ipvs_open(int namespace_fd, struct ipvs **ret, struct error *err);
void ipvs_close(struct ipvs *ipvs);
DEFINE_CLEANUP(struct ipvs *, ipvs_close);
#define _cleanup_ipvs_ _cleanup_(ipvs_closep)

/* "protocol" is IPPROTO_UDP or IPPROTO_SCTP. -ESRCH, without an error set: there is no such service. */
int ipvs_read(struct ipvs *ipvs, int protocol, const struct ipvs_address *address, struct ipvs_service *ret,
	struct error *err);

/* One message of the kernel's answers, for ipvs_read() and the tests, which libnl_keep_genl() first: adds to the service. -EBADMSG. */
int ipvs_parse_service(struct nlmsghdr *message, struct ipvs_service *service);
int ipvs_parse_destination(struct nlmsghdr *message, int service_family, struct ipvs_service *service);
