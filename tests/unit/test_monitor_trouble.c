/* SPDX-License-Identifier: Apache-2.0 */

/* A HAProxy that hangs, a controller that is not there, a heartbeat that is too large. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "tests/unit/monitor_fixture.h"

#define OTHER_LB "11111111-0000-4000-8000-000000000002"

static void *ask_hanging(void *userdata)
{
	struct fixture *f = userdata;
	struct health_snapshot *snapshot = NULL;

	return health_snapshot(f->health, &f->target, 0, &snapshot, NULL) == 0 ? snapshot : NULL;
}

static void test_hanging_haproxy(void **state)
{
	struct fixture *f = *state;
	char socket_path[] = "/nonexistent/stats.sock";
	const struct health_target other = {.lb_id = OTHER_LB, .stats_socket = socket_path};
	_cleanup_snapshot_ struct health_snapshot *hung = NULL, *absent = NULL;
	_cleanup_(json_decrefp) json_t *message = NULL;
	void *result = NULL;
	pthread_t thread;
	size_t silences, returns;
	int64_t before;

	start_health(f, 1);
	await_member(f, "UP");
	/* The first round may have come before HAProxy did. */
	silences = logged(f, LB ": HAProxy does not answer");
	returns = logged(f, LB ": HAProxy answers again");
	assert_int_equal(process_open(ask_pid(f), &f->hung_worker_fd), 0);
	assert_int_equal(process_signal(f->hung_worker_fd, SIGSTOP), 0);

	assert_int_equal(pthread_create(&thread, NULL, ask_hanging, f), 0);
	before = process_now_ms();
	assert_int_equal(health_snapshot(f->health, &other, 0, &absent, NULL), 0);
	assert_true(process_now_ms() - before < 1000);
	assert_false(absent->answered);
	assert_int_equal(pthread_join(thread, &result), 0);
	hung = result;
	assert_non_null(hung);
	assert_false(hung->answered);
	assert_int_equal(hung->n_listeners, 0);

	/* Heartbeats go on, without its listeners; the log has it once. */
	do {
		json_decref(message);
		message = receive(f, DEADLINE_MS);
		assert_non_null(message);
	} while (json_object_size(json_object_get(message, "listeners")) > 0);
	json_decref(message);
	message = receive(f, DEADLINE_MS);
	assert_non_null(message);
	assert_int_equal(logged(f, LB ": HAProxy does not answer"), silences + 1);

	assert_int_equal(process_signal(f->hung_worker_fd, SIGCONT), 0);
	await_member(f, "UP");
	assert_int_equal(logged(f, LB ": HAProxy does not answer"), silences + 1);
	assert_int_equal(logged(f, LB ": HAProxy answers again"), returns + 1);
}

static void test_failed_send(void **state)
{
	struct fixture *f = *state;
	struct health_options o;
	char receiver[64];

	memcpy(receiver, f->controllers, sizeof(receiver));
	/* Broadcast, which nobody allowed: sending fails at once. */
	snprintf(f->controllers, sizeof(f->controllers), "255.255.255.255:9");
	start_health(f, 1);
	EVENTUALLY(answers(f));
	close(client(f));
	EVENTUALLY(ask_listener(f).totals.bytes_in == 5);
	EVENTUALLY(logged(f, "heartbeat: cannot be sent") > 0);

	memcpy(f->controllers, receiver, sizeof(receiver));
	o = options(f, 1);
	assert_int_equal(health_reconfigure(f->health, &o, NULL), 0);
	json_decref(receive(f, DEADLINE_MS));
	assert_int_equal(f->received_bytes, 5);
	assert_int_equal(f->received_connections, 1);
	json_decref(receive(f, DEADLINE_MS));
	assert_int_equal(f->received_bytes, 5);
	assert_int_equal(logged(f, "heartbeat: cannot be sent"), 1);

	o.heartbeat_key = "";
	assert_int_equal(health_reconfigure(f->health, &o, NULL), -EINVAL);
}

static void test_waiting(void **state)
{
	struct fixture *f = *state;
	struct health_options o = options(f, 1);
	int64_t before;

	/* No haste: one message at once, the next in an hour, or when that changes. */
	start_health(f, 3600);
	json_decref(receive(f, DEADLINE_MS));
	assert_int_equal(health_reconfigure(f->health, &o, NULL), 0);
	before = process_now_ms();
	for (int i = 0; i < 2; i++) {
		json_t *message = receive(f, DEADLINE_MS);

		assert_non_null(message);
		json_decref(message);
	}
	assert_true(process_now_ms() - before < 10000);

	/* Nobody to send to: the states are still looked at. */
	o.controllers = "";
	o.heartbeat_key = NULL;
	assert_int_equal(health_reconfigure(f->health, &o, NULL), 0);
	before = health_last_round_ms(f->health);
	EVENTUALLY(health_last_round_ms(f->health) > before);
	drain(f);
	stop_server(&f->member);
	EVENTUALLY(logged(f, "UP -> DOWN") == 1);
	assert_null(receive(f, 0));

	o = options(f, 3600);
	assert_int_equal(health_reconfigure(f->health, &o, NULL), 0);
	before = process_now_ms();
	health_free(TAKE_PTR(f->health));
	assert_true(process_now_ms() - before < 10000);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	int64_t before;

	stop_haproxy(f);
	write_config(f, 6000);
	start_haproxy(f);
	f->n_targets = 0; /* nothing to say before the first message */
	start_health(f, 1);
	EVENTUALLY(answers(f));
	json_decref(receive(f, DEADLINE_MS));
	__atomic_store_n(&f->n_targets, 1, __ATOMIC_RELAXED);
	EVENTUALLY(logged(f, "with 6001 members") > 0);
	drain(f);
	before = health_last_round_ms(f->health);
	EVENTUALLY(health_last_round_ms(f->health) > before);
	assert_int_equal(logged(f, "with 6001 members"), 1);
	assert_null(receive(f, 0));
}

int main(void)
{
	const char *const argv[] = {DEFAULT_HAPROXY_CMD, "-v", NULL};
	struct process_result result = PROCESS_RESULT_INIT;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hanging_haproxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_send, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
	};

	if (process_run(argv, NULL, 10000, 4096, &result) < 0 || result.exit_status != 0) {
		printf("skipped: %s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	process_result_done(&result);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
