/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/text.h"
#include "agent/haproxy/trial.h"

/* A listening socket on a free port of 127.0.0.1, with or without SO_REUSEPORT as HAProxy sets it. */
static int listen_on(bool reuse_port, int *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	if (reuse_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int trial(const char *running, const char *format, int port, struct error *err)
{
	_cleanup_cfg_ struct cfg old = CFG_INIT, new = CFG_INIT;
	_cleanup_text_ struct text wanted = TEXT_INIT;

	text_append(&wanted, "frontend f\n");
	for (const char *p = format; *p; p++)
		if (*p == '@')
			text_printf(&wanted, "%d", port);
		else
			text_append_char(&wanted, *p);
	assert_int_equal(cfg_parse(running, strlen(running), &old, NULL), 0);
	assert_int_equal(cfg_parse(text_peek(&wanted), wanted.length, &new, NULL), 0);
	return trial_bind_added(&old, &new, err);
}

static void test_taken(void **state)
{
	static const char *const taken[] = {"bind 127.0.0.1:@\n", "bind 0.0.0.0:@ ssl\n", "bind :@\n", "bind *:@\n"};
	static const char *const left_alone[] = {"bind /tmp/x.sock\n", "bind abns@x:@\n", "bind 127.0.0.1:@-@\n",
		"bind localhost:@\n", "bind 127.0.0.1:@ transparent\n", "bind\n", "server s 127.0.0.1:@\n",
		"bind 127.0.0.1:0\n"};
	int port, fd = listen_on(false, &port);
	char running[64];

	(void)state;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;

		assert_true(trial("", taken[i], port, &err) < 0);
		assert_int_equal(err.code, ERROR_APPLY);
		assert_non_null(strstr(err.message, "frontend f: cannot bind ["));
		assert_non_null(strstr(err.message, "Address already in use"));
	}
	for (size_t i = 0; i < sizeof(left_alone) / sizeof(left_alone[0]); i++)
		assert_int_equal(trial("", left_alone[i], port, NULL), 0);
	/* What runs already is not tried. */
	snprintf(running, sizeof(running), "frontend g\n bind 127.0.0.1:%d\n", port);
	assert_int_equal(trial(running, "bind 127.0.0.1:@\n", port, NULL), 0);
	close(fd);
	assert_int_equal(trial("", "bind 127.0.0.1:@\n", port, NULL), 0);
}

static void test_own_haproxy_is_no_obstacle(void **state)
{
	int port, fd = listen_on(true, &port);

	(void)state;
	assert_int_equal(trial("", "bind 127.0.0.1:@\n", port, NULL), 0);
	assert_int_equal(trial("", "bind 0.0.0.0:@\n", port, NULL), 0);
	close(fd);
}

static void test_foreign_address(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	(void)state;
	/* RFC 5737: no machine has it. Where net.ipv4.ip_nonlocal_bind is set, HAProxy can bind it, and so can we. */
	if (trial("", "bind 192.0.2.1:@\n", 8080, &err) < 0)
		assert_non_null(strstr(err.message, "Cannot assign requested address"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_own_haproxy_is_no_obstacle),
		cmocka_unit_test(test_foreign_address),
	};

	return cmocka_run_group_tests_name("trial", tests, NULL, NULL);
}
