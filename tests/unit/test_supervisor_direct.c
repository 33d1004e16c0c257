/* SPDX-License-Identifier: Apache-2.0 */

/* The direct supervisor with a real HAProxy. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/supervisor/output.h"
#include "tests/unit/direct_fixture.h"

/* Waits until the master has seen this many reloads. */
static void wait_reloads(struct fixture *f, unsigned reloads, struct runtime_processes *ret)
{
	int64_t deadline = process_now_ms() + PATIENCE_MS;

	while (process_now_ms() < deadline) {
		if (runtime_processes(f->socket, 1000, ret, NULL) == 0) {
			if (ret->reloads == reloads && runtime_current_worker(ret))
				return;
			runtime_processes_done(ret);
		}
		pump(f, 5);
	}
	fail_msg("the master never counted %u reloads", reloads);
}

static void test_start(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *pid_text = NULL, *messages = NULL;
	struct stat st;
	pid_t pid;

	assert_int_equal(ops(f)->pid(f->unit), 0);
	assert_int_equal(ops(f)->reload(f->unit, &err), -ESRCH);
	start(f);
	pid = ops(f)->pid(f->unit);
	assert_true(pid > 0);
	assert_int_equal(getsid(pid), pid);
	assert_int_equal(fileio_read(AT_FDCWD, f->pid_file, 64, &pid_text, NULL), 0);
	assert_int_equal(atoi(pid_text), pid);
	assert_int_equal(stat(f->log_file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(f->socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(ops(f)->messages(f->unit, &messages), 0);
	assert_non_null(strstr(messages, "New worker"));

	assert_int_equal(ops(f)->start(f->unit, &err), -EALREADY);
	assert_int_equal(ops(f)->pid(f->unit), pid);
	assert_int_equal(f->n_events, 0);
}

struct load {
	uint16_t port;
	atomic_bool stop;
	unsigned good, bad;
};

static void *load_main(void *userdata)
{
	struct load *load = userdata;

	while (!load->stop) {
		if (request(load->port) > 0)
			load->good++;
		else
			load->bad++;
	}
	return NULL;
}

static void test_reload_under_load(void **state)
{
	struct fixture *f = *state;
	struct load load = {.port = f->port};
	pthread_t thread;
	pid_t worker = start(f), master = ops(f)->pid(f->unit);

	assert_int_equal(pthread_create(&thread, NULL, load_main, &load), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ops(f)->reload(f->unit, NULL), 0);
		worker = wait_serving(f, worker);
	}
	load.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(load.bad, 0);
	assert_true(load.good > 0);
	assert_int_equal(ops(f)->pid(f->unit), master);
	assert_int_equal(f->n_events, 0);
}

static void test_bad_reload(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *bad = NULL, *good = NULL;
	struct runtime_processes p;
	pid_t worker = start(f);

	write_config(f, "    no-such-keyword\n");
	assert_int_equal(ops(f)->reload(f->unit, NULL), 0);
	wait_reloads(f, 1, &p);
	assert_int_equal(p.failed_reloads, p.has_failed_reloads ? 1 : 0);
	assert_int_equal(runtime_current_worker(&p)->pid, worker);
	assert_int_equal(runtime_current_worker(&p)->reloads, 1);
	runtime_processes_done(&p);
	assert_int_equal(request(f->port), worker);
	assert_int_equal(ops(f)->messages(f->unit, &bad), 0);
	assert_non_null(strstr(bad, "unknown keyword 'no-such-keyword'"));
	assert_null(strstr(bad, "New worker")); /* that was the start */

	write_config(f, "");
	assert_int_equal(ops(f)->reload(f->unit, NULL), 0);
	wait_serving(f, worker);
	assert_int_equal(ops(f)->messages(f->unit, &good), 0);
	assert_null(strstr(good, "no-such-keyword"));
	assert_int_equal(f->n_events, 0);
}

/* Too early, the signal would kill HAProxy or be lost. */
static void test_reloads_in_a_row(void **state)
{
	struct fixture *f = *state;
	struct runtime_processes p;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(ops(f)->start(f->unit, NULL), 0);
		for (int k = 0; k < 3; k++)
			assert_int_equal(ops(f)->reload(f->unit, NULL), 0);
		wait_reloads(f, 3, &p);
		runtime_processes_done(&p);
		assert_int_equal(ops(f)->stop(f->unit, 0, NULL), 0);
	}
	assert_int_equal(f->n_events, 0);
}

static void test_reload_cuts_a_long_log(void **state)
{
	struct fixture *f = *state;
	static const char line[] = "[NOTICE]   (1) : Server b/s is UP.\n";
	_cleanup_free_ char *messages = NULL;
	_cleanup_close_ int fd = -1;
	pid_t worker = start(f);

	fd = open(f->log_file, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i <= OUTPUT_FILE_MAX / strlen(line); i++)
		assert_int_equal(fileio_write_all(fd, line, strlen(line)), 0);
	assert_int_equal(ops(f)->reload(f->unit, NULL), 0);
	wait_serving(f, worker);
	assert_true(output_size(f->log_file) < 2 * OUTPUT_TAIL_MAX);
	assert_int_equal(ops(f)->messages(f->unit, &messages), 0);
	assert_null(strstr(messages, "Server b/s"));
	assert_non_null(strstr(messages, "New worker"));
}

static void test_master_is_killed(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f), master = ops(f)->pid(f->unit);
	int64_t begin = process_now_ms();

	/* A worker that hangs cannot leave when its master dies. */
	assert_int_equal(kill(worker, SIGSTOP), 0);
	assert_int_equal(kill(master, SIGKILL), 0);
	wait_events(f, 2);
	wait_serving(f, worker);
	assert_true(process_now_ms() - begin < 2000);
	wait_gone(worker);

	assert_int_equal(f->n_events, 2);
	assert_int_equal(f->events[0].event, SUPERVISOR_EXITED);
	assert_int_equal(f->events[0].pid, master);
	assert_int_equal(f->events[0].delay_ms, 100);
	assert_int_equal(f->events[1].event, SUPERVISOR_RESTARTED);
	assert_int_equal(f->events[1].pid, ops(f)->pid(f->unit));
	assert_int_not_equal(f->events[1].pid, master);
	assert_int_equal(ops(f)->restarts(f->unit), 1);
}

