/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The listeners that a haproxy.cfg serves, in Octavia's words: one a frontend.
 *
 * Source: HAProxy configuration manual, 4.2 "mode", 5.1 "ssl"; Octavia, parse_haproxy_file() in
 * octavia/amphorae/backends/agent/api_server/util.py.
 */

#include "agent/haproxy/cfg.h"

struct cfg_listener {
	char *id; /* the frontend's name, of the characters that HAProxy allows in one; owned */
	const char *type; /* "TCP", "HTTP" or "TERMINATED_HTTPS"; static */
};

/* In the file's order. A frontend without a mode has that of the defaults section before it, as in
 * HAProxy; one without a name, or with one that HAProxy would refuse, is left out. Free with
 * cfg_listeners_free(). -ENOMEM only. */
int cfg_listeners(const struct cfg *cfg, struct cfg_listener **ret, size_t *ret_n);
/* The address of the first "bind ADDRESS:PORT" of a frontend: what Octavia calls the VIP. *ret is NULL if there is none;
 * owned by the caller. */
int cfg_vip_address(const struct cfg *cfg, char **ret);
/* The addresses of all binds of frontends, each once, in the file's order: the VIPs. What stands there may be a name, "*" or
 * no address at all. Free with strv_free(). -ENOMEM only. */
int cfg_vip_addresses(const struct cfg *cfg, char ***ret);
void cfg_listeners_free(struct cfg_listener *listeners, size_t n);
