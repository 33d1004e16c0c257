/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One round of questions to one HAProxy: what its current worker says of everything, and what old
 * workers, which still hold connections after a reload, say of their frontends.
 */

#include "agent/haproxy/stats.h"
#include "agent/health/counters.h"
#include "agent/health/target.h"

struct worker_sample {
	pid_t pid;
	uint64_t start_time;      /* process_start_time(), 0 if it could not be read */
	struct stats_table stats; /* empty for an old worker that did not answer */
};

struct haproxy_sample {
	struct worker_sample *workers; /* the current worker first */
	size_t n_workers;
	bool complete; /* no other worker runs */
	bool whole;    /* and each of them has said what it serves */
};

#define HAPROXY_SAMPLE_INIT ((struct haproxy_sample){0})
void sample_done(struct haproxy_sample *sample);
#define _cleanup_sample_ _cleanup_(sample_done)

/* Asks within timeout_ms for everything together. Fails if the current worker does not answer; old
 * workers, and a master that does not answer, only make the sample incomplete. */
int sample_take(const struct health_target *target, int timeout_ms, struct haproxy_sample *ret,
	struct error *err);

/* The same, and old workers say what they still serve of their servers, too. During a reload the master does not answer,
 * and a worker of which it tells may have ended: they are asked again then, so that within timeout_ms the sample is whole. */
int sample_take_servers(const struct health_target *target, int timeout_ms, struct haproxy_sample *ret,
	struct error *err);

/* The snapshot of a sample, with the connections of all workers and without totals. */
int sample_snapshot(const struct haproxy_sample *sample, const char *lb_id,
	struct health_snapshot **ret, struct error *err);
/* Adds what every worker counted, and gives the snapshot its totals. */
int sample_count(const struct haproxy_sample *sample, struct counters *counters,
	struct health_snapshot *snapshot);
