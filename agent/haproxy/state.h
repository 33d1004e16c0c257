/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The server state file, which carries health over a reload.
 *
 * HAProxy lets it override the new configuration (addresses, weights, administrative states), so lines of servers
 * whose configuration changed are left out: those start fresh. So do servers that somebody put into maintenance, drained,
 * weighed or moved with the Runtime API without the configuration saying so. How often and how many times a server is checked (inter,
 * rise, fall) does not count as a change.
 *
 * Source: HAProxy management guide, "show servers state"; configuration manual, "server-state-file".
 */

#include "agent/base/error.h"
#include "agent/haproxy/cfg.h"

/* "state" is the answer to "show servers state". The text, which ends in a newline, is the caller's. */
int state_filter(const char *state, const struct cfg *running, const struct cfg *wanted, char **ret_text);
