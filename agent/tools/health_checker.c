/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

/*
 * amphora-health-checker: one health check of a UDP or SCTP member, run by keepalived (MISC_CHECK).
 *
 * UDP says nothing of who listens: a member is down if its machine answers that nobody does (ICMP port unreachable), and
 * up if it answers anything else or nothing. SCTP is asked with an INIT on a raw socket; without the right to open one,
 * the kernel's SCTP is, where there is one.
 *
 * Source of arguments and exit statuses: octavia/cmd/health_checker.py.
 */

#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "agent/base/cleanup.h"
#include "agent/tools/sctp_check.h"

enum {
	STATUS_UP = 0,
	STATUS_DOWN = 1,
	STATUS_TIMEOUT = 2,
	STATUS_UNEXPECTED = 3,
	STATUS_USAGE = 64, /* none of the above */
	DEFAULT_TIMEOUT_MS = 3000,
	MAX_TIMEOUT_MS = 3600 * 1000,
	REPEAT_MS = 500, /* a datagram may be lost */
	PACKET_MAX = 2048,
};

static const char help_text[] =
	"Usage: amphora-health-checker udp|sctp [-t SECONDS] ADDRESS PORT\n"
	"Checks a member of a UDP or SCTP pool once.\n"
	"\n"
	"  -t, --timeout SECONDS   give up after so long, \"0.8\" for instance (default: 3)\n"
	"  -h, --help              show this help\n"
	"  -V, --version           show the version\n"
	"\n"
	"Exit status: 0 if the member is up, 1 if it is down, 2 if an SCTP member did not answer in time, 3 if it\n"
	"answered something unexpected, 64 for a usage error.\n";

struct target {
	struct sockaddr_storage address;
	socklen_t length;
	uint16_t port;
	const char *host;
};

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct question {
	int fd;
	const void *packet;
	size_t length;
	long long deadline_ms, repeat_ms;
};

