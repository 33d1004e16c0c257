/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The systemd supervisor with a real systemd and a real HAProxy. tests/vm/run-systemd runs it
 * inside a machine of its own, as root, first with the argument "first", then, after that machine
 * was booted again, with "second".
 */

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
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/base/fileio.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"
#include "agent/supervisor/environment.h"
#include "tests/unit/supervised.h"

enum {
	PORT = 8080,
	PARALLEL = 4,
	KILLS = 8,
};

#define BASE_PATH "/var/lib/octavia"
#define RUN_DIR "/run/amphorad"
#define WANTS "/etc/systemd/system/multi-user.target.wants"
#define TESTED "8a562351-f0a5-4e9c-a1d5-6f1c5c0a9d7e"
#define KEPT "11111111-f0a5-4e9c-a1d5-6f1c5c0a9d7e"
#define DELETED "22222222-f0a5-4e9c-a1d5-6f1c5c0a9d7e"
#define INSIDE "33333333-f0a5-4e9c-a1d5-6f1c5c0a9d7e"

/* Until nothing is left to be told. */
static void settle(struct fixture *f)
{
	struct pollfd poll_fd = {.fd = ops(f)->fd(f->supervisor), .events = POLLIN};

	while (poll(&poll_fd, 1, 300) > 0)
		ops(f)->dispatch(f->supervisor);
}

/* What a program says. */
static char *run(const char *const *argv)
{
	struct process_result result = PROCESS_RESULT_INIT;

	assert_int_equal(process_run(argv, NULL, PATIENCE_MS, 64 * 1024, &result), 0);
	return result.output;
}

static void assert_unit(const struct fixture *f, const char *verb, const char *expected)
{
	const char *const argv[] = {"systemctl", verb, f->unit_name, NULL};
	_cleanup_free_ char *said = run(argv);

	said[strcspn(said, "\n")] = '\0';
	assert_string_equal(said, expected);
}

static int listen_port(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int yes = 1;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
		bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return -1;
	return TAKE_FD(fd);
}

static void wait_reloads(struct fixture *f, unsigned reloads, unsigned failed)
{
	int64_t deadline = process_now_ms() + PATIENCE_MS;

	while (process_now_ms() < deadline) {
		struct runtime_processes now = {0};
		bool reached = false;

		if (runtime_processes(f->socket, 1000, &now, NULL) == 0)
			reached = now.reloads == reloads && now.failed_reloads == failed &&
				  runtime_current_worker(&now);
		runtime_processes_done(&now);
		if (reached)
			return;
		pump(f, 20);
	}
	fail_msg("the master never counted %u reloads, %u failed", reloads, failed);
}

static void open_supervisor(struct fixture *f)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (supervisor_systemd_new(on_event, f, &f->supervisor, &err) < 0)
		fail_msg("supervisor: %s", error_message(&err));
}

static void readopt(struct fixture *f)
{
	ops(f)->release(TAKE_PTR(f->unit));
	adopt_unit(f);
}

static void stop(struct fixture *f)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (ops(f)->stop(f->unit, 0, &err) < 0)
		fail_msg("stop: %s", error_message(&err));
}

static void reload(struct fixture *f)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (ops(f)->reload(f->unit, &err) < 0)
		fail_msg("reload: %s", error_message(&err));
}

/* start() fails and says "words"; nothing is left. */
static void assert_start_fails(struct fixture *f, enum error_code code, const char *words)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_true(ops(f)->start(f->unit, &err) < 0);
	print_message("%s\n", error_message(&err));
	assert_int_equal(err.code, code);
	assert_non_null(strstr(error_message(&err), words));
	assert_int_equal(ops(f)->pid(f->unit), 0);
	assert_unit(f, "is-active", "inactive");
	assert_unit(f, "is-enabled", "disabled");
	settle(f);
	assert_int_equal(f->n_events, 0);
}