static void test_worker_is_killed(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f);

	assert_int_equal(kill(worker, SIGKILL), 0);
	wait_events(f, 2);
	wait_serving(f, worker);
	assert_int_equal(f->events[0].event, SUPERVISOR_EXITED);
	assert_true(f->events[0].has_alert);
	assert_int_equal(f->events[1].event, SUPERVISOR_RESTARTED);
}

static void test_backoff(void **state)
{
	struct fixture *f = *state;

	write_config(f, "    no-such-keyword\n");
	assert_int_equal(ops(f)->start(f->unit, NULL), 0);
	wait_events(f, 7);
	for (size_t i = 0; i < 7; i += 2) {
		assert_int_equal(f->events[i].event, SUPERVISOR_EXITED);
		assert_int_equal(f->events[i].delay_ms, 100 << (i / 2));
		assert_true(f->events[i].has_alert);
		if (i + 1 < 7)
			assert_int_equal(f->events[i + 1].event, SUPERVISOR_RESTARTED);
	}
	/* While it waits there is none; a start does not wait. */
	assert_int_equal(ops(f)->pid(f->unit), 0);
	assert_int_equal(ops(f)->reload(f->unit, NULL), -ESRCH);
	write_config(f, "");
	start(f);
	assert_int_equal(f->n_events, 7);
}

static void test_haproxy_is_missing(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	char away[200];
	pid_t worker = start(f);

	snprintf(away, sizeof(away), "%s.away", f->haproxy);
	assert_int_equal(rename(f->haproxy, away), 0);
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGKILL), 0);
	wait_events(f, 3);
	assert_int_equal(f->events[1].event, SUPERVISOR_FAILED);
	assert_int_equal(f->events[1].delay_ms, 200);
	assert_int_equal(f->events[2].event, SUPERVISOR_FAILED);
	assert_int_equal(f->events[2].delay_ms, 400);
	/* A start that fails leaves the pending restart in place. */
	assert_int_equal(ops(f)->start(f->unit, &err), -ENOENT);
	assert_int_equal(rename(away, f->haproxy), 0);
	wait_serving(f, worker);
	assert_int_equal(f->events[f->n_events - 1].event, SUPERVISOR_RESTARTED);
}

