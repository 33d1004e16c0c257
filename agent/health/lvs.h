/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The health of one UDP or SCTP listener: what its keepalived configuration says of who is who, and what the kernel's
 * IPVS says of who is served. keepalived takes a member that is down out of IPVS, so a member is down when it is configured
 * and not there.
 *
 * Source: octavia/amphorae/backends/utils/keepalivedlvs_query.py.
 */

#include "agent/health/counters.h"
#include "agent/health/snapshot.h"
#include "agent/keepalived/lvs_config.h"
#include "agent/network/ipvs.h"

/* Where to look. */
struct lvs_source {
	const char *config_file;
	const char *check_pid_file;    /* older than the configuration: keepalived has not read that yet */
	const char *network_namespace; /* NULL: ours */
};

struct lvs_member_state {
	const char *id;              /* the configuration's */
	const char *status;          /* "UP", "DOWN", "DRAIN", "MAINT", "no check", "RESTARTING" */
	struct ipvs_counters counters;
	uint64_t active_connections;
	uint32_t weight;
};

struct lvs_sample {
	struct lvs_config config;
	struct ipvs_counters counters; /* of all its addresses */
	uint64_t active_connections;
	bool has_pool;
	const char *pool_status; /* "UP", "DOWN" */
	struct lvs_member_state *members;
	size_t n_members;
};
#define LVS_SAMPLE_INIT ((struct lvs_sample){0})
#define _cleanup_lvs_sample_ _cleanup_(lvs_sample_done)
void lvs_sample_done(struct lvs_sample *sample);

/* Reads both. A kernel without IPVS is one without services. */
int lvs_take(const struct lvs_source *source, struct lvs_sample *ret, struct error *err);

/* The same of what was read already, for lvs_take() and tests: takes the configuration; "services" has one for each of
 * its addresses, NULL: not there. "restarting": keepalived has not read the configuration yet. */
int lvs_judge(struct lvs_config *config, const struct ipvs_service *const *services, bool restarting,
	struct lvs_sample *ret);

/* Its snapshot, without totals: no listener in it if that is disabled. */
int lvs_snapshot(const struct lvs_sample *sample, const char *target_id, struct health_snapshot **ret,
	struct error *err);
/* Adds what was counted, and gives the snapshot its totals. */
int lvs_count(const struct lvs_sample *sample, struct counters *counters, struct health_snapshot *snapshot);
