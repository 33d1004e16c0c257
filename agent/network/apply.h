/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Makes an interface of the namespace what it has to be, whatever it is, and takes it down. What it is already stays
 * untouched, so that connections go on.
 */

#include "agent/network/interface.h"

struct apply_context {
	int namespace_fd;
	struct nl_sock *sock;  /* inside the namespace */
	const char *tools_dir; /* where our lvs-masquerade.sh is; NULL: nowhere */
};

/* Up, with exactly these addresses, routes and rules. Left alone is what belongs to others: addresses and routes that
 * came by DHCP, router advertisements or keepalived, and what the kernel makes itself. A route that the kernel refuses is
 * logged and passed over: host routes are the user's own. */
int apply_up(const struct apply_context *context, const struct interface *interface, struct error *err);

/* Down, and without addresses, routes and rules. Goes on after a failure and reports the first. */
int apply_down(const struct apply_context *context, const struct interface *interface, struct error *err);
