/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <limits.h>
#include <poll.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/secret.h"
#include "agent/base/text.h"

/*
 * Carrying out a plan over the Runtime API: its steps in their order, on one connection, each answer compared with what the
 * plan expects; then HAProxy is asked what it has now. The first surprise ends it with words about what it was.
 */

enum {
	DELETE_POLL_MS = 10,
	SETTLE_MS = 500,    /* that HAProxy may take to make what it has accepted */
	SETTLE_POLL_MS = 10,
	POOLS_BY_NAME = 16, /* more than these: one answer about all is less to ask for */
};

void haproxy_answers_done(struct haproxy_answers *answers)
{
	free(answers->servers_state);
}

/* A number of "show info". */
static bool find_number(const char *info, const char *name, int64_t *ret)
{
	const char *line = strstr(info, name);
	_cleanup_free_ char *number = NULL;

	if (!line)
		return false;
	line += strlen(name);
	number = strndup(line, strcspn(line, "\n"));
	return number && text_to_int64(number, ret) == 0;
}

static void meet_worker(struct instance *instance, pid_t worker)
{
	if (instance->worker == worker)
		return;
	if (instance->worker != 0) {
		instance_clear_leaving(instance);
		/* What a controller uploaded since the last reload is on disk already. */
		if (instance->owner == OWNER_CONTROLLER)
			instance_set_running(instance, NULL, 0);
	}
	instance->worker = worker;
}

void instance_ask_haproxy(struct instance *instance, struct haproxy_answers *ret)
{
	_cleanup_(runtime_session_closep) struct runtime_session *session = NULL;
	_cleanup_free_ char *info = NULL;
	int64_t number;

	if (runtime_session_open(instance->stats_socket, RUNTIME_TIMEOUT_MS, &session, NULL) < 0 ||
		runtime_session_command(session, "show info", RUNTIME_TIMEOUT_MS, &info, NULL) < 0)
		return;
	if (find_number(info, "\nPid: ", &number))
		meet_worker(instance, (pid_t)number);
	if (find_number(info, "\nHard_maxconn: ", &number) && number > 0 && number <= UINT_MAX)
		ret->hard_maxconn = (unsigned)number;
	runtime_session_command(session, "show servers state", RUNTIME_TIMEOUT_MS, &ret->servers_state, NULL);
}

static int surprise(const struct plan_step *step, const char *reply, struct error *err)
{
	const char *shown = step->shown ? step->shown : step->command;

	/* Only the first lines, and not what a payload holds. */
	return error_set(err, ERROR_APPLY, NULL, "\"%.*s\" was answered with \"%.*s\"", (int)strcspn(shown, "\n"), shown,
		(int)strcspn(reply, "\n"), reply);
}

static bool is_number(const char *string)
{
	return string[0] && strspn(string, "0123456789") == strlen(string);
}

static int take_version(const struct plan_step *step, const char *reply, char **version, struct error *err)
{
	const char *number = text_after_prefix(reply, "New version created: ");

	if (!number || !is_number(number))
		return surprise(step, reply, err);
	free(*version);
	*version = strdup(number);
	return *version ? 0 : error_set_errno(err, -ENOMEM, "plan");
}

static int judge(const struct plan_step *step, const char *reply, char **version, struct error *err)
{
	bool good = false;

	switch (step->expect) {
	case PLAN_EXPECT_NOTHING:
		good = reply[0] == '\0';
		break;
	case PLAN_EXPECT_PREFIX:
		good = text_after_prefix(reply, step->expected) != NULL;
		break;
	case PLAN_EXPECT_CONTAINS:
		good = strstr(reply, step->expected) != NULL;
		break;
	case PLAN_EXPECT_VERSION:
		return take_version(step, reply, version, err);
	case PLAN_EXPECT_DELETED: /* delete_server() */
		break;
	}
	return good ? 0 : surprise(step, reply, err);
}

/* The command with the version in place of every mark. */
static int fill_in(const char *command, const char *version, char **ret)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	const char *mark;

	while ((mark = strstr(command, PLAN_VERSION_MARK))) {
		if (!version)
			return -EINVAL;
		text_append_bytes(&text, command, (size_t)(mark - command));
		text_append(&text, version);
		command = mark + strlen(PLAN_VERSION_MARK);
	}
	text_append(&text, command);
	return text_finish(&text, ret, NULL);
}

/* Nothing of it is forced: see leaving.c. */
static int delete_server(const struct instance *instance, struct runtime_session *session, const struct plan_step *step,
	struct error *err)
{
	const struct plan_leaving server = {.backend = step->name.backend, .server = step->name.server};
	int64_t deadline = process_now_ms() + PLAN_DELETE_WAIT_MS;
	bool gone = false;

