/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"
#include "agent/health/lvs.h"
#include "agent/health/monitor_internal.h"
#include "agent/health/sample.h"

void monitored_unref(struct monitored *lb)
{
	if (!lb || --lb->references > 0)
		return;
	snapshot_free(lb->known);
	free(lb);
}

int monitored_get(struct health *health, const char *lb_id, struct monitored **ret)
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

void monitored_remove(struct health *health, size_t i)
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

int monitored_refresh(struct health *health, struct monitored *lb, const struct health_target *target,
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
