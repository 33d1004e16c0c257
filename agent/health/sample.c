/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/sample.h"

#include <poll.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"

enum {
	INFO_LIMIT = 64 * 1024, /* "show info" is some 2 KiB */
	AGAIN_MS = 20,
};

void sample_done(struct haproxy_sample *sample)
{
	for (size_t i = 0; i < sample->n_workers; i++)
		stats_done(&sample->workers[i].stats);
	free(sample->workers);
	*sample = HAPROXY_SAMPLE_INIT;
}

static int time_left(int64_t deadline)
{
	int64_t left = deadline - process_now_ms();

	return left > 0 ? (int)left : 0;
}

static int add_worker(struct haproxy_sample *sample, pid_t pid, struct worker_sample **ret)
{
	struct worker_sample *grown;
	uint64_t start_time = 0;

	grown = reallocarray(sample->workers, sample->n_workers + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	sample->workers = grown;
	if (process_start_time(pid, &start_time) < 0)
		start_time = 0; /* it has just ended, or is not ours to see */
	sample->workers[sample->n_workers] =
		(struct worker_sample){.pid = pid, .start_time = start_time};
	*ret = &sample->workers[sample->n_workers++];
	return 0;
}

/* "Pid: 1234" of "show info", management guide 9.3. */
static int parse_pid(const char *info, pid_t *ret)
{
	static const char name[] = "\nPid: ";
	const char *line = strstr(info, name);
	long pid;

	if (!line)
		return -EBADMSG;
	pid = strtol(line + strlen(name), NULL, 10);
	if (pid < 1 || pid > INT32_MAX)
		return -EBADMSG;
	*ret = (pid_t)pid;
	return 0;
}

/* The answers to "show info" and "show stat", one behind the other. */
struct current_reply {
	struct text info;
	struct stats_reader *stats; /* NULL until they begin */
};

static void current_reply_done(struct current_reply *reply)
{
	text_done(&reply->info);
	stats_reader_free(reply->stats);
}

static int no_statistics(struct error *err)
{
	return error_set(err, ERROR_INTERNAL, NULL, "HAProxy's statistics cannot be read");
}

static int take_piece(void *userdata, const char *bytes, size_t length, struct error *err)
{
	static const char header[] = "\n# pxname,";
	struct current_reply *reply = userdata;
	size_t begin;
	char *csv;
	int r;

	if (reply->stats)
		return stats_reader_feed(reply->stats, bytes, length, err);
	if (reply->info.length > INFO_LIMIT)
		return no_statistics(err);
	text_append_bytes(&reply->info, bytes, length);
	if (reply->info.failed)
		return -ENOMEM;
	csv = strstr(reply->info.data, header);
	if (!csv)
		return 0;
	r = stats_reader_new(&reply->stats);
	if (r < 0)
		return r;
	begin = (size_t)(csv - reply->info.data) + 1;
	r = stats_reader_feed(reply->stats, reply->info.data + begin, reply->info.length - begin, err);
	text_truncate(&reply->info, begin - 1);
	return r;
}

/* Both questions on one connection, so that one and the same worker answers them. */
static int ask_current(
	const char *socket_path, int timeout_ms, struct haproxy_sample *sample, struct error *err)
{
	_cleanup_(current_reply_done) struct current_reply reply = {.info = TEXT_INIT};
	struct worker_sample *worker;
	pid_t pid;
	int r;

	r = runtime_command_pieces(socket_path, "show info;show stat", timeout_ms, take_piece, &reply, err);
	if (r < 0)
		return r;
	if (!reply.stats)
		return no_statistics(err);
	if (parse_pid(text_peek(&reply.info), &pid) < 0)
		return error_set(err, ERROR_INTERNAL, NULL, "HAProxy does not say its pid");
	r = add_worker(sample, pid, &worker);
	if (r < 0)
		return error_set_errno(err, r, "HAProxy's statistics");
	return stats_reader_finish(reply.stats, &worker->stats, err);
}

/* Only frontends (type 1), whose counters are what an old worker still adds, and servers (4) where
 * they are wanted. Management guide, 9.3 and 9.4. */
enum { OLD_FRONTENDS = 1, OLD_SERVERS = 4 };

static int ask_old(const char *master_socket, int types, struct worker_sample *worker, int timeout_ms)
{
	_cleanup_free_ char *reply = NULL;
	char command[64];
	size_t length;
	int r;

	snprintf(command, sizeof(command), "@!%d show stat -1 %d -1", (int)worker->pid, types);
	r = runtime_master_command(master_socket, command, timeout_ms, &reply, &length, NULL);
	if (r < 0)
		return r;
	return stats_parse(reply, length, &worker->stats, NULL);
}

/* HAProxy has answered already: what else it does not say is no reason to doubt that it serves. */
static int ask_others(const struct health_target *target, const struct runtime_processes *processes,
	int types, int64_t deadline, struct haproxy_sample *sample)
{
	bool answers = true, whole = true;

	for (size_t i = 0; i < processes->n_workers; i++) {
		struct worker_sample *worker;
		int r;

		if (processes->workers[i].pid == sample->workers[0].pid)
			continue;
		if (add_worker(sample, processes->workers[i].pid, &worker) < 0)
			return -ENOMEM;
		if (!answers || !processes->workers[i].old) {
			whole = false;
			continue;
		}
		r = ask_old(target->master_socket, types, worker, time_left(deadline));
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			log_lb(LOG_DEBUG, target->lb_id,
				"old HAProxy worker %d does not answer: %s", (int)worker->pid,
				strerror(-r));
		answers = r != -ETIMEDOUT;
		whole = whole && r == 0;
	}
	sample->complete = true;
	sample->whole = whole;
	return 0;
}

/* A reload came in between, and a worker answered that listens no more. Without another answer,
 * that one has to do. */
static void ask_again(const char *socket_path, int timeout_ms, struct haproxy_sample *sample)
{
	_cleanup_sample_ struct haproxy_sample second = HAPROXY_SAMPLE_INIT;
	struct haproxy_sample first = *sample;

	if (ask_current(socket_path, timeout_ms, &second, NULL) < 0)
		return;
	*sample = second;
	second = first;
}

static int take(const struct health_target *target, int types, int timeout_ms,
	struct haproxy_sample *ret, struct error *err)
{
	_cleanup_(runtime_processes_done) struct runtime_processes processes = {0};
	_cleanup_sample_ struct haproxy_sample sample = HAPROXY_SAMPLE_INIT;
	int64_t deadline = process_now_ms() + timeout_ms;
	const struct runtime_worker *current;
	int r;

	r = ask_current(target->stats_socket, timeout_ms, &sample, err);
	if (r < 0)
		return r;
	sample.complete = sample.whole = !target->master_socket;
	if (target->master_socket && runtime_processes(target->master_socket, time_left(deadline),
					     &processes, NULL) == 0) {
		current = runtime_current_worker(&processes);
		if (current && current->pid != sample.workers[0].pid)
			ask_again(target->stats_socket, time_left(deadline), &sample);
		r = ask_others(target, &processes, types, deadline, &sample);
		if (r < 0)
			return error_set_errno(err, r, "HAProxy's workers");
	}
	*ret = sample;
	sample = HAPROXY_SAMPLE_INIT;
	return 0;
}

int sample_take(const struct health_target *target, int timeout_ms, struct haproxy_sample *ret,
	struct error *err)
{
	return take(target, OLD_FRONTENDS, timeout_ms, ret, err);
}

int sample_take_servers(const struct health_target *target, int timeout_ms, struct haproxy_sample *ret,
	struct error *err)
{
	_cleanup_sample_ struct haproxy_sample sample = HAPROXY_SAMPLE_INIT;
	int64_t deadline = process_now_ms() + timeout_ms;
	int r;

	r = take(target, OLD_FRONTENDS | OLD_SERVERS, timeout_ms, &sample, err);
	while (r == 0 && !sample.whole && time_left(deadline) > AGAIN_MS) {
		poll(NULL, 0, AGAIN_MS);
		sample_done(&sample);
		r = take(target, OLD_FRONTENDS | OLD_SERVERS, time_left(deadline), &sample, err);
	}
	if (r < 0)
		return r;
	*ret = sample;
	sample = HAPROXY_SAMPLE_INIT;
	return 0;
}

static void add_old_connections(
	const struct haproxy_sample *sample, struct health_snapshot *snapshot)
{
	for (size_t i = 1; i < sample->n_workers; i++) {
		const struct stats_table *stats = &sample->workers[i].stats;

		for (size_t j = 0; j < stats->n_rows; j++) {
			const struct stats_row *row = &stats->rows[j];

			if (row->kind != STATS_FRONTEND || row->current_sessions <= 0)
				continue;
			for (size_t k = 0; k < snapshot->n_listeners; k++)
				if (streq(snapshot->listeners[k].id, row->proxy))
					snapshot->listeners[k].current_connections +=
						row->current_sessions;
		}
	}
}

int sample_snapshot(const struct haproxy_sample *sample, const char *lb_id,
	struct health_snapshot **ret, struct error *err)
{
	struct health_snapshot *snapshot;
	int r;

	r = snapshot_from_stats(lb_id, &sample->workers[0].stats, &snapshot, err);
	if (r < 0)
		return r;
	snapshot->worker_pid = sample->workers[0].pid;
	add_old_connections(sample, snapshot);
	*ret = snapshot;
	return 0;
}

static int keep_workers(
	struct counters *counters, const struct haproxy_sample *sample, const char *lb_id)
{
	_cleanup_free_ uint64_t *start_times = NULL;
	_cleanup_free_ pid_t *pids = NULL;

	if (!sample->complete)
		return 0;
	pids = calloc(sample->n_workers, sizeof(*pids));
	start_times = calloc(sample->n_workers, sizeof(*start_times));
	if (!pids || !start_times)
		return -ENOMEM;
	for (size_t i = 0; i < sample->n_workers; i++) {
		pids[i] = sample->workers[i].pid;
		start_times[i] = sample->workers[i].start_time;
	}
	counters_keep_workers(counters, lb_id, pids, start_times, sample->n_workers);
	return 0;
}

int sample_count(const struct haproxy_sample *sample, struct counters *counters,
	struct health_snapshot *snapshot)
{
	const char *lb_id = snapshot->lb_id;
	int r;

	for (size_t i = 0; i < sample->n_workers; i++) {
		const struct worker_sample *worker = &sample->workers[i];

		for (size_t j = 0; j < worker->stats.n_rows; j++) {
			const struct stats_row *row = &worker->stats.rows[j];
			const struct listener_totals values = {
				.bytes_in = row->bytes_in > 0 ? (uint64_t)row->bytes_in : 0,
				.bytes_out = row->bytes_out > 0 ? (uint64_t)row->bytes_out : 0,
				.total_connections =
					row->total_sessions > 0 ? (uint64_t)row->total_sessions : 0,
				.request_errors =
					row->request_errors > 0 ? (uint64_t)row->request_errors : 0,
			};

			if (row->kind != STATS_FRONTEND || snapshot_leaves_out(row->proxy))
				continue;
			r = counters_sample(counters, lb_id, row->proxy, worker->pid,
				worker->start_time, &values);
			if (r < 0)
				return r;
		}
	}
	for (size_t i = 0; i < snapshot->n_listeners; i++)
		snapshot->listeners[i].totals =
			counters_totals(counters, lb_id, snapshot->listeners[i].id);
	return keep_workers(counters, sample, lb_id);
}
