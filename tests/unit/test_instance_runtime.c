/* SPDX-License-Identifier: Apache-2.0 */

/* Changes of a running HAProxy, with the real one: members, servers that leave, old workers. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/instance/internal.h"
#include "tests/unit/quotes.h"
#include "tests/unit/runtime_fixture.h"

static size_t count_leaving(struct instance *instance)
{
	struct plan_leaving *leaving;
	size_t n;

	assert_int_equal(instance_leaving(instance, &leaving, &n), 0);
	plan_leaving_free(leaving, n);
	return n;
}

static int connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The other end of a connection through HAProxy. */
static int accept_within(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&poll_fd, 1, DEADLINE_MS), 1);
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static void assert_passes(int from, int to)
{
	struct pollfd poll_fd = {.fd = to, .events = POLLIN};
	char byte = 0;

	assert_int_equal(write(from, "x", 1), 1);
	assert_int_equal(poll(&poll_fd, 1, DEADLINE_MS), 1);
	assert_int_equal(read(to, &byte, 1), 1);
	assert_int_equal(byte, 'x');
}

static void test_members_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), first, second;
	_unused_ _cleanup_close_ int first_fd = listen_anywhere(&first), second_fd = listen_anywhere(&second);
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *config = NULL;
	struct pids pids;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, first), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, first, second),
		PLAN_RUNTIME, 2);
	assert_true(has_server(fixture, MEMBER_2));
	apply(fixture,
		define(LB_A, POOL_OF(MEMBER(MEMBER_1, ",'weight':7") "," MEMBER(MEMBER_2, "")), port, first, second),
		PLAN_RUNTIME, 3);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_2, "")), port, second), PLAN_RUNTIME, 4);
	instance = get(fixture, LB_A);
	instance_look_after(instance);
	assert_int_equal(count_leaving(instance), 0);
	assert_false(has_server(fixture, MEMBER_1));
	config = file_of(fixture, LB_A, "haproxy.cfg");
	assert_non_null(strstr(config, MEMBER_2));
	assert_null(strstr(config, MEMBER_1));
	assert_same_pids(pids, pids_of(fixture, LB_A));
	assert_int_equal(fixture->reloads_announced, 0);

	/* The next agent finds everything as it is stored. */
	instance_unref(TAKE_PTR(instance));
	restart_agent(fixture);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_2, "")), port, second), PLAN_NONE, 4);
}

static void test_option(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();

	fixture->settings.runtime_updates = false;
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, ",'weight':7")), port, 1), PLAN_RELOAD, 2);
}

/* Its connections go on until they end by themselves, also over a restart of the agent; then it is deleted. */
static void test_server_leaves_when_its_connections_are_gone(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), first, second;
	_cleanup_close_ int first_fd = listen_anywhere(&first), second_fd = listen_anywhere(&second);
	_cleanup_close_ int client = -1, server = -1, other_client = -1, other_server = -1;
	_cleanup_instance_ struct instance *instance = NULL;
	int64_t deadline;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, first), PLAN_START, 1);
	client = connect_to(port);
	server = accept_within(first_fd);
	assert_passes(client, server);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_2, "")), port, second), PLAN_RUNTIME, 2);
	instance = get(fixture, LB_A);
	instance_look_after(instance);
	assert_int_equal(count_leaving(instance), 1);
	assert_passes(client, server);
	/* New connections have gone over. */
	other_client = connect_to(port);
	other_server = accept_within(second_fd);
	assert_passes(other_server, other_client);

	instance_unref(TAKE_PTR(instance));
	restart_agent(fixture);
	instance = get(fixture, LB_A);
	assert_int_equal(count_leaving(instance), 1);
	instance_look_after(instance);
	assert_true(has_server(fixture, MEMBER_1));
	assert_passes(server, client);

	close(TAKE_FD(client));
	close(TAKE_FD(server));
	deadline = process_now_ms() + DEADLINE_MS;
	while (count_leaving(instance) > 0 && process_now_ms() < deadline) {
		instance_look_after(instance);
		poll(NULL, 0, 10);
	}
	assert_int_equal(count_leaving(instance), 0);
	assert_false(has_server(fixture, MEMBER_1));
	assert_int_equal(fixture->reloads_announced, 0);
	assert_passes(other_client, other_server);
}