static void prepare(struct fixture *f, const char *id, uint16_t port)
{
	snprintf(f->id, sizeof(f->id), "%s", id);
	snprintf(f->unit_name, sizeof(f->unit_name), "amphora-haproxy@%s.service", id);
	snprintf(f->link, sizeof(f->link), WANTS "/%s", f->unit_name);
	snprintf(f->directory, sizeof(f->directory), BASE_PATH "/%s", id);
	/* A name that is all that a unit file and an environment file give a meaning to. */
	snprintf(f->config, sizeof(f->config), "%s/ha $HOME ${HOME} %%i \"x\" 'y' `z` \\.cfg",
		f->directory);
	snprintf(f->own_config, sizeof(f->own_config), "%s/amphorad.cfg", f->directory);
	snprintf(f->socket, sizeof(f->socket), RUN_DIR "/%s.master", id);
	snprintf(f->pid_file, sizeof(f->pid_file), "%s/%s.pid", f->directory, id);
	snprintf(f->log_file, sizeof(f->log_file), "%s/haproxy.log", f->directory);
	f->port = port;
	f->spec = spec_of(f, "/usr/sbin/haproxy", "peer_-1");
	assert_int_equal(fileio_make_dirs(RUN_DIR, 0755), 0);
	assert_int_equal(fileio_make_dirs(f->directory, 0700), 0);
	write_file(f->own_config,
		"global\n    hard-stop-after 60s\n    user haproxy\n    group haproxy\n");
	write_config(f, "");
	open_supervisor(f);
	adopt_unit(f);
}

static void finish(struct fixture *f)
{
	ops(f)->release(f->unit);
	ops(f)->free(f->supervisor);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	prepare(f, TESTED, PORT);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stop(f);
	assert_int_equal(ops(f)->disable(f->unit, NULL), 0);
	assert_unit(f, "is-active", "inactive");
	finish(f);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, f->directory), 0);
	free(f);
	return 0;
}

static bool command_line_has(pid_t pid, const char *a, const char *b)
{
	_cleanup_free_ char *line = NULL;
	char path[64];
	size_t length;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	assert_int_equal(fileio_read(AT_FDCWD, path, 64 * 1024, &line, &length), 0);
	for (const char *p = line; p < line + length; p += strlen(p) + 1)
		if (streq(p, a) && p + strlen(p) + 1 < line + length && streq(p + strlen(p) + 1, b))
			return true;
	return false;
}

static void test_start(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *messages = NULL, *pid_text = NULL;
	char path[200];
	struct stat st;
	pid_t pid;

	assert_true(supervisor_systemd_is_running());
	assert_int_equal(ops(f)->pid(f->unit), 0);
	assert_int_equal(ops(f)->reload(f->unit, &err), -ESRCH);
	start(f);
	pid = ops(f)->pid(f->unit);
	assert_true(pid > 0);
	assert_unit(f, "is-active", "active");
	assert_true(command_line_has(pid, "-f", f->config));
	assert_true(command_line_has(pid, "-f", f->own_config));
	assert_true(command_line_has(pid, "-L", "peer_-1"));
	assert_int_equal(fileio_read(AT_FDCWD, f->pid_file, 64, &pid_text, NULL), 0);
	assert_int_equal(atoi(pid_text), pid);
	assert_int_equal(stat(f->socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/" ENVIRONMENT_FILE, f->directory);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(ops(f)->messages(f->unit, &messages), 0);
	assert_non_null(strstr(messages, "New worker"));
	assert_int_equal(ops(f)->start(f->unit, &err), -EALREADY);
	settle(f);
	assert_int_equal(ops(f)->pid(f->unit), pid);
	assert_int_equal(ops(f)->restarts(f->unit), 0);
	assert_int_equal(f->n_events, 0);
}

/* What health checks by ping need, and many connections. */
static void test_process_settings(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *status = NULL, *limits = NULL;
	char path[64], *line;

	start(f);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)ops(f)->pid(f->unit));
	assert_int_equal(fileio_read(AT_FDCWD, path, 64 * 1024, &status, NULL), 0);
	assert_non_null(strstr(status, "NoNewPrivs:\t0\n"));
	snprintf(path, sizeof(path), "/proc/%d/limits", (int)ops(f)->pid(f->unit));
	assert_int_equal(fileio_read(AT_FDCWD, path, 64 * 1024, &limits, NULL), 0);
	/* The soft limit is HAProxy's own business. */
	line = strstr(limits, "Max open files ");
	assert_non_null(line);
	line[strcspn(line, "\n")] = '\0';
	assert_non_null(strstr(line, " 2600000 "));
}

static void test_enabled_until_disabled(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	char path[200];

	assert_unit(f, "is-enabled", "disabled");
	start(f);
	assert_unit(f, "is-enabled", "enabled");
	assert_int_equal(access(f->link, F_OK), 0);
	stop(f);
	assert_unit(f, "is-enabled", "enabled");
	assert_int_equal(ops(f)->disable(f->unit, &err), 0);
	assert_unit(f, "is-enabled", "disabled");
	assert_int_not_equal(access(f->link, F_OK), 0);
	snprintf(path, sizeof(path), "%s/" ENVIRONMENT_FILE, f->directory);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(ops(f)->disable(f->unit, &err), 0);
}

