/* SPDX-License-Identifier: Apache-2.0 */

/* Nobody waits for somebody else: idle and slow clients, limits, deadlines, and the end of the server. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "tests/unit/server_fixture.h"

/* Waits until a counter has a value. */
static void await(atomic_int *counter, int value)
{
	for (int64_t end = process_now_ms() + PATIENCE_MS; atomic_load(counter) < value;) {
		if (process_now_ms() > end)
			fail_msg("waited in vain");
		poll(NULL, 0, 2);
	}
}

static void test_idle_clients_delay_nobody(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	struct client *clients[250];
	struct rlimit limit;
	int64_t before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 1000) {
		print_message("needs 1000 descriptors (ulimit -n)\n");
		skip();
	}
	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		clients[i] = dial(server, 1);
		if (i >= 200)
			assert_true(say(clients[i], i % 2 ? "PUT /things/a HTTP/1.1\r\nHost: "
							    "x\r\nContent-Length: 900\r\n\r\n{"
							  : "GET /fast HTTP/1.1\r\nHo"));
	}
	for (size_t door = 0; door < 2; door++) {
		struct client *client = dial(server, door);
		struct reply reply;

		before = process_now_ms();
		assert_true(say(client, "GET /fast HTTP/1.1\r\nHost: x\r\n\r\n"));
		reply = hear(client);
		assert_reply(&reply, 200, NULL, NULL);
		print_message("a request beside 200 idle and 50 half-sent ones: %lld ms\n",
			(long long)(process_now_ms() - before));
		assert_true(process_now_ms() - before < 1000);
		hang_up(client);
	}
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		hang_up(clients[i]);
}

