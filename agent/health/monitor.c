/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/monitor.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"
#include "agent/health/counters.h"
#include "agent/health/heartbeat.h"
#include "agent/health/lvs.h"
#include "agent/health/message.h"
#include "agent/health/sample.h"

#define COUNTERS_FILE "stats_counters.json"

/*
 * One mutex guards all data and is never held while HAProxy, a name server or a controller is
 * waited for. "busy" makes the exchange with one HAProxy exclusive, so that no two threads count
 * the same connections, and a HAProxy that hangs delays only those who ask for it.
 */

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
	bool save_failed; /* the log has it already */
	bool silent;      /* the same: nobody may hear of us */
};

static void settings_free(struct settings *settings)
{
	if (!settings)
		return;
	heartbeat_free(settings->heartbeat);
	free(settings);
}
DEFINE_CLEANUP(struct settings *, settings_free);

static int settings_new(
	const struct health_options *options, struct settings **ret, struct error *err)
{
	_cleanup_(settings_freep) struct settings *settings = NULL;
	int r;

	settings = calloc(1, sizeof(*settings));
	if (!settings)
		return error_set_errno(err, -ENOMEM, "health");
	r = heartbeat_new(options, &settings->heartbeat, err);
	if (r < 0)
		return r;
	settings->interval_ms =
		(options->heartbeat_interval_s > 0 ? (int64_t)options->heartbeat_interval_s : 1) *
		1000;
	settings->list_targets = options->list_targets;
	settings->may_send = options->may_send;
	settings->userdata = options->userdata;
	*ret = TAKE_PTR(settings);
	return 0;
}

static void monitored_unref(struct monitored *lb)
{
	if (!lb || --lb->references > 0)
		return;
	snapshot_free(lb->known);
	free(lb);
}