static void test_reload_good(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f), pid = ops(f)->pid(f->unit);

	for (unsigned i = 1; i <= 3; i++) {
		reload(f);
		wait_reloads(f, i, 0);
		worker = wait_serving(f, worker);
		assert_int_equal(ops(f)->pid(f->unit), pid);
	}
	settle(f);
	assert_int_equal(f->n_events, 0);
	assert_unit(f, "is-active", "active");
}

static void test_reload_bad(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *messages = NULL, *after = NULL;
	pid_t worker = start(f), pid = ops(f)->pid(f->unit);

	write_config(f, "    wrong keyword\n");
	reload(f);
	wait_reloads(f, 1, 1);
	assert_int_equal(request(f->port), worker);
	assert_int_equal(ops(f)->messages(f->unit, &messages), 0);
	assert_non_null(strstr(messages, "unknown keyword 'wrong'"));
	assert_null(strstr(messages, "New worker"));
	assert_int_equal(ops(f)->pid(f->unit), pid);

	write_config(f, "");
	reload(f);
	wait_serving(f, worker);
	assert_int_equal(ops(f)->messages(f->unit, &after), 0);
	assert_null(strstr(after, "unknown keyword"));
	settle(f);
	assert_int_equal(f->n_events, 0);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;
	pid_t pid, worker = start(f);

	pid = ops(f)->pid(f->unit);
	stop(f);
	wait_gone(pid);
	wait_gone(worker);
	assert_int_equal(ops(f)->pid(f->unit), 0);
	assert_int_equal(request(f->port), -1);
	assert_int_not_equal(access(f->socket, F_OK), 0);
	assert_int_not_equal(access(f->pid_file, F_OK), 0);
	assert_unit(f, "is-active", "inactive");
	stop(f);
	start(f);
	settle(f);
	assert_int_equal(f->n_events, 0);
}

struct stopping {
	struct fixture *f;
	int r;
};

static void *stop_gracefully(void *userdata)
{
	struct stopping *stopping = userdata;

	stopping->r = ops(stopping->f)->stop(stopping->f->unit, PATIENCE_MS, NULL);
	return NULL;
}

static void test_stop_gracefully(void **state)
{
	struct fixture *f = *state;
	struct stopping stopping = {.f = f, .r = 1};
	int64_t deadline = process_now_ms() + PATIENCE_MS;
	pid_t worker = start(f);
	pthread_t thread;
	_cleanup_close_ int fd = connect_port(f->port);

	assert_int_equal(send_text(fd, "POST /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
				       "Content-Length: 2\r\n\r\na"),
		0);
	assert_int_equal(pthread_create(&thread, NULL, stop_gracefully, &stopping), 0);
	/* It takes no new connections any more. */
	while (request(f->port) > 0 && process_now_ms() < deadline)
		pump(f, 20);
	assert_int_equal(send_text(fd, "b"), 0);
	assert_int_equal(read_reply(fd), worker);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(stopping.r, 0);
	assert_int_equal(ops(f)->pid(f->unit), 0);
	assert_unit(f, "is-active", "inactive");
	settle(f);
	assert_int_equal(f->n_events, 0);
}

static void test_port_taken(void **state)
{
	struct fixture *f = *state;
	int fd = listen_port(f->port);

	assert_true(fd >= 0);
	assert_start_fails(f, ERROR_APPLY, "cannot bind socket (Address already in use)");
	close(fd);
	start(f);
}

static void test_bad_file(void **state)
{
	struct fixture *f = *state;

	write_config(f, "    wrong keyword\n");
	assert_start_fails(f, ERROR_APPLY, "unknown keyword 'wrong'");
	assert_int_equal(unlink(f->config), 0);
	assert_start_fails(f, ERROR_APPLY, "No such file or directory");
}

static void test_missing_program(void **state)
{
	struct fixture *f = *state;

	f->spec.haproxy_cmd = "/usr/sbin/not-haproxy";
	readopt(f);
	assert_start_fails(f, ERROR_APPLY, "not-haproxy");
	f->spec.haproxy_cmd = "A=/usr/sbin/haproxy";
	readopt(f);
	assert_start_fails(f, ERROR_INVALID, "A=/usr/sbin/haproxy");
}

