/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "api/server.h"

/*
 * A server with a small route table of its own, on a unix socket and on loopback, and clients that
 * write bytes.
 */

enum {
	PATIENCE_MS = 20000, /* for what must happen at all */
	SMALL_BODY = 1000,
	LARGE_BODY = 4 * 1024 * 1024,
};

struct agent {
	atomic_bool gate_open; /* /slow waits for it */
	atomic_int entered;    /* handlers of /slow */
	atomic_int left;
};

static struct agent agent;
static char folder[64];
static char socket_path[96]; /* of the test's server */

/* ---- handlers ---- */

static int handle_fast(const struct request *request _unused_, struct response *response,
	struct error *err _unused_)
{
	return response_set_json(response, 200, json_pack("{s:b}", "fast", 1));
}

static int handle_slow(
	const struct request *request, struct response *response, struct error *err _unused_)
{
	atomic_fetch_add(&request->agent->entered, 1);
	for (int64_t end = process_now_ms() + PATIENCE_MS; process_now_ms() < end;) {
		if (atomic_load(&request->agent->gate_open))
			break;
		poll(NULL, 0, 5);
	}
	/* After the server has given the client up, the request must still be whole. */
	if (!request_header(request, "host"))
		return -EIO;
	atomic_fetch_add(&request->agent->left, 1);
	return response_set_json(response, 200, json_pack("{s:b}", "slow", 1));
}

static int handle_echo(
	const struct request *request, struct response *response, struct error *err _unused_)
{
	if (strlen(request->body) != request->body_length)
		return -EIO;
	return response_set_json(response, 200,
		json_pack("{s:s, s:s*, s:I, s:s*, s:s*}", "method", request->method, "name",
			request->parameters[0], "length", (json_int_t)request->body_length, "q",
			request_query(request, "q"), "x", request_header(request, "X-Test")));
}

static int handle_failure(
	const struct request *request _unused_, struct response *response, struct error *err)
{
	response_add_header(response, "Amphorad-Apply", "none");
	return error_set(err, ERROR_CONFLICT, "/a/b", "words for a person");
}

static int handle_silent_failure(const struct request *request _unused_,
	struct response *response _unused_, struct error *err _unused_)
{
	return -ENOSPC;
}

static const struct route routes_here[] = {
	{"GET", "/fast", handle_fast, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"GET", "/slow", handle_slow, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"GET", "/things/{name}", handle_echo, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"PUT", "/things/{name}", handle_echo, BODY_JSON, SMALL_BODY, ERROR_STYLE_LBAAS, ""},
	{"PUT", "/large", handle_echo, BODY_ANY, LARGE_BODY, ERROR_STYLE_LBAAS, ""},
	{"DELETE", "/fail", handle_failure, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"DELETE", "/silent", handle_silent_failure, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"PUT", "/1.0/config", handle_failure, BODY_ANY, SMALL_BODY, ERROR_STYLE_AMPHORA, ""},
	{NULL, NULL, NULL, BODY_NONE, 0, ERROR_STYLE_LBAAS, NULL},
};

/* ---- the server ---- */

static struct server *start(unsigned workers, unsigned idle_timeout_s, size_t max_body_memory)
{
	static unsigned n_servers; /* a test that fails must not take the next one's path */
	const struct server_options options = {
		.routes = routes_here,
		.agent = &agent,
		.workers = workers,
		.max_connections = 600,
		.idle_timeout_s = idle_timeout_s,
		.max_body_memory = max_body_memory,
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct listen_address address;
	struct server *server = NULL;
	char text[128];

	atomic_store(&agent.gate_open, false);
	atomic_store(&agent.entered, 0);
	atomic_store(&agent.left, 0);
	if (server_new(&options, &server, &err) < 0)
		fail_msg("%s", error_message(&err));
	snprintf(socket_path, sizeof(socket_path), "%s/%u.sock", folder, n_servers++);
	snprintf(text, sizeof(text), "unix:%s", socket_path);
	assert_int_equal(listen_address_parse(text, &address, &err), 0);
	if (server_listen(server, &address, &err) < 0)
		fail_msg("%s", error_message(&err));
	listen_address_done(&address);
	assert_int_equal(listen_address_parse("http://127.0.0.1:0", &address, &err), 0);
	if (server_listen(server, &address, &err) < 0)
		fail_msg("%s", error_message(&err));
	listen_address_done(&address);
	assert_string_equal(server_address(server, 0), text);
	assert_null(server_address(server, 2));
	return server;
}

static struct server *start_usual(void)
{
	return start(2, 10, 16 * 1024 * 1024);
}

/* ---- clients ---- */

struct client {
	int fd;
	char buffer[64 * 1024]; /* received and not yet used */
	size_t length;
};

struct reply {
	int status; /* 0: the connection ended instead */
	char head[4096];
	char body[8192];
	size_t length;
};

static struct client *dial(const struct server *server, size_t n)
{
	const char *port = text_after_prefix(server_address(server, n), "http://127.0.0.1:");
	struct client *client = calloc(1, sizeof(*client));
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_un local;
	} address = {0};

