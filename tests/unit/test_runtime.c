/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"

/*
 * A HAProxy that answers what the test wants. It waits for what marks the end of a request, sends
 * "reply" "times" times and closes.
 */
struct server {
	char directory[128];
	char path[512];
	int listen_fd;
	pthread_t thread;
	bool started;

	const char *until; /* request ends with this; NULL: with the client's shutdown(SHUT_WR) */
	const char *reply;
	size_t reply_length, times;
	bool silent;        /* keeps the connection open and says nothing until the client leaves */
	char request[4096]; /* as received */
};

static void *serve(void *userdata)
{
	struct server *server = userdata;
	_cleanup_close_ int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	if (fd < 0)
		return NULL;
	while (length < sizeof(server->request) - 1) {
		n = read(fd, server->request + length, sizeof(server->request) - 1 - length);
		if (n <= 0)
			break;
		length += (size_t)n;
		if (server->until && length >= strlen(server->until) &&
			strcmp(server->request + length - strlen(server->until), server->until) ==
				0)
			break;
	}
	if (server->silent) {
		char byte;

		while (read(fd, &byte, 1) > 0)
			;
		return NULL;
	}
	for (size_t i = 0; i < server->times; i++) {
		size_t sent = 0;

		while (sent < server->reply_length) {
			n = send(fd, server->reply + sent, server->reply_length - sent,
				MSG_NOSIGNAL);
			if (n < 0)
				return NULL;
			sent += (size_t)n;
		}
	}
	return NULL;
}

static int setup(void **state)
{
	const char *base = getenv("TMPDIR");
	struct server *server = calloc(1, sizeof(*server));

	assert_non_null(server);
	snprintf(server->directory, sizeof(server->directory), "%s/runtime-XXXXXX",
		base ? base : "/tmp");
	assert_non_null(mkdtemp(server->directory));
	snprintf(server->path, sizeof(server->path), "%s/socket", server->directory);
	server->listen_fd = -1;
	server->until = "\n";
	server->times = 1;
	*state = server;
	return 0;
}

static int teardown(void **state)
{
	struct server *server = *state;

	if (server->started) {
		shutdown(server->listen_fd, SHUT_RDWR); /* wakes accept() */
		pthread_join(server->thread, NULL);
	}
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, server->directory), 0);
	free(server);
	return 0;
}

static void listen_at(struct server *server, const char *folder, const char *name, int backlog)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(folder_fd >= 0);
	snprintf(
		address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder_fd, name);
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(server->listen_fd >= 0);
	assert_int_equal(
		bind(server->listen_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->listen_fd, backlog), 0);
}

static void start(struct server *server)
{
	if (server->listen_fd < 0)
		listen_at(server, server->directory, "socket", 8);
	if (server->reply && server->reply_length == 0)
		server->reply_length = strlen(server->reply);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	server->started = true;
}

static void test_command(void **state)
{
	struct server *server = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *reply = NULL;
	size_t length = 0;

	server->reply = "Name: HAProxy\n\n";
	start(server);
	assert_int_equal(
		runtime_command(server->path, "show info", 2000, &reply, &length, &err), 0);
	assert_string_equal(reply, "Name: HAProxy\n\n");
	assert_int_equal(length, strlen(reply));
	assert_string_equal(server->request, "show info\n");
}

static void test_empty_reply(void **state)
{
	struct server *server = *state;
	_cleanup_free_ char *reply = NULL;
	size_t length = 1;

	server->times = 0;
	start(server);
	assert_int_equal(
		runtime_command(server->path, "enable server a/b", 2000, &reply, &length, NULL), 0);
	assert_string_equal(reply, "");
	assert_int_equal(length, 0);
}

static void test_payload(void **state)
{
	struct server *server = *state;
	_cleanup_free_ char *reply = NULL;
	size_t length = 0;

	server->until = "\n\n";
	server->reply = "Transaction created\n";
	start(server);
	assert_int_equal(runtime_command(server->path, "set ssl cert a.pem <<\nLINE 1\nLINE 2",
				 2000, &reply, &length, NULL),
		0);
	assert_string_equal(server->request, "set ssl cert a.pem <<\nLINE 1\nLINE 2\n\n");
}

static void test_commands_are_not_smuggled(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"show info\n",
		"show info\nshutdown frontend a",
		"set ssl cert a <<\n",
		"set ssl cert a <<\n\n",
		"set ssl cert a <<\n\nLINE",
		"set ssl cert a <<\nLINE\n\nshutdown frontend a",
		"set <<\r\nLINE",
	};
	struct server *server = *state;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		char *reply = NULL;
		size_t length;

		assert_int_equal(runtime_command(server->path, bad[i], 1000, &reply, &length, &err),
			-EINVAL);
		assert_null(reply);
		assert_int_equal(err.code, ERROR_INVALID);
	}
}

