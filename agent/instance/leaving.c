/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <string.h>

#include <jansson.h>

#include "agent/base/log.h"
#include "agent/base/text.h"

/*
 * Servers that no configuration has any more. A plan puts them into maintenance; they are deleted when the last connection
 * and the last stream have left them, or by the next reload. They are never forced: "del server" of HAProxy 2.6 and 2.7
 * looks at connections only and frees a server that a stream still points at.
 *
 * Source: HAProxy management guide, 9.3, "del server", "show servers conn", "show sess".
 */

/* Takes the array. */
static void set_leaving(struct instance *instance, struct plan_leaving *leaving, size_t n)
{
	LOCK_SCOPE(&instance->view_lock);
	plan_leaving_free(instance->leaving, instance->n_leaving);
	instance->leaving = leaving;
	instance->n_leaving = n;
}

int instance_leaving(struct instance *instance, struct plan_leaving **ret, size_t *ret_n)
{
	int r;

	LOCK_SCOPE(&instance->view_lock);
	r = plan_leaving_copy(instance->leaving, instance->n_leaving, ret);
	if (r == 0)
		*ret_n = instance->n_leaving;
	return r;
}

void instance_clear_leaving(struct instance *instance)
{
	set_leaving(instance, NULL, 0);
}

int instance_set_leaving(struct instance *instance, const struct plan_leaving *leaving, size_t n)
{
	struct plan_leaving *copy;
	int r = plan_leaving_copy(leaving, n, &copy);

	if (r == 0)
		set_leaving(instance, copy, n);
	return r;
}

int instance_find_leaving(struct instance *instance, const char *text, size_t length, struct error *err)
{
	_cleanup_(haproxy_answers_done) struct haproxy_answers answers = {0};
	_cleanup_free_ char *difference = NULL;
	struct plan_leaving *leaving;
	size_t n;
	int r;

	instance_ask_haproxy(instance, &answers);
	if (!answers.servers_state)
		return error_set(err, ERROR_APPLY, NULL, "it does not answer");
	r = plan_find_leaving(text, length, answers.servers_state, &instance->settings->version, &leaving, &n, err);
	if (r < 0)
		return r;
	r = plan_compare_state(text, length, answers.servers_state, NULL, leaving, n, &difference, err);
	if (r < 0) {
		plan_leaving_free(leaving, n);
		return difference ? error_set(err, ERROR_APPLY, NULL, "%s", difference) : r;
	}
	if (n > 0)
		log_lb(LOG_INFO, instance->id, "%zu servers wait for their last connections to end", n);
	set_leaving(instance, leaving, n);
	return 0;
}

/* Position of a column in the words of a header line, -1 if there is none. */
static int find_column(char *const *words, const char *name)
{
	for (int i = 0; words[i]; i++)
		if (streq(words[i], name))
			return i;
	return -1;
}

struct candidate {
	const struct plan_leaving *server;
	char *name; /* "backend/server" */
	bool idle;
};

struct candidates {
	struct candidate *list;
	size_t n;
	json_t *positions; /* by name */
};

static void candidates_done(struct candidates *candidates)
{
	for (size_t i = 0; candidates->list && i < candidates->n; i++)
		free(candidates->list[i].name);
	free(candidates->list);
	json_decref(candidates->positions);
}

