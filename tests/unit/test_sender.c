/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "agent/base/text.h"
#include "agent/health/envelope.h"
#include "agent/health/sender.h"

/* A receiver on a free loopback port. -1 if the family is not there. */
static int receiver(int family, unsigned *ret_port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *address =
		family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, length) < 0 || getsockname(fd, address, &length) < 0) {
		close_keep_errno(fd);
		return -1;
	}
	*ret_port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
	return fd;
}

static void assert_receives(int fd, const char *expected)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char buffer[64] = "";

	assert_int_equal(poll(&poll_fd, 1, 5000), 1);
	assert_true(recv(fd, buffer, sizeof(buffer) - 1, 0) >= 0);
	assert_string_equal(buffer, expected);
}

static void assert_receives_nothing(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&poll_fd, 1, 0), 0);
}

static void assert_sends(struct sender *sender, const char *text, const char *controller)
{
	const char *to = NULL;

	assert_int_equal(sender_send(sender, 1, (const uint8_t *)text, strlen(text), &to, NULL), 0);
	assert_string_equal(to, controller);
}

static void test_grammar(void **state _unused_)
{
	static const struct {
		const char *list;
		size_t n; /* SIZE_MAX: refused */
	} cases[] = {
		{NULL, 0},
		{"", 0},
		{" , ", 0},
		{"192.0.2.1:5555", 1},
		{"192.0.2.1:5555, [2001:db8::1]:5555,manager-1.example.org:1", 3},
		{"2001:db8::1:5555", 1},
		{"[::1]:65535", 1},
		{"192.0.2.1", SIZE_MAX},
		{"192.0.2.1:", SIZE_MAX},
		{"192.0.2.1:0", SIZE_MAX},
		{"192.0.2.1:65536", SIZE_MAX},
		{"192.0.2.1:x", SIZE_MAX},
		{":5555", SIZE_MAX},
		{"[]:5555", SIZE_MAX},
		{"[192.0.2.1]:5555", SIZE_MAX},
		{"[2001:db8::1]", SIZE_MAX},
		{"2001:db8::1", SIZE_MAX},
		{"a b:5555", SIZE_MAX},
		{"a/b:5555", SIZE_MAX},
		{"192.0.2.1:5555,nonsense", SIZE_MAX},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_(sender_freep) struct sender *sender = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		int r = sender_new(cases[i].list, &sender, &err);

		if (cases[i].n == SIZE_MAX) {
			assert_int_equal(r, -EINVAL);
			assert_int_equal(err.code, ERROR_INVALID);
			assert_non_null(strstr(error_message(&err), "controller_ip_port_list"));
			assert_null(sender);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(sender_controllers(sender), cases[i].n);
		}
	}
}

static void test_round_robin(void **state _unused_)
{
	_cleanup_(sender_freep) struct sender *sender = NULL;
	_cleanup_close_ int first = -1, second = -1;
	unsigned first_port, second_port;
	char list[80], items[2][32];

	first = receiver(AF_INET, &first_port);
	second = receiver(AF_INET, &second_port);
	assert_true(first >= 0 && second >= 0);
	snprintf(items[0], sizeof(items[0]), "127.0.0.1:%u", first_port);
	snprintf(items[1], sizeof(items[1]), "localhost:%u", second_port);
	snprintf(list, sizeof(list), "%s, %s", items[0], items[1]);
	assert_int_equal(sender_new(list, &sender, NULL), 0);

	assert_sends(sender, "one", items[0]);
	assert_receives(first, "one");
	/* A name whose first address may be ::1, where nobody listens: UDP cannot know. */
	assert_int_equal(sender_send(sender, 1, (const uint8_t *)"two", 3, NULL, NULL), 0);
	assert_receives_nothing(first);
	assert_sends(sender, "three", items[0]);
	assert_receives(first, "three");
	assert_receives_nothing(first);
}

static void test_ipv6(void **state _unused_)
{
	_cleanup_close_ int fd = -1;
	unsigned port;

	fd = receiver(AF_INET6, &port);
	if (fd < 0) {
		print_message("no IPv6 on loopback\n");
		skip();
	}
	for (int bracketed = 0; bracketed < 2; bracketed++) {
		_cleanup_(sender_freep) struct sender *sender = NULL;
		char item[32];

		snprintf(item, sizeof(item), "%s:%u", bracketed ? "[::1]" : "::1", port);
		assert_int_equal(sender_new(item, &sender, NULL), 0);
		assert_sends(sender, "six", item);
		assert_receives(fd, "six");
	}
}

