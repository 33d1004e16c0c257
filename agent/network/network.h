/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The network of an amphora: a namespace of its own, into which the controller's ports are moved as eth1 (the VIP's) and
 * eth2, eth3 …, and whose interfaces are restored from files after a reboot.
 *
 * All functions may be called from any thread; those that change something wait for each other. They take CAP_NET_ADMIN
 * and CAP_SYS_ADMIN: without them the namespace cannot be entered, ERROR_FORBIDDEN. Where no namespace is configured
 * (HAProxy runs where the agent runs) nothing is ever changed: ERROR_UNSUPPORTED.
 *
 * Source of names, files and behaviour: octavia/amphorae/backends/agent/api_server/plug.py and
 * octavia/amphorae/backends/utils/interface.py.
 */

#include "agent/network/plug.h"

#define NETWORK_VIP_INTERFACE "eth1"
#define NETWORK_NO_PORT "No suitable network interface found"

struct network_settings {
	const char *network_namespace; /* NULL: none. All strings are borrowed. */
	const char *interfaces_dir;    /* of the interface files */
	const char *base_path;         /* of plugged_interfaces */
	const char *tools_dir;
	bool active_standby; /* VIPs are keepalived's */
};

struct network;

int network_new(const struct network_settings *settings, struct network **ret, struct error *err);
void network_free(struct network *network);
DEFINE_CLEANUP(struct network *, network_free);

/* Creates the namespace where it is missing, and then restores it as network_up() does; begins to set its kernel parameters and
 * writes the loopback interface's file. 0 and nothing is done where none is configured. */
int network_prepare(struct network *network, struct error *err);

/* Waits until the kernel parameters are set: after network_prepare(), before anything runs in the namespace. */
void network_prepared(struct network *network);

/* A port that is new: it is found by its Ethernet address where the agent runs, moved and brought up. The VIP's is called
 * NETWORK_VIP_INTERFACE and must not be in the namespace yet (ERROR_CONFLICT), unless an earlier attempt ended before it
 * was up. ERROR_NOT_FOUND with NETWORK_NO_PORT: it is not there yet; the PCI bus has been asked to look again. */
int network_plug_vip(struct network *network, const struct plug *plug, struct error *err);

/* The same of a port of members, or of one that is in the namespace already: that one becomes what is asked.
 * *ret_updated says which. Its fixed addresses are advertised. */
int network_plug_port(struct network *network, const struct plug *plug, char ret_name[static IF_NAMESIZE],
	bool *ret_updated, struct error *err);

/* The interface that has this address: ERROR_NOT_FOUND. Where no namespace is configured, of our own. */
int network_find_interface(
	struct network *network, const struct ip *address, char ret_name[static IF_NAMESIZE], struct error *err);

/* What amphora-interface(8) does, from inside the namespace or from outside; "name" may be "all". "up" creates the
 * namespace and fetches the ports that belong into it first. All that can be done is done; the error names what could
 * not. ERROR_NOT_FOUND: there is no such interface file. */
int network_up(struct network *network, const char *name, struct error *err);
int network_down(struct network *network, const char *name, struct error *err);
