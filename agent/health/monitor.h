/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The health thread: asks every HAProxy, logs members that change state, sends the heartbeat every
 * interval.
 *
 * A thread of its own, because asking is blocking (2 s for a HAProxy that hangs) and must delay
 * neither supervision nor requests. Snapshots are also taken on demand, for status requests and
 * right before a reload and right after, so that no count is lost.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/health/snapshot.h"
#include "agent/health/target.h"

/* Lists the load balancers whose HAProxy should run. The array and its strings are the caller's to
 * free (health_targets_free()). Called from the health thread. */
typedef int (*health_list_targets)(void *userdata, struct health_target **ret, size_t *ret_n);

struct health_options {
	const char *amphora_id;
	const char *controllers;   /* controller_ip_port_list */
	const char *heartbeat_key; /* with controllers set, this and amphora_id must not be empty */
	unsigned heartbeat_interval_s;
	int state_dir_fd; /* where stats_counters.json lives; stays the caller's */
	health_list_targets list_targets;
	/* Whether controllers may hear of us now; NULL: always. Called from the health thread. */
	bool (*may_send)(void *userdata);
	void *userdata;
};

struct health;

int health_new(const struct health_options *options, struct health **ret, struct error *err);
/* Starts the thread. */
int health_start(struct health *health, struct error *err);
/* Ends the thread (after the exchange that is under way), saves the counters. */
void health_free(struct health *health);
DEFINE_CLEANUP(struct health *, health_free);

/* Takes the next options without a restart, at once: all but state_dir_fd. Counters stay. On
 * failure (ERROR_INVALID) the options before go on. */
int health_reconfigure(
	struct health *health, const struct health_options *options, struct error *err);

/* The newest snapshot, taken now if the last is older than max_age_ms (0: always now). The copy is
 * the caller's. A HAProxy that does not answer gives a snapshot with answered = false, not an
 * error. */
int health_snapshot(struct health *health, const struct health_target *target, int64_t max_age_ms,
	struct health_snapshot **ret, struct error *err);

/* Heartbeats since the start. One that was not sent is made up for by the next one. */
void health_heartbeats(struct health *health, uint64_t *ret_sent, uint64_t *ret_failed);

/* Forgets a deleted load balancer and its counters. list_targets() must leave it out before this is
 * called. */
void health_forget(struct health *health, const char *lb_id);

/* process_now_ms() of the thread's last finished round: the watchdog looks at it. */
int64_t health_last_round_ms(struct health *health);
