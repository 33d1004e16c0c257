/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What one HAProxy says of itself at one moment, in the heartbeat's terms. Made from "show stat" of
 * the current worker and of old workers that still hold connections.
 *
 * Source of the field meanings: the Amphora API's heartbeat, version 3
 * (octavia/amphorae/backends/health_daemon).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/arena.h"
#include "agent/base/error.h"
#include "agent/haproxy/plan.h"
#include "agent/haproxy/stats.h"

/* Totals since the load balancer was created: they survive reloads and restarts (counters.h). */
struct listener_totals {
	uint64_t bytes_in, bytes_out, total_connections, request_errors;
};

struct listener_health {
	const char *id;              /* frontend name */
	const char *status;          /* "OPEN", "FULL", … as HAProxy says */
	int64_t current_connections; /* over all workers */
	struct listener_totals totals;
};

struct member_health {
	const char *id;
	const char *status; /* "UP", "DOWN 1/2", "DRAIN", "MAINT", "no check", …; UP with weight 0 is
			       DRAIN */
	const char *reason; /* "L4CON: Connection refused", or "" */
};

struct pool_health {
	const char *key; /* backend name: "pool_id:listener_id" */
	const char *status;
	struct member_health *members;
	size_t n_members;
};

struct health_snapshot {
	char lb_id[37];
	bool answered;    /* false: HAProxy did not answer; the lists are empty */
	int64_t taken_ms; /* process_now_ms() */
	pid_t worker_pid;
	struct listener_health *listeners;
	size_t n_listeners;
	struct pool_health *pools;
	size_t n_pools;
	struct arena strings; /* of all that is in it */
};

/* Proxies that are no listener or pool of a load balancer: with "prometheus" in their name (as
 * Octavia's agent leaves them out), statistics pages ("stats"), HAProxy's own ("GLOBAL", "MASTER")
 * and names that HAProxy would refuse. */
bool snapshot_leaves_out(const char *proxy);

/* Builds listeners (totals still 0) and pools from the current worker's rows. Proxies that are left
 * out and rows of single sockets ("option socket-stats") are skipped. Strings are copied. */
int snapshot_from_stats(const char *lb_id, const struct stats_table *stats,
	struct health_snapshot **ret, struct error *err);
/* Takes servers out of it. */
void snapshot_leave_out_servers(
	struct health_snapshot *snapshot, const struct plan_leaving *servers, size_t n);
void snapshot_free(struct health_snapshot *snapshot);
DEFINE_CLEANUP(struct health_snapshot *, snapshot_free);
int snapshot_copy(const struct health_snapshot *snapshot, struct health_snapshot **ret);
#define _cleanup_snapshot_ _cleanup_(snapshot_freep)
/* Moves the listeners and pools of "from" behind those of "into". */
int snapshot_append(struct health_snapshot *into, struct health_snapshot *from);

const struct listener_health *snapshot_find_listener(
	const struct health_snapshot *s, const char *id);
/* A pool may stand behind several listeners: the first backend of that pool id. */
const struct pool_health *snapshot_find_pool(const struct health_snapshot *s, const char *pool_id);
/* For callers that look members up one after the other: the search starts at "*position", goes round once and leaves the
 * next position there, so that equal orders cost one comparison a member. */
const struct member_health *pool_health_find_member_near(
	const struct pool_health *p, const char *id, size_t *position);

/* The one word that the heartbeat has for a member's status: "UP 1/2" is UP, "DOWN 1/2" is DOWN,
 * "MAINT (via x)" is MAINT, "NOLB" (takes no new connections) is DRAIN. A status that is none of
 * these is returned as it is. */
const char *member_status_word(const char *status);

/* One log line for each member whose word is another than before: load balancer, pool, member, old
 * -> new, reason. */
void snapshot_log_changes(const struct health_snapshot *before, const struct health_snapshot *now);
