/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whether HAProxy will be able to bind what a new configuration adds.
 *
 * "haproxy -c" does not bind, and a reload that cannot bind pauses the old worker while HAProxy tries again: new connections
 * are refused for some 2 s (seen on 2.6). So addresses that the running configuration does not have are bound on trial first,
 * with the socket options that HAProxy sets (SO_REUSEADDR, SO_REUSEPORT): our own HAProxy is no obstacle then, another
 * program is. Nothing listens on the trial's sockets.
 */

#include "agent/base/error.h"
#include "agent/haproxy/cfg.h"

/* ERROR_APPLY names the frontend, the address and the reason. Addresses that are no plain IP address and port (unix sockets,
 * ranges, names, transparent binding) are left to HAProxy. */
int trial_bind_added(const struct cfg *running, const struct cfg *wanted, struct error *err);
