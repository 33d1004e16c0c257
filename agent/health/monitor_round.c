/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/health/message.h"
#include "agent/health/monitor_internal.h"

/* One round of the thread. */
struct round {
	struct health_target *targets;
	size_t n_targets;
	struct monitored **lbs; /* references, one a target */
	struct sent message_says; /* to be marked as sent when it was */
	size_t n_members;
	bool has_message; /* there is somebody to send it to */
	struct heartbeat_text message;
};

void sent_done(struct sent *sent)
{
	for (size_t i = 0; i < sent->n_deltas; i++)
		free(sent->deltas[i].listener_id);
	free(sent->deltas);
	*sent = (struct sent){0};
}

/* With the mutex. */
static void round_done(struct round *round)
{
	for (size_t i = 0; round->lbs && i < round->n_targets; i++)
		monitored_unref(round->lbs[i]);
	free(round->lbs);
	health_targets_free(round->targets, round->n_targets);
	sent_done(&round->message_says);
	heartbeat_text_done(&round->message);
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
			monitored_remove(health, i - 1);
	return 0;
}

/* With the mutex. */
static int collect_deltas(struct sent *sent, const struct health_snapshot *s, const char *lb_id, struct counters *counters)
{
	static const struct listener_totals nothing;
	struct delta *grown;

	grown = reallocarray(sent->deltas, sent->n_deltas + s->n_listeners + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	sent->deltas = grown;
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct delta *delta = &sent->deltas[sent->n_deltas];

		*delta = (struct delta){.values = counters_unsent(counters, lb_id, s->listeners[i].id)};
		if (memcmp(&delta->values, &nothing, sizeof(nothing)) == 0)
			continue;
		snprintf(delta->lb_id, sizeof(delta->lb_id), "%s", lb_id);
		delta->listener_id = strdup(s->listeners[i].id);
		if (!delta->listener_id)
			return -ENOMEM;
		sent->n_deltas++;
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

		if (lb->forgotten || !lb->answers)
			continue;
		snapshots[n++] = lb->known;
		r = collect_deltas(&round->message_says, lb->known, lb->lb_id, health->counters);
		if (r < 0)
			return r;
		for (size_t j = 0; j < lb->known->n_pools; j++)
			round->n_members += lb->known->pools[j].n_members;
	}
	round->message_says.number = health->sequence++;
	r = heartbeat_message(
		amphora_id, round->message_says.number, snapshots, n, health->counters, &round->message);
	round->has_message = r == 0;
	return r;
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

/* With the mutex. */
static void mark_sent(struct health *health, const struct sent *says)
{
	for (size_t i = 0; i < says->n_deltas; i++)
		counters_mark_sent(health->counters, says->deltas[i].lb_id, says->deltas[i].listener_id,
			&says->deltas[i].values);
}

/* With the mutex. */
static void mark_lost(struct health *health, const struct sent *says)
{
	for (size_t i = 0; i < says->n_deltas; i++)
		counters_mark_lost(health->counters, says->deltas[i].lb_id, says->deltas[i].listener_id,
			&says->deltas[i].values);
}

/* With the mutex. */
static void keep_in_flight(struct health *health, struct sent *says)
{
	struct sent *slot = &health->sent[says->number % SENDER_IN_FLIGHT];

	sent_done(slot);
	*slot = *says;
	*says = (struct sent){0};
}

void monitor_take_losses(struct health *health)
{
	uint64_t number;

	while (heartbeat_next_loss(health->settings->heartbeat, &number)) {
		struct sent *lost = &health->sent[number % SENDER_IN_FLIGHT];

		if (lost->number != number)
			continue;
		mark_lost(health, lost);
		sent_done(lost);
	}
}

/* With the mutex, which is released meanwhile. What was sent is on disk as sent a moment later, whenever we are killed: the file
 * is written before and put in its place after. */
static int send_message(struct health *health, struct round *round, struct error *err)
{
	struct sent *says = &round->message_says;
	struct fileio_pending pending;
	bool sent;
	int r;

	mark_sent(health, says);
	r = counters_prepare(health->counters, &pending, err);
	pthread_mutex_unlock(&health->mutex);
	sent = may_send(health) &&
	       heartbeat_send(health->settings->heartbeat, says->number, &round->message, round->n_members);
	pthread_mutex_lock(&health->mutex);
	if (sent && r == 0)
		r = counters_commit(health->counters, &pending, err);
	health->heartbeats_sent += sent;
	health->heartbeats_failed += !sent;
	if (sent) {
		keep_in_flight(health, says);
		return r;
	}
	mark_lost(health, says);
	counters_abandon(health->counters, &pending);
	return r;
}

static int run_round(struct health *health, struct round *round)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	int r;

	r = round_begin(health, round);
	for (size_t i = 0; i < round->n_targets && r == 0 && !health->stopping; i++)
		if (!round->lbs[i]->forgotten)
			r = monitored_refresh(health, round->lbs[i], &round->targets[i], 0, NULL);
	monitor_take_losses(health);
	if (r == 0 && !health->stopping)
		r = make_message(health, round);
	if (r < 0 || health->stopping)
		return r;

	if (round->has_message)
		r = send_message(health, round, &err);
	if (r == 0)
		r = counters_save(health->counters, &err);
	if (r < 0 && !health->save_failed)
		log_warning("cannot save what was counted: %s", error_message(&err));
	health->save_failed = err.message != NULL;
	health->last_round_ms = process_now_ms();
	return 0;
}

int monitor_round(struct health *health)
{
	struct round round = {0};
	int r = run_round(health, &round);

	round_done(&round);
	return r;
}
