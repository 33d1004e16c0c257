/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What goes on in one load balancer at this moment, down to its members: sessions, weights, and counters since the workers
 * of HAProxy started. Rates are differences of two of these; what survives reloads is in counters.h.
 *
 * One JSON object: {"answered": true, "complete": true, "listeners": [{"id", "status", "active_connections", "total_connections",
 * "requests", "bytes_in", "bytes_out"}], "pools": [{"id", "listener_id", "members": [{"id", "status", "weight", "leaving",
 * "active_connections", "total_connections", "bytes_in", "bytes_out"}]}]}. A pool is there once for each listener that
 * leads to it. "leaving": no member any more, and its last sessions are served. Unless it is "complete", a worker of HAProxy
 * has not said what it serves, and there may be more than is told.
 */

#include <jansson.h>

#include "agent/haproxy/plan.h"
#include "agent/health/lvs.h"
#include "agent/health/sample.h"

/* Without listeners and pools, neither answered nor complete. NULL without memory. */
json_t *activity_new(void);

/* What HAProxy says, in all its workers: sample_take_servers(). "leaving": servers of the current one that are no members
 * any more. -ENOMEM only. */
int activity_add_haproxy(json_t *activity, const struct haproxy_sample *sample, const struct plan_leaving *leaving,
	size_t n_leaving);

/* A listener of UDP or SCTP. */
int activity_add_lvs(json_t *activity, const struct lvs_sample *sample);
