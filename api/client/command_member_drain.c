/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/member.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/base/process.h"
#include "api/client/view.h"

/* Draining: no new sessions, and waiting for the end of those that are there. */

enum {
	LOOK_MS = 500,           /* between two looks */
	MAX_WAIT_S = 7 * 24 * 60 * 60,
};

const struct option_row drain_options[] = {
	LOADBALANCER_OPTION,
	FLAG("wait", 'w', wait, "until they serve no session any more"),
	NUMBER("timeout", 't', "SECONDS", wait_s, 1, MAX_WAIT_S, "how long to wait; default: as long as it takes"),
	{.name = NULL},
};

static int drain_one(struct client *client, const struct target *pool, const json_t *member)
{
	json_int_t weight = json_integer_value(json_object_get(member, "weight"));
	json_t *fields;

	/* Drained again, it keeps its note. */
	if (weight == 0)
		weight = member_tagged_weight(member);
	fields = json_pack("{s:i, s:o}", "weight", 0, "tags", member_tags(member, weight));
	return member_change(client, pool, member, fields, "draining");
}

/* What is left of one wait: a line a member whenever a number changes, or one line that is written again and again. */
struct wait {
	struct client *client;
	const struct members *members;
	json_int_t *left;      /* sessions of each, -1: not known yet */
	int64_t began_ms;
	bool in_trouble;
	size_t columns;        /* of the line that stands on the terminal */
};

static json_int_t sum_left(const struct wait *wait)
{
	json_int_t sum = 0;

	for (size_t i = 0; i < wait->members->n; i++)
		sum += wait->left[i] > 0 ? wait->left[i] : 0;
	return sum;
}

static bool is_known(const struct wait *wait)
{
	for (size_t i = 0; i < wait->members->n; i++)
		if (wait->left[i] < 0)
			return false;
	return true;
}

/* Whether anything is another than before; nothing is known of a HAProxy that does not answer, and too little of one whose
 * old workers do not. */
static int look(struct wait *wait, bool *ret_changed)
{
	const char *pool_id = view_string(wait->members->pool.object, "id");
	_cleanup_(json_decrefp) json_t *reply = NULL;
	char path[CLIENT_PATH_SIZE];
	const json_t *activity;
	int status;

	client_path(path, members_lb_id(wait->members), "/activity");
	status = client_get_json(wait->client, path, "activity", &reply);
	if (status != CLIENT_OK)
		return status;
	activity = json_object_get(reply, "activity");
	*ret_changed = false;
	if (!json_is_true(json_object_get(activity, "answered")) || json_is_false(json_object_get(activity, "complete")))
		return CLIENT_OK;
	for (size_t i = 0; i < wait->members->n; i++) {
		json_int_t left = member_sessions(activity, pool_id, view_string(wait->members->list[i], "id"));

		*ret_changed = *ret_changed || left != wait->left[i];
		wait->left[i] = left;
	}
	return CLIENT_OK;
}

static int end_line(struct wait *wait)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	if (wait->columns == 0)
		return CLIENT_OK;
	wait->columns = 0;
	text_append_char(&out, '\n');
	return client_print(wait->client, &out);
}

/* The agent may be restarted meanwhile: that is told once, and it is asked again. */
static int look_patiently(struct wait *wait, bool *ret_changed)
{
	_cleanup_text_ struct text trouble = TEXT_INIT;
	int status;

	*ret_changed = false;
	wait->client->heard = &trouble;
	status = look(wait, ret_changed);
	wait->client->heard = NULL;
	if (status == CLIENT_UNREACHABLE) {
		if (!wait->in_trouble && end_line(wait) == CLIENT_OK)
			client_remark(wait->client, "%s\n(trying again)", text_peek(&trouble));
		wait->in_trouble = true;
		return CLIENT_OK;
	}
	if (status != CLIENT_OK)
		client_complain(wait->client, &(struct error){.message = (char *)text_peek(&trouble)});
	wait->in_trouble = false;
	return status;
}

static void append_progress(const struct wait *wait, struct text *out)
{
	json_int_t sum = sum_left(wait);
	const char *separator = " (";

	text_printf(out, "%" JSON_INTEGER_FORMAT " session%s left", sum, sum == 1 ? "" : "s");
	for (size_t i = 0; wait->members->n > 1 && i < wait->members->n; i++) {
		_cleanup_text_ struct text name = TEXT_INIT;

		if (wait->left[i] <= 0)
			continue;
		target_append_name(wait->members->list[i], &name);
		text_append(out, separator);
		terminal_append(&wait->client->out, out, COLOUR_PLAIN, text_peek(&name));
		text_printf(out, ": %" JSON_INTEGER_FORMAT, wait->left[i]);
		separator = ", ";
	}
	text_append(out, streq(separator, ", ") ? ")" : "");
	text_printf(out, ", %" PRId64 " s", (process_now_ms() - wait->began_ms) / 1000);
}