/* The entry of a load balancer, a new one if there is none, with a reference. With the mutex. */
static int monitored_get(struct health *health, const char *lb_id, struct monitored **ret)
{
	struct monitored **table, *lb;

	for (size_t i = 0; i < health->n_table; i++)
		if (streq(health->table[i]->lb_id, lb_id)) {
			health->table[i]->references++;
			*ret = health->table[i];
			return 0;
		}
	table = reallocarray(health->table, health->n_table + 1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	health->table = table;
	lb = calloc(1, sizeof(*lb));
	if (!lb)
		return -ENOMEM;
	snprintf(lb->lb_id, sizeof(lb->lb_id), "%s", lb_id);
	lb->references = 2; /* the table's and the caller's */
	health->table[health->n_table++] = lb;
	*ret = lb;
	return 0;
}

static void table_remove(struct health *health, size_t i)
{
	struct monitored *lb = health->table[i];

	health->table[i] = health->table[--health->n_table];
	monitored_unref(lb);
}

/* What was learnt of one target. */
struct answer {
	struct haproxy_sample haproxy;
	struct lvs_sample lvs;
	struct health_snapshot *snapshot; /* NULL: it does not answer */
};
#define ANSWER_INIT ((struct answer){.snapshot = NULL})

static void answer_done(struct answer *answer)
{
	sample_done(&answer->haproxy);
	lvs_sample_done(&answer->lvs);
	snapshot_free(answer->snapshot);
	*answer = ANSWER_INIT;
}

static const char *name_of(const struct health_target *target)
{
	return target->lvs_config_file ? "IPVS" : "HAProxy";
}

/* "reason" is set if the other side does not answer, "err" if we fail. */
static int take_sample(const struct monitored *lb, const struct health_target *target, struct answer *ret,
	struct error *reason)
{
	const struct lvs_source source = {
		target->lvs_config_file, target->lvs_check_pid_file, target->lvs_namespace};
	int r;

	if (source.config_file) {
		r = lvs_take(&source, &ret->lvs, reason);
		return r < 0 ? r : lvs_snapshot(&ret->lvs, lb->lb_id, &ret->snapshot, reason);
	}
	r = sample_take(target, RUNTIME_TIMEOUT_MS, &ret->haproxy, reason);
	return r < 0 ? r : sample_snapshot(&ret->haproxy, lb->lb_id, &ret->snapshot, reason);
}

/* 0 and no snapshot if it does not answer. Without the mutex, by the thread that set "busy". */
static int ask(struct monitored *lb, const struct health_target *target, struct answer *ret,
	struct error *err)
{
	_cleanup_error_ struct error reason = ERROR_INIT;
	int r;

	r = take_sample(lb, target, ret, &reason);
	if (r == -ENOMEM)
		return error_set_errno(err, r, "health of load balancer %s", lb->lb_id);
	if (r < 0) {
		if (!lb->asked || lb->answers)
			log_lb(LOG_WARNING, lb->lb_id, "%s does not answer: %s", name_of(target),
				error_message(&reason));
		return 0;
	}
	if (lb->asked && !lb->answers)
		log_lb(LOG_NOTICE, lb->lb_id, "%s answers again", name_of(target));
	if (!target->lvs_config_file)
		snapshot_leave_out_servers(ret->snapshot, target->leaving, target->n_leaving);
	if (lb->known)
		snapshot_log_changes(lb->known, ret->snapshot);
	return 0;
}

static int count(struct health *health, const struct health_target *target, const struct answer *answer)
{
	return target->lvs_config_file ? lvs_count(&answer->lvs, health->counters, answer->snapshot)
				       : sample_count(&answer->haproxy, health->counters, answer->snapshot);
}

/* Makes "known" and "answers" at most max_age_ms old. With the mutex, which is released while
 * HAProxy is asked. */
static int refresh(struct health *health, struct monitored *lb, const struct health_target *target,
	int64_t max_age_ms, struct error *err)
{
	_cleanup_(answer_done) struct answer answer = ANSWER_INIT;
	int64_t wanted_ms = process_now_ms() - (max_age_ms > 0 ? max_age_ms : 0), taken_ms;
	int r;

	for (;;) {
		if (lb->asked && lb->taken_ms > wanted_ms)
			return 0;
		if (!lb->busy)
			break;
		pthread_cond_wait(&health->idle, &health->mutex);
	}
	lb->busy = true;
	taken_ms = process_now_ms();
	pthread_mutex_unlock(&health->mutex);
	r = ask(lb, target, &answer, err);
	pthread_mutex_lock(&health->mutex);
	lb->busy = false;
	pthread_cond_broadcast(&health->idle);
	if (r < 0)
		return r;

	if (answer.snapshot) {
		answer.snapshot->taken_ms = taken_ms;
		if (!lb->forgotten)
			r = count(health, target, &answer);
		if (r < 0)
			return error_set_errno(err, r, "health of load balancer %s", lb->lb_id);
		snapshot_free(lb->known);
		lb->known = TAKE_PTR(answer.snapshot);
		lb->answers = true;
	} else {
		lb->answers = false;
	}
	lb->asked = true;
	lb->taken_ms = taken_ms;
	return 0;
}

/* What a message says of one listener, to be marked as sent when it was. */
struct delta {
	const char *lb_id;
	char *listener_id;
	struct listener_totals values;
};

/* One round of the thread. */
struct round {
	struct health_target *targets;
	size_t n_targets;
	struct monitored **lbs; /* references, one a target */
	struct delta *deltas;
	size_t n_deltas, n_members;
	json_t *message; /* NULL: nobody to send it to */
};

/* With the mutex. */
static void round_done(struct round *round)
{
	for (size_t i = 0; round->lbs && i < round->n_targets; i++)
		monitored_unref(round->lbs[i]);
	free(round->lbs);
	health_targets_free(round->targets, round->n_targets);
	for (size_t i = 0; i < round->n_deltas; i++)
		free(round->deltas[i].listener_id);
	free(round->deltas);
	json_decref(round->message);
}

void health_target_done(struct health_target *target)
{
	free(target->stats_socket);
	free(target->master_socket);
	plan_leaving_free(target->leaving, target->n_leaving);
	free(target->lvs_config_file);
	free(target->lvs_check_pid_file);
	free(target->lvs_namespace);
	*target = (struct health_target){0};
}

void health_targets_free(struct health_target *targets, size_t n)
{
	for (size_t i = 0; targets && i < n; i++)
		health_target_done(&targets[i]);
	free(targets);
}

/* With the mutex, which is released while the targets are listed: the one who lists them has locks
 * of its own. */
static int round_begin(struct health *health, struct round *round)
{
	uint64_t forgets;
	int r;

	do {
		health_targets_free(round->targets, round->n_targets);
		round->targets = NULL;
		round->n_targets = 0;
		forgets = health->forgets;
		pthread_mutex_unlock(&health->mutex);
		r = health->settings->list_targets(
			health->settings->userdata, &round->targets, &round->n_targets);
		pthread_mutex_lock(&health->mutex);
		if (r < 0)
			return r;
	} while (forgets != health->forgets);

	round->lbs = calloc(round->n_targets + 1, sizeof(struct monitored *));
	if (!round->lbs)
		return -ENOMEM;
	for (size_t i = 0; i < round->n_targets; i++) {
		r = monitored_get(health, round->targets[i].lb_id, &round->lbs[i]);
		if (r < 0)
			return r;
	}
	/* What should not run any more; its counters stay until it is forgotten. */
	for (size_t i = health->n_table; i > 0; i--)
		if (health->table[i - 1]->references == 1)
			table_remove(health, i - 1);
	return 0;
}

/* With the mutex. */
static int collect_deltas(
	struct round *round, const struct health_snapshot *s, struct counters *counters)
{
	struct delta *grown;

	grown = reallocarray(round->deltas, round->n_deltas + s->n_listeners + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	round->deltas = grown;
	for (size_t i = 0; i < s->n_listeners; i++) {
		char *id = strdup(s->listeners[i].id);

		if (!id)
			return -ENOMEM;
		round->deltas[round->n_deltas++] = (struct delta){
			.listener_id = id, .values = counters_unsent(counters, s->lb_id, id)};
	}
	return 0;
}

/* With the mutex. */
static int make_message(struct health *health, struct round *round)
{
	const char *amphora_id = heartbeat_amphora_id(health->settings->heartbeat);
	_cleanup_free_ struct health_snapshot **snapshots = NULL;
	size_t n = 0;
	int r;

	if (!amphora_id)
		return 0;
	snapshots = calloc(round->n_targets + 1, sizeof(*snapshots));
	if (!snapshots)
		return -ENOMEM;
	for (size_t i = 0; i < round->n_targets; i++) {
		struct monitored *lb = round->lbs[i];
		size_t first = round->n_deltas;

		if (lb->forgotten || !lb->answers)
			continue;
		snapshots[n++] = lb->known;
		r = collect_deltas(round, lb->known, health->counters);
		for (size_t j = first; j < round->n_deltas; j++)
			round->deltas[j].lb_id = lb->lb_id;
		if (r < 0)
			return r;
		for (size_t j = 0; j < lb->known->n_pools; j++)
			round->n_members += lb->known->pools[j].n_members;
	}
	return heartbeat_message(
		amphora_id, health->sequence++, snapshots, n, health->counters, &round->message);
}

/* Without the mutex. */
static bool may_send(struct health *health)
{
	const struct settings *settings = health->settings;
	bool silent = settings->may_send && !settings->may_send(settings->userdata);

	if (silent && !health->silent)
		log_error("keepalived is configured and does not run: no heartbeat is sent");
	if (!silent && health->silent)
		log_notice("keepalived runs again: heartbeats go on");
	health->silent = silent;
	return !silent;
}

/* With the mutex, which is released while others are waited for. */
static int run_round(struct health *health, struct round *round)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	bool sent = false;
	int r;

	r = round_begin(health, round);
	for (size_t i = 0; i < round->n_targets && r == 0 && !health->stopping; i++)
		if (!round->lbs[i]->forgotten)
			r = refresh(health, round->lbs[i], &round->targets[i], 0, NULL);
	if (r == 0 && !health->stopping)
		r = make_message(health, round);
	if (r < 0 || health->stopping)
		return r;

	if (round->message) {
		pthread_mutex_unlock(&health->mutex);
		sent = may_send(health) &&
		       heartbeat_send(health->settings->heartbeat, round->message,
			       round->n_members);
		pthread_mutex_lock(&health->mutex);
		health->heartbeats_sent += sent;
		health->heartbeats_failed += !sent;
	}
	for (size_t i = 0; sent && i < round->n_deltas; i++)
		counters_mark_sent(health->counters, round->deltas[i].lb_id,
			round->deltas[i].listener_id, &round->deltas[i].values);
	if (counters_save(health->counters, &err) < 0 && !health->save_failed)
		log_warning("cannot save what was counted: %s", error_message(&err));
	health->save_failed = err.message != NULL;
	health->last_round_ms = process_now_ms();
	return 0;
}

static void wait_until(struct health *health, int64_t deadline_ms)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};

	pthread_cond_timedwait(&health->wake, &health->mutex, &deadline);
}

