/* SPDX-License-Identifier: Apache-2.0 */

/* What the server makes of requests, good and bad. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "tests/unit/server_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_early_refusal),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_listen_fd),
		cmocka_unit_test(test_curl),
	};

	log_set_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_ERR - 1);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (getenv("TEST_FILTER"))
		cmocka_set_test_filter(getenv("TEST_FILTER"));
	return cmocka_run_group_tests(tests, setup, teardown);
}
