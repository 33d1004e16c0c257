/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions and weights of this moment: what several workers say of one member is one row. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/health/activity.h"

#define LISTENER "11111111-0000-4000-8000-000000000001"
#define POOL "22222222-0000-4000-8000-000000000001"
#define BACKEND POOL ":" LISTENER

#define ROW(kind_, proxy_, name_, status_, weight_, scur)                                        \
	{                                                                                         \
		.kind = kind_, .proxy = proxy_, .name = name_, .status = status_,                 \
		.weight = weight_, .check_status = "", .last_check = "", .current_sessions = scur, \
		.total_sessions = 10 * scur, .bytes_in = 100 * scur, .bytes_out = 1000 * scur,    \
		.requests = 20 * scur                                                             \
	}

static struct stats_row current[] = {
	ROW(STATS_FRONTEND, "stats", "FRONTEND", "OPEN", 0, 9),
	ROW(STATS_FRONTEND, LISTENER, "FRONTEND", "OPEN", 0, 3),
	ROW(STATS_SERVER, BACKEND, "a", "UP 1/2", 5, 2),
	ROW(STATS_SERVER, BACKEND, "b", "UP", 0, 1),
	ROW(STATS_SERVER, BACKEND, "gone", "MAINT", 1, 4),
	ROW(STATS_SERVER, BACKEND, "done", "MAINT", 1, 0),
	ROW(STATS_BACKEND, BACKEND, "BACKEND", "UP", 5, 3),
};

static struct stats_row old[] = {
	ROW(STATS_FRONTEND, LISTENER, "FRONTEND", "STOP", 0, 1),
	ROW(STATS_SERVER, BACKEND, "b", "UP", 1, 6),
	ROW(STATS_SERVER, BACKEND, "before", "UP", 1, 7),
	ROW(STATS_SERVER, BACKEND, "idle", "UP", 1, 0),
};

static const struct plan_leaving leaving[] = {
	{.backend = (char *)BACKEND, .server = (char *)"gone"},
	{.backend = (char *)BACKEND, .server = (char *)"done"},
};

static json_t *find(json_t *array, const char *id)
{
	json_t *item;
	size_t i;

	json_array_foreach (array, i, item)
		if (streq(json_string_value(json_object_get(item, "id")), id))
			return item;
	return NULL;
}

static void assert_number(json_t *object, const char *key, json_int_t wanted)
{
	json_t *value = json_object_get(object, key);

	assert_true(json_is_integer(value));
	assert_int_equal(json_integer_value(value), wanted);
}

static void assert_member(
	json_t *members, const char *id, const char *status, json_int_t weight, json_int_t sessions, bool leaves)
{
	json_t *member = find(members, id);

	assert_non_null(member);
	assert_string_equal(json_string_value(json_object_get(member, "status")), status);
	assert_number(member, "weight", weight);
	assert_number(member, "active_connections", sessions);
	assert_number(member, "total_connections", 10 * sessions);
	assert_number(member, "bytes_in", 100 * sessions);
	assert_number(member, "bytes_out", 1000 * sessions);
	assert_null(json_object_get(member, "requests"));
	assert_int_equal(json_is_true(json_object_get(member, "leaving")), leaves);
}

