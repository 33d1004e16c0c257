/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The firewall of the amphora's namespace, which a controller sets where no security group does it (SR-IOV ports):
 * nftables, through the program nft(8), whose library's licence is not ours.
 *
 * The rules of all interfaces are kept in <base_path>/nftables-vip.json and loaded again after a reboot, when such an
 * interface is brought up. Those that Octavia's own agent left in nftables-vip.rules count until the first are set here.
 *
 * Source: octavia/amphorae/backends/utils/nftable_utils.py.
 */

#include "agent/network/firewall_rules.h"

struct firewall_settings {
	const char *network_namespace; /* NULL: none, and there is no firewall: it would shut the agent's own doors */
	const char *base_path;
};

/* Replaces the rules of one interface, those of the others stay; a list that is empty lets nothing new in. In force when
 * it returns 0, nothing has changed when it fails: ERROR_UNSUPPORTED without a namespace. */
int firewall_set(const struct firewall_settings *settings, const char *interface, const struct firewall_rules *rules,
	struct error *err);

/* What was set before, in force again; where nothing was, nothing new is let in. For every start of an interface that
 * needs a firewall, before it comes up. */
int firewall_load(const struct firewall_settings *settings, struct error *err);
