/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <poll.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/leaving.h"
#include "agent/haproxy/state.h"
#include "agent/haproxy/trial.h"

/*
 * Telling HAProxy, and seeing that it did. A reload's outcome is read from the master's "show proc": a new worker that has
 * lived through no reload, or a failure count that went up (2.6 and later), or the old worker with one reload more. The new
 * worker must then answer on its own socket.
 */

enum {
	CONFIRM_TIMEOUT_MS = 60000,
	CONFIRM_POLL_MS = 10,
	CONFIRM_ASK_MS = 1000,
	MASTER_BUSY_MS = 15000, /* a master that executes itself anew does not answer meanwhile */
	LEAVE_MS = 1000,	/* a worker that is told to go stops listening at once */
};

/* What the master said before the change. */
struct before {
	pid_t worker;
	unsigned worker_reloads;
	unsigned failed_reloads;
};

enum outcome {
	OUTCOME_PENDING,
	OUTCOME_SERVING,
	OUTCOME_FAILED,
};

static enum outcome judge(const struct runtime_processes *now, const struct before *before, pid_t *ret_worker)
{
	const struct runtime_worker *worker = runtime_current_worker(now);

	if (worker && worker->pid != before->worker) {
		*ret_worker = worker->pid;
		return OUTCOME_SERVING;
	}
	/* Not counted where the master itself could not read it ("recovery mode" of 3.1 and later). */
	if (worker && now->all_were_old && worker->reloads > before->worker_reloads)
		return OUTCOME_FAILED;
	if (now->has_failed_reloads)
		return now->failed_reloads > before->failed_reloads ? OUTCOME_FAILED : OUTCOME_PENDING;
	return worker && worker->reloads > before->worker_reloads ? OUTCOME_FAILED : OUTCOME_PENDING;
}

/* Whether the worker behind the stats socket is the one that the master named. */
static bool worker_answers(struct instance *instance, pid_t worker)
{
	_cleanup_free_ char *reply = NULL;
	const char *line;

	if (runtime_command(instance->stats_socket, "show info", CONFIRM_ASK_MS, &reply, NULL, NULL) < 0)
		return false;
	line = strstr(reply, "\nPid: ");
	return line && atoi(line + strlen("\nPid: ")) == (int)worker;
}

static int failure(struct instance *instance, const char *what, struct error *err)
{
	const struct supervisor_operations *operations = instance->unit->supervisor->operations;
	_cleanup_free_ char *messages = NULL;

	if (operations->messages(instance->unit, &messages) < 0 || !messages[0])
		return error_set(err, ERROR_APPLY, NULL, "%s; HAProxy gave no reason (see %s)", what,
			instance->log_file);
	return error_set(err, ERROR_APPLY, NULL, "%s:\n%s", what, messages);
}

/* Ends when a worker other than before->worker serves. "may_restart": the master may still be on its way up. */
static int confirm(struct instance *instance, const struct before *before, const char *failed_words, struct error *err)
{
	const struct supervisor_operations *operations = instance->unit->supervisor->operations;
	int64_t deadline = process_now_ms() + CONFIRM_TIMEOUT_MS;

	while (process_now_ms() < deadline) {
		struct runtime_processes processes = {0};
		enum outcome outcome = OUTCOME_PENDING;
		pid_t worker = 0;

		if (runtime_processes(instance->master_socket, CONFIRM_ASK_MS, &processes, NULL) == 0) {
			outcome = judge(&processes, before, &worker);
			runtime_processes_done(&processes);
		}
		if (outcome == OUTCOME_SERVING && worker_answers(instance, worker)) {
			instance->worker = worker;
			return 0;
		}
		if (outcome == OUTCOME_FAILED || operations->pid(instance->unit) == 0)
			return failure(instance, failed_words, err);
		poll(NULL, 0, CONFIRM_POLL_MS);
	}
	return failure(instance, "HAProxy did not confirm within 60 s", err);
}

int instance_await_worker(struct instance *instance, struct error *err)
{
	struct before before = {0};

	if (instance->worker > 0 && worker_answers(instance, instance->worker))
		return 0;
	return confirm(instance, &before, "HAProxy does not serve", err);
}

void instance_tell_started(struct instance *instance, const char *config, size_t length)
{
	const struct instance_settings *settings = instance->settings;

	if (settings->after_start)
		settings->after_start(settings->userdata, instance->id, config, length);
}

int instance_start_haproxy(struct instance *instance, const char *wanted, size_t wanted_length, struct error *err)
{
	const struct supervisor_operations *operations = instance->unit->supervisor->operations;
	struct before before = {0};
	int r;

	/* States of an earlier life must not override the configuration. */
	r = instance_write_no_states(instance->dir_fd);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s/" RENDER_STATE_FILE, instance->directory);
	r = operations->start(instance->unit, err);
	if (r == -EALREADY) {
		/* It had ended and the supervisor was faster: what runs read the files that are there now. */
		error_done(err);
		r = 0;
	}
	if (r < 0)
		return r;
	r = confirm(instance, &before, "HAProxy did not start", err);
	if (r < 0)
		operations->stop(instance->unit, 0, NULL); /* it must not be started again and again */
	else
		instance_tell_started(instance, wanted, wanted_length);
	return r;
}

