/* SPDX-License-Identifier: Apache-2.0 */

/* What an agent finds that starts again: load balancers that run, and what a crash left of them. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/haproxy/stats.h"
#include "tests/unit/instance_fixture.h"

static void test_restart_of_the_agent(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	restart_agent(fixture);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_NONE, 1);
	assert_same_pids(pids, pids_of(fixture, LB_A));
}

/* The record is missing, so HAProxy may run anything: it is told again. */
static void test_crash_before_the_record(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids, after;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	remove_file_of(fixture, LB_A, "applied");
	restart_agent(fixture);
	after = pids_of(fixture, LB_A);
	assert_int_equal(pids.master, after.master);
	assert_int_not_equal(pids.worker, after.worker);
	restart_agent(fixture);
	assert_same_pids(after, pids_of(fixture, LB_A));
}

/* Published and not stored: the stored definition counts. */
static void test_crash_after_publishing(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_free_ char *wanted = NULL, *path = NULL, *now = NULL;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	wanted = file_of(fixture, LB_A, "haproxy.cfg");
	remove_file_of(fixture, LB_A, "applied");
	assert_true(asprintf(&path, "%s/" LB_A "/haproxy.cfg", fixture->base) > 0);
	assert_int_equal(fileio_write(AT_FDCWD, path, "global\n", 7, 0600), 0);
	restart_agent(fixture);
	now = file_of(fixture, LB_A, "haproxy.cfg");
	assert_string_equal(now, wanted);
	assert_true(port_answers(port));
}

static void test_haproxy_ended_while_the_agent_was_away(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	end_agent(fixture);
	assert_int_equal(kill(pids.master, SIGKILL), 0);
	kill(pids.worker, SIGKILL);
	start_agent(fixture);
	assert_int_equal(registry_load(fixture->registry, true, NULL), 0);
	assert_true(port_answers(port));
	assert_int_not_equal(pids_of(fixture, LB_A).master, pids.master);
}

static void test_interrupted_creation(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	/* Before the definition was stored, HAProxy ran already. */
	remove_file_of(fixture, LB_A, "definition/0000000001.json");
	restart_agent(fixture);
	assert_not_there(fixture, LB_A);
	wait_for_end(pids.master);
	assert_false(port_answers(port));
}

static void rename_in(struct fixture *fixture, const char *old, const char *new)
{
	_cleanup_free_ char *from = NULL, *to = NULL;

	assert_true(asprintf(&from, "%s/" LB_A "/%s", fixture->base, old) > 0);
	assert_true(asprintf(&to, "%s/" LB_A "/%s", fixture->base, new) > 0);
	assert_int_equal(rename(from, to), 0);
}

static void test_interrupted_deletion(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	rename_in(fixture, "definition", "definition.deleted");
	restart_agent(fixture);
	assert_not_there(fixture, LB_A);
	wait_for_end(pids.master);
}

/* What a deletion left that could not be ended must not take what was created since with it. */
static void test_creation_after_a_failed_deletion(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *left = NULL;
	int port = free_port();

	assert_true(asprintf(&left, "%s/" LB_A "/definition.deleted", fixture->base) > 0);
	assert_int_equal(fileio_make_dirs(left, 0700), 0);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	restart_agent(fixture);
	instance_unref(get(fixture, LB_A));
	assert_true(port_answers(port));
}

static void spoil_definition(struct fixture *fixture)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/" LB_A "/definition/0000000001.json", fixture->base) > 0);
	assert_int_equal(fileio_write(AT_FDCWD, path, "x", 1, 0600), 0);
}

/* HAProxy and what is on disk are left alone, also by a change that fails, until a change succeeds.
 */
