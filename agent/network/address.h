/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Addresses of network interfaces.
 */

#include "agent/network/ip.h"

struct nl_sock; /* netlink.h */

struct address {
	struct ip_network network; /* the address, with the length of its network's prefix */
	int index;                 /* of the interface */
	bool is_permanent;         /* neither by DHCP nor by a router's advertisement */
	bool is_tentative;         /* cannot be used yet: whether another host has it is being found out (RFC 4862, section 5.4) */
	bool is_duplicate;         /* another host has it */
	bool is_link_local;        /* IPv6, fe80::/10 */
};

/* Whether an address may be used before it is certain that no other host has it. */
enum duplicate_detection {
	DETECT_FIRST,      /* no: the kernel's default */
	DETECT_MEANWHILE,  /* yes: optimistic detection (RFC 4429), where the interface allows that */
	DETECT_NOT,        /* it is ours, whoever has it */
};

/* Of one interface, or of all for 0; the caller frees. */
int address_list(struct nl_sock *sock, int index, struct address **ret, size_t *ret_n);

/* -EEXIST if it is there. */
int address_add(struct nl_sock *sock, int index, const struct ip_network *network, enum duplicate_detection detection);
/* -EADDRNOTAVAIL if it is not there. */
int address_delete(struct nl_sock *sock, int index, const struct ip_network *network);
