/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <signal.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"

/*
 * Workers that a reload replaced and that still serve connections. HAProxy ends one by itself after hard-stop-after; how many
 * there are is bounded here. (mworker-max-reloads bounds how many reloads one of them lives through, however few there are.)
 */

/* The oldest first: seconds alone do not tell those of a burst apart. */
static int compare_ages(const void *a, const void *b)
{
	const struct worker_figures *x = a, *y = b;

	if (x->reloads != y->reloads)
		return x->reloads < y->reloads ? 1 : -1;
	return x->uptime_s < y->uptime_s ? 1 : x->uptime_s > y->uptime_s ? -1 : 0;
}

static int list_workers(struct instance *instance, pid_t *ret_master, struct worker_figures **ret, size_t *ret_n,
	struct error *err)
{
	_cleanup_(runtime_processes_done) struct runtime_processes processes = {0};
	struct worker_figures *list;
	int r;

	r = runtime_processes(instance->master_socket, RUNTIME_TIMEOUT_MS, &processes, err);
	if (r < 0)
		return r;
	list = calloc(processes.n_workers + 1, sizeof(*list));
	if (!list)
		return error_set_errno(err, -ENOMEM, "workers");
	for (size_t i = 0; i < processes.n_workers; i++)
		list[i] = (struct worker_figures){
			.pid = processes.workers[i].pid,
			.old = processes.workers[i].old,
			.reloads = processes.workers[i].reloads,
			.uptime_s = processes.workers[i].uptime_s,
		};
	*ret_master = processes.master_pid;
	*ret = list;
	*ret_n = processes.n_workers;
	return 0;
}

int instance_workers(struct instance *instance, struct worker_figures **ret, size_t *ret_n, struct error *err)
{
	struct worker_figures *list;
	pid_t master;
	size_t n;
	int r;

	r = list_workers(instance, &master, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (process_memory(list[i].pid, &list[i].memory_bytes) < 0)
			list[i].memory_bytes = 0; /* it has just ended, or is not ours to see */
	*ret = list;
	*ret_n = n;
	return 0;
}

/* The number may be another process's by now: only a child of our master is asked. */
static void end_worker(struct instance *instance, pid_t master, const struct worker_figures *worker)
{
	_cleanup_close_ int pidfd = -1;
	pid_t parent = 0;
	int r;

	r = process_open(worker->pid, &pidfd);
	if (r == 0)
		r = process_parent(worker->pid, &parent);
	if (r == 0 && parent == master)
		r = process_signal(pidfd, SIGTERM);
	if (r == 0 && parent == master)
		log_lb(LOG_WARNING, instance->id,
			"there are more than %lld old workers: the oldest, process %d, is ended after %lld s",
			(long long)instance_max_old_workers(instance, instance->current.lb), (int)worker->pid,
			(long long)worker->uptime_s);
}

void instance_limit_old_workers(struct instance *instance)
{
	int64_t limit = instance_max_old_workers(instance, instance->current.lb);
	_cleanup_free_ struct worker_figures *list = NULL;
	size_t n, n_old = 0;
	pid_t master;

	if (!instance->has_old_workers || !instance_haproxy_runs(instance) ||
		list_workers(instance, &master, &list, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (list[i].old)
			list[n_old++] = list[i];
	instance->has_old_workers = n_old > 0;
	qsort(list, n_old, sizeof(*list), compare_ages);
	for (size_t i = 0; i < n_old && (int64_t)(n_old - i) > limit; i++)
		end_worker(instance, master, &list[i]);
}
