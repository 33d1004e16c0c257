/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/definition/tree.h"

/*
 * Bursts of changes. While one change of a load balancer is made, others wait; the first of them then leads: it takes all that
 * wait, has each change made on the result of the one before, and brings HAProxy to the last tree in one step. If that
 * fails they are made one by one, so that a bad change fails alone. Everyone gets the outcome of his own change.
 */

struct change *instance_lead(struct instance *instance, struct change *own)
{
	struct change **end, *group;

	HOLD(held, &instance->queue_lock);
	own->next = NULL;
	own->done = false;
	for (end = &instance->queue; *end; end = &(*end)->next)
		;
	*end = own;
	while (instance->led && !own->done)
		pthread_cond_wait(&instance->queue_moves, &instance->queue_lock);
	if (own->done)
		return NULL;
	instance->led = true;
	group = instance->queue;
	instance->queue = NULL;
	return group;
}

void instance_led(struct instance *instance, struct change *group)
{
	HOLD(held, &instance->queue_lock);
	for (struct change *change = group, *next; change; change = next) {
		next = change->next; /* it is gone when its owner wakes */
		change->done = true;
	}
	instance->led = false;
	pthread_cond_broadcast(&instance->queue_moves);
}

/* The tree that a change makes of "before" (NULL: there is none yet). */
static int make_tree(struct instance *instance, const struct change *change, struct load_balancer *before,
	struct load_balancer **ret, struct error *err)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	char now[STORE_TIME_SIZE];
	int r;

	r = change->make(change->userdata, before, &lb, err);
	if (r == 0 && lb != before) {
		store_now(now);
		if (tree_set_times(before, lb, now) < 0)
			r = error_set_errno(err, -ENOMEM, "definition");
	}
	if (r == 0 && instance->judge)
		r = instance->judge(instance->judge_userdata, instance, lb, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(lb);
	return 0;
}

static void finish(struct instance *instance, struct change *change)
{
	struct apply_result *result = change->result;

	result->duration_ms = process_now_ms() - change->since_ms;
	if (!change->options->dry_run)
		log_lb(LOG_NOTICE, instance->id, "revision %lld is in force: %s, %lld ms", (long long)result->revision,
			plan_action_name(result->plan.action), (long long)result->duration_ms);
}

static void make_alone(struct instance *instance, struct change *change)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;

	change->r = instance_check_revision(instance, change->options->if_match, change->err);
	if (change->r == 0)
		change->r = make_tree(instance, change, instance->current.lb, &lb, change->err);
	if (change->r == 0)
		change->r = instance_replace(
			instance, &(struct revised){.lb = lb}, 1, change->options->dry_run, change->result, change->err);
	if (change->r == 0)
		finish(instance, change);
}

int plan_copy_reasons(const struct plan *from, struct plan *to)
{
	_cleanup_strv_ char **copy = calloc(strv_length(from->reasons) + 1, sizeof(*copy));
	size_t n = 0;

	if (!copy)
		return -ENOMEM;
	STRV_FOREACH(reason, from->reasons) {
		copy[n] = strdup(*reason);
		if (!copy[n++])
			return -ENOMEM;
	}
	to->reasons = TAKE_PTR(copy);
	return 0;
}

/* The trees of changes that are made together, each the result of its own change. */
struct series {
	struct revised *trees;
	struct change **changes;
	bool *idle; /* that nothing of HAProxy's or keepalived's had to change for */
	size_t n;
};

static void series_done(struct series *series)
{
	for (size_t i = 0; i < series->n; i++)
		load_balancer_unref(series->trees[i].lb);
	free(series->trees);
	free(series->changes);
	free(series->idle);
}

static int series_alloc(struct series *series, struct change *first, struct change *end)
{
	size_t n = 0;

	for (struct change *change = first; change != end; change = change->next)
		n++;
	series->trees = calloc(n, sizeof(*series->trees));
	series->changes = calloc(n, sizeof(*series->changes));
	series->idle = calloc(n, sizeof(*series->idle));
	return series->trees && series->changes && series->idle ? 0 : -ENOMEM;
}

/* Whose trees ask for the same configuration as the one before. Where all do, HAProxy did not run what was stored: that is
 * news for each. */
static void find_idle(struct series *series, const struct load_balancer *before)
{
	size_t n_idle = 0;

	for (size_t i = 0; i < series->n; before = series->trees[i++].lb) {
		series->idle[i] = before && definition_renders_alike(before, series->trees[i].lb);
		n_idle += series->idle[i];
	}
	if (n_idle == series->n)
		memset(series->idle, 0, series->n * sizeof(*series->idle));
}

