/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/text.h"
#include "agent/health/snapshot.h"

#define L1 "11111111-0000-4000-8000-000000000001"
#define L2 "11111111-0000-4000-8000-000000000002"
#define P1 "22222222-0000-4000-8000-000000000001"
#define P10 "22222222-0000-4000-8000-0000000000011"

#define SERVER(proxy_, name_, status_, weight_, check_, last_)                           \
	{                                                                                \
		.kind = STATS_SERVER, .proxy = proxy_, .name = name_, .status = status_, \
		.weight = weight_, .check_status = check_, .last_check = last_           \
	}
#define OTHER(kind_, proxy_, status_)                                                        \
	{                                                                                    \
		.kind = kind_, .proxy = proxy_, .name = "X", .status = status_, .weight = 1, \
		.check_status = "", .last_check = "", .current_sessions = 7                  \
	}

static struct stats_row rows[] = {
	OTHER(STATS_FRONTEND, "prometheus-exporter-internal", "OPEN"),
	OTHER(STATS_FRONTEND, "stats", "OPEN"),
	OTHER(STATS_BACKEND, "stats", "UP"),
	OTHER(STATS_FRONTEND, "with blank", "OPEN"),
	OTHER(STATS_FRONTEND, L1, "OPEN"),
	OTHER(STATS_LISTENER, L1, "OPEN"),
	OTHER(STATS_FRONTEND, L2, "FULL"),
	SERVER(P10 ":" L1, "other", "UP", 1, "", ""),
	OTHER(STATS_BACKEND, P10 ":" L1, "UP"),
	SERVER(P1 ":" L1, "m1", "DOWN 1/2", 1, "* L4CON", "Connection refused"),
	SERVER(P1 ":" L1, "m2", "UP", 0, "L7OK", ""),
	SERVER(P1 ":" L1, "m3", "no check", 0, "", ""),
	SERVER(P1 ":" L1, "m4", "MAINT (via a/b)", 1, "", "\xff\nx"),
	OTHER(STATS_BACKEND, P1 ":" L1, "UP"),
	OTHER(STATS_BACKEND, P1 ":" L2, "DOWN"),
};

static struct health_snapshot *make(void)
{
	struct stats_table table = {.rows = rows, .n_rows = ELEMENTSOF(rows)};
	struct health_snapshot *snapshot = NULL;

	assert_int_equal(snapshot_from_stats("lb", &table, &snapshot, NULL), 0);
	return snapshot;
}

static const struct member_health *member_of(const struct pool_health *pool, const char *id)
{
	return pool_health_find_member_near(pool, id, &(size_t){0});
}

static void check_content(const struct health_snapshot *s)
{
	const struct pool_health *pool;

	assert_true(s->answered);
	assert_string_equal(s->lb_id, "lb");
	assert_int_equal(s->n_listeners, 2);
	assert_int_equal(s->n_pools, 3);
	assert_int_equal(snapshot_find_listener(s, L1)->current_connections, 7);
	assert_string_equal(snapshot_find_listener(s, L2)->status, "FULL");
	assert_null(snapshot_find_listener(s, "stats"));

	pool = snapshot_find_pool(s, P1);
	assert_string_equal(pool->key, P1 ":" L1);
	assert_string_equal(pool->status, "UP");
	assert_int_equal(pool->n_members, 4);
	assert_string_equal(member_of(pool, "m1")->status, "DOWN 1/2");
	assert_string_equal(
		member_of(pool, "m1")->reason, "L4CON: Connection refused");
	assert_string_equal(member_of(pool, "m2")->status, "DRAIN");
	assert_string_equal(member_of(pool, "m2")->reason, "L7OK");
	assert_string_equal(member_of(pool, "m3")->status, "no check");
	assert_string_equal(member_of(pool, "m4")->reason, "??x");
	assert_null(member_of(pool, "other"));
}

static void test_from_stats(void **state _unused_)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = make();

	check_content(snapshot);
}

static void test_copy(void **state _unused_)
{
	struct health_snapshot *snapshot = make();
	_cleanup_snapshot_ struct health_snapshot *copy = NULL;

	snapshot->listeners[0].totals.bytes_in = 5;
	snapshot->worker_pid = 12;
	snapshot->taken_ms = 34;
	assert_int_equal(snapshot_copy(snapshot, &copy), 0);
	snapshot_free(snapshot);
	check_content(copy);
	assert_int_equal(copy->listeners[0].totals.bytes_in, 5);
	assert_int_equal(copy->worker_pid, 12);
	assert_int_equal(copy->taken_ms, 34);
}

static void test_empty(void **state _unused_)
{
	struct stats_table table = {0};
	struct health_snapshot *snapshot = NULL;

	assert_int_equal(snapshot_from_stats("lb", &table, &snapshot, NULL), 0);
	assert_true(snapshot->answered);
	assert_int_equal(snapshot->n_listeners + snapshot->n_pools, 0);
	snapshot_free(snapshot);
	snapshot = NULL;
	assert_int_equal(snapshot_from_stats("an id that is longer than any UUID can be", &table,
				 &snapshot, NULL),
		-EINVAL);
	assert_null(snapshot);
}

static void test_words(void **state _unused_)
{
	static const char *const cases[][2] = {
		{"UP", "UP"},
		{"UP 1/2", "UP"},
		{"DOWN", "DOWN"},
		{"DOWN 2/3", "DOWN"},
		{"DOWN (agent)", "DOWN"},
		{"NOLB 1/3", "DRAIN"},
		{"DRAIN (agent)", "DRAIN"},
		{"MAINT", "MAINT"},
		{"MAINT (resolution)", "MAINT"},
		{"no check", "no check"},
		{"UPSIDE", "UPSIDE"},
		{"", ""},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		assert_string_equal(member_status_word(cases[i][0]), cases[i][1]);
}

static void test_find_near(void **state _unused_)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = make();
	const struct pool_health *pool = snapshot_find_pool(snapshot, P1);
	size_t position = 99;

	assert_string_equal(pool_health_find_member_near(pool, "m1", &position)->id, "m1");
	assert_int_equal(position, 1);
	assert_string_equal(pool_health_find_member_near(pool, "m4", &position)->id, "m4");
	assert_int_equal(position, 4);
	assert_string_equal(pool_health_find_member_near(pool, "m3", &position)->id, "m3");
	assert_null(pool_health_find_member_near(pool, "m5", &position));
	assert_int_equal(position, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_stats),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_find_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
