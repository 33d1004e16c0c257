/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prometheus_proxy/exporter.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"
#include "agent/base/namespace.h"

static const char head_end[] = "\r\n\r\n";

static int connect_to(int namespace_fd, const struct sockaddr_in *address, int *ret_fd)
{
	const struct timeval timeout = {.tv_sec = EXPORTER_TIMEOUT_MS / 1000};
	_cleanup_close_ int fd = -1;
	int r;

	r = namespace_socket(namespace_fd, AF_INET, SOCK_STREAM, 0, &fd);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int send_request(int fd, const char *path)
{
	_cleanup_free_ char *request = NULL;
	int length = asprintf(&request, "GET %s HTTP/1.0\r\nConnection: close\r\n\r\n", path);

	if (length < 0) {
		request = NULL;
		return -ENOMEM;
	}
	return fileio_write_all(fd, request, (size_t)length);
}

/* Up to the empty line, NUL-terminated. */
static int read_head(struct exporter *e)
{
	for (;;) {
		ssize_t n;
		char *end;

		e->buffer[e->length] = '\0';
		end = strstr(e->buffer, head_end);
		if (end) {
			*end = '\0';
			e->used = (size_t)(end - e->buffer) + strlen(head_end);
			return 0;
		}
		if (e->length == sizeof(e->buffer) - 1)
			return -EMSGSIZE;
		n = recv(e->fd, e->buffer + e->length, sizeof(e->buffer) - 1 - e->length, 0);
		if (n <= 0)
			return n == 0 ? -ENODATA : errno == EAGAIN ? -ETIMEDOUT : -errno;
		e->length += (size_t)n;
	}
}

static int check_head(const char *head, struct error *err)
{
	int status = 0;

	if (sscanf(head, "HTTP/1.%*1[01] %3d", &status) != 1 || status != 200)
		return error_set(err, ERROR_INVALID, NULL, "the exporter answers with status %d", status);
	if (strcasestr(head, "\r\ntransfer-encoding:"))
		return error_set(err, ERROR_INVALID, NULL, "the exporter answers in an encoding that was not asked for");
	return 0;
}

int exporter_open(int namespace_fd, const struct sockaddr_in *address, const char *path, struct exporter *ret,
	struct error *err)
{
	int r;

	*ret = (struct exporter){.fd = -1};
	r = connect_to(namespace_fd, address, &ret->fd);
	if (r == 0)
		r = send_request(ret->fd, path);
	if (r == 0)
		r = read_head(ret);
	if (r < 0)
		error_set_errno(err, r, "the exporter of HAProxy, port %u", ntohs(address->sin_port));
	else
		r = check_head(ret->buffer, err);
	if (r < 0)
		exporter_close(ret);
	return r;
}

ssize_t exporter_read(struct exporter *e, const char **ret)
{
	ssize_t n;

	*ret = e->buffer;
	if (e->used < e->length) {
		*ret = e->buffer + e->used;
		n = (ssize_t)(e->length - e->used);
		e->used = e->length;
		return n;
	}
	do
		n = recv(e->fd, e->buffer, sizeof(e->buffer), 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? (errno == EAGAIN ? -ETIMEDOUT : -errno) : n;
}

void exporter_close(struct exporter *e)
{
	close_keep_errno(e->fd);
	e->fd = -1;
}
