/* SPDX-License-Identifier: Apache-2.0 */

/* Clients of the TLS door that are silent, late or speak something else. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "tests/unit/tls_fixture.h"

static void test_second_line(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	struct tls_peer *peer = NULL;
	gnutls_session_t session;

	assert_int_equal(gnutls_init(&session, GNUTLS_SERVER), 0);
	assert_false(tls_peer_is_trusted(NULL, session));
	assert_int_equal(tls_peer_new(context, session, NULL, NULL, NULL, &peer), 0);
	assert_false(tls_peer_is_trusted(peer, session));
	gnutls_deinit(session);
	tls_peer_free(peer);
	tls_peer_free(NULL);
}

/* The first flight of a TLS client: what it sends before it hears anything. */
static size_t client_hello(char *ret, size_t size)
{
	_cleanup_client_ struct client *client = NULL;
	ssize_t n;
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	client = client_new(pair[0], "NORMAL", NULL);
	assert_int_equal(gnutls_handshake(client->session), GNUTLS_E_AGAIN);
	n = recv(pair[1], ret, size, 0);
	assert_true(n > 50);
	close(pair[1]);
	return (size_t)n;
}

static double processor_seconds(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void test_silent_clients_delay_nobody(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server =
		start_on(context, 60, "https://127.0.0.1:0");
	_cleanup_client_ struct client *late = NULL;
	char hello[4096];
	size_t length = client_hello(hello, sizeof(hello));
	struct rlimit limit;
	struct client *idle[50];
	int silent[200];
	int64_t before;
	double used;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 1000) {
		print_message("needs 1000 descriptors (ulimit -n)\n");
		skip();
	}
	/* 50 that say nothing, 50 each that stop in the record header, in the ClientHello and after
	 * it; and 50 that end the handshake and say nothing then. */
	for (size_t i = 0; i < ELEMENTSOF(silent); i++) {
		static const int shares[] = {0, 3, -1, -2};
		int share = shares[i % ELEMENTSOF(shares)];
		size_t part = share == -1 ? length / 2 : share == -2 ? length : (size_t)share;

		silent[i] = dial_address(server, "127.0.0.1");
		assert_true(silent[i] >= 0);
		assert_int_equal(send(silent[i], hello, part, MSG_NOSIGNAL), part);
	}
	for (size_t i = 0; i < ELEMENTSOF(idle); i++)
		idle[i] = join(server);
	before = process_now_ms();
	late = join(server);
	assert_served(late);
	print_message("connecting and asking beside 250 silent clients: %lld ms\n",
		(long long)(process_now_ms() - before));
	assert_true(process_now_ms() - before < 1000);
	before = process_now_ms();
	assert_served(late);
	assert_true(process_now_ms() - before < 500);
	/* And nobody spins while they wait. */
	used = processor_seconds();
	poll(NULL, 0, 1000);
	used = processor_seconds() - used;
	print_message("processor time of a second of silence: %.3f s\n", used);
	assert_true(used < 0.3);
	for (size_t i = 0; i < ELEMENTSOF(silent); i++)
		close(silent[i]);
	for (size_t i = 0; i < ELEMENTSOF(idle); i++)
		client_free(idle[i]);
}

static bool is_over(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EINTR);
}

static void test_handshake_deadline(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start_on(context, 2, "https://127.0.0.1:0");
	_cleanup_close_ int silent = dial(server), slow = dial(server);
	char hello[4096];
	size_t length = client_hello(hello, sizeof(hello)), sent = 0;
	int64_t begin = process_now_ms(), silent_ms = 0, slow_ms = 0;

	/* A byte now and then does not help. */
	while ((!silent_ms || !slow_ms) && process_now_ms() - begin < PATIENCE_MS) {
		poll(NULL, 0, 20);
		if (!slow_ms && (is_over(slow) || (sent < length && send(slow, hello + sent++, 1,
									    MSG_NOSIGNAL) < 0)))
			slow_ms = process_now_ms() - begin;
		if (!silent_ms && is_over(silent))
			silent_ms = process_now_ms() - begin;
	}
	assert_in_range(silent_ms, 1800, 6000);
	assert_in_range(slow_ms, 1800, 6000);
}

static void test_listen(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(listen_address_done) struct listen_address address = {0};
	const struct server_options options = {.routes = routes_here,
		.agent = &agent,
		.workers = 1,
		.max_connections = 4,
		.idle_timeout_s = 5,
		.max_body_memory = 1024};
	_cleanup_(server_freep) struct server *plain = NULL, *server = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_client_ struct client *v4 = NULL, *v6 = NULL;
	int fd;

	assert_int_equal(listen_address_parse("https://[::]:0", &address, &err), 0);
	assert_int_equal(server_new(&options, &plain, &err), 0);
	assert_int_equal(server_listen(plain, &address, &err), error_code_to_errno(ERROR_INVALID));
	assert_non_null(strstr(error_message(&err), "agent_server_cert"));

	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		print_message("no IPv6 here\n");
		skip();
	}
	close(fd);
	server = start_on(context, 10, "https://[::]:0");
	assert_non_null(text_after_prefix(server_address(server, 0), "https://[::]:"));
	v4 = client_new(dial(server), TLS_1_3, client_identity);
	assert_int_equal(handshake(v4), 0);
	assert_served(v4);
	fd = dial_address(server, "::1");
	if (fd >= 0) { /* a machine may have IPv6 sockets and no address */
		v6 = client_new(fd, TLS_1_3, client_identity);
		assert_int_equal(handshake(v6), 0);
		assert_served(v6);
	}
}

static void test_not_tls(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start(context);
	const char *request = "GET /1.0/info HTTP/1.1\r\nHost: x\r\n\r\n";
	_cleanup_client_ struct client *client = NULL;
	_cleanup_close_ int fd = dial(server);
	char reply[256] = "";

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	while (recv(fd, reply, sizeof(reply) - 1, 0) > 0)
		;
	assert_null(strstr(reply, "HTTP"));
	assert_int_equal(atomic_load(&agent.handled), 0);
	client = join(server);
	assert_served(client);
}

static void test_stop(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start(context);
	_cleanup_client_ struct client *client = join(server);
	_cleanup_close_ int silent = dial(server);
	char reply[2048];

	assert_served(client);
	server_stop(server, 1000);
	assert_int_equal(hear(client, reply, sizeof(reply)), 0);
	assert_true(recv(silent, reply, 1, 0) <= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_line),
		cmocka_unit_test(test_silent_clients_delay_nobody),
		cmocka_unit_test(test_handshake_deadline),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_not_tls),
		cmocka_unit_test(test_stop),
	};

	log_set_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_ERR - 1);
	return cmocka_run_group_tests(tests, setup, teardown);
}
