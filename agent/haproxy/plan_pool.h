/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One backend with its servers before and after: what plan_pool.c reads of it, for plan_change.c.
 */

#include "agent/haproxy/plan_server.h"

struct plan_pool {
	struct planner *planner;
	const struct cfg_section *before, *after;
	const char *name;
	struct plan_server defaults_before, defaults_after;
	bool odd; /* server lines do not say alone what its servers are */
	bool same_defaults;
	bool dynamic;  /* the algorithm takes servers at run time */
	bool by_id;    /* and chooses by their numeric id */
	bool in_order; /* the order of servers counts, since not all have an id of their own */
	bool http;
	bool all_ids, round_robin;
	const char
		*cannot_add; /* why this backend takes none, whatever the server; NULL if it does */
	size_t n_after, n_backups, n_replaced;
	const char *
		loaded[PLAN_SERVER_N_NAMED]; /* value of a file option that was seen to be loaded */
	json_t *up;                          /* plan_servers_up(), when asked for */
};

/* A line with what the default-server lines before it say. */
struct plan_server plan_read_server(
	const struct plan_server *defaults, const struct cfg_line *line);

/* Why a server cannot be added at run time, NULL if it can. */
const char *plan_cannot_add(struct plan_pool *pool, const struct plan_server *server);
void plan_add_server(
	struct plan_pool *pool, enum plan_phase phase, const struct plan_server *server);
/* A server of both, that differs or not. */
void plan_changed_server(
	struct plan_pool *pool, const struct plan_server *before, const struct plan_server *after);
/* One that is in maintenance since it left the configuration: makes it what is wanted. False if
 * that cannot be done with the Runtime API; then nothing is planned. */
bool plan_bring_back(
	struct plan_pool *pool, const struct plan_server *before, const struct plan_server *after);