struct stopper {
	struct fixture *fixture;
	atomic_bool done;
	int r;
};

static void *stopper_main(void *userdata)
{
	struct stopper *stopper = userdata;

	stopper->r = ops(stopper->fixture)->stop(stopper->fixture->unit, PATIENCE_MS, NULL);
	stopper->done = true;
	return NULL;
}

/* The connection that is open is served to its end, while the main thread goes on with its work. */
static void test_graceful_stop(void **state)
{
	static const char head[] = "POST /slow HTTP/1.0\r\nContent-Length: 4\r\n\r\nab";
	struct fixture *f = *state;
	struct stopper stopper = {.fixture = f};
	_cleanup_close_ int fd = -1;
	pid_t worker = start(f), master = ops(f)->pid(f->unit);
	int64_t deadline = process_now_ms() + PATIENCE_MS, slowest = 0;
	pthread_t thread;

	fd = connect_port(f->port);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL), sizeof(head) - 1);
	assert_int_equal(request(f->port), worker); /* so the one before was accepted */
	assert_int_equal(pthread_create(&thread, NULL, stopper_main, &stopper), 0);
	while (request(f->port) > 0 && process_now_ms() < deadline) {
		int64_t begin = process_now_ms();

		ops(f)->dispatch(f->supervisor);
		if (process_now_ms() - begin > slowest)
			slowest = process_now_ms() - begin;
	}
	assert_false(stopper.done);
	assert_true(slowest < 1000);
	assert_int_equal(ops(f)->pid(f->unit), master);
	assert_int_equal(send(fd, "cd", 2, MSG_NOSIGNAL), 2);
	assert_int_equal(read_reply(fd), worker);
	pthread_join(thread, NULL);
	assert_int_equal(stopper.r, 0);

	assert_int_equal(ops(f)->pid(f->unit), 0);
	assert_int_equal(access(f->pid_file, F_OK), -1);
	assert_int_equal(access(f->socket, F_OK), -1);
	pump(f, 300);
	assert_int_equal(f->n_events, 0);
	assert_int_equal(ops(f)->stop(f->unit, 0, NULL), 0); /* again */
	start(f);
}

/* Neither signal that can be ignored has an effect on a stopped process. */
static void test_stop_of_one_that_hangs(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f);

	assert_int_equal(kill(worker, SIGSTOP), 0);
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGSTOP), 0);
	assert_int_equal(ops(f)->stop(f->unit, 100, NULL), 0);
	wait_gone(worker);
	assert_int_equal(request(f->port), -1);
	pump(f, 0);
	assert_int_equal(f->n_events, 0);
}

static void test_stop_cancels_a_restart(void **state)
{
	struct fixture *f = *state;
	int64_t end;

	start(f);
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGKILL), 0);
	wait_events(f, 1);
	assert_int_equal(ops(f)->stop(f->unit, 0, NULL), 0);
	end = process_now_ms() + 3 * f->events[0].delay_ms;
	while (process_now_ms() < end)
		pump(f, 10);
	assert_int_equal(f->n_events, 1);
	assert_int_equal(ops(f)->pid(f->unit), 0);
}

static void test_bad_specs(void **state)
{
	struct fixture *f = *state;
	struct supervisor_spec specs[] = {f->spec, f->spec, f->spec};
	const int expected[] = {-EINVAL, -EINVAL, -EINVAL};

	specs[0].network_namespace = "../init";
	specs[1].master_socket = "/run/a,b.sock";
	specs[2].config = "haproxy.cfg";
	for (size_t i = 0; i < ELEMENTSOF(specs); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		struct supervisor_unit *unit = NULL;

		assert_int_equal(ops(f)->adopt(f->supervisor, &specs[i], &unit, &err), expected[i]);
		assert_null(unit);
		assert_non_null(err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reloads_in_a_row, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_cuts_a_long_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_master_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backoff, setup, teardown),
		cmocka_unit_test_setup_teardown(test_haproxy_is_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_graceful_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_of_one_that_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_cancels_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_specs, setup, teardown),
	};

	if (!find_haproxy()) {
		fprintf(stderr, "skipped: there is no haproxy\n");
		return 77;
	}
	log_set_level(LOG_CRIT); /* the ends that are provoked here are no news */
	return cmocka_run_group_tests_name("supervisor_direct", tests, NULL, NULL);
}
