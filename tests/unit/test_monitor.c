/* SPDX-License-Identifier: Apache-2.0 */

/* What the health thread reports and answers, over reloads, changes and restarts. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

#include "tests/unit/monitor_fixture.h"

/* --- tests --- */

static void test_heartbeat(void **state)
{
	struct fixture *f = *state;
	_cleanup_(json_decrefp) json_t *first = NULL, *second = NULL;
	_cleanup_close_ int connection = -1;

	start_health(f, 1);
	EVENTUALLY(answers(f));
	drain(f);
	first = receive(f, DEADLINE_MS);
	assert_string_equal(json_string_value(json_object_get(first, "id")), "the amphora");
	assert_int_equal(json_integer_value(json_object_get(first, "ver")), 3);
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(json_object_get(first, "listeners"), LISTENER), "status")),
		"OPEN");
	assert_int_equal(json_object_size(json_object_get(first, "listeners")), 1);
	assert_int_equal(json_object_size(json_object_get(first, "pools")), 1);
	second = receive(f, DEADLINE_MS);
	assert_int_equal(json_integer_value(json_object_get(second, "seq")),
		json_integer_value(json_object_get(first, "seq")) + 1);
	assert_string_equal(member_word(second), "UP");

	connection = client(f);
	EVENTUALLY(ask_listener(f).current_connections == 1);
	close(TAKE_FD(connection));
	EVENTUALLY(ask_listener(f).totals.bytes_in == 5);
	while (f->received_bytes < 5)
		json_decref(receive(f, DEADLINE_MS));
	assert_int_equal(f->received_bytes, 5);
	assert_int_equal(f->received_connections, 1);
	assert_true(process_now_ms() - health_last_round_ms(f->health) < DEADLINE_MS);
}

/* Whether the master takes commands, and signals: HAProxy loses a SIGUSR2 that comes before. */
static bool master_answers(const struct fixture *f)
{
	struct runtime_processes processes;
	bool worker;

	if (runtime_processes(f->target.master_socket, RUNTIME_TIMEOUT_MS, &processes, NULL) < 0)
		return false;
	worker = runtime_current_worker(&processes) != NULL;
	runtime_processes_done(&processes);
	return worker;
}

static void test_reload(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int old = -1, new = -1;
	pid_t worker;

	start_health(f, 3600);
	EVENTUALLY(answers(f) && master_answers(f));
	worker = ask_pid(f);
	old = client(f);
	EVENTUALLY(ask_listener(f).current_connections == 1);
	assert_int_equal(process_signal(f->haproxy_pidfd, SIGUSR2), 0);
	EVENTUALLY(ask_pid(f) != worker && ask_pid(f) > 0);
	EVENTUALLY(ask_listener(f).current_connections == 1);
	new = client(f);
	EVENTUALLY(ask_listener(f).current_connections == 2);
	assert_int_equal(write(old, "more", 4), 4);
	EVENTUALLY(ask_listener(f).totals.bytes_in == 14);
	assert_int_equal(ask_listener(f).totals.total_connections, 2);

	/* The old worker ends: nothing is counted twice, nothing is lost. */
	close(TAKE_FD(old));
	EVENTUALLY(ask_listener(f).current_connections == 1);
	close(TAKE_FD(new));
	EVENTUALLY(ask_listener(f).current_connections == 0);
	assert_int_equal(ask_listener(f).totals.bytes_in, 14);
	assert_int_equal(ask_listener(f).totals.total_connections, 2);
}

static void test_member_changes(void **state)
{
	struct fixture *f = *state;

	start_health(f, 1);
	await_member(f, "UP");
	assert_int_equal(logged(f, "->"), 0);
	stop_server(&f->member);
	await_member(f, "DOWN");
	start_server(&f->member);
	await_member(f, "UP");
	assert_int_equal(
		logged(f, LB ": member " MEMBER " of pool " POOL ": UP -> DOWN: L4CON"), 1);
	assert_int_equal(logged(f, "DOWN -> UP"), 1);
	assert_int_equal(logged(f, "->"), 2);
}

static void test_restart(void **state)
{
	struct fixture *f = *state;
	struct health_options o = options(f, 3600);

	start_health(f, 1);
	EVENTUALLY(answers(f));
	close(client(f));
	while (f->received_bytes < 5)
		json_decref(receive(f, DEADLINE_MS));
	health_free(f->health);
	close(client(f));

	start_health(f, 1);
	EVENTUALLY(ask_listener(f).totals.bytes_in == 10);
	assert_int_equal(ask_listener(f).totals.total_connections, 2);
	while (f->received_bytes < 10)
		json_decref(receive(f, DEADLINE_MS));
	assert_int_equal(f->received_bytes, 10);
	assert_int_equal(f->received_connections, 2);

	/* Deleted: another load balancer of that id would begin at what HAProxy says. */
	__atomic_store_n(&f->n_targets, 0, __ATOMIC_RELAXED);
	health_forget(f->health, LB);
	health_free(TAKE_PTR(f->health));
	assert_int_equal(health_new(&o, &f->health, NULL), 0);
	f->n_targets = 1;
	close(client(f));
	EVENTUALLY(ask_listener(f).totals.bytes_in == 15);
}

static void *ask_often(void *userdata)
{
	for (int i = 0; i < 20; i++)
		snapshot_free(ask(userdata));
	return NULL;
}

static void test_many_askers(void **state)
{
	enum { ASKERS = 4, CONNECTIONS = 30 };
	struct fixture *f = *state;
	pthread_t threads[ASKERS];

	start_health(f, 1);
	EVENTUALLY(answers(f));
	for (size_t i = 0; i < ASKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, f), 0);
	for (int i = 0; i < CONNECTIONS; i++) {
		struct health_options o = options(f, 1);

		close(client(f));
		if (i % 10 == 0)
			assert_int_equal(health_reconfigure(f->health, &o, NULL), 0);
	}
	for (size_t i = 0; i < ASKERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	EVENTUALLY(ask_listener(f).totals.bytes_in >= 5 * CONNECTIONS);
	assert_int_equal(ask_listener(f).totals.bytes_in, 5 * CONNECTIONS);
	assert_int_equal(ask_listener(f).totals.total_connections, CONNECTIONS);
}

int main(void)
{
	const char *const argv[] = {DEFAULT_HAPROXY_CMD, "-v", NULL};
	struct process_result result = PROCESS_RESULT_INIT;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_heartbeat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_member_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_askers, setup, teardown),
	};

	if (process_run(argv, NULL, 10000, 4096, &result) < 0 || result.exit_status != 0) {
		printf("skipped: %s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	process_result_done(&result);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
