/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/advertise.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/text.h"
#include "agent/network/ip.h"

enum {
	HOP_LIMIT = 255, /* RFC 4861, 4.4: a receiver drops what may have come through a router */
	OPTION_UNITS = 1, /* of eight octets */
};

/* The interface that has an address. */
struct place {
	char name[IF_NAMESIZE];
	unsigned index;
	bool is_ethernet;
	uint8_t mac[MAC_LENGTH]; /* where it is Ethernet */
};

static bool has_address(const struct ifaddrs *interface, const struct ip *ip)
{
	const struct sockaddr *address = interface->ifa_addr;

	if (!address || address->sa_family != ip->family)
		return false;
	if (ip->family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)address)->sin6_addr, ip->bytes, 16) == 0;
	return memcmp(&((const struct sockaddr_in *)address)->sin_addr, ip->bytes, 4) == 0;
}

/* An IPv4 address is listed under its label, the interface's name or that and ":WORD" (ip-address(8)). */
static void copy_name(const char *label, char ret[static IF_NAMESIZE])
{
	snprintf(ret, IF_NAMESIZE, "%.*s", (int)strcspn(label, ":"), label);
}

static void find_ethernet(const struct ifaddrs *interfaces, struct place *found)
{
	for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next) {
		const struct sockaddr_ll *link = (const struct sockaddr_ll *)i->ifa_addr;

		if (!link || link->sll_family != AF_PACKET || !streq(i->ifa_name, found->name))
			continue;
		found->index = (unsigned)link->sll_ifindex;
		found->is_ethernet = link->sll_hatype == ARPHRD_ETHER && link->sll_halen == MAC_LENGTH;
		if (found->is_ethernet)
			memcpy(found->mac, link->sll_addr, MAC_LENGTH);
	}
}

static int find_place(const struct ifaddrs *interfaces, const struct ip *ip, struct place *ret)
{
	struct place found = {0};

	for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next) {
		if (!has_address(i, ip))
			continue;
		copy_name(i->ifa_name, found.name);
		find_ethernet(interfaces, &found);
		*ret = found;
		return 0;
	}
	return -ENODEV;
}

static int send_arp(const struct place *interface, const struct ip *ip)
{
	struct sockaddr_ll everybody = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ARP),
		.sll_ifindex = (int)interface->index,
		.sll_halen = ETH_ALEN,
	};
	struct ether_arp arp = {
		.ea_hdr = {
			.ar_hrd = htons(ARPHRD_ETHER),
			.ar_pro = htons(ETH_P_IP),
			.ar_hln = ETH_ALEN,
			.ar_pln = 4,
			.ar_op = htons(ARPOP_REQUEST),
		},
	};
	_cleanup_close_ int fd = -1;

	memset(everybody.sll_addr, 0xff, ETH_ALEN);
	memcpy(arp.arp_sha, interface->mac, ETH_ALEN);
	memcpy(arp.arp_spa, ip->bytes, 4);
	memset(arp.arp_tha, 0xff, ETH_ALEN); /* without a meaning; what Octavia's agent sends */
	memcpy(arp.arp_tpa, ip->bytes, 4);
	/* Protocol 0: it receives nothing. */
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, &arp, sizeof(arp), MSG_DONTWAIT, (const struct sockaddr *)&everybody,
			      sizeof(everybody)) < 0)
		return -errno;
	return 0;
}

/* A host that hears of a router that is one no longer drops its routes (RFC 4861, 7.2.5): say what the kernel says. */
static bool is_router(const struct place *interface)
{
	_cleanup_free_ char *value = NULL;
	char path[64 + IF_NAMESIZE];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/forwarding", interface->name);
	return fileio_read(AT_FDCWD, path, 64, &value, NULL) == 0 && value[0] == '1';
}

static int open_icmp(const struct place *interface, const struct ip *ip, int *ret_fd)
{
	struct sockaddr_in6 source = {.sin6_family = AF_INET6, .sin6_scope_id = interface->index};
	const int hops = HOP_LIMIT, index = (int)interface->index, no = 0;
	struct icmp6_filter nothing;
	_cleanup_close_ int fd = -1;

	memcpy(&source.sin6_addr, ip->bytes, sizeof(source.sin6_addr));
	ICMP6_FILTER_SETBLOCKALL(&nothing);
	/* The kernel computes the checksum (RFC 3542, 3.1). */
	fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	if (fd < 0 || setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &nothing, sizeof(nothing)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &no, sizeof(no)) < 0 ||
		bind(fd, (const struct sockaddr *)&source, sizeof(source)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int send_neighbor_advertisement(const struct place *interface, const struct ip *ip)
{
	struct sockaddr_in6 everybody = {.sin6_family = AF_INET6, .sin6_scope_id = interface->index};
	struct {
		struct nd_neighbor_advert advertisement;
		struct nd_opt_hdr option;
		uint8_t mac[ETH_ALEN];
	} message = {
		.advertisement.nd_na_hdr.icmp6_type = ND_NEIGHBOR_ADVERT,
		.option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = OPTION_UNITS},
	};
	_cleanup_close_ int fd = -1;
	int r;

	r = open_icmp(interface, ip, &fd);
	if (r < 0)
		return r;
	message.advertisement.nd_na_flags_reserved =
		ND_NA_FLAG_OVERRIDE | (is_router(interface) ? ND_NA_FLAG_ROUTER : 0);
	memcpy(&message.advertisement.nd_na_target, ip->bytes, sizeof(message.advertisement.nd_na_target));
	memcpy(message.mac, interface->mac, ETH_ALEN);
	inet_pton(AF_INET6, "ff02::1", &everybody.sin6_addr); /* all nodes */
	if (sendto(fd, &message, sizeof(message), MSG_DONTWAIT, (const struct sockaddr *)&everybody,
		    sizeof(everybody)) < 0)
		return -errno;
	return 0;
}

static void advertise(const struct ifaddrs *interfaces, const char *address)
{
	struct place interface;
	struct ip ip;
	int r;

	if (ip_parse(address, &ip) < 0)
		return;
	r = find_place(interfaces, &ip, &interface);
	if (r < 0) {
		log_debug("%s is not advertised: no interface has it", address);
		return;
	}
	if (!interface.is_ethernet)
		return;
	r = ip.family == AF_INET6 ? send_neighbor_advertisement(&interface, &ip) : send_arp(&interface, &ip);
	if (r < 0)
		log_warning("%s cannot be advertised on %s: %s", address, interface.name, strerror(-r));
	else
		log_debug("%s advertised on %s", address, interface.name);
}

static int advertise_list(void *userdata)
{
	char *const *addresses = userdata;
	struct ifaddrs *interfaces;

	if (getifaddrs(&interfaces) < 0)
		return -errno;
	STRV_FOREACH(address, addresses)
		advertise(interfaces, *address);
	freeifaddrs(interfaces);
	return 0;
}

void advertise_addresses(const char *network_namespace, char *const *addresses)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_close_ int namespace_fd = -1;
	int r;

	if (!addresses || !addresses[0])
		return;
	if (network_namespace && namespace_open(network_namespace, &namespace_fd, &problem) < 0) {
		log_warning("addresses are not advertised: %s", error_message(&problem));
		return;
	}
	r = namespace_run(namespace_fd, advertise_list, (void *)addresses);
	if (r < 0)
		log_warning("addresses are not advertised: %s", strerror(-r));
}
