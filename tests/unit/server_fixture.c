/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/server_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

struct agent agent;

static char folder[64];

char socket_path[96]; /* of the test's server */

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

const struct route routes_here[] = {
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

struct server *start(unsigned workers, unsigned idle_timeout_s, size_t max_body_memory)
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

struct server *start_usual(void)
{
	return start(2, 10, 16 * 1024 * 1024);
}

struct client *dial(const struct server *server, size_t n)
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

void hang_up(struct client *client)
{
	close(client->fd);
	free(client);
}

bool say_bytes(struct client *client, const char *bytes, size_t length)
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

bool say(struct client *client, const char *text)
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

struct reply hear_kind(struct client *client, bool head)
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

struct reply hear(struct client *client)
{
	return hear_kind(client, false);
}

bool is_closed(struct client *client)
{
	client->length = 0;
	return !receive(client);
}

struct reply ask(const struct server *server, const char *line, const char *rest)
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

void assert_reply(
	const struct reply *reply, int status, const char *in_head, const char *in_body)
{
	if (reply->status != status || (in_head && !strcasestr(reply->head, in_head)) ||
		(in_body && !strstr(reply->body, in_body)))
		fail_msg("wanted %d with '%s' and '%s', got %d:\n%s%s", status,
			in_head ? in_head : "", in_body ? in_body : "", reply->status, reply->head,
			reply->body);
	assert_non_null(strcasestr(reply->head, "x-openstack-request-id: req-"));
}

void assert_asked(const struct server *server, const char *line, const char *rest,
	int status, const char *in_head, const char *in_body)
{
	struct reply reply = ask(server, line, rest);

	assert_reply(&reply, status, in_head, in_body);
}

int setup(void **state _unused_)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/server-XXXXXX",
		base && strlen(base) < 32 ? base : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

int teardown(void **state _unused_)
{
	return fileio_remove_tree(AT_FDCWD, folder);
}
