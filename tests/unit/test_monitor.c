/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The health thread against a real HAProxy, master and worker, and a controller that is a UDP
 * socket. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"
#include "agent/health/envelope.h"
#include "agent/health/monitor.h"

#ifndef DEFAULT_HAPROXY_CMD
#define DEFAULT_HAPROXY_CMD "haproxy"
#endif

#define KEY "heartbeat key"
#define LB "11111111-0000-4000-8000-000000000001"
#define OTHER_LB "11111111-0000-4000-8000-000000000002"
#define LISTENER "22222222-0000-4000-8000-000000000001"
#define POOL "33333333-0000-4000-8000-000000000001:" LISTENER
#define MEMBER "44444444-0000-4000-8000-000000000001"

enum { DEADLINE_MS = 20000, STEP_MS = 20, CONNECTIONS_MAX = 64 };

/* A server that reads what comes, and closes when the other side does. */
struct server {
	int listen_fd, stop_fd, stopped_fd; /* -1 while it does not run */
	unsigned port;
	pthread_t thread;
};

struct fixture {
	char folder[128], log[160];
	int folder_fd, saved_stderr;

	struct server member;
	unsigned frontend_port;
	int hung_worker_fd; /* stopped by a signal, or -1 */
	pid_t haproxy;
	int haproxy_pidfd;
	struct health_target target;

	int controller_fd;
	char controllers[64];
	struct health *health;
	size_t n_targets;
	int64_t received_bytes, received_connections; /* sums of all deltas */
};

/* --- sockets --- */

static int loopback_socket(int type, unsigned port, unsigned *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 128), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void *serve(void *userdata)
{
	const struct server *server = userdata;
	struct pollfd fds[2 + CONNECTIONS_MAX] = {
		{.fd = server->stopped_fd, .events = POLLIN},
		{.fd = server->listen_fd, .events = POLLIN},
	};
	nfds_t n = 2;

	while (poll(fds, n, -1) >= 0 && !fds[0].revents) {
		for (nfds_t i = n; i > 2; i--) {
			char buffer[256];

			if (!fds[i - 1].revents || read(fds[i - 1].fd, buffer, sizeof(buffer)) > 0)
				continue;
			close(fds[i - 1].fd);
			fds[i - 1] = fds[--n];
		}
		if (fds[1].revents && n < ELEMENTSOF(fds)) {
			int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
		}
	}
	while (n > 2)
		close(fds[--n].fd);
	return NULL;
}

static void start_server(struct server *server)
{
	int fds[2];

	server->listen_fd = loopback_socket(SOCK_STREAM, server->port, &server->port);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	server->stopped_fd = fds[0];
	server->stop_fd = fds[1];
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop_server(struct server *server)
{
	if (server->listen_fd < 0)
		return;
	close(TAKE_FD(server->stop_fd));
	pthread_join(server->thread, NULL);
	close(TAKE_FD(server->stopped_fd));
	close(TAKE_FD(server->listen_fd));
}

/* A connection through HAProxy that has sent 5 bytes and stays open. */
static int client(const struct fixture *f)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)f->frontend_port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	return fd;
}

static void step(int64_t deadline_ms, const char *what)
{
	if (process_now_ms() > deadline_ms) {
		print_message("waited in vain: %s\n", what); /* stderr is a file */
		fail();
	}
	poll(NULL, 0, STEP_MS);
}

