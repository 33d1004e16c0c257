/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/base/process.h"
#include "api/client/screen.h"
#include "api/client/watch.h"

/* What goes on, again and again: in place on a terminal, line by line elsewhere. */

enum { TIME_SIZE = sizeof("2026-01-31T23:59:59Z") };

struct watch {
	struct client *client;
	const char *argument;   /* an id or a name; NULL: all load balancers */
	json_t *before;         /* load balancer -> {"activity", "at_ms"} of the look before */
	json_t *rows;           /* of the last look that worked */
	struct text trouble;    /* why there is no newer one */
	char time[TIME_SIZE];   /* of the last look */
	struct screen *screen;  /* NULL: lines */
	bool was_in_trouble;
};

static void watch_done(struct watch *watch)
{
	json_decref(watch->before);
	json_decref(watch->rows);
	text_done(&watch->trouble);
	screen_close(watch->screen);
}

static int get_below(struct client *client, const char *id, const char *below, const char *member, json_t **ret)
{
	char path[CLIENT_PATH_SIZE];

	client_path(path, id, below);
	return client_get_json(client, path, member, ret);
}

/* Appends the rows of one load balancer, and keeps what the next look is compared with in "seen". */
static int look_at_one(struct watch *watch, const char *id, json_t *rows, json_t *seen)
{
	const json_t *before = json_object_get(watch->before, id);
	_cleanup_(json_decrefp) json_t *status_reply = NULL, *activity_reply = NULL, *own = NULL;
	json_t *activity;
	int64_t now_ms;
	int status = get_below(watch->client, id, "/status", "statuses", &status_reply);

	if (status == CLIENT_OK)
		status = get_below(watch->client, id, "/activity", "activity", &activity_reply);
	if (status != CLIENT_OK)
		return status;
	now_ms = process_now_ms();
	activity = json_object_get(activity_reply, "activity");
	if (watch_rows(status_reply, activity, json_object_get(before, "activity"),
		    (double)(now_ms - json_integer_value(json_object_get(before, "at_ms"))) / 1000, &own) < 0 ||
		json_array_extend(rows, own) < 0 ||
		json_object_set_new(seen, id,
			json_pack("{s:O, s:I}", "activity", activity, "at_ms", (json_int_t)now_ms)) < 0)
		return client_out_of_memory(watch->client);
	return CLIENT_OK;
}

static int look_at_all(struct watch *watch, json_t *rows, json_t *seen)
{
	char *const arguments[] = {(char *)watch->argument};
	_cleanup_strv_ char **ids = NULL;
	int status = client_find(watch->client, arguments, watch->argument ? 1 : 0, &ids);

	STRV_FOREACH (id, ids)
		if (status == CLIENT_OK)
			status = look_at_one(watch, *id, rows, seen);
	return status;
}

/* What was seen last stays where this fails. */
static int look(struct watch *watch)
{
	_cleanup_(json_decrefp) json_t *rows = json_array(), *seen = json_object();
	time_t now = time(NULL);
	struct tm utc;
	int status;

	if (!rows || !seen)
		return client_out_of_memory(watch->client);
	status = look_at_all(watch, rows, seen);
	if (status != CLIENT_OK)
		return status;
	gmtime_r(&now, &utc);
	strftime(watch->time, sizeof(watch->time), "%Y-%m-%dT%H:%M:%SZ", &utc);
	json_decref(watch->rows);
	json_decref(watch->before);
	watch->rows = TAKE_PTR(rows);
	watch->before = TAKE_PTR(seen);
	return CLIENT_OK;
}

/* The same, and trouble is kept in words: while amphorad is restarted there is nobody to ask. */
static int look_again(struct watch *watch)
{
	int status;

	text_truncate(&watch->trouble, 0);
	watch->client->heard = &watch->trouble;
	status = look(watch);
	watch->client->heard = NULL;
	return status;
}

