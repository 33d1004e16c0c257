/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/unit/monitor_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/health/envelope.h"
#include "tests/unit/ports.h"

#define KEY "heartbeat key"

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

void start_server(struct server *server)
{
	int fds[2];

	server->listen_fd = loopback_socket(SOCK_STREAM, server->port, &server->port);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	server->stopped_fd = fds[0];
	server->stop_fd = fds[1];
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

void stop_server(struct server *server)
{
	if (server->listen_fd < 0)
		return;
	close(TAKE_FD(server->stop_fd));
	pthread_join(server->thread, NULL);
	close(TAKE_FD(server->stopped_fd));
	close(TAKE_FD(server->listen_fd));
}

int client(const struct fixture *f)
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

void step(int64_t deadline_ms, const char *what)
{
	if (process_now_ms() > deadline_ms) {
		print_message("waited in vain: %s\n", what); /* stderr is a file */
		fail();
	}
	poll(NULL, 0, STEP_MS);
}

void write_config(const struct fixture *f, unsigned extra_servers)
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

void start_haproxy(struct fixture *f)
{
	char config[192];
	const char *const argv[] = {DEFAULT_HAPROXY_CMD, "-W", "-db", "-S", f->target.master_socket,
		"-f", config, NULL};
	_cleanup_close_ int log_fd = openat(
		f->folder_fd, "haproxy.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	snprintf(config, sizeof(config), "%s/haproxy.cfg", f->folder);
	assert_int_equal(process_spawn_detached(argv, log_fd, &f->haproxy, &f->haproxy_pidfd), 0);
}

void stop_haproxy(struct fixture *f)
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

struct health_options options(struct fixture *f, unsigned interval_s)
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

void start_health(struct fixture *f, unsigned interval_s)
{
	struct health_options o = options(f, interval_s);

	assert_int_equal(health_new(&o, &f->health, NULL), 0);
	assert_int_equal(health_start(f->health, NULL), 0);
}

struct health_snapshot *ask(struct fixture *f)
{
	struct health_snapshot *snapshot = NULL;

	assert_int_equal(health_snapshot(f->health, &f->target, 0, &snapshot, NULL), 0);
	assert_string_equal(snapshot->lb_id, LB);
	return snapshot;
}

struct listener_health ask_listener(struct fixture *f)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = ask(f);
	const struct listener_health *listener = snapshot_find_listener(snapshot, LISTENER);

	return listener ? *listener : (struct listener_health){0};
}

pid_t ask_pid(struct fixture *f)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = ask(f);

	return snapshot->answered ? snapshot->worker_pid : 0;
}

bool answers(struct fixture *f)
{
	return ask_pid(f) > 0;
}

json_t *receive(struct fixture *f, int timeout_ms)
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

const char *member_word(const json_t *message)
{
	const json_t *pool = json_object_get(json_object_get(message, "pools"), POOL);
	const char *word =
		json_string_value(json_object_get(json_object_get(pool, "members"), MEMBER));

	return word ? word : "";
}

void await_member(struct fixture *f, const char *word)
{
	for (bool there = false; !there;) {
		json_t *message = receive(f, DEADLINE_MS);

		assert_non_null(message);
		there = streq(member_word(message), word);
		json_decref(message);
	}
}

void drain(struct fixture *f)
{
	for (json_t *message = receive(f, 0); message; message = receive(f, 0))
		json_decref(message);
}

size_t logged(const struct fixture *f, const char *words)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;

	if (fileio_read(AT_FDCWD, f->log, 16 * 1024 * 1024, &text, NULL) < 0)
		return 0;
	for (const char *p = strstr(text, words); p; p = strstr(p + 1, words))
		n++;
	return n;
}

int setup(void **state)
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
	f->frontend_port = (unsigned)free_port();
	start_server(&f->member);
	write_config(f, 0);
	start_haproxy(f);
	*state = f;
	return 0;
}

int teardown(void **state)
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
