/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/ip.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "agent/base/text.h"

int ip_parse(const char *text, struct ip *ret)
{
	struct ip ip = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(ip.family, text, ip.bytes) != 1)
		return -EINVAL;
	*ret = ip;
	return 0;
}

int ip_network_parse(const char *text, struct ip_network *ret)
{
	const char *slash = strchr(text, '/');
	struct ip_network network;
	char address[IP_TEXT_SIZE];
	int64_t prefix;
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	if (length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, length);
	address[length] = '\0';
	if (ip_parse(address, &network.ip) < 0)
		return -EINVAL;
	prefix = ip_bits(network.ip.family);
	/* Digits only: text_to_int64() takes a sign. */
	if (slash && (!isdigit((unsigned char)slash[1]) || text_to_int64(slash + 1, &prefix) < 0 ||
			     prefix > ip_bits(network.ip.family)))
		return -EINVAL;
	network.prefix = (unsigned)prefix;
	*ret = network;
	return 0;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int mac_parse(const char *text, uint8_t ret[static MAC_LENGTH])
{
	uint8_t mac[MAC_LENGTH], any = 0;

	if (strlen(text) != MAC_TEXT_SIZE - 1)
		return -EINVAL;
	for (size_t i = 0; i < MAC_LENGTH; i++) {
		int high = digit_value(text[3 * i]), low = digit_value(text[3 * i + 1]);

		if (high < 0 || low < 0 || (i < MAC_LENGTH - 1 && text[3 * i + 2] != ':'))
			return -EINVAL;
		mac[i] = (uint8_t)(high * 16 + low);
		any |= mac[i];
	}
	if (!any)
		return -EINVAL;
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

void ip_format(const struct ip *ip, char ret[static IP_TEXT_SIZE])
{
	inet_ntop(ip->family, ip->bytes, ret, IP_TEXT_SIZE);
}

void ip_format_exploded(const struct ip *ip, char ret[static IP_TEXT_SIZE])
{
	char *p = ret;

	if (ip->family == AF_INET) {
		ip_format(ip, ret);
		return;
	}
	for (size_t i = 0; i < 16; i += 2)
		p += snprintf(p, 6, "%s%02x%02x", i ? ":" : "", ip->bytes[i], ip->bytes[i + 1]);
}

void ip_network_format(const struct ip_network *network, char ret[static IP_NETWORK_TEXT_SIZE])
{
	char address[IP_TEXT_SIZE];

	ip_format(&network->ip, address);
	snprintf(ret, IP_NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix);
}

void mac_format(const uint8_t mac[static MAC_LENGTH], char ret[static MAC_TEXT_SIZE])
{
	snprintf(ret, MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, ip_bytes(a->family)) == 0;
}

bool ip_network_equal(const struct ip_network *a, const struct ip_network *b)
{
	return a->prefix == b->prefix && ip_equal(&a->ip, &b->ip);
}

bool ip_network_mask(struct ip_network *network)
{
	uint8_t lost = 0;

	for (unsigned i = 0; i < ip_bytes(network->ip.family); i++) {
		unsigned before = i * 8;
		uint8_t keep = 0;

		if (network->prefix >= before + 8)
			keep = 0xff;
		else if (network->prefix > before)
			keep = (uint8_t)(0xff << (before + 8 - network->prefix));
		lost |= (uint8_t)(network->ip.bytes[i] & ~keep);
		network->ip.bytes[i] &= keep;
	}
	return lost != 0;
}

bool ip_is_unicast(const struct ip *ip)
{
	static const uint8_t unspecified[16];

	if (ip->family == AF_INET6)
		return ip->bytes[0] != 0xff && memcmp(ip->bytes, unspecified, 16) != 0;
	return ip->bytes[0] != 0 && ip->bytes[0] < 224;
}