/* On a terminal the line is written over; it shows the seconds. */
static int show_progress(struct wait *wait, bool changed)
{
	const struct terminal *terminal = &wait->client->out;
	_cleanup_text_ struct text line = TEXT_INIT, out = TEXT_INIT;
	size_t columns;

	if (wait->client->options->quiet || wait->client->options->json || (!terminal->interactive && !changed))
		return CLIENT_OK;
	append_progress(wait, &line);
	columns = terminal_width(terminal, text_peek(&line));
	text_append(&out, wait->columns > 0 ? "\r" : "");
	text_append(&out, text_peek(&line));
	if (terminal->interactive) {
		if (wait->columns > columns)
			terminal_pad(&out, wait->columns - columns);
		wait->columns = columns;
	} else {
		text_append_char(&out, '\n');
	}
	return client_print(wait->client, &out);
}

static int give_up(struct wait *wait)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	json_int_t sum = sum_left(wait);

	error_set(&err, ERROR_BUSY, NULL,
		"after %" PRId64 " s %" JSON_INTEGER_FORMAT
		" sessions are left; they go on (wait again with the same command, or \"amphoractl member enable\")",
		wait->client->options->wait_s, sum);
	client_complain(wait->client, &err);
	return CLIENT_TIMEOUT;
}

static int run_wait(struct wait *wait)
{
	const struct timespec pause = {0, LOOK_MS * 1000000L};
	int64_t wait_ms = wait->client->options->wait_s * 1000;
	int status = CLIENT_OK;

	for (;;) {
		bool changed;

		status = look_patiently(wait, &changed);
		if (status == CLIENT_OK && is_known(wait))
			status = show_progress(wait, changed);
		if (status != CLIENT_OK || (!wait->in_trouble && is_known(wait) && sum_left(wait) == 0))
			break;
		if (wait_ms > 0 && process_now_ms() - wait->began_ms >= wait_ms) {
			end_line(wait);
			return give_up(wait);
		}
		nanosleep(&pause, NULL);
	}
	end_line(wait);
	return status;
}

static int wait_for_end(struct client *client, const struct members *members)
{
	_cleanup_free_ json_int_t *left = calloc(members->n, sizeof(*left));
	struct wait wait = {.client = client, .members = members, .left = left, .began_ms = process_now_ms()};

	if (!left)
		return client_out_of_memory(client);
	for (size_t i = 0; i < members->n; i++)
		left[i] = -1;
	if (json_is_object(json_object_get(members->pool.object, "session_persistence")))
		client_remark(client,
			"the pool has session persistence: clients that it sends to a drained member still come");
	return run_wait(&wait);
}

static bool takes_sessions(const json_t *member)
{
	return json_integer_value(json_object_get(member, "weight")) > 0 &&
	       !json_is_false(json_object_get(member, "admin_state_up"));
}

/* Rarely meant: clients are answered with an error then. */
static void warn_if_last(struct client *client, const struct members *members)
{
	_cleanup_text_ struct text name = TEXT_INIT;
	json_t *member;
	size_t i;

	json_array_foreach (json_object_get(members->pool.object, "members"), i, member) {
		bool drained = false;

		for (size_t j = 0; j < members->n; j++)
			drained = drained || members->list[j] == member;
		if (!drained && takes_sessions(member))
			return;
	}
	target_append_name(members->pool.object, &name);
	client_remark(client, "no member of pool %s takes new sessions any more (amphoractl member enable)", text_peek(&name));
}

int member_drain(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_members_ struct members members = MEMBERS_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	int status = CLIENT_OK;

	if (client->options->wait_s > 0 && !client->options->wait) {
		error_set(&err, ERROR_INVALID, NULL, "--timeout is for --wait");
		client_complain(client, &err);
		return CLIENT_USAGE;
	}
	status = members_find(client, arguments, n_arguments, &members);
	for (size_t i = 0; status == CLIENT_OK && i < members.n; i++)
		status = drain_one(client, &members.pool, members.list[i]);
	if (status == CLIENT_OK)
		warn_if_last(client, &members);
	return status == CLIENT_OK && client->options->wait ? wait_for_end(client, &members) : status;
}
