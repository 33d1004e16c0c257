/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * openstack/latest/network_data.json of a config drive (nova/virt/netutils.py, get_network_metadata()), as files for
 * systemd-networkd (systemd.network(5)). At the first boot of an amphora that is the controller's network, and what else the
 * operator wants it to boot with; the ports of load balancers come later and are amphorad's.
 */

#include "agent/tools/config_drive/files.h"

enum { NETWORK_DATA_MAX = 1024 * 1024, NETWORK_LINKS_MAX = 64 };

/* Appends a file in "dir" for each link that has networks: DHCP, or addresses and routes. */
int network_data_parse(const char *json, size_t length, const char *dir, struct drive_files *files, struct error *err);