static void test_long_path(void **state)
{
	struct server *server = *state;
	_cleanup_free_ char *reply = NULL;
	size_t length = 0;
	char folder[400];

	snprintf(folder, sizeof(folder), "%s/%0*d", server->directory, 200, 0);
	assert_int_equal(fileio_make_dirs(folder, 0700), 0);
	snprintf(server->path, sizeof(server->path), "%s/master.sock", folder);
	listen_at(server, folder, "master.sock", 8);
	server->reply = "\n";
	start(server);
	assert_int_equal(
		runtime_command(server->path, "show info", 2000, &reply, &length, NULL), 0);
	assert_string_equal(reply, "\n");

	/* A name that is too long by itself, and one whose folder is not there. */
	snprintf(server->path, sizeof(server->path), "%s/%0*d", server->directory, 150, 0);
	assert_int_equal(
		runtime_command(server->path, "x", 100, &reply, &length, NULL), -ENAMETOOLONG);
	snprintf(server->path, sizeof(server->path), "%s/none/%0*d", server->directory, 150, 0);
	assert_int_equal(runtime_command(server->path, "x", 100, &reply, &length, NULL), -ENOENT);
}

static void test_nobody_there(void **state)
{
	struct server *server = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	char *reply = NULL;
	size_t length;

	assert_int_equal(
		runtime_command(server->path, "show info", 1000, &reply, &length, &err), -ENOENT);
	assert_non_null(strstr(error_message(&err), server->path));
	listen_at(server, server->directory, "socket", 8);
	close(TAKE_FD(server->listen_fd));
	assert_int_equal(runtime_command(server->path, "show info", 1000, &reply, &length, &err),
		-ECONNREFUSED);
	assert_null(reply);
}

static void test_silent_server(void **state)
{
	struct server *server = *state;
	_cleanup_error_ struct error err = ERROR_INIT;
	int64_t begin = process_now_ms(), took;
	char *reply = NULL;
	size_t length;

	server->silent = true;
	start(server);
	assert_int_equal(
		runtime_command(server->path, "show info", 100, &reply, &length, &err), -ETIMEDOUT);
	took = process_now_ms() - begin;
	assert_true(took >= 100 && took < 1500);
	assert_null(reply);
}