	assert_non_null(client);
	if (port) {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons((in_port_t)atoi(port));
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		address.local.sun_family = AF_UNIX;
		snprintf(address.local.sun_path, sizeof(address.local.sun_path), "%s",
			server_address(server, n) + strlen("unix:"));
	}
	client->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(client->fd >= 0);
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(client->fd, &address.any,
				 port ? sizeof(address.v4) : sizeof(address.local)),
		0);
	return client;
}

static void hang_up(struct client *client)
{
	close(client->fd);
	free(client);
}

/* False when the server did not want to read it all. */
static bool say_bytes(struct client *client, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = send(client->fd, bytes, length, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		length -= (size_t)n;
	}
	return true;
}

static bool say(struct client *client, const char *text)
{
	return say_bytes(client, text, strlen(text));
}

static bool receive(struct client *client)
{
	ssize_t n;

	assert_true(client->length < sizeof(client->buffer) - 1);
	n = recv(client->fd, client->buffer + client->length,
		sizeof(client->buffer) - 1 - client->length, 0);
	if (n < 0 && errno == EAGAIN)
		fail_msg("no answer in %d ms", PATIENCE_MS);
	if (n <= 0)
		return false;
	client->length += (size_t)n;
	client->buffer[client->length] = '\0';
	return true;
}

static void consume(struct client *client, size_t length)
{
	memmove(client->buffer, client->buffer + length, client->length - length + 1);
	client->length -= length;
}

/* Reads the next reply. "head" is for a reply to HEAD, which has no body. */
static struct reply hear_kind(struct client *client, bool head)
{
	struct reply reply = {0};
	const char *end, *field;
	size_t length;

	while (!(end = strstr(client->buffer, "\r\n\r\n")))
		if (!receive(client))
			return reply;
	length = (size_t)(end - client->buffer) + 4;
	assert_true(length < sizeof(reply.head));
	memcpy(reply.head, client->buffer, length);
	consume(client, length);
	assert_int_equal(sscanf(reply.head, "HTTP/1.1 %d", &reply.status), 1);
	field = strcasestr(reply.head, "\r\nContent-Length: ");
	length = field ? (size_t)atol(field + strlen("\r\nContent-Length: ")) : 0;
	if (head || length == 0)
		return reply;
	assert_true(length < sizeof(reply.body));
	while (client->length < length)
		if (!receive(client))
			fail_msg("the reply ends early");
	memcpy(reply.body, client->buffer, length);
	reply.length = length;
	consume(client, length);
	return reply;
}

static struct reply hear(struct client *client)
{
	return hear_kind(client, false);
}

static bool is_closed(struct client *client)
{
	client->length = 0;
	return !receive(client);
}

/* One request on a connection of its own; "rest" is what follows the Host line. */
static struct reply ask(const struct server *server, const char *line, const char *rest)
{
	struct client *client = dial(server, 0);
	_cleanup_free_ char *text = NULL;
	struct reply reply;

	assert_true(asprintf(&text, "%s HTTP/1.1\r\nHost: x\r\n%s", line, rest) > 0);
	assert_true(say(client, text));
	reply = hear(client);
	hang_up(client);
	return reply;
}

static void assert_reply(
	const struct reply *reply, int status, const char *in_head, const char *in_body)
{
	if (reply->status != status || (in_head && !strcasestr(reply->head, in_head)) ||
		(in_body && !strstr(reply->body, in_body)))
		fail_msg("wanted %d with '%s' and '%s', got %d:\n%s%s", status,
			in_head ? in_head : "", in_body ? in_body : "", reply->status, reply->head,
			reply->body);
	assert_non_null(strcasestr(reply->head, "x-openstack-request-id: req-"));
}

static void assert_asked(const struct server *server, const char *line, const char *rest,
	int status, const char *in_head, const char *in_body)
{
	struct reply reply = ask(server, line, rest);

	assert_reply(&reply, status, in_head, in_body);
}

/* Waits until a counter has a value. */
static void await(atomic_int *counter, int value)
{
	for (int64_t end = process_now_ms() + PATIENCE_MS; atomic_load(counter) < value;) {
		if (process_now_ms() > end)
			fail_msg("waited in vain");
		poll(NULL, 0, 2);
	}
}