/* What was done for all of them was done for each that is not idle. */
static void share(struct instance *instance, const struct apply_result *from, const struct series *series)
{
	for (size_t i = 0; i < series->n; i++) {
		struct apply_result *to = series->changes[i]->result;

		to->plan.action = series->idle[i] ? PLAN_NONE : from->plan.action;
		/* Words that are missing are no failure. */
		if (!series->idle[i])
			plan_copy_reasons(&from->plan, &to->plan);
		to->created = from->created && i == 0; /* the others changed it */
		to->revision = series->trees[i].revision;
		to->lb = load_balancer_ref(series->trees[i].lb);
		finish(instance, series->changes[i]);
	}
}

/* Makes the changes from "first" to the one before "end" at once. False: nothing was done, they have to be made alone. */
static bool make_together(struct instance *instance, struct change *first, struct change *end)
{
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_(series_done) struct series series = {0};
	struct load_balancer *lb = instance->current.lb;

	if (instance_check_revision(instance, first->options->if_match, NULL) < 0 ||
		series_alloc(&series, first, end) < 0)
		return false;
	for (struct change *change = first; change != end; change = change->next) {
		struct load_balancer *next = NULL;

		change->r = make_tree(instance, change, lb, &next, change->err);
		if (change->r == 0 && change->next != end && change->next->options->replaces)
			change->r = instance_check_tree(instance, next, change->err);
		if (change->r < 0) {
			load_balancer_unref(next);
			continue;
		}
		series.trees[series.n].lb = lb = next;
		series.changes[series.n++] = change;
	}
	if (series.n == 0)
		return true;
	find_idle(&series, instance->current.lb);
	if (instance_replace(instance, series.trees, series.n, false, &result, NULL) < 0) {
		for (struct change *change = first; change != end; change = change->next)
			if (change->err)
				error_done(change->err);
		return false;
	}
	share(instance, &result, &series);
	log_lb(LOG_INFO, instance->id, "%zu changes were made at once", series.n);
	return true;
}

/* A change that names a revision must not follow another one unseen, and a dry run stands alone. */
static struct change *end_of_run(struct change *first)
{
	struct change *end = first->next;

	while (end && !first->options->dry_run && !end->options->dry_run && end->options->if_match < 0)
		end = end->next;
	return end;
}

static void make_group(struct instance *instance, struct change *group)
{
	struct change *end;

	for (struct change *first = group; first; first = end) {
		end = end_of_run(first);
		if (end != first->next && make_together(instance, first, end))
			continue;
		for (struct change *change = first; change != end; change = change->next)
			make_alone(instance, change);
	}
	if (instance->judge)
		instance->judge(instance->judge_userdata, instance, NULL, NULL);
}

static void lead(struct instance *instance, struct change *group)
{
	LOCK_SCOPE(&instance->lock);
	if (!instance->deleted) {
		instance_expect_check(instance);
		make_group(instance, group);
		instance_expect_no_check(instance);
		return;
	}
	for (struct change *change = group; change; change = change->next) {
		error_set(change->err, ERROR_NOT_FOUND, NULL, "Load Balancer %s not found.", instance->id);
		change->r = -ESHUTDOWN;
	}
}

int instance_change(struct instance *instance, instance_change_fn make, void *userdata,
	const struct apply_options *options, struct apply_result *ret, struct error *err)
{
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	struct change own = {.make = make,
		.userdata = userdata,
		.options = options,
		.result = &result,
		.err = err,
		.since_ms = process_now_ms()};
	struct change *group;

	if (instance->owner != OWNER_DEFINITION)
		return instance_refuse_controller(instance, err);
	group = instance_lead(instance, &own);
	if (group) {
		lead(instance, group);
		instance_led(instance, group);
	}
	if (!options->dry_run && own.r != -ESHUTDOWN)
		instance_count_change(instance, own.r, result.plan.action, result.duration_ms);
	if (own.r < 0)
		return own.r;
	*ret = result;
	result = APPLY_RESULT_INIT;
	return 0;
}

void instance_expect_change(struct instance *instance)
{
	if (pthread_mutex_trylock(&instance->lock) != 0)
		return;
	if (!instance->deleted && instance->owner == OWNER_DEFINITION)
		instance_expect_check(instance);
	pthread_mutex_unlock(&instance->lock);
}

void instance_expect_no_change(struct instance *instance)
{
	LOCK_SCOPE(&instance->lock);
	instance_expect_no_check(instance);
}
