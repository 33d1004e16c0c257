/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/runtime.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/process.h"
#include "agent/base/text.h"

enum {
	CONNECT_RETRY_MS = 5,
	READ_CHUNK = 16 * 1024, /* HAProxy writes no more at once: tune.bufsize */
};

/*
 * A path that does not fit into sun_path is named through a descriptor of its folder. "ret_dir_fd"
 * stays -1 where that is not needed, and must stay open until the socket is connected.
 */
static int socket_address(
	const char *path, struct sockaddr_un *ret_address, socklen_t *ret_length, int *ret_dir_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_free_ char *folder = NULL;
	_cleanup_close_ int dir_fd = -1;
	const char *slash;
	int n;

	if (path[0] == '\0')
		return -EINVAL;
	n = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n >= sizeof(address.sun_path)) {
		slash = strrchr(path, '/');
		if (!slash)
			return -ENAMETOOLONG;
		folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
		if (!folder)
			return -ENOMEM;
		dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir_fd < 0)
			return -errno;
		n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
			dir_fd, slash + 1);
		if (n < 0 || (size_t)n >= sizeof(address.sun_path))
			return -ENAMETOOLONG;
	}
	*ret_address = address;
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	*ret_dir_fd = TAKE_FD(dir_fd);
	return 0;
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - process_now_ms();
		int n;

		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&poll_fd, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int connect_socket(const char *path, int64_t deadline, int *ret_fd)
{
	_cleanup_close_ int fd = -1, dir_fd = -1;
	struct sockaddr_un address;
	socklen_t length = 0;
	int r;

	r = socket_address(path, &address, &length, &dir_fd);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)&address, length) < 0) {
		if (errno == EINTR)
			continue;
		/* unix(7): EAGAIN says that the listener's backlog is full; nothing can be polled
		 * for. */
		if (errno != EAGAIN)
			return -errno;
		if (process_now_ms() + CONNECT_RETRY_MS > deadline)
			return -ETIMEDOUT;
		poll(NULL, 0, CONNECT_RETRY_MS);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int send_all(int fd, const char *data, size_t length, int64_t deadline)
{
	while (length > 0) {
		ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			int r = wait_for(fd, POLLOUT, deadline);

			if (r < 0)
				return r;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* What has come, or waits for it. Returns its length, 0 at the end. */
static ssize_t receive_chunk(int fd, int64_t deadline, char chunk[READ_CHUNK])
{
	for (;;) {
		ssize_t n;
		int r;

		r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
		n = recv(fd, chunk, READ_CHUNK, 0);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
}

static int append(void *userdata, const char *bytes, size_t length, struct error *err _unused_)
{
	struct text *reply = userdata;

	text_append_bytes(reply, bytes, length);
	return reply->failed ? -ENOMEM : 0;
}

static ssize_t receive_some(int fd, int64_t deadline, struct text *reply)
{
	char chunk[READ_CHUNK];
	ssize_t n = receive_chunk(fd, deadline, chunk);
	int r;

	if (n <= 0)
		return n;
	if (reply->length + (size_t)n > RUNTIME_REPLY_LIMIT)
		return -EFBIG;
	r = append(reply, chunk, (size_t)n, NULL);
	return r < 0 ? r : n;
}

static int receive_all(int fd, int64_t deadline, runtime_take take, void *userdata, struct error *err)
{
	char chunk[READ_CHUNK];
	size_t total = 0;
	ssize_t n;

	while ((n = receive_chunk(fd, deadline, chunk)) > 0) {
		int r;

		total += (size_t)n;
		if (total > RUNTIME_REPLY_LIMIT)
			return -EFBIG;
		r = take(userdata, chunk, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return (int)n;
}

/*
 * The bytes to send. Management guide, 9.3: a line is a command; one that ends in "<<" is followed
 * by a payload up to an empty line. Anything else with a line break in it would be a second
 * command, smuggled in with some value.
 */
static int command_text(const char *command, struct text *ret, struct error *err)
{
	const char *newline = strchr(command, '\n');
	size_t length = strlen(command);
	const char *end;

	if (length == 0)
		return error_set(err, ERROR_INVALID, NULL, "empty Runtime API command");
	if (!newline) {
		text_append(ret, command);
		text_append(ret, "\n");
		return 0;
	}
	if (newline - command < 2 || newline[-1] != '<' || newline[-2] != '<')
		return error_set(
			err, ERROR_INVALID, NULL, "a Runtime API command has a line break in it");
	while (length > 0 && command[length - 1] == '\n')
		length--;
	end = command + length;
	if (newline >= end)
		return error_set(
			err, ERROR_INVALID, NULL, "the payload of a Runtime API command is empty");
	if (memmem(newline, length - (size_t)(newline - command), "\n\n", 2))
		return error_set(err, ERROR_INVALID, NULL,
			"the payload of a Runtime API command has an empty line in it");
	text_append_bytes(ret, command, length);
	text_append(ret, "\n\n");
	return 0;
}

static int exchange(const char *socket_path, const char *command, bool half_close, int timeout_ms,
	runtime_take take, void *userdata, struct error *err)
{
	_cleanup_text_ struct text request = TEXT_INIT;
	_cleanup_error_ struct error reason = ERROR_INIT;
	int64_t deadline = process_now_ms() + timeout_ms;
	_cleanup_close_ int fd = -1;
	int r;

	r = command_text(command, &request, err);
	if (r < 0)
		return r;
	if (request.failed)
		return error_set_errno(err, -ENOMEM, "%s", socket_path);
	r = connect_socket(socket_path, deadline, &fd);
	if (r < 0)
		return error_set_errno(err, r, "connecting to HAProxy at %s", socket_path);
	r = send_all(fd, request.data, request.length, deadline);
	if (r == 0 && half_close && shutdown(fd, SHUT_WR) < 0)
		r = -errno;
	if (r < 0)
		return error_set_errno(err, r, "writing to HAProxy at %s", socket_path);
	r = receive_all(fd, deadline, take, userdata, &reason);
	if (r < 0 && reason.message && err) {
		*err = reason;
		reason = ERROR_INIT;
		return r;
	}
	return r < 0 ? error_set_errno(err, r, "reading from HAProxy at %s", socket_path) : 0;
}

static int exchange_text(const char *socket_path, const char *command, bool half_close, int timeout_ms,
	char **ret_reply, size_t *ret_length, struct error *err)
{
	_cleanup_text_ struct text reply = TEXT_INIT;
	int r;

	r = exchange(socket_path, command, half_close, timeout_ms, append, &reply, err);
	if (r < 0)
		return r;
	r = text_finish(&reply, ret_reply, ret_length);
	return r < 0 ? error_set_errno(err, r, "reading from HAProxy at %s", socket_path) : 0;
}

int runtime_command(const char *socket_path, const char *command, int timeout_ms, char **ret_reply,
	size_t *ret_length, struct error *err)
{
	return exchange_text(socket_path, command, false, timeout_ms, ret_reply, ret_length, err);
}

int runtime_command_pieces(const char *socket_path, const char *command, int timeout_ms, runtime_take take, void *userdata,
	struct error *err)
{
	return exchange(socket_path, command, false, timeout_ms, take, userdata, err);
}

int runtime_master_command(const char *master_socket, const char *command, int timeout_ms,
	char **ret_reply, size_t *ret_length, struct error *err)
{
	return exchange_text(master_socket, command, true, timeout_ms, ret_reply, ret_length, err);
}

struct runtime_session {
	char *socket_path;
	int fd;
};

static const char prompt[] = "\n> ";

static bool ends_in_prompt(const struct text *reply)
{
	size_t length = strlen(prompt);

	return reply->length >= length &&
	       memcmp(reply->data + reply->length - length, prompt, length) == 0;
}

/* HAProxy writes nothing after the prompt before the next command. */
static int receive_to_prompt(int fd, int64_t deadline, struct text *reply)
{
	while (!ends_in_prompt(reply)) {
		ssize_t n = receive_some(fd, deadline, reply);

		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
	}
	text_truncate(reply, reply->length - strlen(prompt));
	return 0;
}

static int session_exchange(
	struct runtime_session *session, const char *line, int timeout_ms, struct text *reply)
{
	int64_t deadline = process_now_ms() + timeout_ms;
	int r;

	r = send_all(session->fd, line, strlen(line), deadline);
	if (r == 0)
		r = send_all(session->fd, "\n", 1, deadline);
	return r < 0 ? r : receive_to_prompt(session->fd, deadline, reply);
}

static int take_trimmed(struct text *reply, char **ret)
{
	size_t leading;
	int r;

	while (reply->length > 0 && reply->data[reply->length - 1] == '\n')
		text_truncate(reply, reply->length - 1);
	leading = strspn(text_peek(reply), "\n");
	r = text_finish(reply, ret, NULL);
	if (r == 0)
		memmove(*ret, *ret + leading, strlen(*ret + leading) + 1);
	return r;
}

int runtime_session_open(const char *socket_path, int timeout_ms, struct runtime_session **ret,
	struct error *err)
{
	_cleanup_(runtime_session_closep) struct runtime_session *session = NULL;
	_cleanup_text_ struct text greeting = TEXT_INIT;
	int r;

	session = calloc(1, sizeof(*session));
	if (!session)
		return error_set_errno(err, -ENOMEM, "%s", socket_path);
	session->fd = -1;
	session->socket_path = strdup(socket_path);
	if (!session->socket_path)
		return error_set_errno(err, -ENOMEM, "%s", socket_path);
	r = connect_socket(socket_path, process_now_ms() + timeout_ms, &session->fd);
	if (r < 0)
		return error_set_errno(err, r, "connecting to HAProxy at %s", socket_path);
	r = session_exchange(session, "prompt", timeout_ms, &greeting);
	if (r < 0)
		return error_set_errno(err, r, "talking to HAProxy at %s", socket_path);
	*ret = TAKE_PTR(session);
	return 0;
}

int runtime_session_command(struct runtime_session *session, const char *command, int timeout_ms,
	char **ret_reply, struct error *err)
{
	_cleanup_text_ struct text reply = TEXT_INIT;
	_cleanup_free_ char *answer = NULL;
	size_t length;
	int r;

	if (strpbrk(command, ";\n")) {
		r = runtime_command(
			session->socket_path, command, timeout_ms, &answer, &length, err);
		if (r < 0)
			return r;
		text_append_bytes(&reply, answer, length);
	} else {
		if (!command[0])
			return error_set(err, ERROR_INVALID, NULL, "empty Runtime API command");
		r = session_exchange(session, command, timeout_ms, &reply);
		if (r < 0)
			return error_set_errno(
				err, r, "talking to HAProxy at %s", session->socket_path);
	}
	if (reply.data && memchr(reply.data, '\0', reply.length))
		return error_set(err, ERROR_INTERNAL, NULL, "a NUL byte in HAProxy's reply");
	r = take_trimmed(&reply, ret_reply);
	return r < 0 ? error_set_errno(err, r, "HAProxy's reply") : 0;
}

void runtime_session_close(struct runtime_session *session)
{
	if (!session)
		return;
	close_keep_errno(session->fd);
	free(session->socket_path);
	free(session);
}

int runtime_processes(
	const char *master_socket, int timeout_ms, struct runtime_processes *ret, struct error *err)
{
	_cleanup_free_ char *reply = NULL;
	size_t length;
	int r;

	r = runtime_master_command(master_socket, "show proc", timeout_ms, &reply, &length, err);
	if (r < 0)
		return r;
	if (strlen(reply) != length)
		return error_set(
			err, ERROR_INTERNAL, NULL, "\"show proc\": a NUL byte in the reply");
	return runtime_parse_processes(reply, ret, err);
}

/* "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/"; up to 2.3 it began with
 * "HA-Proxy". */
int haproxy_version_parse(const char *output, struct haproxy_version *ret, struct error *err)
{
	static const char *const prefixes[] = {"HAProxy version ", "HA-Proxy version "};
	struct haproxy_version version = {0};
	const char *line = output, *text = NULL;

	while (line && !text) {
		for (size_t i = 0; i < ELEMENTSOF(prefixes) && !text; i++)
			text = text_after_prefix(line, prefixes[i]);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	if (!text)
		return error_set(
			err, ERROR_INTERNAL, NULL, "\"haproxy -v\" printed no line with a version");

	for (size_t i = 0; i < sizeof(version.text) - 1 && text[i] > ' ' && text[i] < 0x7f; i++)
		version.text[i] = text[i];
	/* Four digits are enough, and cannot overflow. */
	if (sscanf(version.text, "%4u.%4u", &version.major, &version.minor) != 2)
		return error_set(err, ERROR_INTERNAL, NULL,
			"\"haproxy -v\" printed the version \"%s\", which has no number",
			version.text);
	*ret = version;
	return 0;
}