/* A drop-in of the operator's, NULL: none. */
static void set_drop_in(const char *content)
{
	static const char folder[] = "/etc/systemd/system/amphora-haproxy@.service.d";

	assert_int_equal(fileio_remove_tree(AT_FDCWD, folder), 0);
	if (content) {
		assert_int_equal(fileio_make_dirs(folder, 0755), 0);
		write_file("/etc/systemd/system/amphora-haproxy@.service.d/test.conf", content);
	}
	free(run((const char *const[]){"systemctl", "daemon-reload", NULL}));
}

static void test_unit_says_otherwise(void **state)
{
	struct fixture *f = *state;
	char directory[] = "/tmp/elsewhere";

	set_drop_in("[Service]\nNetworkNamespacePath=/run/netns/elsewhere\n");
	assert_start_fails(f, ERROR_INTERNAL, "NetworkNamespacePath=");
	/* A unit file that does not enter the namespace. */
	set_drop_in("[Service]\nUnsetEnvironment=AMPHORA_ENTER\n"
		    "ExecStart=\nExecStart=/usr/bin/env ${AMPHORA_HAPROXY} -Ws -C ${AMPHORA_DIRECTORY} -S "
		    "${AMPHORA_MASTER_SOCKET} -p ${AMPHORA_PID_FILE} -f ${AMPHORA_CONFIG} -f ${AMPHORA_OWN_CONFIG}\n");
	f->spec.network_namespace = "lb";
	readopt(f);
	assert_start_fails(f, ERROR_INTERNAL, "$AMPHORA_ENTER");
	set_drop_in(NULL);
	f->spec.network_namespace = NULL;
	f->spec.directory = directory;
	assert_int_equal(fileio_make_dirs(directory, 0700), 0);
	readopt(f);
	assert_start_fails(f, ERROR_INTERNAL, "EnvironmentFile=/tmp/elsewhere/");
	assert_int_equal(ops(f)->disable(f->unit, NULL), 0);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, directory), 0);
	f->spec.directory = f->directory;
	readopt(f);
}

static bool is_in(pid_t pid, const char *network_namespace)
{
	_cleanup_close_ int its_fd = -1, wanted_fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	its_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (its_fd < 0 || (network_namespace && namespace_open(network_namespace, &wanted_fd, NULL) < 0))
		return false;
	return namespace_is_same(its_fd, wanted_fd);
}

static int request_here(void *userdata)
{
	return request(*(const uint16_t *)userdata);
}

/* The worker that serves inside; -1 if none does. */
static pid_t request_inside(const struct fixture *f)
{
	_cleanup_close_ int fd = -1;
	uint16_t port = f->port;

	return namespace_open(f->spec.network_namespace, &fd, NULL) < 0 ? -1 : namespace_run(fd, request_here, &port);
}

static void test_network_namespace(void **state)
{
	struct fixture *f = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	pid_t pid, worker;

	f->spec.network_namespace = "lb";
	readopt(f);
	if (ops(f)->start(f->unit, &err) < 0)
		fail_msg("start: %s", error_message(&err));
	pid = ops(f)->pid(f->unit);
	worker = request_inside(f);
	assert_true(worker > 0);
	assert_true(is_in(pid, "lb") && is_in(worker, "lb") && is_in(getpid(), NULL));
	assert_int_equal(request(f->port), -1);
	/* It is systemd's main process, whatever entered the namespace. */
	assert_true(command_line_has(pid, "-S", f->socket) || command_line_has(pid, "-C", f->directory));
	reload(f);
	wait_reloads(f, 1, 0);
	assert_int_equal(ops(f)->pid(f->unit), pid);
	assert_true(request_inside(f) > 0);
	/* Another agent adopts it. */
	readopt(f);
	assert_int_equal(ops(f)->pid(f->unit), pid);
	/* systemd restarts it there. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	wait_gone(pid);
	wait_events(f, 2);
	pid = ops(f)->pid(f->unit);
	assert_true(is_in(pid, "lb"));
	assert_true(request_inside(f) > 0);
	/* The option has changed: it is stopped, and started where it shall be. */
	f->spec.network_namespace = NULL;
	readopt(f);
	assert_int_equal(ops(f)->pid(f->unit), 0);
	wait_gone(pid);
	start(f);
	assert_true(is_in(ops(f)->pid(f->unit), NULL));
}

