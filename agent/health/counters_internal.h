/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What counters.c (counting) and counters_file.c (the file) share. Nobody else includes this.
 */

#include <stdbool.h>

#include "agent/health/counters.h"

enum { COUNTERS_ID_SIZE = 37 };

/* The last values of one worker. A pid of 0: of an unknown worker, from the file of Octavia's own
 * agent. */
struct counted_worker {
	pid_t pid;
	uint64_t start_time;
	struct listener_totals last;
};

/* An empty lb_id: from the file of Octavia's own agent, which does not say whose listener it is. */
struct counted_listener {
	char lb_id[COUNTERS_ID_SIZE];
	char *listener_id;
	struct listener_totals totals, sent;
	struct counted_worker *workers;
	size_t n_workers;
};

struct counters {
	int dir_fd; /* the caller's */
	char *name;
	char boot_id[COUNTERS_ID_SIZE];   /* pids and start times mean nothing after a reboot; "" if
					     unknown */
	struct counted_listener *entries; /* sorted by lb_id, listener_id */
	size_t n_entries, allocated;
	bool dirty; /* differs from the file */
};

/* One row a counter: the names in our file and in that of Octavia's agent. Ends in a row without a
 * name. */
struct counters_metric {
	const char *name, *octavia_name;
	size_t offset; /* in struct listener_totals */
};
extern const struct counters_metric counters_metrics[];
#define COUNTERS_METRICS_FOREACH(metric) \
	for (const struct counters_metric *metric = counters_metrics; metric->name; metric++)

static inline uint64_t *counters_value(
	struct listener_totals *totals, const struct counters_metric *metric)
{
	return (uint64_t *)((char *)totals + metric->offset);
}

static inline uint64_t counters_read(
	const struct listener_totals *totals, const struct counters_metric *metric)
{
	return *(const uint64_t *)((const char *)totals + metric->offset);
}

/* Whether "values" can be later values of what said "earlier". */
bool counters_not_behind(
	const struct listener_totals *values, const struct listener_totals *earlier);
struct counted_listener *counters_find(
	const struct counters *counters, const char *lb_id, const char *listener_id);
/* The entry of that listener, a new one if there is none. Moves other entries. -EINVAL for an id
 * that is too long. */
int counters_ensure(struct counters *counters, const char *lb_id, const char *listener_id,
	struct counted_listener **ret);
int counters_add_worker(struct counted_listener *entry, const struct counted_worker *worker);
void counters_clear(struct counters *counters);

/* Reads the file into empty counters. Fails only without memory. */
int counters_load(struct counters *counters);
