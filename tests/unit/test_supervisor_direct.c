/* SPDX-License-Identifier: Apache-2.0 */

/* The direct supervisor with a real HAProxy. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"
#include "agent/supervisor/output.h"
#include "tests/unit/supervised.h"

#define LB_ID "8a562351-f0a5-4e9c-a1d5-6f1c5c0a9d7e"

static const char *find_haproxy(void)
{
	static const char *const places[] = {
		"/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"};

	for (size_t i = 0; i < ELEMENTSOF(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

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

static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin_port);
}

static void adopt(struct fixture *f)
{
	if (!f->supervisor)
		assert_int_equal(supervisor_direct_new(on_event, f, &f->supervisor, NULL), 0);
	adopt_unit(f);
}

static int setup(void **state)
{
	const char *base = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->id, sizeof(f->id), LB_ID);
	snprintf(f->directory, sizeof(f->directory), "%s/direct-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->haproxy, sizeof(f->haproxy), "%s/haproxy", f->directory);
	snprintf(f->config, sizeof(f->config), "%s/haproxy.cfg", f->directory);
	snprintf(f->own_config, sizeof(f->own_config), "%s/own.cfg", f->directory);
	snprintf(f->socket, sizeof(f->socket), "%s/master.sock", f->directory);
	snprintf(f->pid_file, sizeof(f->pid_file), "%s/haproxy.pid", f->directory);
	snprintf(f->log_file, sizeof(f->log_file), "%s/haproxy.log", f->directory);
	f->spec = spec_of(f, f->haproxy, "peer");
	f->port = free_port();
	assert_int_equal(symlink(find_haproxy(), f->haproxy), 0);
	write_file(f->own_config, "global\n    hard-stop-after 60s\n");
	write_config(f, "");
	adopt(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (!f->unit)
		adopt(f); /* a test failed half-way: find what it left running */
	ops(f)->stop(f->unit, 0, NULL);
	ops(f)->release(f->unit);
	ops(f)->free(f->supervisor);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, f->directory), 0);
	free(f);
	return 0;
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
		cmocka_unit_test_setup_teardown(test_release_and_adopt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_cancels_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_process_adopts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pid_files_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pid_file_of_another_haproxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_graceful_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_of_one_that_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_cancels_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_after_unseen_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_specs, setup, teardown),
	};

	if (!find_haproxy()) {
		fprintf(stderr, "skipped: there is no haproxy\n");
		return 77;
	}
	log_set_level(LOG_CRIT); /* the ends that are provoked here are no news */
	return cmocka_run_group_tests_name("supervisor direct", tests, NULL, NULL);
}