/* ---- tests ---- */

static void test_answers(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	const char *json = "\r\nContent-Type: application/json";

	assert_asked(server, "GET /fast", "\r\n", 200, json, "{\"fast\":true}");
	assert_asked(server, "GET http://h:80/things/a?q=b", "\r\n", 200, json, "\"q\":\"b\"");
	assert_asked(server, "GET /things/a%20b?q=c%20d+e&z", "X-Test: y\r\n\r\n", 200, json,
		"{\"method\":\"GET\",\"name\":\"a b\",\"length\":0,\"q\":\"c d e\",\"x\":\"y\"}");
	assert_asked(
		server, "PUT /things/a", "Content-Length: 2\r\n\r\n{}", 200, json, "\"length\":2");
	assert_asked(server, "GET /v2/nothing", "\r\n", 404, json,
		"{\"faultcode\":\"Client\",\"faultstring\":\"");
	assert_asked(server, "GET /1.0/nothing", "\r\n", 404, json, ",\"http_code\":404}");
	assert_asked(server, "GET /nothing", "\r\n", 404, json, ",\"http_code\":404}");
	assert_asked(server, "POST /things/a", "\r\n", 405, "\r\nAllow: GET, HEAD, PUT\r\n",
		"\"faultstring\"");
	assert_asked(
		server, "GET /1.0/config", "\r\n", 405, "\r\nAllow: PUT\r\n", "\"http_code\":405");
	assert_asked(server, "DELETE /fail", "\r\n", 409, "\r\nAmphorad-Apply: none",
		"\"faultstring\":\"/a/b: words for a person\"");
	assert_asked(server, "PUT /1.0/config", "Content-Length: 1\r\n\r\nx", 409, json,
		"{\"message\":\"Conflict\",\"details\":\"/a/b: words for a person\"}");
	assert_asked(server, "DELETE /silent", "\r\n", 500, json,
		"DELETE /silent: No space left on device");
}

static void test_bad_requests(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	static const char *const attacks[] = {"GET /things/%2e%2e%2fetc", "GET /things/a%00b",
		"GET /things/%0d%0aX", "GET /things/%", "GET /things/%ff", "GET /things/a?q=%00",
		"GET /things/a?q=%zz"};
	static const char *const nowhere[] = {"GET /things/..", "GET /things/%2e%2e",
		"GET /fast/../fast", "GET /things/a/../../fast", "GET /f%61st", "GET /things%2fa",
		"GET *"};
	static const char *const malformed[] = {"Content-Length : 2\r\n\r\n{}",
		"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", "X Y: z\r\n\r\n", "X: a\vb\r\n\r\n",
		"Host: y\r\nContent-Length: 2\r\n\r\n{}"};
	char *target = malloc(64 * 1024);
	struct client *client;
	struct reply reply;

	for (size_t i = 0; i < ELEMENTSOF(attacks); i++)
		assert_asked(server, attacks[i], "\r\n", 400, NULL, "faultstring");
	for (size_t i = 0; i < ELEMENTSOF(nowhere); i++)
		assert_asked(server, nowhere[i], "\r\n", 404, NULL, "\"http_code\":404");
	assert_asked(server, "GET /fast", "Content-Length: 1\r\n\r\nx", 400, NULL, "takes no body");
	assert_asked(server, "PUT /things/a",
		"Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx", 415, NULL,
		"application/json");
	assert_asked(server, "PUT /things/a", "Content-Length: 1001\r\n\r\n", 413,
		"Connection: close", "1000");
	assert_asked(server, "PUT /large", "Content-Length: 9223372036854775808\r\n\r\n", 413, NULL,
		NULL);
	assert_asked(server, "PUT /large",
		"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
		"Connection: close", "more than once");
	assert_asked(server, "PUT /large", "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 400,
		"close", "more than once");
	assert_asked(server, "PUT /large", "Transfer-Encoding: gzip\r\n\r\n", 501,
		"Connection: close", "chunked");

	for (size_t i = 0; i < ELEMENTSOF(malformed); i++)
		assert_asked(server, "PUT /things/a", malformed[i], 400, "Connection: close", "header");
	/* What follows is not taken for another request. */
	client = dial(server, 0);
	assert_true(say(client, "GET /fast HTTP/1.1\r\nHost: x\r\nContent-Length : 35\r\n\r\n"
				"GET /fast HTTP/1.1\r\nHost: x\r\n\r\n"));
	reply = hear(client);
	assert_reply(&reply, 400, "Connection: close", "header");
	assert_true(is_closed(client));
	hang_up(client);
	assert_asked(server, "GET /fast", "X-Tab: a\tb\r\nX-Text: \xc3\xbc\r\n\r\n", 200, NULL, NULL);

	/* These are the library's own replies. */
	reply = ask(server, "PUT /large", "Content-Length: 99999999999999999999\r\n\r\n");
	assert_int_equal(reply.status, 413);
	assert_non_null(target);
	memset(target, 'x', 64 * 1024);
	client = dial(server, 0);
	say(client, "GET /things/");
	say_bytes(client, target, 64 * 1024);
	reply = hear(client);
	assert_int_equal(reply.status, 414);
	hang_up(client);
	client = dial(server, 0);
	say(client, "GET /fast HTTP/1.1\r\nHost: x\r\nX: ");
	say_bytes(client, target, 64 * 1024);
	reply = hear(client);
	assert_int_equal(reply.status, 431);
	hang_up(client);
	free(target);
	assert_asked(server, "GET /fast", "\r\n", 200, NULL, NULL);
}