static void test_definition_that_cannot_be_read(void **state)
{
	struct fixture *fixture = *state;
	static const struct apply_options dry = {.dry_run = true, .if_match = -1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	int port = free_port(), taken;
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	spoil_definition(fixture);
	for (int start = 0; start < 2; start++) {
		_cleanup_free_ char *aside = NULL;

		restart_agent(fixture);
		assert_same_pids(pids, pids_of(fixture, LB_A));
		assert_true(port_answers(port));
		aside = file_of(fixture, LB_A, "definition/0000000001.json.corrupt");
		assert_string_equal(aside, "x");
	}
	assert_int_equal(try_apply(fixture, define(LB_A, "'name':'x'"), &dry, &result, NULL), 0);
	apply_refused(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", taken), ERROR_APPLY,
		"Address already in use");
	assert_true(port_answers(port));
	apply(fixture, define(LB_A, "'name':'again','listeners':[" TCP_LISTENER "]", port),
		PLAN_RELOAD, 1);
	restart_agent(fixture);
	assert_true(port_answers(port));
	instance_unref(get(fixture, LB_A));
}

static void test_deletion_of_what_cannot_be_read(void **state)
{
	struct fixture *fixture = *state;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", free_port()), PLAN_START, 1);
	spoil_definition(fixture);
	restart_agent(fixture);
	assert_int_equal(registry_delete(fixture->registry, LB_A, -1, NULL), 0);
	assert_not_there(fixture, LB_A);
}

/* A folder without definitions is of another agent, one with another name is nobody's business. */
static void test_folders_of_others(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {LB_B "x/definition", "certs", "definition",
		"AAAAAAAA-0000-4000-8000-00000000000A/definition"};
	_cleanup_(registry_list_freep) struct instance **list = NULL;

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_free_ char *path = NULL;

		assert_true(asprintf(&path, "%s/%s", fixture->base, names[i]) > 0);
		assert_int_equal(fileio_make_dirs(path, 0700), 0);
	}
	restart_agent(fixture);
	assert_int_equal(registry_list(fixture->registry, &list), 0);
	assert_null(list[0]);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_free_ char *path = NULL;

		assert_true(asprintf(&path, "%s/%s", fixture->base, names[i]) > 0);
		assert_int_equal(access(path, F_OK), 0);
	}
}

#define WATCHED_POOL                                                                     \
	"'listeners':[{'id':'" LISTENER_ID                                               \
	"','protocol':'TCP','protocol_port':%d,'default_pool_id':'" POOL_ID "'}],"       \
	"'pools':[{'id':'" POOL_ID                                                       \
	"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN','healthmonitor':{'type':'TCP'," \
	"'delay':3600,'timeout':5,'max_retries':1,'max_retries_down':1},'members':["     \
	"{'id':'" MEMBER_1 "','address':'127.0.0.1','protocol_port':1,'weight':%d},"     \
	"{'id':'" MEMBER_2 "','address':'127.0.0.1','protocol_port':2,'weight':%d}]}]"

static void assert_status(struct fixture *fixture, const char *member, const char *beginning)
{
	_cleanup_stats_ struct stats_table table = {0};
	_cleanup_free_ char *csv = run_command(fixture, "show stat");

	assert_int_equal(stats_parse(csv, strlen(csv), &table, NULL), 0);
	for (size_t i = 0; i < table.n_rows; i++)
		if (table.rows[i].kind == STATS_SERVER && streq(table.rows[i].name, member)) {
			if (!text_after_prefix(table.rows[i].status, beginning))
				fail_msg("%s is %s, not %s", member, table.rows[i].status,
					beginning);
			return;
		}
	fail_msg("no server %s", member);
}

static void test_health_survives_a_reload(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();

	apply(fixture, define(LB_A, WATCHED_POOL, port, 1, 1), PLAN_START, 1);
	free(run_command(fixture, "set server " BACKEND "/" MEMBER_1 " health down"));
	free(run_command(fixture, "set server " BACKEND "/" MEMBER_2 " health down"));
	assert_status(fixture, MEMBER_1, "DOWN");
	assert_status(fixture, MEMBER_2, "DOWN");
	apply(fixture, define(LB_A, WATCHED_POOL, port, 1, 7), PLAN_RELOAD, 2);
	assert_status(fixture, MEMBER_1, "DOWN");
	/* One that was changed begins anew, with what the definition says. */
	assert_status(fixture, MEMBER_2, "UP");
	{
		_cleanup_free_ char *weight =
			run_command(fixture, "get weight " BACKEND "/" MEMBER_2);

		assert_non_null(strstr(weight, "7 (initial 7)"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_restart_of_the_agent),
		TEST(test_crash_before_the_record),
		TEST(test_crash_after_publishing),
		TEST(test_haproxy_ended_while_the_agent_was_away),
		TEST(test_interrupted_creation),
		TEST(test_interrupted_deletion),
		TEST(test_creation_after_a_failed_deletion),
		TEST(test_definition_that_cannot_be_read),
		TEST(test_deletion_of_what_cannot_be_read),
		TEST(test_folders_of_others),
		TEST(test_health_survives_a_reload),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("instance_restart", tests, NULL, NULL);
}
