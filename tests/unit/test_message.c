/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include <jansson.h>

#include "agent/health/message.h"

#define LISTENER "11111111-0000-4000-8000-000000000001"
#define POOL "22222222-0000-4000-8000-000000000001:" LISTENER

static char listener_id[] = LISTENER, pool_key[] = POOL, status_open[] = "OPEN", status_up[] = "UP",
	    m1[] = "m1", m2[] = "m2", m3[] = "m3", m4[] = "m4", m5[] = "m5", none[] = "",
	    down[] = "DOWN 1/2", drain[] = "DRAIN", maint[] = "MAINT (resolution)",
	    no_check[] = "no check";

static struct heartbeat_text example(void)
{
	struct listener_health listener = {
		.id = listener_id, .status = status_open, .current_connections = 3};
	struct member_health members[] = {{m1, status_up, none}, {m2, down, none},
		{m3, drain, none}, {m4, maint, none}, {m5, no_check, none}};
	struct pool_health pool = {.key = pool_key,
		.status = status_up,
		.members = members,
		.n_members = ELEMENTSOF(members)};
	struct health_snapshot answered = {.lb_id = "lb",
		.answered = true,
		.listeners = &listener,
		.n_listeners = 1,
		.pools = &pool,
		.n_pools = 1};
	struct health_snapshot silent = {.lb_id = "other"};
	struct health_snapshot *const snapshots[] = {&silent, &answered};
	_cleanup_(counters_freep) struct counters *counters = NULL;
	struct listener_totals sent;
	struct heartbeat_text text;

	assert_int_equal(counters_new(AT_FDCWD, "/nonexistent/counters", &counters, NULL), 0);
	assert_int_equal(counters_sample(counters, "lb", LISTENER, 1, 1,
				 &(struct listener_totals){
					 .bytes_in = 5, .bytes_out = 100, .total_connections = 1}),
		0);
	sent = counters_unsent(counters, "lb", LISTENER);
	counters_mark_sent(counters, "lb", LISTENER, &sent);
	assert_int_equal(counters_sample(counters, "lb", LISTENER, 1, 1,
				 &(struct listener_totals){.bytes_in = 15,
					 .bytes_out = 300,
					 .total_connections = 5,
					 .request_errors = 1}),
		0);
	assert_int_equal(heartbeat_message("the amphora", 67, snapshots, 2, counters, &text), 0);
	return text;
}

static void assert_text(const struct heartbeat_text *text, const char *expected)
{
	_cleanup_text_ struct text whole = TEXT_INIT;

	text_append(&whole, text_peek(&text->head));
	text_append(&whole, text_peek(&text->tail));
	assert_string_equal(text_peek(&whole), expected);
}

static void test_content(void **state _unused_)
{
	_cleanup_(heartbeat_text_done) struct heartbeat_text text = example();

	assert_text(&text,
		"{\"id\":\"the amphora\",\"seq\":67,\"listeners\":{\"" LISTENER
		"\":{\"status\":\"OPEN\",\"stats\":{\"tx\":200,\"rx\":10,\"conns\":3,\"totconns\":"
		"4,"
		"\"ereq\":1}}},\"pools\":{\"" POOL
		"\":{\"status\":\"UP\",\"members\":{\"m1\":\"UP\",\"m2\":\"DOWN\",\"m3\":\"DRAIN\","
		"\"m4\":\"MAINT\",\"m5\":\"no check\"}}},\"ver\":3}");
}

/* The second half changes with members and pools only. */
static void test_halves(void **state _unused_)
{
	_cleanup_(heartbeat_text_done) struct heartbeat_text text = example();

	assert_non_null(strstr(text_peek(&text.head), "\"seq\":67"));
	assert_non_null(strstr(text_peek(&text.head), "\"totconns\":4"));
	assert_non_null(strstr(text_peek(&text.tail), "\"m1\":\"UP\""));
	assert_null(strstr(text_peek(&text.head), "m1"));
}

static void test_nothing_to_say(void **state _unused_)
{
	struct health_snapshot silent = {.lb_id = "lb"};
	struct health_snapshot *const snapshots[] = {&silent};
	_cleanup_(heartbeat_text_done) struct heartbeat_text text = HEARTBEAT_TEXT_INIT;
	_cleanup_(counters_freep) struct counters *counters = NULL;

	assert_int_equal(counters_new(AT_FDCWD, "/nonexistent/counters", &counters, NULL), 0);
	assert_int_equal(heartbeat_message("a \"quoted\" \xc3\xa4 \xff", 1, snapshots, 1, counters, &text), 0);
	assert_text(&text,
		"{\"id\":\"a \\\"quoted\\\" \xc3\xa4 ?\",\"seq\":1,\"listeners\":{},\"pools\":{},\"ver\":3}");
}

/* Commas and braces of more than one of everything: what jansson reads and writes again is the same. */
static void test_several(void **state _unused_)
{
	static char ids[6][8] = {"a", "b", "c", "d", "\"\\/\x7f", "f"};
	struct listener_health listeners[] = {
		{.id = ids[0], .status = status_open}, {.id = ids[1], .status = status_open}};
	struct member_health members[] = {{ids[2], status_up, none}, {ids[3], down, none}};
	struct pool_health pools[] = {{.key = ids[4], .status = status_up, .members = members, .n_members = 2},
		{.key = ids[5], .status = down}};
	struct health_snapshot first = {.lb_id = "1", .answered = true, .listeners = listeners, .n_listeners = 1,
		.pools = pools, .n_pools = 1};
	struct health_snapshot second = {.lb_id = "2", .answered = true, .listeners = listeners + 1, .n_listeners = 1,
		.pools = pools + 1, .n_pools = 1};
	struct health_snapshot *const snapshots[] = {&first, &second};
	_cleanup_(heartbeat_text_done) struct heartbeat_text text = HEARTBEAT_TEXT_INIT;
	_cleanup_(counters_freep) struct counters *counters = NULL;
	_cleanup_(json_decrefp) json_t *message = NULL;
	_cleanup_text_ struct text whole = TEXT_INIT;
	_cleanup_free_ char *again = NULL;

	assert_int_equal(counters_new(AT_FDCWD, "/nonexistent/counters", &counters, NULL), 0);
	assert_int_equal(heartbeat_message("id", 0, snapshots, 2, counters, &text), 0);
	text_append(&whole, text_peek(&text.head));
	text_append(&whole, text_peek(&text.tail));
	message = json_loads(text_peek(&whole), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(message);
	again = json_dumps(message, JSON_COMPACT);
	assert_string_equal(text_peek(&whole), again);
	assert_int_equal(json_object_size(json_object_get(message, "listeners")), 2);
	assert_int_equal(json_object_size(json_object_get(message, "pools")), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_halves),
		cmocka_unit_test(test_nothing_to_say),
		cmocka_unit_test(test_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
