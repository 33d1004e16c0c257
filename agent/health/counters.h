/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counters that go on where HAProxy's begin again.
 *
 * HAProxy counts from 0 in every new worker, and a reload leaves the old worker counting beside the
 * new one. Totals are kept per (load balancer, listener): each sample adds the difference to what
 * that worker (pid and start time) last said. The heartbeat's deltas are totals minus what was last
 * sent. Both survive restarts of the agent in "stats_counters.json"; a file that is corrupt or from
 * another program is renamed to "….corrupt" with a warning, and counting starts anew. Not
 * thread-safe: the health thread's lock is held (monitor_internal.h).
 *
 * The file of Octavia's own agent ({listener: {"bin", "bout", "ereq", "stot"}}, health_daemon.py)
 * is understood: it holds the last values seen of the worker that ran then, all of them sent. The
 * first worker that is not behind them goes on from there, so that exchanging the agents under a
 * running HAProxy neither loses nor repeats a count.
 */

#include <stdint.h>
#include <sys/types.h>

#include "agent/base/error.h"
#include "agent/base/fileio.h"
#include "agent/health/snapshot.h"

struct counters;

/* Loads "name" below dir_fd if it is there. Never fails for what is in the file. dir_fd stays the
 * caller's and open. */
int counters_new(int dir_fd, const char *name, struct counters **ret, struct error *err);
void counters_free(struct counters *counters);
DEFINE_CLEANUP(struct counters *, counters_free);

/* Takes in what one worker says of a listener. A value smaller than that worker's last one counts
 * from 0 again. A start time of 0 is unknown and stands for any worker of that pid. */
int counters_sample(struct counters *counters, const char *lb_id, const char *listener_id,
	pid_t pid, uint64_t start_time, const struct listener_totals *worker_values);
/* Forgets the last values of workers that are not in the list: they have ended. Totals stay. */
void counters_keep_workers(struct counters *counters, const char *lb_id, const pid_t *pids,
	const uint64_t *start_times, size_t n);
/* Zeros for an unknown listener. */
struct listener_totals counters_totals(
	const struct counters *counters, const char *lb_id, const char *listener_id);
/* Totals minus what counters_mark_sent() last marked. */
struct listener_totals counters_unsent(
	const struct counters *counters, const char *lb_id, const char *listener_id);
/* "sent" is what counters_unsent() gave when the message was made. */
void counters_mark_sent(struct counters *counters, const char *lb_id, const char *listener_id,
	const struct listener_totals *sent);
/* It did not arrive after all. */
void counters_mark_lost(struct counters *counters, const char *lb_id, const char *listener_id,
	const struct listener_totals *sent);
void counters_forget(struct counters *counters, const char *lb_id);
/* Writes the file if anything changed since it was last written (atomic; 0600). */
int counters_save(struct counters *counters, struct error *err);
/* The same in two steps. Without the second one what changed is written by the next. */
int counters_prepare(struct counters *counters, struct fileio_pending *ret, struct error *err);
int counters_commit(struct counters *counters, struct fileio_pending *pending, struct error *err);
void counters_abandon(struct counters *counters, struct fileio_pending *pending);
