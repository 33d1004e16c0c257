/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a controller says of a port that it has plugged into this amphora, and what the interface has to be then.
 */

#include <jansson.h>

#include "agent/network/interface.h"

struct plug_host_route {
	struct ip_network destination; /* masked */
	struct ip nexthop;             /* of the same version */
};

/* One address of the port and the subnet that it is from. */
struct plug_address {
	struct ip address;
	struct ip_network subnet; /* masked, of the same version */
	struct ip gateway;        /* of the same version; family 0: none */
	struct plug_host_route *host_routes; /* owned */
	size_t n_host_routes;
};

struct plug {
	uint8_t mac[MAC_LENGTH];
	unsigned mtu; /* 0: not said */
	bool is_sriov;
	/* Of the VIP's port only; the first one is the VIP, additional VIPs follow. */
	struct plug_address *vips;
	size_t n_vips;
	struct ip vrrp_ip; /* the port's own address in the VIP's subnet; family 0: by DHCP or autoconfiguration */
	/* Of other ports, and of the VIP's port when members are on it, too. None: by DHCP and autoconfiguration. */
	struct plug_address *fixed_ips;
	size_t n_fixed_ips;
};

void plug_done(struct plug *plug);
#define _cleanup_plug_ _cleanup_(plug_done)

/* The interface file of a port under that name, as Octavia's VIPInterfaceFile (with VIPs) and PortInterfaceFile have it.
 * With "active_standby", VIPs and the routes that leave from them are keepalived's. -ENOMEM only. */
int plug_to_json(const struct plug *plug, const char *name, bool active_standby, json_t **ret);

enum {
	PLUG_MAX_ADDRESSES = 128,    /* VIPs, and fixed addresses */
	PLUG_MAX_HOST_ROUTES = 1024, /* of all of them */
};

/* Which part of a request is wrong: each has its own answer. */
enum plug_mistake {
	PLUG_INVALID_INFORMATION,
	PLUG_INVALID_VIP,
	PLUG_INVALID_VRRP_ADDRESS,
	PLUG_INVALID_FIXED_IP,
};

/* The bodies of POST /1.0/plug/vip/{vip} and POST /1.0/plug/network. ERROR_INVALID with a JSON Pointer; *ret_mistake is set
 * then. Members that are not known are passed over: newer controllers may send more. */
int plug_parse_vip(
	const json_t *json, const char *vip, struct plug *ret, enum plug_mistake *ret_mistake, struct error *err);
int plug_parse_network(const json_t *json, struct plug *ret, enum plug_mistake *ret_mistake, struct error *err);