static void test_head(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	struct client *client = dial(server, 0);
	struct reply reply;

	assert_true(say(client,
		"HEAD /fast HTTP/1.1\r\nHost: x\r\n\r\nHEAD /none HTTP/1.1\r\nHost: x\r\n\r\n"
		"GET /fast HTTP/1.1\r\nHost: x\r\n\r\n"));
	reply = hear_kind(client, true);
	assert_reply(&reply, 200, "\r\nContent-Length: 13\r\n", NULL);
	reply = hear_kind(client, true);
	assert_reply(&reply, 404, NULL, NULL);
	reply = hear(client); /* would be out of step if HEAD had a body */
	assert_reply(&reply, 200, NULL, "{\"fast\":true}");
	hang_up(client);
}

static void test_early_refusal(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	static char block[64 * 1024];
	struct client *client;
	struct reply reply;

	/* Whoever waits for 100 gets 413 instead, with nothing before it. */
	client = dial(server, 1);
	assert_true(say(client, "PUT /things/a HTTP/1.1\r\nHost: x\r\nExpect: "
				"100-continue\r\nContent-Length: 100000\r\n\r\n"));
	reply = hear(client);
	assert_reply(&reply, 413, "Connection: close", "faultstring");
	assert_true(is_closed(client));
	hang_up(client);

	client = dial(server, 1);
	assert_true(say(client, "PUT /things/a HTTP/1.1\r\nHost: x\r\nExpect: "
				"100-continue\r\nContent-Length: 2\r\n\r\n"));
	reply = hear(client);
	assert_int_equal(reply.status, 100);
	assert_true(say(client, "{}"));
	reply = hear(client);
	assert_reply(&reply, 200, NULL, "\"length\":2");
	hang_up(client);

	/* Whoever sends at once can send it all and then read the reply: no reset destroys it. */
	for (size_t door = 0; door < 2; door++) {
		client = dial(server, door);
		assert_true(say(client,
			"PUT /things/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n\r\n"));
		for (size_t i = 0; i < 64; i++)
			assert_true(say_bytes(client, block, sizeof(block)));
		reply = hear(client);
		assert_reply(&reply, 413, "Connection: close", "faultstring");
		assert_true(is_closed(client));
		hang_up(client);
	}
}

static void say_chunk(struct client *client, const char *bytes, size_t length, bool *ret_taken)
{
	char size[32];

	snprintf(size, sizeof(size), "%zx\r\n", length);
	*ret_taken = say(client, size) && say_bytes(client, bytes, length) && say(client, "\r\n");
}

