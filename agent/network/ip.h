/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * IP addresses, networks and Ethernet addresses, from text and back. Host names, interface scopes ("%eth0") and
 * abbreviated IPv4 addresses are no addresses here.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/base/cleanup.h"

struct ip {
	int family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
};

/* An address and the length of its network's prefix: of an interface, or a network if no bit behind the prefix is set. */
struct ip_network {
	struct ip ip;
	unsigned prefix;
};

enum {
	IP_TEXT_SIZE = INET6_ADDRSTRLEN,
	IP_NETWORK_TEXT_SIZE = INET6_ADDRSTRLEN + 4,
	MAC_LENGTH = 6,
	MAC_TEXT_SIZE = 18,
};

/* -EINVAL, as all that follow. */
int ip_parse(const char *text, struct ip *ret);
/* "ADDRESS/PREFIX" or an address alone, which is a network of one. Bits behind the prefix are kept. */
int ip_network_parse(const char *text, struct ip_network *ret);
/* Six pairs of hexadecimal digits and colons. Not that of all zeros, which the loopback interface has. */
int mac_parse(const char *text, uint8_t ret[static MAC_LENGTH]);

void ip_format(const struct ip *ip, char ret[static IP_TEXT_SIZE]);
/* All eight groups of an IPv6 address, four digits each: as Python's ipaddress module explodes it. */
void ip_format_exploded(const struct ip *ip, char ret[static IP_TEXT_SIZE]);
void ip_network_format(const struct ip_network *network, char ret[static IP_NETWORK_TEXT_SIZE]);
void mac_format(const uint8_t mac[static MAC_LENGTH], char ret[static MAC_TEXT_SIZE]);

/* 32 or 128. */
static inline unsigned ip_bits(int family)
{
	return family == AF_INET6 ? 128 : 32;
}

static inline unsigned ip_bytes(int family)
{
	return ip_bits(family) / 8;
}

bool ip_equal(const struct ip *a, const struct ip *b);
bool ip_network_equal(const struct ip_network *a, const struct ip_network *b);
/* Clears the bits behind the prefix; whether one was set. */
bool ip_network_mask(struct ip_network *network);
/* Neither unspecified nor multicast. */
bool ip_is_unicast(const struct ip *ip);