/* Sends it when it is due, until something comes: bytes received, 0 when time is up, or a negative errno. */
static ssize_t ask(struct question *q, uint8_t answer[static PACKET_MAX])
{
	for (long long now = now_ms(); now < q->deadline_ms; now = now_ms()) {
		struct pollfd waiting = {.fd = q->fd, .events = POLLIN};
		ssize_t n;

		if (now >= q->repeat_ms) {
			if (send(q->fd, q->packet, q->length, MSG_NOSIGNAL) < 0)
				return -errno;
			q->repeat_ms = now + REPEAT_MS;
		}
		if (poll(&waiting, 1, (int)((q->repeat_ms < q->deadline_ms ? q->repeat_ms : q->deadline_ms) - now)) <= 0)
			continue;
		n = recv(q->fd, answer, PACKET_MAX, MSG_DONTWAIT);
		if (n > 0)
			return n;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 0;
}

static int fail(const struct target *target, const char *what, int error)
{
	printf("%s port %u: %s: %s\n", target->host, target->port, what, strerror(error));
	return STATUS_DOWN;
}

static int check_udp(const struct target *target, long long deadline_ms)
{
	/* What nc(1) sends; an empty datagram would be dropped by some. */
	static const char probe[] = {'X'};
	struct question question = {.packet = probe, .length = sizeof(probe), .deadline_ms = deadline_ms};
	uint8_t answer[PACKET_MAX];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	fd = socket(target->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(target, "socket", errno);
	if (connect(fd, (const struct sockaddr *)&target->address, target->length) < 0)
		return fail(target, "connect", errno);
	question.fd = fd;
	n = ask(&question, answer);
	return n < 0 ? fail(target, "no listener", (int)-n) : STATUS_UP;
}

/* An association that nobody wants is ended: by the kernel if it knows SCTP, by us if it does not. */
static bool kernel_has_sctp(void)
{
	_cleanup_fclose_ FILE *protocols = fopen("/proc/net/protocols", "re");
	char line[256];

	while (protocols && fgets(line, sizeof(line), protocols))
		if (strncmp(line, "SCTP", 4) == 0)
			return true;
	return false;
}

static int judge(int fd, const struct sctp_probe *probe, const struct sctp_answer *answer)
{
	uint8_t abort_packet[SCTP_ABORT_LENGTH];

	if (answer->chunk == SCTP_CHUNK_ABORT) {
		puts("Received ABORT");
		return STATUS_DOWN;
	}
	if (!kernel_has_sctp()) {
		sctp_write_abort(probe, answer->peer_tag, abort_packet);
		if (send(fd, abort_packet, sizeof(abort_packet), MSG_NOSIGNAL) < 0)
			perror("ABORT");
	}
	if (answer->chunk == SCTP_CHUNK_INIT_ACK) {
		puts("Received INIT ACK");
		return STATUS_UP;
	}
	printf("Received a chunk of type %u\n", answer->chunk);
	return STATUS_UNEXPECTED;
}

static int random_probe(const struct target *target, struct sctp_probe *ret)
{
	struct sctp_probe probe;

	if (getrandom(&probe, sizeof(probe), 0) != (ssize_t)sizeof(probe))
		return -EIO;
	probe.source_port = (uint16_t)(probe.source_port | 0x8000); /* no port of a server */
	probe.destination_port = target->port;
	probe.tag |= 1;
	*ret = probe;
	return 0;
}

/* A raw socket sees every SCTP packet of the machine: others' are passed over. */
static int check_sctp_raw(int fd, const struct target *target, long long deadline_ms)
{
	uint8_t init[SCTP_INIT_LENGTH], packet[PACKET_MAX];
	struct question question = {.fd = fd, .packet = init, .length = sizeof(init), .deadline_ms = deadline_ms};
	struct sctp_probe probe;
	struct sctp_answer answer;

	if (random_probe(target, &probe) < 0)
		return fail(target, "random numbers", EIO);
	sctp_write_init(&probe, init);
	for (;;) {
		ssize_t n = ask(&question, packet);
		size_t skip;

		if (n < 0)
			return fail(target, "INIT", (int)-n);
		if (n == 0) {
			puts("No answer to INIT");
			return STATUS_TIMEOUT;
		}
		skip = target->address.ss_family == AF_INET ? sctp_skip_ipv4(packet, (size_t)n) : 0;
		if (sctp_read_answer(&probe, packet + skip, (size_t)n - skip, &answer))
			return judge(fd, &probe, &answer);
	}
}

static int check_sctp_kernel(const struct target *target, long long deadline_ms)
{
	_cleanup_close_ int fd = -1;
	struct pollfd waiting = {.events = POLLOUT};
	socklen_t length = sizeof(int);
	int error = 0;

	fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_SCTP);
	if (fd < 0)
		return fail(target, "neither a raw socket nor the kernel's SCTP can be used", errno);
	if (connect(fd, (const struct sockaddr *)&target->address, target->length) == 0)
		return STATUS_UP;
	if (errno != EINPROGRESS)
		return fail(target, "connect", errno);
	waiting.fd = fd;
	if (poll(&waiting, 1, (int)(deadline_ms - now_ms())) <= 0) {
		puts("No answer to INIT");
		return STATUS_TIMEOUT;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	return error ? fail(target, "connect", error) : STATUS_UP;
}

static int check_sctp(const struct target *target, long long deadline_ms)
{
	struct sockaddr_storage address = target->address;
	_cleanup_close_ int fd = -1;

	fd = socket(address.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP);
	if (fd < 0)
		return errno == EPERM || errno == EACCES ? check_sctp_kernel(target, deadline_ms)
							 : fail(target, "raw socket", errno);
	/* Here a port would be a protocol number (raw(7), ipv6(7)). */
	if (address.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&address)->sin6_port = 0;
	if (connect(fd, (const struct sockaddr *)&address, target->length) < 0)
		return fail(target, "connect", errno);
	return check_sctp_raw(fd, target, deadline_ms);
}

static int parse_timeout(const char *text, int *ret_ms)
{
	char *end;
	double seconds;

	seconds = strtod(text, &end);
	if (end == text || *end || !(seconds > 0) || seconds * 1000 > MAX_TIMEOUT_MS)
		return -EINVAL;
	*ret_ms = (int)(seconds * 1000);
	return 0;
}

static int parse_target(const char *host, const char *port, struct target *ret)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM};
	struct addrinfo *found;
	char *end;
	long number;

	errno = 0;
	number = strtol(port, &end, 10);
	if (errno != 0 || end == port || *end || number < 1 || number > 65535)
		return -EINVAL;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -EINVAL;
	memcpy(&ret->address, found->ai_addr, found->ai_addrlen);
	ret->length = found->ai_addrlen;
	freeaddrinfo(found);
	ret->port = (uint16_t)number;
	ret->host = host;
	return 0;
}

static int usage(const char *what)
{
	fprintf(stderr, "amphora-health-checker: %s; see --help\n", what);
	return STATUS_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"timeout", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int option, timeout_ms = DEFAULT_TIMEOUT_MS;
	struct target target = {0};

	while ((option = getopt_long(argc, argv, "t:hV", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(help_text, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("amphora-health-checker (" PACKAGE_NAME ") " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		case 't':
			if (parse_timeout(optarg, &timeout_ms) == 0)
				break;
			return usage("the timeout is no number of seconds");
		default:
			return STATUS_USAGE;
		}
	}
	if (argc - optind != 3)
		return usage("protocol, address and port are needed");
	if (parse_target(argv[optind + 1], argv[optind + 2], &target) < 0)
		return usage("not an IP address and a port");
	if (strcasecmp(argv[optind], "udp") == 0)
		return check_udp(&target, now_ms() + timeout_ms);
	if (strcasecmp(argv[optind], "sctp") == 0)
		return check_sctp(&target, now_ms() + timeout_ms);
	printf("Unsupported protocol '%s'\n", argv[optind]);
	return STATUS_DOWN;
}