	for (;;) {
		int r = instance_delete_idle(instance, session, &server, 1, &gone, err);

		if (r < 0 || gone)
			return r;
		if (process_now_ms() >= deadline)
			return error_set(err, ERROR_APPLY, NULL, "server %s/%s still has connections", server.backend,
				server.server);
		poll(NULL, 0, DELETE_POLL_MS);
	}
}

static int carry_out(const struct instance *instance, struct runtime_session *session, const struct plan_step *step,
	char **version, struct error *err)
{
	_cleanup_secret_ char *command = NULL;
	_cleanup_free_ char *reply = NULL;
	int r;

	if (step->expect == PLAN_EXPECT_DELETED)
		return delete_server(instance, session, step, err);
	r = fill_in(step->command, *version, &command);
	if (r < 0)
		return error_set_errno(err, r, "plan");
	r = runtime_session_command(session, command, RUNTIME_TIMEOUT_MS, &reply, err);
	return r < 0 ? r : judge(step, reply, version, err);
}

/* What HAProxy says of the servers of the pools, NULL for all. */
static int ask_for_states(struct runtime_session *session, char *const *pools, char **ret, struct error *err)
{
	_cleanup_text_ struct text states = TEXT_INIT;
	int r = 0;

	if (!pools)
		return runtime_session_command(session, "show servers state", RUNTIME_TIMEOUT_MS, ret, err);
	for (char *const *pool = pools; r == 0 && *pool; pool++) {
		_cleanup_free_ char *command = NULL, *state = NULL;

		if (asprintf(&command, "show servers state %s", *pool) < 0)
			return error_set_errno(err, -ENOMEM, "plan");
		r = runtime_session_command(session, command, RUNTIME_TIMEOUT_MS, &state, err);
		if (r == 0)
			text_append(&states, state);
		text_append_char(&states, '\n');
	}
	if (r == 0 && text_finish(&states, ret, NULL) < 0)
		return error_set_errno(err, -ENOMEM, "plan");
	return r;
}

/* Those of a few pools of hundreds are asked for by name. */
static int compare_servers_once(struct instance *instance, struct runtime_session *session, const struct plan *plan,
	const struct wanted *wanted, struct error *err)
{
	char *const *pools = strv_length(plan->pools) > POOLS_BY_NAME ? NULL : plan->pools;
	_cleanup_free_ char *state = NULL, *difference = NULL;
	int r;

	r = ask_for_states(session, pools, &state, err);
	if (r < 0)
		return r;
	r = plan_compare_state(
		wanted->text, wanted->length, state, pools, instance->leaving, instance->n_leaving, &difference, err);
	return difference ? error_set(err, ERROR_APPLY, NULL, "read back: %s", difference) : r;
}

/* From 2.9 on "set server … addr" answers before the address has changed (HAProxy's server_atomic_sync()). */
static int compare_servers(struct instance *instance, struct runtime_session *session, const struct plan *plan,
	const struct wanted *wanted, struct error *err)
{
	bool settles = haproxy_version_at_least(&instance->settings->version, 2, 9);
	int64_t deadline = process_now_ms() + SETTLE_MS;
	int r;

	if (!plan->pools)
		return 0;
	for (;;) {
		r = compare_servers_once(instance, session, plan, wanted, err);
		if (r != error_code_to_errno(ERROR_APPLY) || !settles || process_now_ms() >= deadline)
			return r;
		error_done(err);
		poll(NULL, 0, SETTLE_POLL_MS);
	}
}

int instance_apply_at_runtime(struct instance *instance, const struct plan *plan, const struct wanted *wanted,
	struct error *err)
{
	_cleanup_(runtime_session_closep) struct runtime_session *session = NULL;
	_cleanup_free_ char *version = NULL;
	int r;

	/* Before they show in maintenance. */
	if (instance_set_leaving(instance, plan->leaving, plan->n_leaving) < 0)
		return error_set_errno(err, -ENOMEM, "plan");
	r = runtime_session_open(instance->stats_socket, RUNTIME_TIMEOUT_MS, &session, err);
	for (size_t i = 0; r == 0 && i < plan->n_steps; i++)
		r = carry_out(instance, session, &plan->steps[i], &version, err);
	if (r == 0)
		r = compare_servers(instance, session, plan, wanted, err);
	if (r == 0)
		r = instance_compare_files(session, wanted, err);
	if (r == 0)
		log_lb(LOG_DEBUG, instance->id, "%zu steps were made and read back", plan->n_steps);
	return r;
}
