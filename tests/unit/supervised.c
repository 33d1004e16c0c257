/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/supervised.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

const struct supervisor_operations *ops(const struct fixture *f)
{
	return f->supervisor->operations;
}

void on_event(void *userdata, const struct supervisor_report *report)
{
	struct fixture *f = userdata;

	assert_true(f->n_events < EVENTS_MAX);
	assert_string_equal(report->lb_id, f->id);
	f->events[f->n_events++] = (struct event){
		.event = report->event,
		.pid = report->pid,
		.delay_ms = report->delay_ms,
		.has_alert = strstr(report->messages, "[ALERT]") != NULL,
	};
}

void pump(struct fixture *f, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = ops(f)->fd(f->supervisor), .events = POLLIN};

	if (poll(&poll_fd, 1, timeout_ms) > 0)
		ops(f)->dispatch(f->supervisor);
}

void wait_events(struct fixture *f, size_t n)
{
	int64_t deadline = process_now_ms() + PATIENCE_MS;

	while (f->n_events < n && process_now_ms() < deadline)
		pump(f, 50);
	assert_true(f->n_events >= n);
}

void write_file(const char *path, const char *content)
{
	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, content, strlen(content), 0600), 0);
}

/* "daemon" stands in uploaded configurations; -db must win over it. */
void write_config(const struct fixture *f, const char *extra)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_printf(&text,
		"global\n"
		"    daemon\n"
		"    maxconn 100\n"
		"defaults\n"
		"    mode http\n"
		"    timeout client 60s\n"
		"    timeout server 60s\n"
		"    timeout connect 5s\n"
		"frontend f\n"
		"    bind 127.0.0.1:%u\n"
		"    http-request wait-for-body time 50s if { path /slow }\n"
		"    http-request return status 200 content-type text/plain lf-string %%pid\n"
		"%s",
		f->port, extra);
	assert_false(text.failed);
	write_file(f->config, text_peek(&text));
}

int connect_port(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval patience = {.tv_sec = 60};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
		connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return TAKE_FD(fd);
}

pid_t read_reply(int fd)
{
	char reply[2048];
	size_t length = 0;
	const char *body;
	ssize_t n;

	while (length < sizeof(reply) - 1) {
		n = recv(fd, reply + length, sizeof(reply) - 1 - length, 0);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	reply[length] = '\0';
	body = strstr(reply, "\r\n\r\n");
	if (!body || !text_after_prefix(reply, "HTTP/1.1 200 "))
		return -1;
	return (pid_t)atoi(body + 4);
}

int send_text(int fd, const char *text)
{
	size_t length = strlen(text);

	return fd >= 0 && send(fd, text, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

pid_t request(uint16_t port)
{
	_cleanup_close_ int fd = connect_port(port);

	return send_text(fd, "GET / HTTP/1.0\r\n\r\n") < 0 ? -1 : read_reply(fd);
}

pid_t wait_serving(struct fixture *f, pid_t not)
{
	int64_t deadline = process_now_ms() + PATIENCE_MS;
	pid_t worker = request(f->port);

	while ((worker <= 0 || worker == not) && process_now_ms() < deadline) {
		pump(f, 5);
		worker = request(f->port);
	}
	assert_true(worker > 0 && worker != not);
	return worker;
}

void wait_gone(pid_t pid)
{
	_cleanup_close_ int pidfd = -1;

	if (process_open(pid, &pidfd) == 0)
		assert_int_equal(process_wait_exit(pidfd, PATIENCE_MS), 0);
}

struct supervisor_spec spec_of(const struct fixture *f, const char *haproxy_cmd, const char *peer_name)
{
	return (struct supervisor_spec){
		.lb_id = f->id,
		.haproxy_cmd = haproxy_cmd,
		.directory = f->directory,
		.config = f->config,
		.own_config = f->own_config,
		.master_socket = f->socket,
		.pid_file = f->pid_file,
		.log_file = f->log_file,
		.peer_name = peer_name,
	};
}

void adopt_unit(struct fixture *f)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (ops(f)->adopt(f->supervisor, &f->spec, &f->unit, &err) < 0)
		fail_msg("adopt: %s", error_message(&err));
}

pid_t start(struct fixture *f)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (ops(f)->start(f->unit, &err) < 0)
		fail_msg("start: %s", error_message(&err));
	return wait_serving(f, 0);
}
