/* SPDX-License-Identifier: Apache-2.0 */

/* What another agent left running, and what only looks like it: the direct supervisor with a real HAProxy. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "tests/unit/direct_fixture.h"

static void test_release_and_adopt(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f), master = ops(f)->pid(f->unit);

	ops(f)->release(TAKE_PTR(f->unit));
	ops(f)->free(TAKE_PTR(f->supervisor));
	assert_int_equal(request(f->port), worker);

	adopt(f);
	assert_int_equal(ops(f)->pid(f->unit), master);
	assert_int_equal(ops(f)->start(f->unit, NULL), -EALREADY);
	assert_int_equal(ops(f)->reload(f->unit, NULL), 0);
	worker = wait_serving(f, worker);
	assert_int_equal(kill(master, SIGKILL), 0);
	wait_events(f, 2);
	wait_serving(f, worker);
}

static void test_release_cancels_a_restart(void **state)
{
	struct fixture *f = *state;
	int64_t end;

	start(f);
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGKILL), 0);
	wait_events(f, 1);
	ops(f)->release(TAKE_PTR(f->unit));
	/* Three times the delay that was announced. */
	end = process_now_ms() + 3 * f->events[0].delay_ms;
	while (process_now_ms() < end)
		pump(f, 10);
	assert_int_equal(f->n_events, 1);
	assert_int_equal(request(f->port), -1);
	adopt(f);
	assert_int_equal(ops(f)->pid(f->unit), 0);
}

/* In the child HAProxy is a stranger: it cannot be waited for, only watched. Returns the exit
 * status. */
static int child_adopts(struct fixture *f, pid_t master)
{
	int64_t deadline = process_now_ms() + PATIENCE_MS;

	f->supervisor = NULL;
	f->n_events = 0;
	if (supervisor_direct_new(on_event, f, &f->supervisor, NULL) < 0 ||
		ops(f)->adopt(f->supervisor, &f->spec, &f->unit, NULL) < 0)
		return 10;
	if (ops(f)->pid(f->unit) != master)
		return 11;
	kill(master, SIGKILL);
	while (f->n_events < 2 && process_now_ms() < deadline)
		pump(f, 50);
	if (f->n_events != 2 || f->events[0].event != SUPERVISOR_EXITED ||
		f->events[1].event != SUPERVISOR_RESTARTED)
		return 12;
	while (request(f->port) <= 0 && process_now_ms() < deadline)
		pump(f, 5);
	ops(f)->release(f->unit);
	ops(f)->free(f->supervisor);
	return 0;
}

static void test_another_process_adopts(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f), master = ops(f)->pid(f->unit), child;
	int status = 0;

	ops(f)->release(TAKE_PTR(f->unit));
	ops(f)->free(TAKE_PTR(f->supervisor));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(child_adopts(f, master));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(
		waitpid(master, NULL, 0), master); /* ours, and nobody else could reap it */

	/* And back: now it is a stranger to us. */
	assert_true(request(f->port) != worker);
	adopt(f);
	assert_true(ops(f)->pid(f->unit) > 0);
	assert_int_not_equal(ops(f)->pid(f->unit), master);
	assert_int_equal(ops(f)->stop(f->unit, 0, NULL), 0);
	assert_int_equal(request(f->port), -1);
}

static void test_pid_files_that_lie(void **state)
{
	struct fixture *f = *state;
	char our_pid[32];
	const char *const contents[] = {"", "\n", "garbage\n", "-1\n", "0\n", "1\n",
		"999999999999999999999\n", "2147483647\n", "12 34\n", our_pid};
	pid_t master;

	snprintf(our_pid, sizeof(our_pid), "%d\n", (int)getpid());
	for (size_t i = 0; i < ELEMENTSOF(contents); i++) {
		ops(f)->release(TAKE_PTR(f->unit));
		write_file(f->pid_file, contents[i]);
		adopt(f);
		assert_int_equal(ops(f)->pid(f->unit), 0);
	}

	/* What runs is found all the same: a second HAProxy beside it would share its ports. */
	start(f);
	master = ops(f)->pid(f->unit);
	for (size_t i = 0; i < ELEMENTSOF(contents); i++) {
		ops(f)->release(TAKE_PTR(f->unit));
		write_file(f->pid_file, contents[i]);
		adopt(f);
		assert_int_equal(ops(f)->pid(f->unit), master);
	}
	ops(f)->release(TAKE_PTR(f->unit));
	assert_int_equal(unlink(f->pid_file), 0);
	adopt(f);
	assert_int_equal(ops(f)->pid(f->unit), master);
}

/* The number of a worker, or of another load balancer's HAProxy, in the pid file. */
static void test_pid_file_of_another_haproxy(void **state)
{
	struct fixture *f = *state, *other = NULL;
	void *other_state = NULL;
	char text[32];
	pid_t worker, other_worker, master;

	assert_int_equal(setup(&other_state), 0);
	other = other_state;
	other_worker = start(other);
	ops(f)->release(TAKE_PTR(f->unit));
	snprintf(text, sizeof(text), "%d\n", (int)ops(other)->pid(other->unit));
	write_file(f->pid_file, text);
	adopt(f);
	assert_int_equal(ops(f)->pid(f->unit), 0);

	worker = start(f);
	master = ops(f)->pid(f->unit);
	ops(f)->release(TAKE_PTR(f->unit));
	snprintf(text, sizeof(text), "%d\n", (int)worker);
	write_file(f->pid_file, text);
	adopt(f);
	assert_int_equal(ops(f)->pid(f->unit), master);

	assert_int_equal(ops(f)->stop(f->unit, 0, NULL), 0);
	assert_int_equal(request(other->port), other_worker);
	assert_int_equal(teardown(&other_state), 0);
}

/* An end that another operation is first to see: one process afterwards, and no restart beside it.
 */
static void test_start_after_unseen_end(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int pidfd = -1;
	struct pollfd poll_fd = {.events = POLLIN};
	int64_t end;
	pid_t master;

	start(f);
	assert_int_equal(process_open(ops(f)->pid(f->unit), &pidfd), 0);
	assert_int_equal(process_signal(pidfd, SIGKILL), 0);
	poll_fd.fd = pidfd;
	assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
	assert_int_equal(ops(f)->reload(f->unit, NULL), -ESRCH);
	assert_int_equal(ops(f)->start(f->unit, NULL), 0);
	master = ops(f)->pid(f->unit);
	end = process_now_ms() + 300;
	while (process_now_ms() < end)
		pump(f, 10);
	assert_int_equal(ops(f)->pid(f->unit), master);
	assert_int_equal(f->n_events, 0);
	wait_serving(f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_release_and_adopt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_cancels_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_process_adopts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pid_files_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pid_file_of_another_haproxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_after_unseen_end, setup, teardown),
	};

	if (!find_haproxy()) {
		fprintf(stderr, "skipped: there is no haproxy\n");
		return 77;
	}
	log_set_level(LOG_CRIT); /* the ends that are provoked here are no news */
	return cmocka_run_group_tests_name("supervisor_adopt", tests, NULL, NULL);
}