static int make_candidates(const struct plan_leaving *servers, size_t n, struct candidates *candidates)
{
	candidates->list = calloc(n + 1, sizeof(*candidates->list));
	candidates->positions = json_object();
	if (!candidates->list || !candidates->positions)
		return -ENOMEM;
	candidates->n = n;
	for (size_t i = 0; i < n; i++) {
		struct candidate *candidate = &candidates->list[i];

		candidate->server = &servers[i];
		if (asprintf(&candidate->name, "%s/%s", servers[i].backend, servers[i].server) < 0) {
			candidate->name = NULL;
			return -ENOMEM;
		}
		if (json_object_set_new(candidates->positions, candidate->name, json_integer((json_int_t)i)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static struct candidate *find_candidate(const struct candidates *candidates, const char *name)
{
	const json_t *position = json_object_get(candidates->positions, name);

	return position ? &candidates->list[json_integer_value(position)] : NULL;
}

static bool is_zero(char *const *words, size_t n_words, int column)
{
	return column >= 0 && (size_t)column < n_words && streq(words[column], "0");
}

/*
 * "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur …", one
 * line a server. HAProxy 2.9 and later close idle connections when a server is deleted, earlier ones refuse.
 */
static int mark_unconnected(const struct instance *instance, const char *reply, struct candidates *candidates)
{
	bool idle_block = !haproxy_version_at_least(&instance->settings->version, 2, 9);
	_cleanup_strv_ char **lines = NULL;
	int used = -1, idle = -1;

	if (text_split(reply, '\n', &lines) < 0)
		return -ENOMEM;
	STRV_FOREACH(line, lines) {
		_cleanup_strv_ char **words = NULL;
		struct candidate *candidate;
		size_t n_words;

		if (text_split(text_after_prefix(*line, "# ") ? *line + 2 : *line, ' ', &words) < 0)
			return -ENOMEM;
		n_words = strv_length(words);
		if ((*line)[0] == '#') {
			used = find_column(words, "used_cur");
			idle = find_column(words, "idle_cur");
			continue;
		}
		candidate = n_words > 0 ? find_candidate(candidates, words[0]) : NULL;
		if (candidate && !candidate->server->keep)
			candidate->idle =
				is_zero(words, n_words, used) && (!idle_block || is_zero(words, n_words, idle));
	}
	return 0;
}

/* The value of " key=" in a line of "show sess". */
static char *copy_value(const char *line, size_t length, const char *key)
{
	const char *start = memmem(line, length, key, strlen(key));

	if (!start)
		return NULL;
	start += strlen(key);
	return strndup(start, strcspn(start, " \n"));
}

/* A stream that waits to connect again, or for its client to take the rest, counts nowhere else. */
static int unmark_with_streams(const char *reply, struct candidates *candidates)
{
	for (const char *line = reply; *line;) {
		size_t length = strcspn(line, "\n");
		_cleanup_free_ char *backend = copy_value(line, length, " be="),
				    *server = copy_value(line, length, " srv="), *name = NULL;
		struct candidate *candidate;

		if (backend && server) {
			if (asprintf(&name, "%s/%s", backend, server) < 0) {
				name = NULL;
				return -ENOMEM;
			}
			candidate = find_candidate(candidates, name);
			if (candidate)
				candidate->idle = false;
		}
		line += length + (line[length] ? 1 : 0);
	}
	return 0;
}

static bool any_idle(const struct candidates *candidates)
{
	for (size_t i = 0; i < candidates->n; i++)
		if (candidates->list[i].idle)
			return true;
	return false;
}

/* Each backend once; the servers of one stand together as a rule. */
static int ask_connections(const struct instance *instance, struct runtime_session *session,
	struct candidates *candidates, struct error *err)
{
	json_auto_t *asked = json_object();

	for (size_t i = 0; i < candidates->n; i++) {
		const char *backend = candidates->list[i].server->backend;
		_cleanup_free_ char *command = NULL, *reply = NULL;
		int r;

		if (json_object_get(asked, backend))
			continue;
		if (json_object_set_new(asked, backend, json_true()) < 0 ||
			asprintf(&command, "show servers conn %s", backend) < 0) {
			command = NULL;
			return error_set_errno(err, -ENOMEM, "show servers conn");
		}
		r = runtime_session_command(session, command, RUNTIME_TIMEOUT_MS, &reply, err);
		if (r == 0)
			r = mark_unconnected(instance, reply, candidates);
		if (r < 0)
			return r;
	}
	return 0;
}

static int ask_usage(const struct instance *instance, struct runtime_session *session, struct candidates *candidates,
	struct error *err)
{
	_cleanup_free_ char *streams = NULL;
	int r;

	r = ask_connections(instance, session, candidates, err);
	/* From 3.0 on "del server" looks at streams itself. */
	if (r < 0 || !any_idle(candidates) || haproxy_version_at_least(&instance->settings->version, 3, 0))
		return r;
	r = runtime_session_command(session, "show sess", RUNTIME_TIMEOUT_MS, &streams, err);
	return r < 0 ? r : unmark_with_streams(streams, candidates);
}

/* 1: it is gone; 0: HAProxy wants to keep it. */
static int delete_server(const struct instance *instance, struct runtime_session *session, const char *name,
	struct error *err)
{
	static const char *const gone[] = {"Server deleted", "No such server", "No such backend"};
	_cleanup_free_ char *command = NULL, *reply = NULL;
	int r;

	if (asprintf(&command, "del server %s", name) < 0) {
		command = NULL;
		return error_set_errno(err, -ENOMEM, "del server");
	}
	r = runtime_session_command(session, command, RUNTIME_TIMEOUT_MS, &reply, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTSOF(gone); i++)
		if (text_after_prefix(reply, gone[i]))
			return 1;
	log_lb(LOG_DEBUG, instance->id, "%s stays for now: %s", name, reply);
	return 0;
}

int instance_delete_idle(const struct instance *instance, struct runtime_session *session,
	const struct plan_leaving *servers, size_t n, bool *ret_gone, struct error *err)
{
	_cleanup_(candidates_done) struct candidates candidates = {0};
	int r;

	r = make_candidates(servers, n, &candidates);
	if (r < 0)
		return error_set_errno(err, r, "servers that leave");
	r = ask_usage(instance, session, &candidates, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = candidates.list[i].idle ? delete_server(instance, session, candidates.list[i].name, err) : 0;
		if (r > 0)
			ret_gone[i] = true;
	}
	return r < 0 ? r : 0;
}

static void take_off_list(struct instance *instance, const bool *gone)
{
	size_t n = instance->n_leaving, left = 0;

	LOCK_SCOPE(&instance->view_lock);
	for (size_t i = 0; i < n; i++) {
		struct plan_leaving *server = &instance->leaving[i];

		if (!gone[i]) {
			instance->leaving[left++] = *server;
			continue;
		}
		log_lb(LOG_INFO, instance->id, "server %s/%s is gone", server->backend, server->server);
		free(server->backend);
		free(server->server);
		free(server->line);
	}
	instance->n_leaving = left;
}

static bool any_to_delete(const struct instance *instance)
{
	for (size_t i = 0; i < instance->n_leaving; i++)
		if (!instance->leaving[i].keep)
			return true;
	return false;
}

void instance_delete_leaving(struct instance *instance)
{
	_cleanup_(runtime_session_closep) struct runtime_session *session = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ bool *gone = NULL;
	int r;

	if (!any_to_delete(instance))
		return;
	gone = calloc(instance->n_leaving, sizeof(*gone));
	if (!gone)
		return;
	r = runtime_session_open(instance->stats_socket, RUNTIME_TIMEOUT_MS, &session, &problem);
	if (r == 0)
		r = instance_delete_idle(instance, session, instance->leaving, instance->n_leaving, gone, &problem);
	take_off_list(instance, gone);
	if (r < 0)
		log_lb(LOG_DEBUG, instance->id, "servers that leave could not be looked at: %s",
			error_message(&problem));
}