static void test_killed(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f), pid = ops(f)->pid(f->unit);

	/* Often: a look may fall between systemd's counting a restart and its doing it. */
	for (unsigned i = 1; i <= KILLS; i++) {
		assert_int_equal(kill(pid, SIGKILL), 0);
		wait_gone(pid);
		assert_int_equal(ops(f)->pid(f->unit), 0);
		wait_events(f, 2 * i);
		assert_int_equal(f->events[2 * i - 2].event, SUPERVISOR_EXITED);
		assert_int_equal(f->events[2 * i - 2].pid, pid);
		assert_int_equal(f->events[2 * i - 2].delay_ms, 500);
		assert_int_equal(f->events[2 * i - 1].event, SUPERVISOR_RESTARTED);
		assert_int_not_equal(f->events[2 * i - 1].pid, pid);
		pid = f->events[2 * i - 1].pid;
		assert_int_equal(ops(f)->pid(f->unit), pid);
		assert_int_equal(ops(f)->restarts(f->unit), i);
		worker = wait_serving(f, worker);
	}
	settle(f);
	assert_int_equal(f->n_events, 2 * KILLS);
	reload(f);
	wait_serving(f, worker);
}

/* A restart that nobody has heard of yet: start() must not take it for the one that it was asked
 * for. */
static void test_start_during_restart(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	start(f);
	pid = ops(f)->pid(f->unit);
	assert_int_equal(kill(pid, SIGKILL), 0);
	wait_gone(pid);
	start(f);
	assert_int_not_equal(ops(f)->pid(f->unit), pid);
	settle(f);
	assert_int_equal(f->n_events, 0);
}

static void test_cannot_be_restarted(void **state)
{
	struct fixture *f = *state;
	size_t n;

	start(f);
	write_config(f, "    wrong keyword\n");
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGKILL), 0);
	wait_events(f, 3);
	assert_int_equal(f->events[0].event, SUPERVISOR_EXITED);
	assert_int_equal(f->events[1].event, SUPERVISOR_FAILED);
	assert_int_equal(f->events[2].event, SUPERVISOR_FAILED);
	assert_true(f->events[1].has_alert || f->events[2].has_alert);
	assert_int_equal(ops(f)->pid(f->unit), 0);
	write_config(f, "");
	n = f->n_events;
	wait_serving(f, 0);
	wait_events(f, n + 1);
	assert_int_equal(f->events[f->n_events - 1].event, SUPERVISOR_RESTARTED);
	assert_true(ops(f)->restarts(f->unit) >= 3);

	/* Stopping wins over restarts. */
	write_config(f, "    wrong keyword\n");
	n = f->n_events;
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGKILL), 0);
	wait_events(f, n + 2);
	stop(f);
	n = f->n_events;
	settle(f);
	assert_int_equal(f->n_events, n);
	assert_unit(f, "is-active", "inactive");
}

static void test_stopped_by_hand(void **state)
{
	struct fixture *f = *state;
	const char *const stop_it[] = {"systemctl", "stop", f->unit_name, NULL};
	const char *const start_it[] = {"systemctl", "start", f->unit_name, NULL};

	start(f);
	free(run(stop_it));
	wait_events(f, 1);
	assert_int_equal(f->events[0].event, SUPERVISOR_EXITED);
	assert_int_equal(ops(f)->pid(f->unit), 0);
	free(run(start_it));
	wait_events(f, 2);
	assert_int_equal(f->events[1].event, SUPERVISOR_RESTARTED);
	wait_serving(f, 0);
	assert_int_equal(ops(f)->start(f->unit, NULL), -EALREADY);
}

static void test_reloaded_by_hand(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = {"systemctl", "reload", f->unit_name, NULL};
	pid_t worker = start(f);
	_cleanup_free_ char *good = run(argv), *bad = NULL;

	assert_string_equal(good, "");
	worker = wait_serving(f, worker);
	write_config(f, "    wrong keyword\n");
	bad = run(argv);
	assert_non_null(strstr(bad, "failed"));
	assert_int_equal(request(f->port), worker);
	settle(f);
	assert_int_equal(f->n_events, 0);
}