static void apply_with_reason(struct fixture *fixture, struct load_balancer *lb, const char *words)
{
	static const struct apply_options options = {.if_match = -1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (try_apply(fixture, lb, &options, &result, &err) < 0)
		fail_msg("%s", error_message(&err));
	assert_string_equal(plan_action_name(result.plan.action), "reload");
	assert_non_null(result.plan.reasons[0]);
	if (!strstr(result.plan.reasons[0], words))
		fail_msg("no \"%s\" in: %s", words, result.plan.reasons[0]);
}

/* Somebody else deletes a server with the Runtime API: the next change at run time notices and mends it. */
static void test_somebody_else_was_there(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_free_ char *maintenance = NULL, *deleted = NULL;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_START, 1);
	maintenance = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " state maint");
	deleted = run_command(fixture, "del server " BACKEND "/" MEMBER_1);
	assert_non_null(strstr(deleted, "deleted"));
	apply_with_reason(fixture,
		define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, ",'weight':5")), port, 1, 2), MEMBER_1);
	assert_true(has_server(fixture, MEMBER_1));
	assert_int_equal(fixture->reloads_announced, 1);
}

/* It is not carried over by what is carried over of health. */
static void test_somebody_else_disabled_a_server(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *maintenance = NULL, *weight = NULL, *servers = NULL, *weights = NULL;
	int port = free_port();

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_START, 1);
	maintenance = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " state maint");
	weight = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " weight 7");
	apply_with_reason(fixture,
		define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, ",'weight':5")), port, 1, 2), MEMBER_1);
	servers = run_command(fixture, "show stat " BACKEND " 4 -1");
	assert_null(strstr(servers, "MAINT"));
	weights = run_command(fixture, "get weight " BACKEND "/" MEMBER_1);
	assert_non_null(text_after_prefix(weights, "1 "));
}

/* What was made at run time is taken back when the reload that should mend it fails. */
static void test_reload_that_mends_nothing(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *maintenance = NULL, *deleted = NULL, *config = NULL, *before = NULL, *after = NULL;
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	static const struct apply_options options = {.if_match = -1};
	int port = free_port();

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_START, 1);
	before = file_of(fixture, LB_A, "haproxy.cfg");
	maintenance = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " state maint");
	deleted = run_command(fixture, "del server " BACKEND "/" MEMBER_1);
	assert_true(asprintf(&config, "%s/" LB_A "/haproxy.cfg", fixture->base) > 0);
	fixture->spoil = config;
	assert_int_equal(try_apply(fixture,
				 define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, ",'weight':5")), port,
					 1, 2),
				 &options, &result, &err),
		error_code_to_errno(ERROR_APPLY));
	assert_non_null(strstr(error_message(&err), "last good configuration again"));
	assert_true(has_server(fixture, MEMBER_1));
	after = file_of(fixture, LB_A, "haproxy.cfg");
	assert_string_equal(before, after);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_NONE, 1);
}

/* The agent is gone after the steps and before the record: the next one makes sure. */
static void test_crash_among_the_steps(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *weight = NULL, *now = NULL;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	weight = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " weight 9");
	remove_file_of(fixture, LB_A, "applied");
	restart_agent(fixture);
	assert_int_not_equal(pids_of(fixture, LB_A).worker, pids.worker);
	now = run_command(fixture, "get weight " BACKEND "/" MEMBER_1);
	assert_null(strstr(now, "9"));
}

static struct plan_step step(const char *command, enum plan_expect expect, const char *expected)
{
	return (struct plan_step){.command = (char *)command, .expect = expect, .expected = expected};
}

static int carry_out(struct instance *instance, struct plan_step *steps, size_t n, struct error *err)
{
	char *pools[] = {(char[]){BACKEND}, NULL};
	const struct plan plan = {.action = PLAN_RUNTIME, .steps = steps, .n_steps = n, .pools = pools};
	const struct wanted wanted = {.text = instance->running, .length = instance->running_length};
	int r;

	LOCK_SCOPE(&instance->lock);
	r = instance_apply_at_runtime(instance, &plan, &wanted, err);
	return r;
}