/* Carries health over. Not essential: without it new workers check every server first. */
static void save_server_states(struct instance *instance, const char *wanted, size_t wanted_length)
{
	_cleanup_cfg_ struct cfg old = CFG_INIT, new = CFG_INIT;
	_cleanup_free_ char *reply = NULL, *state = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	r = runtime_command(instance->stats_socket, "show servers state", RUNTIME_TIMEOUT_MS, &reply, NULL, &problem);
	if (r == 0)
		r = cfg_parse(instance->running, instance->running_length, &old, &problem);
	if (r == 0)
		r = cfg_parse(wanted, wanted_length, &new, &problem);
	if (r == 0)
		r = state_filter(reply, &old, &new, &state);
	if (r == 0)
		r = fileio_write_volatile(instance->dir_fd, RENDER_STATE_FILE, state, strlen(state), 0600);
	if (r < 0) {
		log_lb(LOG_WARNING, instance->id, "health of members is not carried over the reload: %s",
			problem.message ? problem.message : strerror(-r));
		instance_write_no_states(instance->dir_fd);
	}
}

/* An agent that was killed during a reload leaves a master that is not ready to answer yet: try for a while. */
static int ask_master(struct instance *instance, struct runtime_processes *ret, struct error *err)
{
	const struct supervisor_operations *operations = instance->unit->supervisor->operations;
	int64_t deadline = process_now_ms() + MASTER_BUSY_MS;
	int r;

	for (;;) {
		error_done(err);
		r = runtime_processes(instance->master_socket, RUNTIME_TIMEOUT_MS, ret, err);
		if (r == 0 && runtime_current_worker(ret))
			return 0;
		if (r == 0) {
			runtime_processes_done(ret);
			r = error_set(err, ERROR_APPLY, NULL, "it has no worker");
		}
		if (process_now_ms() > deadline || operations->pid(instance->unit) == 0)
			return error_wrap(err, r, "HAProxy's master does not answer");
		poll(NULL, 0, CONFIRM_POLL_MS);
	}
}

struct trial {
	const struct cfg *running, *wanted;
	struct error *err;
	bool ran;
};

static int run_trial(void *userdata)
{
	struct trial *trial = userdata;

	trial->ran = true;
	return trial_bind_added(trial->running, trial->wanted, trial->err);
}

/* Where HAProxy runs. Without its namespace there is nothing to try; the reload will tell. */
int instance_try_addresses(struct instance *instance, const char *wanted, size_t wanted_length, struct error *err)
{
	const char *network_namespace = instance->settings->network_namespace;
	_cleanup_cfg_ struct cfg old = CFG_INIT, new = CFG_INIT;
	struct trial trial = {&old, &new, err, false};
	_cleanup_close_ int namespace_fd = -1;
	int r;

	if (!instance->running || cfg_parse(instance->running, instance->running_length, &old, NULL) < 0 ||
		cfg_parse(wanted, wanted_length, &new, NULL) < 0)
		return 0;
	if (!network_namespace)
		return run_trial(&trial);
	if (namespace_open(network_namespace, &namespace_fd, NULL) < 0)
		return 0;
	r = namespace_run(namespace_fd, run_trial, &trial);
	return trial.ran ? r : 0;
}

/* Counters up to the last connection of the worker that was replaced. Without it those of some milliseconds are not counted. */
static struct leaving_worker *keep_worker(struct instance *instance)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	struct leaving_worker *worker = NULL;

	if (instance->settings->after_reload && leaving_worker_keep(instance->stats_socket, &worker, &problem) < 0)
		log_lb(LOG_WARNING, instance->id, "connections during this reload may not be counted: %s",
			error_message(&problem));
	return worker;
}

static void count_last_connections(struct instance *instance, struct leaving_worker *worker)
{
	const struct instance_settings *settings = instance->settings;
	int r = leaving_worker_wait(worker, LEAVE_MS);

	if (r < 0)
		log_lb(LOG_WARNING, instance->id, "connections during this reload may not be counted: the old worker: %s",
			strerror(-r));
	settings->after_reload(settings->userdata, instance->id, instance->stats_socket, instance->master_socket);
}

int instance_reload_haproxy(struct instance *instance, const char *wanted, size_t wanted_length, struct error *err)
{
	const struct instance_settings *settings = instance->settings;
	const struct supervisor_operations *operations = instance->unit->supervisor->operations;
	_cleanup_(leaving_worker_releasep) struct leaving_worker *leaving = NULL;
	_cleanup_saved_tables_ struct saved_tables tables = SAVED_TABLES_INIT;
	struct runtime_processes processes = {0};
	struct before before = {0};
	const struct runtime_worker *worker;
	int r;

	r = instance_try_addresses(instance, wanted, wanted_length, err);
	if (r < 0)
		return r;
	if (instance->running)
		save_server_states(instance, wanted, wanted_length);
	else
		instance_write_no_states(instance->dir_fd);
	if (settings->before_reload)
		settings->before_reload(
			settings->userdata, instance->id, instance->stats_socket, instance->master_socket);

	r = ask_master(instance, &processes, err);
	if (r < 0)
		return r;
	worker = runtime_current_worker(&processes);
	before.worker = worker->pid;
	before.worker_reloads = worker->reloads;
	before.failed_reloads = processes.failed_reloads;
	runtime_processes_done(&processes);

	leaving = keep_worker(instance);
	instance_save_tables(instance, &tables);
	r = operations->reload(instance->unit, err);
	if (r == 0)
		r = confirm(instance, &before,
			"HAProxy did not take the new configuration and goes on with the old one", err);
	if (r < 0)
		return r;
	instance_restore_tables(instance, &tables);
	instance_tell_started(instance, wanted, wanted_length);
	if (leaving)
		count_last_connections(instance, leaving);
	return 0;
}