static void take_next_settings(struct health *health)
{
	if (!health->next_settings)
		return;
	settings_free(health->settings);
	health->settings = TAKE_PTR(health->next_settings);
}

static void *run(void *argument)
{
	struct health *health = argument;
	int64_t last_ms = 0; /* when the last round was due; 0: none yet */

	pthread_mutex_lock(&health->mutex);
	while (!health->stopping) {
		int64_t now_ms = process_now_ms(), due_ms;
		struct round round = {0};
		int r;

		take_next_settings(health);
		due_ms = last_ms ? last_ms + health->settings->interval_ms : now_ms;
		if (now_ms < due_ms) {
			wait_until(health, due_ms);
			continue;
		}
		/* An even beat, but no burst to make up for rounds that took too long. */
		last_ms = now_ms - due_ms < health->settings->interval_ms ? due_ms : now_ms;
		r = run_round(health, &round);
		round_done(&round);
		if (r < 0)
			log_error("a round of health questions failed: %s", strerror(-r));
	}
	pthread_mutex_unlock(&health->mutex);
	return NULL;
}

int health_new(const struct health_options *options, struct health **ret, struct error *err)
{
	_cleanup_(settings_freep) struct settings *settings = NULL;
	_cleanup_(counters_freep) struct counters *counters = NULL;
	pthread_condattr_t attributes;
	struct health *health;
	int r;

	r = settings_new(options, &settings, err);
	if (r < 0)
		return r;
	r = counters_new(options->state_dir_fd, COUNTERS_FILE, &counters, err);
	if (r < 0)
		return r;
	health = calloc(1, sizeof(*health));
	if (!health)
		return error_set_errno(err, -ENOMEM, "health");
	/* On Linux these do not fail. A changed wall clock moves no heartbeat. */
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&health->wake, &attributes);
	pthread_cond_init(&health->idle, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&health->mutex, NULL);
	health->settings = TAKE_PTR(settings);
	health->counters = TAKE_PTR(counters);
	*ret = health;
	return 0;
}

