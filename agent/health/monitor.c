/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/monitor.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/health/monitor_internal.h"

#define COUNTERS_FILE "stats_counters.json"

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
	monitor_take_losses(health);
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
		int r;

		take_next_settings(health);
		due_ms = last_ms ? last_ms + health->settings->interval_ms : now_ms;
		if (now_ms < due_ms) {
			wait_until(health, due_ms);
			continue;
		}
		/* An even beat, but no burst to make up for rounds that took too long. */
		last_ms = now_ms - due_ms < health->settings->interval_ms ? due_ms : now_ms;
		r = monitor_round(health);
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
	monitor_take_losses(health);
	for (size_t i = 0; i < ELEMENTSOF(health->sent); i++)
		sent_done(&health->sent[i]);
	if (counters_save(health->counters, &err) < 0)
		log_warning("cannot save what was counted: %s", error_message(&err));
	while (health->n_table > 0)
		monitored_remove(health, health->n_table - 1);
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
		r = monitored_refresh(health, lb, target, max_age_ms, err);
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
			monitored_remove(health, i);
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
