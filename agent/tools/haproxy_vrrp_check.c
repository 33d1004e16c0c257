/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

/*
 * haproxy-vrrp-check: whether every HAProxy answers on its statistics socket. keepalived runs it every few seconds and
 * gives the VIP to the other amphora when it fails, so it links no library and reads no more than the first line.
 *
 * Source of what is asked and of the exit statuses: octavia/cmd/haproxy_vrrp_check.py.
 */

#include <getopt.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "agent/base/cleanup.h"

enum { DEFAULT_TIMEOUT_S = 5, MAX_TIMEOUT_S = 3600 };

/* Frontends only: the servers of a large load balancer would be megabytes. */
static const char question[] = "show stat -1 1 -1\n";
/* HAProxy management guide, 9.1: the first line names the columns. */
static const char answer[] = "# pxname,";

static const char help_text[] =
	"Usage: haproxy-vrrp-check [-t SECONDS] [SOCKET]...\n"
	"Checks that HAProxy answers \"show stat\" on each statistics socket.\n"
	"\n"
	"  -t, --timeout SECONDS   for all sockets together (default: 5)\n"
	"  -h, --help              show this help\n"
	"  -V, --version           show the version\n"
	"\n"
	"Exit status: 0 if all answer, or none is named; 1 if one does not; 2 for a usage error.\n";

static long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* What is left becomes the limit of the next call on the socket. */
static int limit(int fd, int option, long long deadline_us)
{
	long long left = deadline_us - now_us();
	struct timeval timeout = {.tv_sec = (time_t)(left / 1000000), .tv_usec = (suseconds_t)(left % 1000000)};

	if (left <= 0)
		return -ETIMEDOUT;
	return setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof(timeout)) < 0 ? -errno : 0;
}

static int connect_to(const char *path, long long deadline_us, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = limit(fd, SO_SNDTIMEO, deadline_us);
	if (r < 0)
		return r;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int check(const char *path, long long deadline_us)
{
	char received[sizeof(answer) - 1];
	_cleanup_close_ int fd = -1;
	size_t n = 0;
	int r;

	r = connect_to(path, deadline_us, &fd);
	if (r < 0)
		return r;
	if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0)
		return -errno;
	while (n < sizeof(received)) {
		ssize_t length;

		r = limit(fd, SO_RCVTIMEO, deadline_us);
		if (r < 0)
			return r;
		length = recv(fd, received + n, sizeof(received) - n, 0);
		if (length < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (length == 0)
			return -ENODATA;
		n += (size_t)length;
	}
	return memcmp(received, answer, sizeof(received)) == 0 ? 0 : -EPROTO;
}

static int parse_seconds(const char *text, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	return errno != 0 || end == text || *end || *ret < 1 || *ret > MAX_TIMEOUT_S ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"timeout", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	long timeout_s = DEFAULT_TIMEOUT_S;
	long long deadline_us;
	int option, status = EXIT_SUCCESS;

	while ((option = getopt_long(argc, argv, "t:hV", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(help_text, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("haproxy-vrrp-check (" PACKAGE_NAME ") " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		case 't':
			if (parse_seconds(optarg, &timeout_s) == 0)
				break;
			fprintf(stderr, "haproxy-vrrp-check: %s is no number of seconds\n", optarg);
			return 2;
		default:
			return 2;
		}
	}
	deadline_us = now_us() + (long long)timeout_s * 1000000;
	for (; optind < argc; optind++) {
		int r = check(argv[optind], deadline_us);

		if (r < 0) {
			fprintf(stderr, "haproxy-vrrp-check: %s: %s\n", argv[optind], strerror(-r));
			status = EXIT_FAILURE;
		}
	}
	return status;
}