/* Waits until an expression is true. */
#define EVENTUALLY(condition)                                                  \
	for (int64_t _deadline = process_now_ms() + DEADLINE_MS; !(condition); \
		step(_deadline, #condition))

/* --- HAProxy --- */

static void write_config(const struct fixture *f, unsigned extra_servers)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_printf(&text,
		"global\n\tstats socket %s mode 600 level user\n\tnbthread 1\n\tmaxconn 100\n"
		"defaults\n\tmode tcp\n\toption contstats\n\ttimeout connect 2s\n\ttimeout client "
		"60s\n\ttimeout server 60s\n"
		"frontend " LISTENER "\n\tbind 127.0.0.1:%u\n\tdefault_backend " POOL "\n"
		"backend " POOL "\n\tserver " MEMBER
		" 127.0.0.1:%u check inter 100 rise 1 fall 1\n",
		f->target.stats_socket, f->frontend_port, f->member.port);
	for (unsigned i = 0; i < extra_servers; i++) {
		/* As hard to compress as real ids. */
		unsigned long long a = (i + 1) * 0x9e3779b97f4a7c15ULL,
				   b = a * a * 0xbf58476d1ce4e5b9ULL;

		text_printf(&text, "\tserver %016llx%016llx 127.0.0.1:1 weight 0\n", a ^ (a >> 31),
			b ^ (b >> 29));
	}
	assert_false(text.failed);
	assert_int_equal(
		fileio_write_volatile(f->folder_fd, "haproxy.cfg", text.data, text.length, 0600),
		0);
}

static void start_haproxy(struct fixture *f)
{
	char config[192];
	const char *const argv[] = {DEFAULT_HAPROXY_CMD, "-W", "-db", "-S", f->target.master_socket,
		"-f", config, NULL};
	_cleanup_close_ int log_fd = openat(
		f->folder_fd, "haproxy.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	snprintf(config, sizeof(config), "%s/haproxy.cfg", f->folder);
	assert_int_equal(process_spawn_detached(argv, log_fd, &f->haproxy, &f->haproxy_pidfd), 0);
}

static void stop_haproxy(struct fixture *f)
{
	if (f->haproxy_pidfd < 0)
		return;
	process_signal(f->haproxy_pidfd, SIGTERM);
	if (process_wait_exit(f->haproxy_pidfd, 5000) < 0) {
		process_signal(f->haproxy_pidfd, SIGKILL);
		process_wait_exit(f->haproxy_pidfd, 5000);
	}
	close(TAKE_FD(f->haproxy_pidfd));
}

/* --- health --- */

static int list_targets(void *userdata, struct health_target **ret, size_t *ret_n)
{
	const struct fixture *f = userdata;
	size_t n = __atomic_load_n(&f->n_targets, __ATOMIC_RELAXED);
	struct health_target *targets = calloc(n + 1, sizeof(*targets));

	if (!targets)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		targets[i] = f->target;
		targets[i].stats_socket = strdup(f->target.stats_socket);
		targets[i].master_socket = strdup(f->target.master_socket);
	}
	*ret = targets;
	*ret_n = n;
	return 0;
}

static struct health_options options(struct fixture *f, unsigned interval_s)
{
	return (struct health_options){
		.amphora_id = "the amphora",
		.controllers = f->controllers,
		.heartbeat_key = KEY,
		.heartbeat_interval_s = interval_s,
		.state_dir_fd = f->folder_fd,
		.list_targets = list_targets,
		.userdata = f,
	};
}

static void start_health(struct fixture *f, unsigned interval_s)
{
	struct health_options o = options(f, interval_s);

	assert_int_equal(health_new(&o, &f->health, NULL), 0);
	assert_int_equal(health_start(f->health, NULL), 0);
}

static struct health_snapshot *ask(struct fixture *f)
{
	struct health_snapshot *snapshot = NULL;

	assert_int_equal(health_snapshot(f->health, &f->target, 0, &snapshot, NULL), 0);
	assert_string_equal(snapshot->lb_id, LB);
	return snapshot;
}

static struct listener_health ask_listener(struct fixture *f)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = ask(f);
	const struct listener_health *listener = snapshot_find_listener(snapshot, LISTENER);

	return listener ? *listener : (struct listener_health){0};
}

static pid_t ask_pid(struct fixture *f)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = ask(f);

	return snapshot->answered ? snapshot->worker_pid : 0;
}

static bool answers(struct fixture *f)
{
	return ask_pid(f) > 0;
}

