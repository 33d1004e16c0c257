/* SPDX-License-Identifier: Apache-2.0 */

/* Rates of two looks, and what they look like. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/client/watch.h"
#include "tests/unit/quotes.h"

static const struct terminal terminal = {0};

#define STATUS \
	"{'statuses': {'loadbalancer': {'id': 'L', 'name': 'web', 'operating_status': 'ONLINE', 'listeners': [" \
	"{'id': 'l1', 'name': 'front', 'operating_status': 'ONLINE', 'pools': [" \
	"{'id': 'P', 'name': 'app', 'operating_status': 'DEGRADED', 'members': [" \
	"{'id': 'a', 'name': 'a', 'operating_status': 'ONLINE', 'address': '10.0.0.1', 'protocol_port': 80}," \
	"{'id': 'b', 'name': '', 'operating_status': 'ERROR', 'address': '10.0.0.2', 'protocol_port': 80}]}]}]," \
	"'pools': [{'id': 'Q', 'name': 'spare', 'operating_status': 'OFFLINE', 'members': []}]}}}"

#define LISTENER(connections, requests, in) \
	"{'id': 'l1', 'active_connections': 3, 'total_connections': " #connections ", 'requests': " #requests \
	", 'bytes_in': " #in ", 'bytes_out': 0}"
#define MEMBER(id, connections, in, more) \
	"{'id': '" id "', 'weight': 5, 'active_connections': 1, 'total_connections': " #connections ", 'bytes_in': " #in \
	", 'bytes_out': 0" more "}"
#define ACTIVITY(listener, members) \
	"{'answered': true, 'listeners': [" listener "], 'pools': [{'id': 'P', 'listener_id': 'l1', 'members': [" members "]}]}"

static json_t *rows_of(const char *status_text, const char *activity_text, const char *before_text, double elapsed_s)
{
	json_auto_t *status = json_of(status_text), *activity = json_of(activity_text);
	json_auto_t *before = before_text ? json_of(before_text) : NULL;
	json_t *rows = NULL;

	assert_int_equal(watch_rows(status, activity, before, elapsed_s, &rows), 0);
	return rows;
}

static void assert_lines(const json_t *rows, const char *wanted)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	watch_lines(rows, "T", &terminal, &out);
	assert_string_equal(text_peek(&out), wanted);
}

static void rates_are_differences(_unused_ void **state)
{
	json_auto_t *rows = rows_of(STATUS,
		ACTIVITY(LISTENER(30, 100, 4000), MEMBER("a", 50, 2000, "") "," MEMBER("gone", 9, 9, ", 'leaving': true")),
		ACTIVITY(LISTENER(20, 50, 2000), MEMBER("a", 45, 1000, "")), 2);

	assert_lines(rows,
		"T                    loadbalancer  ONLINE          -        3      25.0        1000           0 web\n"
		"T                    listener      ONLINE          -        3      25.0        1000           0 web/front\n"
		"T                    pool          DEGRADED        -        2       2.5         500           0 web/front/app\n"
		"T                    member        ONLINE          5        1       2.5         500           0 web/front/app/a\n"
		"T                    member        ERROR           -        -         -           -           - "
		"web/front/app/10.0.0.2:80\n"
		"T                    member        LEAVING         5        1         -           -           - "
		"web/front/app/gone\n"
		"T                    pool          OFFLINE         -        -         -           -           - web/spare\n");
}

/* No earlier look; a worker that began anew; no time that went by. */
static void what_is_not_known_is_no_number(_unused_ void **state)
{
	static const char now[] = ACTIVITY(LISTENER(3, 10, 40), ""), before[] = ACTIVITY(LISTENER(20, 5, 20), "");
	json_auto_t *first = rows_of(STATUS, now, NULL, 2), *restarted = rows_of(STATUS, now, before, 2),
		    *at_once = rows_of(STATUS, now, now, 0), *silent = rows_of(STATUS, "{'answered': false}", now, 2);
	const json_t *const all[] = {first, restarted, at_once};

	for (size_t i = 0; i < ELEMENTSOF(all); i++) {
		const json_t *listener = json_array_get(all[i], 1);

		assert_true(json_is_null(json_object_get(listener, "requests_per_s")));
		assert_int_equal(json_integer_value(json_object_get(listener, "active_connections")), 3);
	}
	assert_true(json_is_null(json_object_get(json_array_get(silent, 0), "active_connections")));
}

static void a_table_for_people(_unused_ void **state)
{
	json_auto_t *rows = rows_of(STATUS, ACTIVITY(LISTENER(30, 100000, 9000000), MEMBER("a", 50, 2000, "")),
		ACTIVITY(LISTENER(20, 50, 2000), MEMBER("a", 46, 1000, "")), 1);
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(watch_table(rows, &terminal, &out), 0);
	assert_string_equal(text_peek(&out),
		"NAME               STATUS    WEIGHT  SESSIONS   REQ/S     IN/S  OUT/S\n"
		"web                ONLINE                   3  100.0k  8.6 MiB    0 B\n"
		"  listener front   ONLINE                   3  100.0k  8.6 MiB    0 B\n"
		"    pool app       DEGRADED                 1     4.0   1000 B    0 B\n"
		"      a            ONLINE         5         1     4.0   1000 B    0 B\n"
		"      10.0.0.2:80  ERROR          -         -       -        -      -\n"
		"  pool spare       OFFLINE                  -       -        -      -\n");
}

/* A server that makes numbers and names up. */
static void strange_replies_do_no_harm(_unused_ void **state)
{
	static const char huge[] = "{'listeners': [{'id': 'l1', 'bytes_in': 9223372036854775807, 'total_connections': "
				   "9223372036854775807}], 'pools': 3}",
			  low[] = "{'listeners': [{'id': 'l1', 'bytes_in': -9223372036854775808, 'total_connections': "
				  "-9223372036854775808}], 'pools': [{'members': [4, {'leaving': true, 'weight': 'x'}]}]}";
	static const char *const statuses[] = {"{}", "{'statuses': []}", STATUS,
		"{'statuses': {'loadbalancer': {'name': '\\u001b[2J', 'listeners': [{'pools': [{'members': [{}, 1]}]}]}}}"};

	for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
		json_auto_t *rows = rows_of(statuses[i], huge, low, 0.001), *back = rows_of(statuses[i], low, huge, 1);
		_cleanup_text_ struct text out = TEXT_INIT;

		watch_lines(rows, "T", &terminal, &out);
		assert_int_equal(watch_table(rows, &terminal, &out), 0);
		watch_lines(back, "T", &terminal, &out);
		assert_null(strchr(text_peek(&out), '\x1b'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_differences),
		cmocka_unit_test(what_is_not_known_is_no_number),
		cmocka_unit_test(a_table_for_people),
		cmocka_unit_test(strange_replies_do_no_harm),
	};

	return cmocka_run_group_tests_name("client_watch", tests, NULL, NULL);
}