static void test_adopt(void **state)
{
	struct fixture *f = *state;
	pid_t worker = start(f), pid = ops(f)->pid(f->unit);

	finish(f);
	open_supervisor(f);
	adopt_unit(f);
	assert_int_equal(ops(f)->pid(f->unit), pid);
	assert_int_equal(request(f->port), worker);
	reload(f);
	worker = wait_serving(f, worker);
	settle(f);
	assert_int_equal(f->n_events, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	wait_events(f, 2);
	assert_int_equal(f->events[1].event, SUPERVISOR_RESTARTED);
	wait_serving(f, worker);
}

/* Another process starts HAProxy and is killed. */
static void test_agent_dies(void **state)
{
	struct fixture *f = *state;
	pid_t child, worker;
	int status;

	finish(f);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		open_supervisor(f);
		adopt_unit(f);
		if (ops(f)->start(f->unit, NULL) == 0)
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	worker = request(f->port);
	assert_true(worker > 0);
	open_supervisor(f);
	adopt_unit(f);
	assert_true(ops(f)->pid(f->unit) > 0);
	assert_int_equal(request(f->port), worker);
	assert_unit(f, "is-active", "active");
}

static void test_started_by_direct(void **state)
{
	struct fixture *f = *state, direct = *f;

	assert_int_equal(supervisor_direct_new(NULL, NULL, &direct.supervisor, NULL), 0);
	adopt_unit(&direct);
	assert_int_equal(ops(&direct)->start(direct.unit, NULL), 0);
	assert_start_fails(f, ERROR_INTERNAL, "outside of systemd");
	stop(&direct);
	assert_int_equal(ops(&direct)->disable(direct.unit, NULL), 0);
	finish(&direct);
	start(f);
}

static void test_bus_restarts(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = {"systemctl", "restart", "dbus.service", NULL};
	pid_t worker = start(f);

	free(run(argv));
	assert_int_equal(request(f->port), worker);
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGKILL), 0);
	wait_events(f, 2);
	assert_int_equal(f->events[0].event, SUPERVISOR_EXITED);
	assert_int_equal(f->events[1].event, SUPERVISOR_RESTARTED);
	worker = wait_serving(f, worker);
	reload(f);
	wait_serving(f, worker);
	stop(f);
}

static void test_manager_reloads(void **state)
{
	struct fixture *f = *state;
	const char *const reread[] = {"systemctl", "daemon-reload", NULL};
	const char *const reexecute[] = {"systemctl", "daemon-reexec", NULL};
	pid_t worker = start(f);

	free(run(reread));
	free(run(reexecute));
	settle(f);
	assert_int_equal(f->n_events, 0);
	assert_int_equal(request(f->port), worker);
	assert_int_equal(kill(ops(f)->pid(f->unit), SIGKILL), 0);
	wait_events(f, 2);
	assert_int_equal(f->events[1].event, SUPERVISOR_RESTARTED);
	wait_serving(f, worker);
}

static void *work(void *userdata)
{
	struct fixture *f = userdata;
	struct supervisor_unit *u = f->unit;

	for (unsigned i = 0; i < 2; i++) {
		if (ops(f)->start(u, NULL) < 0 || ops(f)->reload(u, NULL) < 0 ||
			ops(f)->pid(u) == 0 || ops(f)->stop(u, 0, NULL) < 0)
			return f;
	}
	return ops(f)->disable(u, NULL) < 0 ? f : NULL;
}

/* Threads work on a unit each while the main thread dispatches. */
static void test_threads(void **state)
{
	struct fixture *f = *state, *others = calloc(PARALLEL, sizeof(*others));
	pthread_t threads[PARALLEL];

	assert_non_null(others);
	for (unsigned i = 0; i < PARALLEL; i++) {
		char id[40];

		snprintf(id, sizeof(id), "0000000%u-f0a5-4e9c-a1d5-6f1c5c0a9d7e", i);
		prepare(&others[i], id, (uint16_t)(PORT + 1 + i));
		ops(&others[i])->release(others[i].unit);
		ops(&others[i])->free(others[i].supervisor);
		others[i].supervisor = f->supervisor;
		adopt_unit(&others[i]);
		assert_int_equal(pthread_create(&threads[i], NULL, work, &others[i]), 0);
	}
	for (unsigned i = 0; i < PARALLEL; i++) {
		void *result = NULL;

		while (pthread_tryjoin_np(threads[i], &result) != 0)
			pump(f, 20);
		assert_null(result);
		ops(f)->release(others[i].unit);
		assert_int_equal(fileio_remove_tree(AT_FDCWD, others[i].directory), 0);
	}
	settle(f);
	assert_int_equal(f->n_events, 0);
	free(others);
}

