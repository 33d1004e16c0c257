/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"


/*
 * Read from HAProxy's sources at each version's first tag (src/server.c, ssl_ckch.c, proxy.c) and
 * tried on 2.6. What all of them can do since 2.4 has no column: addresses, ports, weights, states
 * and limits of servers, limits of frontends, certificates, crt-lists, maps and ACLs with versions.
 * Which words "add server" takes is in the table of plan_server.c.
 */
static const struct plan_capabilities rows[] = {
	{.major = 2, .minor = 4},
	/* "add server" takes checks and TLS, but is experimental. */
	{.major = 2, .minor = 5, .ca_files = true},
	{.major = 2, .minor = 6, .ca_files = true, .add_server = true},
	{.major = 2, .minor = 7, .ca_files = true, .add_server = true, .add_ca = true},
	/* "BUG/MEDIUM: server: fix dynamic servers initial settings", "BUG/MAJOR: server: do not
	 * delete srv referenced by session". */
	{.major = 3,
		.minor = 0,
		.ca_files = true,
		.add_server = true,
		.add_ca = true,
		.equal_servers = true,
		.delete_http = true},
	{.major = 3,
		.minor = 3,
		.ca_files = true,
		.add_server = true,
		.add_ca = true,
		.equal_servers = true,
		.delete_http = true,
		.random_by_default = true,
		.sni_by_itself = true},
	/* "BUG/MINOR: server: set auto SNI for dynamic servers". */
	{.major = 3,
		.minor = 4,
		.ca_files = true,
		.add_server = true,
		.add_ca = true,
		.equal_servers = true,
		.delete_http = true,
		.random_by_default = true},
};

const struct plan_capabilities *plan_capabilities_of(const struct haproxy_version *version)
{
	const struct plan_capabilities *found = &rows[0];

	for (size_t i = 1; i < ELEMENTSOF(rows); i++)
		if (haproxy_version_at_least(version, rows[i].major, rows[i].minor))
			found = &rows[i];
	return found;
}

bool plan_must_keep(const struct plan_capabilities *can, bool http)
{
	return !can->add_server || (http && !can->delete_http);
}