/* The next heartbeat, or NULL after "timeout_ms". */
static json_t *receive(struct fixture *f, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = f->controller_fd, .events = POLLIN};
	uint8_t *buffer = malloc(HEARTBEAT_MAX_BYTES);
	const json_t *stats;
	json_t *message = NULL;
	ssize_t n;

	if (poll(&poll_fd, 1, timeout_ms) == 1) {
		n = recv(f->controller_fd, buffer, HEARTBEAT_MAX_BYTES, 0);
		assert_true(n > 0);
		assert_int_equal(envelope_open(buffer, (size_t)n, KEY, &message, NULL), 0);
		stats = json_object_get(
			json_object_get(json_object_get(message, "listeners"), LISTENER), "stats");
		f->received_bytes += json_integer_value(json_object_get(stats, "rx"));
		f->received_connections += json_integer_value(json_object_get(stats, "totconns"));
	}
	free(buffer);
	return message;
}

static const char *member_word(const json_t *message)
{
	const json_t *pool = json_object_get(json_object_get(message, "pools"), POOL);
	const char *word =
		json_string_value(json_object_get(json_object_get(pool, "members"), MEMBER));

	return word ? word : "";
}

static void await_member(struct fixture *f, const char *word)
{
	for (bool there = false; !there;) {
		json_t *message = receive(f, DEADLINE_MS);

		assert_non_null(message);
		there = streq(member_word(message), word);
		json_decref(message);
	}
}

static void drain(struct fixture *f)
{
	for (json_t *message = receive(f, 0); message; message = receive(f, 0))
		json_decref(message);
}

/* How often "words" stands in what was logged. */
static size_t logged(const struct fixture *f, const char *words)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;

	if (fileio_read(AT_FDCWD, f->log, 16 * 1024 * 1024, &text, NULL) < 0)
		return 0;
	for (const char *p = strstr(text, words); p; p = strstr(p + 1, words))
		n++;
	return n;
}

/* --- set-up --- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");
	unsigned port;
	int fd;

	if (!f)
		return -1;
	f->haproxy_pidfd = f->hung_worker_fd = -1;
	f->n_targets = 1;
	snprintf(f->folder, sizeof(f->folder), "%s/mon-XXXXXX",
		tmp && strlen(tmp) < 64 ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->log, sizeof(f->log), "%s/log", f->folder);
	f->folder_fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->folder_fd >= 0);
	memcpy(f->target.lb_id, LB, sizeof(LB));
	assert_true(asprintf(&f->target.stats_socket, "%s/stats.sock", f->folder) > 0);
	assert_true(asprintf(&f->target.master_socket, "%s/master.sock", f->folder) > 0);

	f->saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	fd = open(f->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	close(fd);

	f->controller_fd = loopback_socket(SOCK_DGRAM, 0, &port);
	snprintf(f->controllers, sizeof(f->controllers), "127.0.0.1:%u", port);
	close(loopback_socket(SOCK_STREAM, 0, &f->frontend_port));
	start_server(&f->member);
	write_config(f, 0);
	start_haproxy(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	health_free(f->health);
	if (f->hung_worker_fd >= 0)
		process_signal(f->hung_worker_fd, SIGCONT);
	close_keep_errno(f->hung_worker_fd);
	stop_haproxy(f);
	stop_server(&f->member);
	dup2(f->saved_stderr, STDERR_FILENO);
	close(f->saved_stderr);
	close(f->controller_fd);
	fileio_remove_tree(AT_FDCWD, f->folder);
	close(f->folder_fd);
	free(f->target.stats_socket);
	free(f->target.master_socket);
	free(f);
	return 0;
}

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
		cmocka_unit_test_setup_teardown(test_hanging_haproxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_send, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_askers, setup, teardown),
	};

	if (process_run(argv, NULL, 10000, 4096, &result) < 0 || result.exit_status != 0) {
		printf("skipped: %s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	process_result_done(&result);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