int health_start(struct health *health, struct error *err)
{
	sigset_t all, before;
	int r;

	health->last_round_ms = process_now_ms();
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&health->thread, NULL, run, health);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return error_set_errno(err, -r, "health: cannot start a thread");
	pthread_setname_np(health->thread, "health");
	health->started = true;
	return 0;
}

void health_free(struct health *health)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (!health)
		return;
	if (health->started) {
		pthread_mutex_lock(&health->mutex);
		health->stopping = true;
		pthread_cond_broadcast(&health->wake);
		pthread_mutex_unlock(&health->mutex);
		pthread_join(health->thread, NULL);
	}
	if (counters_save(health->counters, &err) < 0)
		log_warning("cannot save what was counted: %s", error_message(&err));
	while (health->n_table > 0)
		table_remove(health, health->n_table - 1);
	free(health->table);
	counters_free(health->counters);
	settings_free(health->settings);
	settings_free(health->next_settings);
	pthread_cond_destroy(&health->wake);
	pthread_cond_destroy(&health->idle);
	pthread_mutex_destroy(&health->mutex);
	free(health);
}

int health_reconfigure(
	struct health *health, const struct health_options *options, struct error *err)
{
	struct settings *settings, *replaced;
	int r;

	r = settings_new(options, &settings, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&health->mutex);
	replaced = health->next_settings;
	health->next_settings = settings;
	pthread_cond_broadcast(&health->wake);
	pthread_mutex_unlock(&health->mutex);
	settings_free(replaced);
	return 0;
}

static int unanswered_snapshot(const struct monitored *lb, struct health_snapshot **ret)
{
	struct health_snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return -ENOMEM;
	memcpy(snapshot->lb_id, lb->lb_id, sizeof(snapshot->lb_id));
	snapshot->taken_ms = lb->taken_ms;
	*ret = snapshot;
	return 0;
}

int health_snapshot(struct health *health, const struct health_target *target, int64_t max_age_ms,
	struct health_snapshot **ret, struct error *err)
{
	struct monitored *lb = NULL;
	int r;

	pthread_mutex_lock(&health->mutex);
	r = monitored_get(health, target->lb_id, &lb);
	if (r == 0)
		r = refresh(health, lb, target, max_age_ms, err);
	else
		error_set_errno(err, r, "health of load balancer %s", target->lb_id);
	if (r == 0) {
		r = lb->answers ? snapshot_copy(lb->known, ret) : unanswered_snapshot(lb, ret);
		if (r < 0)
			error_set_errno(err, r, "health of load balancer %s", lb->lb_id);
	}
	monitored_unref(lb);
	pthread_mutex_unlock(&health->mutex);
	return r;
}

void health_forget(struct health *health, const char *lb_id)
{
	pthread_mutex_lock(&health->mutex);
	health->forgets++;
	counters_forget(health->counters, lb_id);
	for (size_t i = 0; i < health->n_table; i++)
		if (streq(health->table[i]->lb_id, lb_id)) {
			health->table[i]->forgotten = true;
			table_remove(health, i);
			break;
		}
	pthread_mutex_unlock(&health->mutex);
}

void health_heartbeats(struct health *health, uint64_t *ret_sent, uint64_t *ret_failed)
{
	pthread_mutex_lock(&health->mutex);
	*ret_sent = health->heartbeats_sent;
	*ret_failed = health->heartbeats_failed;
	pthread_mutex_unlock(&health->mutex);
}

int64_t health_last_round_ms(struct health *health)
{
	int64_t last_ms;

	pthread_mutex_lock(&health->mutex);
	last_ms = health->last_round_ms;
	pthread_mutex_unlock(&health->mutex);
	return last_ms;
}