/* What "second" finds after the boot. */
static void test_leave_for_boot(void **state)
{
	struct fixture kept = {0}, deleted = {0}, inside = {0};

	(void)state;
	prepare(&kept, KEPT, PORT);
	start(&kept);
	stop(&kept); /* stays enabled */
	finish(&kept);
	prepare(&deleted, DELETED, PORT + 1);
	start(&deleted);
	stop(&deleted);
	assert_int_equal(ops(&deleted)->disable(deleted.unit, NULL), 0);
	finish(&deleted);
	prepare(&inside, INSIDE, PORT + 2);
	inside.spec.network_namespace = "lb";
	readopt(&inside);
	assert_int_equal(ops(&inside)->start(inside.unit, NULL), 0);
	stop(&inside);
	finish(&inside);
}

/* Its namespace went with the machine's last run; systemd tries until it is there again. */
static void test_waits_for_namespace(void **state)
{
	struct fixture f = {0};
	_cleanup_close_ int fd = -1;
	int64_t deadline = process_now_ms() + PATIENCE_MS;

	(void)state;
	assert_int_not_equal(access("/run/netns/lb", F_OK), 0);
	prepare(&f, INSIDE, PORT + 2);
	f.spec.network_namespace = "lb";
	readopt(&f);
	assert_int_equal(request(f.port), -1);
	assert_int_equal(namespace_create("lb", &fd, NULL), 0);
	while (request_inside(&f) <= 0 && process_now_ms() < deadline)
		pump(&f, 50);
	assert_true(request_inside(&f) > 0);
	stop(&f);
	assert_int_equal(ops(&f)->disable(f.unit, NULL), 0);
	finish(&f);
}

static void test_started_at_boot(void **state)
{
	struct fixture kept = {0}, deleted = {0};
	int64_t deadline = process_now_ms() + PATIENCE_MS;
	pid_t worker, pid;

	(void)state;
	/* Nobody but systemd was here. */
	while (request(PORT) <= 0 && process_now_ms() < deadline)
		poll(NULL, 0, 50);
	worker = request(PORT);
	assert_true(worker > 0);
	assert_int_equal(request(PORT + 1), -1);
	prepare(&kept, KEPT, PORT);
	pid = ops(&kept)->pid(kept.unit);
	assert_true(pid > 0);
	reload(&kept);
	wait_serving(&kept, worker);
	assert_int_equal(ops(&kept)->pid(kept.unit), pid);
	settle(&kept);
	assert_int_equal(kept.n_events, 0);
	stop(&kept);
	assert_int_equal(ops(&kept)->disable(kept.unit, NULL), 0);
	finish(&kept);
	prepare(&deleted, DELETED, PORT + 1);
	assert_int_equal(ops(&deleted)->pid(deleted.unit), 0);
	finish(&deleted);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest first[] = {
		CASE(test_start),
		CASE(test_process_settings),
		CASE(test_enabled_until_disabled),
		CASE(test_reload_good),
		CASE(test_reload_bad),
		CASE(test_stop),
		CASE(test_stop_gracefully),
		CASE(test_port_taken),
		CASE(test_bad_file),
		CASE(test_missing_program),
		CASE(test_unit_says_otherwise),
		CASE(test_network_namespace),
		CASE(test_killed),
		CASE(test_start_during_restart),
		CASE(test_cannot_be_restarted),
		CASE(test_stopped_by_hand),
		CASE(test_reloaded_by_hand),
		CASE(test_adopt),
		CASE(test_agent_dies),
		CASE(test_started_by_direct),
		CASE(test_bus_restarts),
		CASE(test_manager_reloads),
		CASE(test_threads),
		cmocka_unit_test(test_leave_for_boot),
	};
	const struct CMUnitTest second[] = {
		cmocka_unit_test(test_started_at_boot),
		cmocka_unit_test(test_waits_for_namespace),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s first|second\n", argv[0]);
		return 2;
	}
	/* Only in a machine that was made for it. */
	if (!supervisor_systemd_is_running() || access("/etc/amphorad-test-vm", F_OK) != 0) {
		fprintf(stderr, "this is not the test's own machine: see tests/vm/run-systemd\n");
		return 77;
	}
	return streq(argv[1], "first") ? cmocka_run_group_tests(first, NULL, NULL)
				       : cmocka_run_group_tests(second, NULL, NULL);
}