/* The kernel completes connections up to the backlog; after that connect() says EAGAIN. */
static void test_full_backlog(void **state)
{
	struct server *server = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fds[16], n = 0;
	int64_t begin;
	char *reply = NULL;
	size_t length;

	listen_at(server, server->directory, "socket", 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", server->path);
	while (n < (int)ELEMENTSOF(fds)) {
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(fds[n] >= 0);
		if (connect(fds[n++], (const struct sockaddr *)&address, sizeof(address)) < 0)
			break;
	}
	assert_true(n < (int)ELEMENTSOF(fds));
	begin = process_now_ms();
	assert_int_equal(
		runtime_command(server->path, "show info", 100, &reply, &length, NULL), -ETIMEDOUT);
	assert_true(process_now_ms() - begin < 1500);
	while (n > 0)
		close(fds[--n]);
}

static void test_endless_reply(void **state)
{
	static const char megabyte[1024 * 1024];
	struct server *server = *state;
	char *reply = NULL;
	size_t length;

	server->reply = megabyte;
	server->reply_length = sizeof(megabyte);
	server->times = 1000;
	start(server);
	assert_int_equal(
		runtime_command(server->path, "show stat", 30000, &reply, &length, NULL), -EFBIG);
	assert_null(reply);
}

static const char proc_2_6[] =
	"#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
	"13112           master          2 [failed: 1]   1d02h03m04s     2.6.12-1+deb12u4\n"
	"# workers\n"
	"13162           worker          1               0d00h00m01s     2.6.12-1+deb12u4\n"
	"# old workers\n"
	"13115           worker          2               0d00h10m01s     2.6.12-1+deb12u4\n"
	"13116           worker          3               0d00h20m01s     2.6.11\n"
	"# programs\n"
	"13117           api             0               0d00h00m01s     -\n"
	"\n";

static const char proc_2_4[] =
	"#<PID>          <type>          <relative PID>  <reloads>       <uptime>        <version> "
	"     \n"
	"1000            master          0               5               0d00h00m08s     2.4.22\n"
	"# workers\n"
	"1001            worker          1               0               0d00h00m08s     2.4.22\n"
	"# old workers\n"
	"999             worker          [was: 1]        1               0d00h02m08s     2.4.22\n"
	"# programs\n"
	"\n";

/* 3.2 while a reload is under way: 72 loads its configuration, 60 serves. */
static const char proc_3_2[] =
	"#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
	"50              master          1 [failed: 0]   0d00h00m08s     3.2.0\n"
	"# workers\n"
	"72              worker          0               0d00h00m00s     3.2.0\n"
	"60              worker          1               0d00h00m08s     3.2.0\n"
	"\n";

static void test_processes_2_6(void **state)
{
	struct runtime_processes p = {0};
	const struct runtime_worker *current;

	(void)state;
	assert_int_equal(runtime_parse_processes(proc_2_6, &p, NULL), 0);
	assert_int_equal(p.master_pid, 13112);
	assert_int_equal(p.reloads, 2);
	assert_true(p.has_failed_reloads);
	assert_int_equal(p.failed_reloads, 1);
	assert_int_equal(p.n_workers, 3);
	current = runtime_current_worker(&p);
	assert_non_null(current);
	assert_int_equal(current->pid, 13162);
	assert_int_equal(current->reloads, 1);
	assert_int_equal(current->uptime_s, 1);
	assert_string_equal(current->version, "2.6.12-1+deb12u4");
	assert_true(p.workers[1].old && p.workers[2].old);
	assert_int_equal(p.workers[2].pid, 13116);
	assert_int_equal(p.workers[2].uptime_s, 1201);
	runtime_processes_done(&p);
	assert_null(p.workers);
}

static void test_processes_2_4(void **state)
{
	struct runtime_processes p = {0};

	(void)state;
	assert_int_equal(runtime_parse_processes(proc_2_4, &p, NULL), 0);
	assert_int_equal(p.reloads, 5);
	assert_false(p.has_failed_reloads);
	assert_int_equal(p.n_workers, 2);
	assert_int_equal(runtime_current_worker(&p)->pid, 1001);
	assert_int_equal(p.workers[1].pid, 999);
	assert_int_equal(p.workers[1].reloads, 1);
	runtime_processes_done(&p);
}

static void test_processes_3_2_loading(void **state)
{
	struct runtime_processes p = {0};

	(void)state;
	assert_int_equal(runtime_parse_processes(proc_3_2, &p, NULL), 0);
	assert_int_equal(runtime_current_worker(&p)->pid, 60);
	assert_int_equal(p.workers[1].pid, 72);
	runtime_processes_done(&p);
}

static void test_no_current_worker(void **state)
{
	struct runtime_processes p = {0};

	(void)state;
	assert_int_equal(
		runtime_parse_processes(
			"#<PID> <type> <reloads> <uptime> <version>\n"
			"5 master 0 [failed: 0] 0d00h00m00s 2.6.12\n"
			"# workers\n# old workers\n",
			&p, NULL),
		0);
	assert_null(runtime_current_worker(&p));
	assert_false(p.all_were_old);
	runtime_processes_done(&p);
	assert_null(runtime_current_worker(&p));
}

/* HAProxy 3.2 after two reloads that failed, and one before them whose worker still has connections. */
static void test_after_a_failed_reload(void **state)
{
	struct runtime_processes p = {0};
	const struct runtime_worker *current;

	(void)state;
	assert_int_equal(
		runtime_parse_processes(
			"#<PID> <type> <reloads> <uptime> <version>\n"
			"5 master 3 [failed: 2] 0d00h00m09s 3.2.0\n"
			"# workers\n# old workers\n"
			"7 worker 3 0d00h00m09s 3.2.0\n"
			"8 worker 2 0d00h00m05s 3.2.0-a-version-text-that-is-much-too-long\n",
			&p, NULL),
		0);
	current = runtime_current_worker(&p);
	assert_non_null(current);
	assert_int_equal(current->pid, 8);
	assert_int_equal(current->reloads, 2);
	assert_int_equal(p.workers[1].pid, 7);
	assert_true(p.workers[1].old);
	assert_true(p.all_were_old);
	assert_int_equal(strlen(p.workers[0].version), sizeof(p.workers[0].version) - 1);
	runtime_processes_done(&p);
}

static void test_broken_processes(void **state)
{
#define HEADER "#<PID> <type> <reloads> <uptime> <version>\n"
#define MASTER "5 master 0 0d00h00m00s 2.6\n"
	static const char *const bad[] = {
		"",
		"\n",
		"Unknown command: 'show proc'\n",
		HEADER,
		"#<PID> <type> <uptime> <version>\n" MASTER,
		"#<PID <type> <reloads> <uptime> <version>\n" MASTER,
		HEADER "5 master 0 0d00h00m00s\n",
		HEADER "5 worker 0 0d00h00m00s 2.6\n",
		HEADER MASTER MASTER,
		HEADER "# workers\n6 worker 0 0d00h00m00s 2.6\n",
		HEADER "0 master 0 0d00h00m00s 2.6\n",
		HEADER "-5 master 0 0d00h00m00s 2.6\n",
		HEADER "99999999999 master 0 0d00h00m00s 2.6\n",
		HEADER "99999999999999999999999999 master 0 0d00h00m00s 2.6\n",
		HEADER "5 master x 0d00h00m00s 2.6\n",
		HEADER "5 master 0 0d00h00m 2.6\n",
		HEADER "5 master 0 99999999999d00h00m00s 2.6\n",
		HEADER "5 master 0 0d00h00m00sx 2.6\n",
		HEADER "5 master 0 [failed: ] 0d00h00m00s 2.6\n",
		HEADER "5 master 0 [failed: x] 0d00h00m00s 2.6\n",
		HEADER "5 master 0 [failed: 1] [failed: 1]\n",
		HEADER "5 master 0 [failed: 1 0d00h00m00s 2.6\n",
		HEADER MASTER "# workers\n6 wor",
		HEADER MASTER "# workers\n6 nothing 0 0d00h00m00s 2.6\n",
	};
	struct runtime_processes p = {.n_workers = 77};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;

		if (runtime_parse_processes(bad[i], &p, &err) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(err.code, ERROR_INTERNAL);
		assert_non_null(err.message);
	}
	assert_int_equal(p.n_workers, 77);
}

static void test_processes_over_socket(void **state)
{
	struct server *server = *state;
	struct runtime_processes p = {0};

	server->until = NULL; /* the master answers, but leaves closing to its client */
	server->reply = proc_2_6;
	start(server);
	assert_int_equal(runtime_processes(server->path, 2000, &p, NULL), 0);
	assert_string_equal(server->request, "show proc\n");
	assert_int_equal(p.master_pid, 13112);
	runtime_processes_done(&p);
}

static void test_processes_with_nul(void **state)
{
	struct server *server = *state;
	struct runtime_processes p = {0};

	server->until = NULL;
	server->reply = "#<PID>\0<type>";
	server->reply_length = 13;
	start(server);
	assert_true(runtime_processes(server->path, 2000, &p, NULL) < 0);
}

static void test_version(void **state)
{
	static const struct {
		const char *output, *text;
		unsigned major, minor;
	} good[] = {
		{"HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: "
		 "long-term\n",
			"2.6.12-1+deb12u4", 2, 6},
		{"HA-Proxy version 2.2.9-2+deb11u6 2023/12/22\n", "2.2.9-2+deb11u6", 2, 2},
		{"[NOTICE] something\nHAProxy version 3.5-dev5-1234ab 2026/01/01",
			"3.5-dev5-1234ab", 3, 5},
	};
	static const char *const bad[] = {
		"",
		"nginx version: nginx/1.22.1\n",
		"HAProxy version \n",
		"HAProxy version x.y\n",
		"HAProxy version 2\n",
		"see HAProxy version 2.6\n",
	};
	struct haproxy_version version;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		assert_int_equal(haproxy_version_parse(good[i].output, &version, NULL), 0);
		assert_string_equal(version.text, good[i].text);
		assert_int_equal(version.major, good[i].major);
		assert_int_equal(version.minor, good[i].minor);
	}
	assert_true(haproxy_version_at_least(&version, 3, 5));
	assert_true(haproxy_version_at_least(&version, 2, 9));
	assert_false(haproxy_version_at_least(&version, 3, 6));
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_true(haproxy_version_parse(bad[i], &version, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_command, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_payload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commands_are_not_smuggled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_reply, setup, teardown),
		cmocka_unit_test(test_processes_2_6),
		cmocka_unit_test(test_processes_2_4),
		cmocka_unit_test(test_processes_3_2_loading),
		cmocka_unit_test(test_no_current_worker),
		cmocka_unit_test(test_after_a_failed_reload),
		cmocka_unit_test(test_broken_processes),
		cmocka_unit_test_setup_teardown(test_processes_over_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes_with_nul, setup, teardown),
		cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