static void test_chunked(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	const char *put = "PUT /things/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
	static char block[SMALL_BODY];
	struct client *client = dial(server, 0);
	struct reply reply;
	bool taken;

	memset(block, ' ', sizeof(block));
	assert_true(say(client, put));
	say_chunk(client, block, 600, &taken);
	say_chunk(client, block, 400, &taken);
	assert_true(say(client, "0\r\n\r\n"));
	reply = hear(client);
	assert_reply(&reply, 200, NULL, "\"length\":1000");

	/* One byte more; the connection goes on. */
	assert_true(say(client, put));
	say_chunk(client, block, 600, &taken);
	say_chunk(client, block, 401, &taken);
	assert_true(say(client, "0\r\n\r\n"));
	reply = hear(client);
	assert_reply(&reply, 413, NULL, "too large");

	assert_true(say(client,
		"GET /fast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
	reply = hear(client);
	assert_reply(&reply, 200, NULL, "fast");
	assert_true(say(client, "GET /fast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
				"chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"));
	reply = hear(client);
	assert_reply(&reply, 400, NULL, "takes no body");

	/* A body without end is cut. */
	assert_true(say(client, put));
	taken = true;
	for (size_t i = 0; i < 16 * 1024 && taken; i++)
		say_chunk(client, block, sizeof(block), &taken);
	assert_false(taken);
	hang_up(client);
	assert_asked(server, "GET /fast", "\r\n", 200, NULL, NULL);
}

static void test_keep_alive(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	struct client *client = dial(server, 1);
	char ids[100][41];
	struct reply reply;

	for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
		/* Refusals without a body do not end the connection either. */
		assert_true(say(client, i % 5 == 4 ? "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
						   : "GET /fast HTTP/1.1\r\nHost: x\r\n\r\n"));
		reply = hear(client);
		assert_reply(&reply, i % 5 == 4 ? 404 : 200, NULL, NULL);
		snprintf(ids[i], sizeof(ids[i]), "%.40s", strcasestr(reply.head, "req-"));
		assert_true(text_is_uuid(ids[i] + strlen("req-")));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
	for (size_t i = 0; i < 5; i++)
		assert_true(say(client,
			"PUT /things/p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n123"));
	for (size_t i = 0; i < 5; i++) {
		reply = hear(client);
		assert_reply(&reply, 200, NULL, "\"length\":3");
	}
	hang_up(client);
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

static void test_listen_fd(void **state _unused_)
{
	const struct server_options options = {.routes = routes_here,
		.agent = &agent,
		.workers = 1,
		.max_connections = 4,
		.idle_timeout_s = 5,
		.max_body_memory = 1024};
	_cleanup_(server_freep) struct server *server = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct client *client;
	int fd;

	assert_int_equal(server_new(&options, &server, &err), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(listen(fd, 1), 0); /* on 0.0.0.0, a free port */
	assert_int_equal(server_listen_fd(server, fd, &err), error_code_to_errno(ERROR_FORBIDDEN));
	assert_non_null(strstr(error_message(&err), "loopback"));
	assert_null(server_address(server, 0));

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(server_listen_fd(server, fd, &err), 0);
	client = dial(server, 0);
	assert_true(say(client, "GET /fast HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_int_equal(hear(client).status, 200);
	hang_up(client);
}

static size_t count_bytes(char *data _unused_, size_t size, size_t n, void *total)
{
	*(size_t *)total += size * n;
	return size * n;
}

static void test_curl(void **state _unused_)
{
	_cleanup_(server_freep) struct server *server = start_usual();
	_cleanup_free_ char *body = calloc(1, LARGE_BODY);
	static const struct {
		const char *path;
		size_t length;
		long status;
	} uploads[] = {{"/large", LARGE_BODY, 200}, {"/things/x", LARGE_BODY, 413},
		{"/large", 0, 200}, {"/nothing", 100000, 404}};

	assert_non_null(body);
	memset(body, 'x', LARGE_BODY);
	for (size_t i = 0; i < 2 * ELEMENTSOF(uploads); i++) {
		CURL *curl = curl_easy_init();
		size_t total = 0, which = i / 2;
		char url[256];
		long status = 0;

		snprintf(url, sizeof(url), "%s%s",
			i % 2 ? server_address(server, 1) : "http://localhost",
			uploads[which].path);
		curl_easy_setopt(curl, CURLOPT_URL, url);
		if (i % 2 == 0)
			curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)uploads[which].length);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, count_bytes);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, &total);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)PATIENCE_MS);
		assert_int_equal(curl_easy_perform(curl), CURLE_OK);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		assert_int_equal(status, uploads[which].status);
		assert_true(total > 0);
		curl_easy_cleanup(curl);
	}
}

static int setup(void **state _unused_)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/server-XXXXXX",
		base && strlen(base) < 32 ? base : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state _unused_)
{
	return fileio_remove_tree(AT_FDCWD, folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_early_refusal),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_idle_clients_delay_nobody),
		cmocka_unit_test(test_slow_handler_delays_nobody),
		cmocka_unit_test(test_memory_budget),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_client_leaves),
		cmocka_unit_test(test_stop_waits),
		cmocka_unit_test(test_stop_gives_up),
		cmocka_unit_test(test_listen_fd),
		cmocka_unit_test(test_curl),
	};

	log_set_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_ERR - 1);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (getenv("TEST_FILTER"))
		cmocka_set_test_filter(getenv("TEST_FILTER"));
	return cmocka_run_group_tests(tests, setup, teardown);
}