static void test_failures(void **state _unused_)
{
	_cleanup_(sender_freep) struct sender *sender = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ uint8_t *large = calloc(1, HEARTBEAT_MAX_BYTES + 1);
	const char *controller = NULL;
	_cleanup_close_ int fd = -1;
	char list[80], last[32];
	unsigned port;

	fd = receiver(AF_INET, &port);
	assert_true(fd >= 0 && large);
	snprintf(last, sizeof(last), "127.0.0.1:%u", port);
	/* Broadcast needs a socket option that nobody set: EACCES, at once. */
	snprintf(list, sizeof(list), "255.255.255.255:9, %s", last);
	assert_int_equal(sender_new(list, &sender, NULL), 0);

	assert_true(sender_send(sender, 1, (const uint8_t *)"x", 1, &controller, &err) < 0);
	assert_string_equal(controller, "255.255.255.255:9");
	assert_non_null(strstr(error_message(&err), "255.255.255.255:9"));
	/* It moved on, with a new socket. */
	assert_sends(sender, "y", last);
	assert_receives(fd, "y");

	assert_int_equal(
		sender_send(sender, 1, large, HEARTBEAT_MAX_BYTES + 1, NULL, NULL), -EMSGSIZE);
	assert_int_equal(sender_send(sender, 1, large, HEARTBEAT_MAX_BYTES, NULL, NULL), 0);
}

/* Nobody listens at one of two controllers: each message to it is told of, once, and no other. */
static void test_losses(void **state _unused_)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < ELEMENTSOF(families); i++) {
		_cleanup_(sender_freep) struct sender *sender = NULL;
		_cleanup_close_ int fd = -1;
		const char *host = families[i] == AF_INET6 ? "[::1]" : "127.0.0.1";
		char list[80], dead[32];
		struct sender_loss loss;
		unsigned port, dead_port;
		int closed;

		fd = receiver(families[i], &port);
		closed = receiver(families[i], &dead_port);
		if (fd < 0 || closed < 0) {
			close_keep_errno(closed);
			continue;
		}
		snprintf(dead, sizeof(dead), "%s:%u", host, dead_port);
		snprintf(list, sizeof(list), "%s:%u,%s", host, port, dead);
		close(closed);
		assert_int_equal(sender_new(list, &sender, NULL), 0);
		assert_false(sender_next_loss(sender, &loss));

		for (uint64_t number = 100; number < 100 + 2 * SENDER_IN_FLIGHT; number++) {
			assert_int_equal(sender_send(sender, number, (const uint8_t *)"x", 1, NULL, NULL), 0);
			if (number % 2 == 0) {
				assert_receives(fd, "x");
				assert_false(sender_next_loss(sender, &loss));
				continue;
			}
			assert_true(sender_next_loss(sender, &loss));
			assert_int_equal(loss.number, number);
			assert_int_equal(loss.error, ECONNREFUSED);
			assert_string_equal(loss.controller, dead);
			assert_true(loss.again == (number > 101));
			assert_false(sender_next_loss(sender, &loss));
		}
	}
}

/* Not asked for, and out of date: the newest are told of, oldest first. */
static void test_old_losses(void **state _unused_)
{
	_cleanup_(sender_freep) struct sender *sender = NULL;
	struct sender_loss loss;
	char list[32];
	unsigned port;
	int fd = receiver(AF_INET, &port);

	assert_true(fd >= 0);
	close(fd);
	snprintf(list, sizeof(list), "127.0.0.1:%u", port);
	assert_int_equal(sender_new(list, &sender, NULL), 0);
	for (uint64_t number = 0; number < SENDER_IN_FLIGHT + 2; number++)
		assert_int_equal(sender_send(sender, number, (const uint8_t *)"x", 1, NULL, NULL), 0);
	for (uint64_t number = 2; number < SENDER_IN_FLIGHT + 2; number++) {
		assert_true(sender_next_loss(sender, &loss));
		assert_int_equal(loss.number, number);
	}
	assert_false(sender_next_loss(sender, &loss));
}

static void test_nobody(void **state _unused_)
{
	_cleanup_(sender_freep) struct sender *sender = NULL;

	assert_int_equal(sender_new("", &sender, NULL), 0);
	assert_int_equal(sender_send(sender, 1, (const uint8_t *)"x", 1, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_round_robin),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_old_losses),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
