/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between the parts of the health thread: monitor.c (its life and what others ask of it), monitored.c (one load
 * balancer), monitor_round.c (one round through all of them).
 *
 * One mutex guards all data and is never held while HAProxy, a name server or a controller is
 * waited for. "busy" makes the exchange with one HAProxy exclusive, so that no two threads count
 * the same connections, and a HAProxy that hangs delays only those who ask for it.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/health/counters.h"
#include "agent/health/heartbeat.h"
#include "agent/health/monitor.h"
#include "agent/health/sender.h"

/* What is known of one load balancer. Lives as long as the table or a thread refers to it. */
struct monitored {
	char lb_id[37];
	unsigned references;
	bool busy;        /* a thread talks to this HAProxy; only that thread replaces "known" */
	bool forgotten;   /* deleted while it was busy: nothing is counted any more */
	bool asked;       /* at least once */
	bool answers;     /* the last time */
	int64_t taken_ms; /* start of the last exchange */
	struct health_snapshot *known; /* of the last answer; NULL until there is one */
};

/* What a message says that was counted of one listener. */
struct delta {
	char lb_id[37];
	char *listener_id;
	struct listener_totals values;
};

/* Of a message that was sent, and may still turn out not to have arrived. */
struct sent {
	uint64_t number;
	struct delta *deltas;
	size_t n_deltas;
};

/* What health_reconfigure() replaces. */
struct settings {
	struct heartbeat *heartbeat;
	int64_t interval_ms;
	health_list_targets list_targets;
	bool (*may_send)(void *userdata);
	void *userdata;
};

struct health {
	pthread_mutex_t mutex;
	pthread_cond_t wake; /* the thread: "stopping" or "next_settings" changed */
	pthread_cond_t idle; /* some "busy" ended */
	pthread_t thread;
	bool started, stopping;

	struct monitored **table;
	size_t n_table;
	uint64_t forgets; /* health_forget() calls: a list of targets from before is out of date */
	struct counters *counters;
	struct settings *next_settings; /* for the thread to take */
	int64_t last_round_ms;
	uint64_t heartbeats_sent, heartbeats_failed;

	/* The thread's own. */
	struct settings *settings;
	uint64_t sequence;
	struct sent sent[SENDER_IN_FLIGHT]; /* by their numbers */
	bool save_failed; /* the log has it already */
	bool silent;      /* the same: nobody may hear of us */
};

/* monitored.c: the table of load balancers and the exchange with one of them. All with the mutex. */

/* The entry of a load balancer, a new one if there is none, with a reference. */
int monitored_get(struct health *health, const char *lb_id, struct monitored **ret);
void monitored_unref(struct monitored *lb);
/* Takes the i-th entry out of the table, and the table's reference with it. */
void monitored_remove(struct health *health, size_t i);
/* Makes "known" and "answers" at most max_age_ms old. The mutex is released while HAProxy is asked. */
int monitored_refresh(struct health *health, struct monitored *lb, const struct health_target *target,
	int64_t max_age_ms, struct error *err);

/* monitor_round.c: what messages said that did not arrive is said again. With the mutex. */
void monitor_take_losses(struct health *health);
void sent_done(struct sent *sent);

/* Asks all targets once, sends the heartbeat and saves what was counted. With the mutex, which is
 * released while others are waited for. */
int monitor_round(struct health *health);
