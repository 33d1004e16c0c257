/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Telling the neighbours where an address is now: gratuitous ARP for IPv4, an unsolicited neighbor advertisement for
 * IPv6. Who had the address before, another amphora perhaps, is still in the caches of routers and hosts.
 *
 * Source: RFC 826, RFC 5227 section 3 (the announcement is an ARP request whose sender and target address are the same);
 * RFC 4861, 4.4 and 7.2.6; octavia/amphorae/backends/utils/ip_advertisement.py.
 */

#include "agent/base/cleanup.h"

/* Advertises each of the addresses, a NULL-terminated list of texts, that an interface of the network namespace (NULL:
 * ours) has; the others are of another amphora, or of none. Nothing depends on it: what cannot be sent is logged. */
void advertise_addresses(const char *network_namespace, char *const *addresses);
