/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * IPv4 addresses by DHCP: whichever client is installed, inside the namespace. It outlives us and renews the lease.
 */

#include <stdbool.h>

#include "agent/base/error.h"

/* Starts a client and waits until it has a lease or goes on trying in the background. */
int dhcp_start(int namespace_fd, const char *interface, struct error *err);

/* Whether a client of that interface runs. */
bool dhcp_is_running(const char *interface);

/* Gives the lease back and ends the client. 0 if none runs. */
int dhcp_stop(int namespace_fd, const char *interface, struct error *err);