static void test_answers_are_compared(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *list = NULL;
	struct plan_step good[] = {
		step("set server " BACKEND "/" MEMBER_1 " weight 1;set server " BACKEND "/" MEMBER_1 " weight 1",
			PLAN_EXPECT_NOTHING, NULL),
		step("get weight " BACKEND "/" MEMBER_1, PLAN_EXPECT_PREFIX, "1 (initial"),
		step("show info", PLAN_EXPECT_CONTAINS, "\nPid: "),
		step("prepare acl lists/" LISTENER_ID ".allowed", PLAN_EXPECT_VERSION, NULL),
		step("add acl @" PLAN_VERSION_MARK " lists/" LISTENER_ID ".allowed 10.1.0.0/16;add acl @" PLAN_VERSION_MARK
		     " lists/" LISTENER_ID ".allowed 10.2.0.0/16",
			PLAN_EXPECT_NOTHING, NULL),
		step("commit acl @" PLAN_VERSION_MARK " lists/" LISTENER_ID ".allowed", PLAN_EXPECT_NOTHING, NULL),
	};
	static const struct {
		const char *command;
		enum plan_expect expect;
		const char *expected, *words;
	} bad[] = {
		{"set server " BACKEND "/nobody weight 1", PLAN_EXPECT_NOTHING, NULL, "No such server"},
		{"get weight " BACKEND "/" MEMBER_1, PLAN_EXPECT_PREFIX, "2 (initial", "\"1 (initial"},
		{"show info", PLAN_EXPECT_CONTAINS, "nothing of that", "Name: HAProxy"},
		{"show info", PLAN_EXPECT_VERSION, NULL, "Name: HAProxy"},
		{"commit acl @" PLAN_VERSION_MARK " x", PLAN_EXPECT_NOTHING, NULL, "Invalid argument"},
		/* Every answer was as expected, and the result is not. */
		{"set server " BACKEND "/" MEMBER_1 " weight 77", PLAN_EXPECT_NOTHING, NULL, "read back: "},
	};

	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/8'],"
			"'default_pool':{'id':'" POOL_ID
			"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN','members':[" MEMBER(MEMBER_1, "") "]}}]",
			port, 1),
		PLAN_START, 1);
	instance = get(fixture, LB_A);
	if (carry_out(instance, good, ELEMENTSOF(good), &problem) < 0)
		fail_msg("%s", error_message(&problem));
	list = run_command(fixture, "show acl lists/" LISTENER_ID ".allowed");
	assert_non_null(strstr(list, "10.2.0.0/16"));
	assert_null(strstr(list, "10.0.0.0/8"));
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		struct plan_step steps[] = {step(bad[i].command, bad[i].expect, bad[i].expected)};
		_cleanup_error_ struct error err = ERROR_INIT;

		if (carry_out(instance, steps, 1, &err) == 0)
			fail_msg("\"%s\" went well", bad[i].command);
		if (!strstr(error_message(&err), bad[i].words))
			fail_msg("no \"%s\" in: %s", bad[i].words, error_message(&err));
	}
}

/* A key is in no message. */
static void test_secrets_are_not_told(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct plan_step steps[] = {{.command = (char *)"set ssl cert x <<\nSECRET\nSECRET",
		.shown = (char *)"set ssl cert x <<\n(a certificate)",
		.expect = PLAN_EXPECT_PREFIX,
		.expected = "Transaction created"}};

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), free_port(), 1), PLAN_START, 1);
	instance = get(fixture, LB_A);
	assert_true(carry_out(instance, steps, 1, &err) < 0);
	assert_null(strstr(error_message(&err), "SECRET"));
	assert_non_null(strstr(error_message(&err), "set ssl cert x"));
}

/* Of more old workers than there may be the oldest one goes. */
static void test_old_workers_are_bounded(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), backend, clients[4];
	_cleanup_close_ int backend_fd = listen_anywhere(&backend);
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ struct worker_figures *workers = NULL;
	int64_t deadline = process_now_ms() + DEADLINE_MS;
	size_t n = 0;

	fixture->settings.runtime_updates = false;
	fixture->settings.max_old_workers = 2;
	for (int i = 0; i < (int)ELEMENTSOF(clients); i++) {
		apply(fixture, define(LB_A, "'name':'%d'," POOL_OF(MEMBER(MEMBER_1, ",'weight':%d")), i, port, backend, i + 1),
			i == 0 ? PLAN_START : PLAN_RELOAD, i + 1);
		clients[i] = connect_to(port);
		accept_within(backend_fd);
	}
	instance = get(fixture, LB_A);
	do {
		free(TAKE_PTR(workers));
		instance_look_after(instance);
		if (instance_workers(instance, &workers, &n, NULL) < 0)
			n = 0;
		poll(NULL, 0, 10);
	} while (n != 3 && process_now_ms() < deadline);
	assert_int_equal(n, 3);
	assert_false(workers[0].old);
	assert_true(workers[1].old && workers[2].old);
	for (size_t i = 0; i < n; i++)
		assert_true(workers[i].memory_bytes > 1024 * 1024);
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		close(clients[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNTIME_TEST(test_members_come_and_go),
		RUNTIME_TEST(test_option),
		RUNTIME_TEST(test_server_leaves_when_its_connections_are_gone),
		RUNTIME_TEST(test_somebody_else_was_there),
		RUNTIME_TEST(test_somebody_else_disabled_a_server),
		RUNTIME_TEST(test_reload_that_mends_nothing),
		RUNTIME_TEST(test_crash_among_the_steps),
		RUNTIME_TEST(test_answers_are_compared),
		RUNTIME_TEST(test_secrets_are_not_told),
		RUNTIME_TEST(test_old_workers_are_bounded),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("instance_runtime", tests, NULL, NULL);
}