static void adds_up_all_workers(_unused_ void **state)
{
	struct worker_sample workers[] = {
		{.pid = 2, .stats = {.rows = current, .n_rows = ELEMENTSOF(current)}},
		{.pid = 1, .stats = {.rows = old, .n_rows = ELEMENTSOF(old)}},
	};
	const struct haproxy_sample sample = {.workers = workers, .n_workers = 2, .complete = true, .whole = true};
	json_auto_t *activity = activity_new();
	json_t *listeners, *pool, *members;

	assert_int_equal(activity_add_haproxy(activity, &sample, leaving, ELEMENTSOF(leaving)), 0);
	assert_true(json_is_true(json_object_get(activity, "answered")));
	assert_true(json_is_true(json_object_get(activity, "complete")));
	listeners = json_object_get(activity, "listeners");
	assert_int_equal(json_array_size(listeners), 1);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(listeners, 0), "status")), "OPEN");
	assert_number(json_array_get(listeners, 0), "active_connections", 4);
	assert_number(json_array_get(listeners, 0), "requests", 80);

	assert_int_equal(json_array_size(json_object_get(activity, "pools")), 1);
	pool = json_array_get(json_object_get(activity, "pools"), 0);
	assert_string_equal(json_string_value(json_object_get(pool, "id")), POOL);
	assert_string_equal(json_string_value(json_object_get(pool, "listener_id")), LISTENER);
	members = json_object_get(pool, "members");
	assert_int_equal(json_array_size(members), 4);
	assert_member(members, "a", "UP", 5, 2, false);
	assert_member(members, "b", "DRAIN", 0, 7, false);
	assert_member(members, "gone", "DRAIN", 0, 4, true);
	assert_member(members, "before", "DRAIN", 0, 7, true);
}

/* An old worker that said nothing. */
static void may_be_incomplete(_unused_ void **state)
{
	struct worker_sample workers[] = {{.pid = 2, .stats = {.rows = current, .n_rows = ELEMENTSOF(current)}}, {.pid = 1}};
	const struct haproxy_sample sample = {.workers = workers, .n_workers = 2, .complete = true};
	json_auto_t *activity = activity_new();

	assert_int_equal(activity_add_haproxy(activity, &sample, leaving, ELEMENTSOF(leaving)), 0);
	assert_true(json_is_true(json_object_get(activity, "answered")));
	assert_true(json_is_false(json_object_get(activity, "complete")));
}

static void nobody_answers(_unused_ void **state)
{
	json_auto_t *activity = activity_new();

	assert_true(json_is_false(json_object_get(activity, "answered")));
	assert_true(json_is_false(json_object_get(activity, "complete")));
	assert_int_equal(json_array_size(json_object_get(activity, "listeners")), 0);
	assert_int_equal(json_array_size(json_object_get(activity, "pools")), 0);
}

/* What HAProxy says is not believed: neither numbers nor words. */
static void bad_answers_do_no_harm(_unused_ void **state)
{
	struct stats_row rows[] = {
		ROW(STATS_FRONTEND, LISTENER, "FRONTEND", "\x1b[2J", 0, 0),
		ROW(STATS_SERVER, "no colon", "a", "UP", 1, 1),
		ROW(STATS_SERVER, BACKEND, "a b", "UP", 1, 1),
		ROW(STATS_SERVER, POOL, "c", "\xff", 1, 1),
	};
	struct worker_sample worker = {.pid = 2, .stats = {.rows = rows, .n_rows = ELEMENTSOF(rows)}};
	const struct haproxy_sample sample = {.workers = &worker, .n_workers = 1};
	json_auto_t *activity = activity_new();
	json_t *pool;

	rows[0].current_sessions = -5;
	rows[0].bytes_in = INT64_MAX;
	assert_int_equal(activity_add_haproxy(activity, &sample, NULL, 0), 0);
	assert_number(json_array_get(json_object_get(activity, "listeners"), 0), "active_connections", 0);
	assert_number(json_array_get(json_object_get(activity, "listeners"), 0), "bytes_in", INT64_MAX);
	assert_int_equal(json_array_size(json_object_get(activity, "pools")), 1);
	pool = json_array_get(json_object_get(activity, "pools"), 0);
	assert_true(json_is_null(json_object_get(pool, "listener_id")));
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(pool, "members"), 0), "status")),
		"?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_up_all_workers),
		cmocka_unit_test(may_be_incomplete),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(bad_answers_do_no_harm),
	};

	return cmocka_run_group_tests_name("activity", tests, NULL, NULL);
}