static int draw(struct watch *watch)
{
	const struct terminal *terminal = &watch->client->out;
	_cleanup_text_ struct text out = TEXT_INIT;

	terminal_append(terminal, &out, COLOUR_DIM, watch->time);
	if (watch->screen)
		text_printf(&out, "  every %" PRId64 " s, q quits", watch->client->options->interval_s);
	text_append_char(&out, '\n');
	if (watch->trouble.length > 0)
		terminal_append_lines(terminal, &out, COLOUR_RED, "", text_peek(&watch->trouble));
	text_append_char(&out, '\n');
	if (json_array_size(watch->rows) == 0)
		text_append(&out, "no load balancers yet (amphoractl apply FILE)\n");
	else if (watch_table(watch->rows, terminal, &out) < 0)
		return client_out_of_memory(watch->client);
	if (out.failed)
		return client_out_of_memory(watch->client);
	if (watch->screen) {
		screen_draw(watch->screen, text_peek(&out));
		return CLIENT_OK;
	}
	return client_print(watch->client, &out);
}

/* One JSON document a line. */
static int print_json(struct watch *watch)
{
	_cleanup_(json_decrefp) json_t *look = json_pack("{s:s, s:O}", "time", watch->time, "rows", watch->rows);
	_cleanup_free_ char *json = look ? json_dumps(look, JSON_COMPACT) : NULL;
	_cleanup_text_ struct text out = TEXT_INIT;

	if (!json)
		return client_out_of_memory(watch->client);
	terminal_append_json(&out, json);
	text_append_char(&out, '\n');
	return client_print(watch->client, &out);
}

static int print_lines(struct watch *watch)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	if (watch->client->options->json)
		return print_json(watch);
	watch_lines(watch->rows, watch->time, &watch->client->out, &out);
	return client_print(watch->client, &out);
}

static void report_trouble(struct watch *watch, bool in_trouble)
{
	if (in_trouble && !watch->was_in_trouble)
		client_remark(watch->client, "%s\n(trying again every %" PRId64 " s)", text_peek(&watch->trouble),
			watch->client->options->interval_s);
	if (!in_trouble && watch->was_in_trouble)
		client_remark(watch->client, "amphorad answers again");
	watch->was_in_trouble = in_trouble;
}

static void sleep_until(int64_t deadline_ms)
{
	int64_t left;

	while ((left = deadline_ms - process_now_ms()) > 0) {
		const struct timespec time = {left / 1000, left % 1000 * 1000000};

		nanosleep(&time, NULL);
	}
}

static int64_t next_look(const struct watch *watch)
{
	return process_now_ms() + watch->client->options->interval_s * 1000;
}

/* The first look is what the second one's rates are measured from. */
static int watch_as_lines(struct watch *watch)
{
	const struct options *options = watch->client->options;
	_cleanup_text_ struct text heading = TEXT_INIT;
	int status = CLIENT_OK;

	if (!options->json) {
		watch_heading(&heading);
		status = client_print(watch->client, &heading);
	}
	for (int64_t i = 0; status == CLIENT_OK && (options->count == 0 || i < options->count);) {
		int seen;

		sleep_until(next_look(watch));
		seen = look_again(watch);
		report_trouble(watch, seen != CLIENT_OK);
		if (seen == CLIENT_OK) {
			status = print_lines(watch);
			i++;
		}
	}
	return status;
}

static int watch_in_place(struct watch *watch)
{
	const struct options *options = watch->client->options;
	int64_t deadline = next_look(watch), looks = 0;
	int status = draw(watch);

	while (status == CLIENT_OK && (options->count == 0 || looks < options->count)) {
		enum screen_event event = screen_wait(watch->screen, deadline);

		if (event == SCREEN_QUIT)
			break;
		if (event == SCREEN_TIMEOUT) {
			look_again(watch);
			looks++;
			deadline = next_look(watch);
		}
		status = draw(watch);
	}
	return status;
}

/* What was to be seen last stays to be seen. */
static int leave_screen(struct watch *watch, int status)
{
	http_set_cancel(watch->client->http, NULL);
	screen_close(TAKE_PTR(watch->screen));
	return status == CLIENT_OK ? draw(watch) : status;
}

int command_watch(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_(watch_done) struct watch watch = {
		.client = client, .argument = n_arguments > 0 ? arguments[0] : NULL, .trouble = TEXT_INIT};
	_cleanup_error_ struct error err = ERROR_INIT;
	int status = look(&watch);

	if (status != CLIENT_OK)
		return status;
	if (!client->out.interactive || client->options->json)
		return watch_as_lines(&watch);
	if (screen_open(&watch.screen, &err) < 0) {
		client_complain(client, &err);
		return CLIENT_FAILED;
	}
	http_set_cancel(client->http, screen_wants_to_quit);
	return leave_screen(&watch, watch_in_place(&watch));
}
