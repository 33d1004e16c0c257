/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"

struct agent agent;

char folder[64], certificate_path[96], ca_path[96], log_path[96];

struct identity *ca, *first, *second, *client_identity, *unlimited_identity;

static int handle(
	const struct request *request, struct response *response, struct error *err _unused_)
{
	atomic_fetch_add(&request->agent->handled, 1);
	return response_set_json(
		response, 200, json_pack("{s:I}", "length", (json_int_t)request->body_length));
}

const struct route routes_here[] = {
	{"GET", "/1.0/info", handle, BODY_NONE, 0, ERROR_STYLE_AMPHORA, ""},
	{"PUT", "/1.0/config", handle, BODY_ANY, BODY_BYTES, ERROR_STYLE_AMPHORA, ""},
	{NULL, NULL, NULL, BODY_NONE, 0, ERROR_STYLE_LBAAS, NULL},
};

void write_text(const char *path, const char *text)
{
	assert_int_equal(fileio_write(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

struct tls_context *make_context(const char *minimum_version)
{
	const struct tls_options options = {certificate_path, ca_path, minimum_version};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct tls_context *context = NULL;

	write_text(certificate_path, first->pem);
	write_text(ca_path, ca->certificate_pem);
	if (tls_context_new(&options, &context, &err) < 0)
		fail_msg("%s", error_message(&err));
	return context;
}

struct server *start_on(
	struct tls_context *context, unsigned idle_timeout_s, const char *listen_on)
{
	const struct server_options options = {
		.routes = routes_here,
		.agent = &agent,
		.workers = 2,
		.max_connections = 600,
		.idle_timeout_s = idle_timeout_s,
		.max_body_memory = 4 * BODY_BYTES,
		.tls = context,
	};
	_cleanup_(listen_address_done) struct listen_address address = {0};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct server *server = NULL;

	atomic_store(&agent.handled, 0);
	assert_int_equal(listen_address_parse(listen_on, &address, &err), 0);
	if (server_new(&options, &server, &err) < 0 || server_listen(server, &address, &err) < 0)
		fail_msg("%s", error_message(&err));
	return server;
}

struct server *start(struct tls_context *context)
{
	return start_on(context, 10, "https://127.0.0.1:0");
}

int dial_address(const struct server *server, const char *ip)
{
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	const char *port = strrchr(server_address(server, 0), ':') + 1;
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port))};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = v4.sin_port};
	bool is_v6 = strchr(ip, ':') != NULL;
	int fd;

	assert_int_equal(is_v6 ? inet_pton(AF_INET6, ip, &v6.sin6_addr)
			       : inet_pton(AF_INET, ip, &v4.sin_addr),
		1);
	fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 && is_v6)
		return -1;
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, is_v6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4,
		    is_v6 ? sizeof(v6) : sizeof(v4)) == 0)
		return fd;
	close(fd);
	return -1;
}

int dial(const struct server *server)
{
	int fd = dial_address(server, "127.0.0.1");

	assert_true(fd >= 0);
	return fd;
}

struct client *client_new(int fd, const char *priorities, const struct identity *identity)
{
	struct client *client = calloc(1, sizeof(*client));
	gnutls_x509_crt_t chain[1];

	assert_non_null(client);
	client->fd = fd;
	assert_int_equal(gnutls_certificate_allocate_credentials(&client->credentials), 0);
	if (identity) {
		chain[0] = identity->certificate;
		assert_int_equal(gnutls_certificate_set_x509_key(
					 client->credentials, chain, 1, identity->key),
			0);
	}
	assert_int_equal(gnutls_init(&client->session,
				 GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT | GNUTLS_NO_SIGNAL),
		0);
	assert_int_equal(gnutls_priority_set_direct(client->session, priorities, NULL), 0);
	assert_int_equal(gnutls_credentials_set(
				 client->session, GNUTLS_CRD_CERTIFICATE, client->credentials),
		0);
	gnutls_transport_set_int(client->session, fd);
	return client;
}

int handshake(struct client *client)
{
	int r;

	do
		r = gnutls_handshake(client->session);
	while (r < 0 && !gnutls_error_is_fatal(r));
	return r;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	gnutls_deinit(client->session);
	gnutls_certificate_free_credentials(client->credentials);
	close(client->fd);
	free(client);
}

struct client *join_as(
	const struct server *server, const char *priorities, const struct identity *identity)
{
	struct client *client = client_new(dial(server), priorities, identity);
	int r = handshake(client);

	if (r < 0)
		fail_msg("handshake: %s", gnutls_strerror(r));
	return client;
}

struct client *join(const struct server *server)
{
	return join_as(server, "NORMAL", client_identity);
}

bool say_bytes(struct client *client, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = gnutls_record_send(client->session, bytes, length);

		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
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

int hear(struct client *client, char *ret_reply, size_t size)
{
	size_t length = 0, wanted = 0;
	int status = 0;

	memset(ret_reply, 0, size);
	while (wanted == 0 || length < wanted) {
		/* A byte at a time, so that nothing of the next reply is taken. */
		ssize_t n = gnutls_record_recv(client->session, ret_reply + length, 1);
		const char *field;

		if (n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n == GNUTLS_E_AGAIN)
			fail_msg("no answer in %d ms", PATIENCE_MS);
		if (n <= 0)
			return 0;
		assert_true(++length < size - 1);
		if (wanted > 0 || !strstr(ret_reply, "\r\n\r\n"))
			continue;
		assert_int_equal(sscanf(ret_reply, "HTTP/1.1 %d", &status), 1);
		field = strcasestr(ret_reply, "\r\nContent-Length: ");
		assert_non_null(field);
		wanted = length + (size_t)atol(field + strlen("\r\nContent-Length: "));
	}
	return status;
}

void assert_served(struct client *client)
{
	char reply[2048];

	assert_true(say(client, "GET /1.0/info HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_int_equal(hear(client, reply, sizeof(reply)), 200);
	assert_non_null(strstr(reply, "{\"length\":0}"));
}

int setup(void **state _unused_)
{
	const char *base = getenv("TMPDIR");

	snprintf(
		folder, sizeof(folder), "%s/tls-XXXXXX", base && strlen(base) < 32 ? base : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	snprintf(certificate_path, sizeof(certificate_path), "%s/server.pem", folder);
	snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", folder);
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	ca = identity_new(&(struct identity_options){.name = "CA", .is_ca = true});
	first = identity_new(&(struct identity_options){.name = "first",
		.issuer = ca,
		.purpose = GNUTLS_KP_TLS_WWW_SERVER,
		.algorithm = GNUTLS_PK_RSA,
		.bits = 2048});
	second = identity_new(&(struct identity_options){.name = "second", .issuer = ca});
	client_identity = identity_new(&(struct identity_options){
		.name = "client", .issuer = ca, .purpose = GNUTLS_KP_TLS_WWW_CLIENT});
	unlimited_identity = identity_new(&(struct identity_options){.name = "any", .issuer = ca});
	return 0;
}

int teardown(void **state _unused_)
{
	struct identity *all[] = {ca, first, second, client_identity, unlimited_identity};

	for (size_t i = 0; i < ELEMENTSOF(all); i++)
		identity_free(all[i]);
	return fileio_remove_tree(AT_FDCWD, folder);
}