static void test_slow_handler_delays_nobody(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	struct client *slow = dial(server, 0);
	struct reply reply;
	int64_t before;

	assert_true(say(slow, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
	await(&agent.entered, 1);
	before = process_now_ms();
	for (size_t i = 0; i < 10; i++)
		assert_asked(server, "GET /fast", "\r\n", 200, NULL, NULL);
	assert_true(process_now_ms() - before < 1000);
	assert_int_equal(atomic_load(&agent.left), 0);
	atomic_store(&agent.gate_open, true);
	reply = hear(slow);
	assert_reply(&reply, 200, NULL, "slow");
	hang_up(slow);
}

static void test_memory_budget(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start(2, 10, 100 * 1000);
	static char block[60 * 1000];
	struct client *holder = dial(server, 0), *client;
	struct reply reply = {0};

	memset(block, 'x', sizeof(block));
	assert_true(say(holder, "PUT /large HTTP/1.1\r\nHost: x\r\nContent-Length: 60001\r\n\r\n"));
	assert_true(say_bytes(holder, block, sizeof(block)));
	/* Until the server has read that, there is room for others. */
	for (int64_t end = process_now_ms() + PATIENCE_MS;
		reply.status != 503 && process_now_ms() < end;)
		reply = ask(server, "PUT /large",
			"Content-Length: 60000\r\nExpect: 100-continue\r\n\r\n");
	assert_reply(&reply, 503, "\r\nRetry-After: 1\r\n", "try again");

	/* The same for a length that nobody has announced. */
	client = dial(server, 0);
	assert_true(say(client,
		"PUT /large HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n"));
	assert_true(say_bytes(client, block, sizeof(block)));
	assert_true(say(client, "\r\n0\r\n\r\n"));
	reply = hear(client);
	assert_reply(&reply, 503, "\r\nRetry-After: 1\r\n", "try again");

	/* Everything is given back. */
	assert_true(say(holder, "x"));
	reply = hear(holder);
	assert_reply(&reply, 200, NULL, "\"length\":60001");
	for (size_t i = 0; i < 5; i++) {
		assert_true(say(
			client, "PUT /large HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"));
		assert_true(say_bytes(client, block, sizeof(block)));
		reply = hear(client);
		assert_reply(&reply, 200, NULL, "\"length\":60000");
	}
	hang_up(client);
	hang_up(holder);
}

static void test_timeouts(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start(1, 1, 1024 * 1024);
	struct client *idle = dial(server, 0), *head = dial(server, 1), *body = dial(server, 0);
	int64_t begin = process_now_ms(), idle_ms = 0, head_ms = 0, body_ms = 0;

	assert_true(say(head, "GET /fast HTTP/1.1\r\nX: "));
	assert_true(say(body, "PUT /large HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"));
	/* A byte now and then keeps the idle timeout away, but not the limit for the whole request.
	 */
	while ((!idle_ms || !head_ms || !body_ms) && process_now_ms() - begin < PATIENCE_MS) {
		struct pollfd pollfd = {.fd = idle->fd, .events = POLLIN};

		if (poll(&pollfd, idle_ms ? 0 : 1, 100) > 0)
			idle_ms = process_now_ms() - begin;
		if (!head_ms && !say(head, "x"))
			head_ms = process_now_ms() - begin;
		if (!body_ms && !say(body, "x"))
			body_ms = process_now_ms() - begin;
	}
	assert_true(is_closed(idle));
	assert_in_range(idle_ms, 900, 5000);
	assert_in_range(head_ms, 2000, 10000);
	assert_in_range(body_ms, 2000, 10000);
	hang_up(idle);
	hang_up(head);
	hang_up(body);
	/* A handler may take longer than any timeout of the network. */
	idle = dial(server, 0);
	assert_true(say(idle, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
	await(&agent.entered, 1);
	begin = process_now_ms();
	while (process_now_ms() - begin < 2500)
		poll(NULL, 0, 50);
	atomic_store(&agent.gate_open, true);
	assert_int_equal(hear(idle).status, 200);
	hang_up(idle);
}

static void test_client_leaves(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start(4, 10, 1024 * 1024);
	struct client *clients[4];

	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		clients[i] = dial(server, i % 2);
		assert_true(say(clients[i], "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
	}
	await(&agent.entered, ELEMENTSOF(clients));
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		hang_up(clients[i]);
	for (size_t i = 0; i < 2; i++) {
		struct client *client = dial(server, i);

		assert_true(say(client,
			"PUT /large HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"));
		hang_up(client);
	}
	atomic_store(&agent.gate_open, true);
	await(&agent.left, ELEMENTSOF(clients));
	assert_asked(server, "GET /fast", "\r\n", 200, NULL, NULL);
}

static void *stop_patiently(void *argument)
{
	server_stop(argument, PATIENCE_MS);
	return NULL;
}

static void test_stop_waits(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	struct client *slow = dial(server, 0), *probe = dial(server, 0), *half = dial(server, 1),
		      *idle = dial(server, 1);
	struct reply reply;
	struct stat st;
	pthread_t thread;

	assert_true(say(slow, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_true(say(
		half, "GET /fast HTTP/1.1\r\nHost: x\r\n\r\nGET /fast HTTP/1.1\r\nHost: x\r\n"));
	reply = hear(half);
	assert_reply(&reply, 200, NULL, NULL);
	await(&agent.entered, 1);
	assert_int_equal(pthread_create(&thread, NULL, stop_patiently, server), 0);
	/* From the first moment of stopping replies say that the connection ends. */
	do {
		assert_true(say(probe, "GET /fast HTTP/1.1\r\nHost: x\r\n\r\n"));
		reply = hear(probe);
		assert_true(reply.status == 200 || reply.status == 503);
	} while (!strcasestr(reply.head, "Connection: close"));
	assert_true(say(half, "\r\n"));
	reply = hear(half);
	assert_reply(&reply, 503, "Connection: close", "stopping");
	assert_true(is_closed(half));
	assert_int_equal(atomic_load(&agent.left), 0);
	atomic_store(&agent.gate_open, true);
	reply = hear(slow);
	assert_reply(&reply, 200, "Connection: close", "slow");
	pthread_join(thread, NULL);
	assert_true(is_closed(idle));
	assert_int_equal(stat(socket_path, &st), -1);
	assert_null(server_address(server, 0));
	hang_up(slow);
	hang_up(probe);
	hang_up(half);
	hang_up(idle);
}

static void test_stop_gives_up(void **state _unused_)
{
	struct server *server = start(2, 10, 1024 * 1024);
	struct client *clients[5];
	unsigned answered = 0;
	int64_t begin;

	/* Two are handled, the others wait for a worker. */
	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		clients[i] = dial(server, i % 2);
		assert_true(say(clients[i], "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
	}
	await(&agent.entered, 2);
	begin = process_now_ms();
	server_stop(server, 50);
	assert_true(process_now_ms() - begin < 5000);
	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		struct reply reply = hear(clients[i]);

		/* A connection that the server had not accepted yet is cut off without an answer.
		 */
		if (reply.status != 0) {
			assert_reply(&reply, 503, "Connection: close", "stopping");
			answered++;
		}
		hang_up(clients[i]);
	}
	assert_true(answered >= 2);
	assert_int_equal(atomic_load(&agent.left), 0);
	atomic_store(&agent.gate_open, true);
	server_free(server);
	/* It has waited for those that ran, and run no other. */
	assert_int_equal(atomic_load(&agent.entered), 2);
	assert_int_equal(atomic_load(&agent.left), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_clients_delay_nobody),
		cmocka_unit_test(test_slow_handler_delays_nobody),
		cmocka_unit_test(test_memory_budget),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_client_leaves),
		cmocka_unit_test(test_stop_waits),
		cmocka_unit_test(test_stop_gives_up),
	};

	log_set_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_ERR - 1);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (getenv("TEST_FILTER"))
		cmocka_set_test_filter(getenv("TEST_FILTER"));
	return cmocka_run_group_tests(tests, setup, teardown);
}
