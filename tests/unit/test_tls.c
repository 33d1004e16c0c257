/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "api/server.h"
#include "api/tls.h"
#include "api/tls_peer.h"
#include "tests/unit/pki.h"

/*
 * A server with mutual TLS on loopback, and GnuTLS clients, good and bad.
 */

enum {
	PATIENCE_MS = 20000, /* for what must happen at all */
	BODY_BYTES = 4 * 1024 * 1024,
};

#define TLS_1_2 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS_1_3 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static const char *const both_versions[] = {TLS_1_2, TLS_1_3};

struct agent {
	atomic_int handled;
};

static struct agent agent;
static char folder[64], certificate_path[96], ca_path[96], log_path[96];
static struct identity *ca, *first, *second, *client_identity, *unlimited_identity;

/* ---- the server ---- */

static int handle(
	const struct request *request, struct response *response, struct error *err _unused_)
{
	atomic_fetch_add(&request->agent->handled, 1);
	return response_set_json(
		response, 200, json_pack("{s:I}", "length", (json_int_t)request->body_length));
}

static const struct route routes_here[] = {
	{"GET", "/1.0/info", handle, BODY_NONE, 0, ERROR_STYLE_AMPHORA, ""},
	{"PUT", "/1.0/config", handle, BODY_ANY, BODY_BYTES, ERROR_STYLE_AMPHORA, ""},
	{NULL, NULL, NULL, BODY_NONE, 0, ERROR_STYLE_LBAAS, NULL},
};

static void write_text(const char *path, const char *text)
{
	assert_int_equal(fileio_write(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static struct tls_context *make_context(const char *minimum_version)
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

static struct server *start_on(
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

static struct server *start(struct tls_context *context)
{
	return start_on(context, 10, "https://127.0.0.1:0");
}

/* ---- the log ---- */

/* Everything that is logged from now on goes to a file. */
static int begin_log(void)
{
	int saved = dup(STDERR_FILENO);
	_cleanup_close_ int fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);

	assert_true(saved >= 0 && fd >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	log_set_level(LOG_WARNING);
	return saved;
}

static char *end_log(int saved)
{
	char *text = NULL;

	log_set_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_ERR - 1);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	assert_int_equal(fileio_read(AT_FDCWD, log_path, 1024 * 1024, &text, NULL), 0);
	return text;
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (text = strstr(text, word); text; text = strstr(text + 1, word))
		n++;
	return n;
}

/* ---- clients ---- */

struct client {
	int fd;
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
};

static int dial_address(const struct server *server, const char *ip)
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

static int dial(const struct server *server)
{
	int fd = dial_address(server, "127.0.0.1");

	assert_true(fd >= 0);
	return fd;
}

/* A client that shows "identity", or nothing, whatever CA the server asks for. */
static struct client *client_new(int fd, const char *priorities, const struct identity *identity)
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

static int handshake(struct client *client)
{
	int r;

	do
		r = gnutls_handshake(client->session);
	while (r < 0 && !gnutls_error_is_fatal(r));
	return r;
}

static void client_free(struct client *client)
{
	if (!client)
		return;
	gnutls_deinit(client->session);
	gnutls_certificate_free_credentials(client->credentials);
	close(client->fd);
	free(client);
}
DEFINE_CLEANUP(struct client *, client_free);
#define _cleanup_client_ _cleanup_(client_freep)

static struct client *join_as(
	const struct server *server, const char *priorities, const struct identity *identity)
{
	struct client *client = client_new(dial(server), priorities, identity);
	int r = handshake(client);

	if (r < 0)
		fail_msg("handshake: %s", gnutls_strerror(r));
	return client;
}

static struct client *join(const struct server *server)
{
	return join_as(server, "NORMAL", client_identity);
}

/* False when the server did not want to read it all. */
static bool say_bytes(struct client *client, const char *bytes, size_t length)
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

static bool say(struct client *client, const char *text)
{
	return say_bytes(client, text, strlen(text));
}

/* One reply, which is short and has a Content-Length. Returns its status, 0 if the connection ends
 * first. */
static int hear(struct client *client, char *ret_reply, size_t size)
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

static void assert_served(struct client *client)
{
	char reply[2048];

	assert_true(say(client, "GET /1.0/info HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_int_equal(hear(client, reply, sizeof(reply)), 200);
	assert_non_null(strstr(reply, "{\"length\":0}"));
}

/* Tries to get in, with a whole request right behind the handshake. False if something was
 * answered; "ret_alert" is what the server said. */
static bool is_kept_out(const struct server *server, const char *priorities,
	const struct identity *identity, int *ret_alert)
{
	_cleanup_client_ struct client *client = client_new(dial(server), priorities, identity);
	char reply[2048];
	int r = handshake(client);

	/* In TLS 1.3 the client is done before the server has seen its certificate. */
	if (r >= 0) {
		say(client,
			"PUT /1.0/config HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345");
		if (hear(client, reply, sizeof(reply)) != 0 || reply[0])
			return false;
	}
	*ret_alert = (int)gnutls_alert_get(client->session);
	return true;
}

/* ---- tests ---- */

static void test_requests(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start(context);
	_cleanup_free_ char *body = calloc(1, BODY_BYTES);
	char reply[2048], head[128];

	assert_non_null(body);
	memset(body, 'x', BODY_BYTES);
	for (size_t i = 0; i < ELEMENTSOF(both_versions); i++) {
		_cleanup_client_ struct client *client =
			join_as(server, both_versions[i], client_identity);

		/* Keep-alive, with pauses and without. */
		for (int n = 0; n < 50; n++)
			assert_served(client);
		for (int n = 0; n < 20; n++)
			assert_true(say(client, "PUT /1.0/config HTTP/1.1\r\nHost: x\r\n"
						"Content-Length: 5\r\n\r\n12345"));
		for (int n = 0; n < 20; n++) {
			assert_int_equal(hear(client, reply, sizeof(reply)), 200);
			assert_non_null(strstr(reply, "{\"length\":5}"));
		}
		/* A body of many records, in sizes that do not fit them. */
		snprintf(head, sizeof(head),
			"PUT /1.0/config HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
			BODY_BYTES);
		assert_true(say(client, head));
		for (size_t sent = 0; sent < BODY_BYTES;) {
			size_t part = BODY_BYTES - sent < 16001 ? BODY_BYTES - sent : 16001;

			assert_true(say_bytes(client, body + sent, part));
			sent += part;
		}
		assert_int_equal(hear(client, reply, sizeof(reply)), 200);
		assert_non_null(strstr(reply, "{\"length\":4194304}"));
		/* Refused with a body on its way: the reply arrives all the same. */
		assert_true(say(client, "PUT /1.0/config HTTP/1.1\r\nHost: x\r\n"
					"Content-Length: 5000000\r\n\r\n"));
		say_bytes(client, body, BODY_BYTES);
		assert_int_equal(hear(client, reply, sizeof(reply)), 413);
	}
}

struct refusal {
	const char *words;
	const struct identity *identity;
	int alert, alert_1_2;
};

static void assert_refused(const struct server *server, const struct refusal *refusal)
{
	for (size_t i = 0; i < ELEMENTSOF(both_versions); i++) {
		int saved = begin_log(), alert = 0;
		bool out = is_kept_out(server, both_versions[i], refusal->identity, &alert);
		_cleanup_free_ char *log = end_log(saved);

		assert_true(out);
		if (count(log, "tls: refused 127.0.0.1:") != 1 || !strstr(log, refusal->words))
			fail_msg("wanted one line with '%s', got: %s", refusal->words, log);
		assert_int_equal(alert, i == 0 ? refusal->alert_1_2 : refusal->alert);
	}
	assert_int_equal(atomic_load(&agent.handled), 0);
}

static void test_refusals(void **state _unused_)
{
	_cleanup_identity_ struct identity *
		other_ca =
		       identity_new(&(struct identity_options){.name = "other CA", .is_ca = true}),
	       *false_ca = identity_new(&(struct identity_options){.name = "CA", .is_ca = true}),
	       *wrong_key =
		       identity_new(&(struct identity_options){.name = "copy", .issuer = false_ca}),
	       *wrong_ca = identity_new(&(struct identity_options){
		       .name = "evil'\n\x1b[31m\xc3\xa9", .issuer = other_ca}),
	       *alone = identity_new(&(struct identity_options){.name = "alone"}),
	       *expired = identity_new(&(struct identity_options){
		       .name = "old", .issuer = ca, .begin_s = -2 * PKI_DAY_S, .end_s = -60}),
	       *early = identity_new(&(struct identity_options){.name = "early",
		       .issuer = ca,
		       .begin_s = PKI_DAY_S,
		       .end_s = 2 * PKI_DAY_S}),
	       *purpose = identity_new(&(struct identity_options){
		       .name = "server", .issuer = ca, .purpose = GNUTLS_KP_TLS_WWW_SERVER}),
	       *no_ca = identity_new(
		       &(struct identity_options){.name = "child", .issuer = client_identity}),
	       *weak = identity_new(&(struct identity_options){
		       .name = "weak", .issuer = ca, .algorithm = GNUTLS_PK_RSA, .bits = 1024});
	const struct refusal refusals[] = {
		{"no client certificate", NULL, GNUTLS_A_CERTIFICATE_REQUIRED,
			GNUTLS_A_HANDSHAKE_FAILURE},
		{"not issued by our CA; certificate of 'CN=evil?", wrong_ca, GNUTLS_A_UNKNOWN_CA,
			GNUTLS_A_UNKNOWN_CA},
		{"not signed with our CA's key; certificate of 'CN=copy'", wrong_key,
			GNUTLS_A_BAD_CERTIFICATE, GNUTLS_A_BAD_CERTIFICATE},
		{"not issued by our CA (self-signed); certificate of 'CN=alone'", alone,
			GNUTLS_A_UNKNOWN_CA, GNUTLS_A_UNKNOWN_CA},
		{"has expired; certificate of 'CN=old'", expired, GNUTLS_A_CERTIFICATE_EXPIRED,
			GNUTLS_A_CERTIFICATE_EXPIRED},
		{"not valid yet; certificate of 'CN=early'", early, GNUTLS_A_CERTIFICATE_EXPIRED,
			GNUTLS_A_CERTIFICATE_EXPIRED},
		{"not for TLS clients (extended key usage); certificate of 'CN=server'", purpose,
			GNUTLS_A_UNSUPPORTED_CERTIFICATE, GNUTLS_A_UNSUPPORTED_CERTIFICATE},
		{"certificate of 'CN=child'", no_ca, GNUTLS_A_UNKNOWN_CA, GNUTLS_A_UNKNOWN_CA},
		{"too weak; certificate of 'CN=weak'", weak, GNUTLS_A_INSUFFICIENT_SECURITY,
			GNUTLS_A_INSUFFICIENT_SECURITY},
	};

	for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
		/* A context of its own: its lines are not counted against another's. */
		_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
		_cleanup_(server_freep) struct server *server = start(context);
		_cleanup_client_ struct client *client = NULL;

		assert_refused(server, &refusals[i]);
		client = join(server);
		assert_served(client);
		assert_int_equal(atomic_load(&agent.handled), 1);
	}
	for (size_t i = 0; i < ELEMENTSOF(both_versions); i++) {
		/* No purpose at all is any purpose (RFC 5280, section 4.2.1.12). */
		_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
		_cleanup_(server_freep) struct server *server = start(context);
		_cleanup_client_ struct client *client =
			join_as(server, both_versions[i], unlimited_identity);

		assert_served(client);
	}
}

static void test_log_is_limited(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start(context);
	int saved = begin_log(), alert, tries = 0, kept_out = 0;
	int64_t begin = process_now_ms();
	_cleanup_free_ char *log = NULL;
	unsigned n;

	for (; tries < 40 || process_now_ms() - begin < 1200; tries++)
		kept_out += is_kept_out(server, TLS_1_3, NULL, &alert);
	/* Six lines each second that was begun. */
	n = 6 * (unsigned)((process_now_ms() - begin) / 1000 + 1);
	log = end_log(saved);
	assert_int_equal(kept_out, tries);
	if (count(log, "\n") > n ||
		(count(log, "more clients were refused") == 0 && (unsigned)tries > n))
		fail_msg("%d tries: %s", tries, log);
	assert_int_equal(atomic_load(&agent.handled), 0);
}

static void test_versions(void **state _unused_)
{
	static const struct {
		const char *minimum, *client;
		bool fine;
	} cases[] = {
		{NULL, "NORMAL:-VERS-ALL:+VERS-TLS1.0:%COMPAT", false},
		{NULL, "NORMAL:-VERS-ALL:+VERS-TLS1.1", false},
		{NULL, "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.2", true},
		{"TLSv1.1", "NORMAL:-VERS-ALL:+VERS-TLS1.1", false},
		{"SSLv23", "NORMAL:-VERS-ALL:+VERS-TLS1.1", false}, {"TLSv1_2", TLS_1_2, true},
		{"TLSv1.2", TLS_1_3, true}, {"TLSv1.3", TLS_1_2, false}, {"TLSv1_3", TLS_1_3, true},
		{"TLSv1.2", TLS_1_2 ":-KX-ALL:+RSA", false},             /* no forward secrecy */
		{"TLSv1.2", TLS_1_2 ":-CIPHER-ALL:+AES-128-CBC", false}, /* no AEAD */
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_(tls_context_freep) struct tls_context *context =
			make_context(cases[i].minimum);
		_cleanup_(server_freep) struct server *server = start(context);
		_cleanup_client_ struct client *client =
			client_new(dial(server), cases[i].client, client_identity);
		int r = handshake(client);

		if ((r >= 0) != cases[i].fine)
			fail_msg("%s: %s", cases[i].client, gnutls_strerror(r));
		if (cases[i].fine)
			assert_served(client);
	}
}

/* The name in the certificate that the server showed. */
static void assert_shown(struct client *client, const struct identity *identity)
{
	const gnutls_datum_t *chain;
	gnutls_datum_t expected;
	unsigned n = 0;

	chain = gnutls_certificate_get_peers(client->session, &n);
	assert_true(chain && n == 1);
	assert_int_equal(
		gnutls_x509_crt_export2(identity->certificate, GNUTLS_X509_FMT_DER, &expected), 0);
	assert_int_equal(chain[0].size, expected.size);
	assert_memory_equal(chain[0].data, expected.data, expected.size);
	gnutls_free(expected.data);
}

static void assert_shows(const struct server *server, const struct identity *identity)
{
	_cleanup_client_ struct client *client = join(server);

	assert_shown(client, identity);
	assert_served(client);
}

static void test_reload(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start(context);
	_cleanup_client_ struct client *old = join(server), *half = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *mixed = NULL;
	_cleanup_identity_ struct identity *expired = identity_new(&(struct identity_options){
		.name = "old", .issuer = ca, .begin_s = -2 * PKI_DAY_S, .end_s = -60});
	const char *bad[] = {"", "junk", first->key_pem, NULL, expired->pem};

	assert_shown(old, first);
	assert_served(old);
	write_text(certificate_path, second->pem);
	assert_shows(server, first); /* the file alone changes nothing */
	half = client_new(dial(server), TLS_1_3, client_identity);
	assert_int_equal(tls_context_reload_certificate(context, &err), 0);
	assert_shows(server, second);
	assert_served(old);

	assert_true(asprintf(&mixed, "%s%s", first->certificate_pem, second->key_pem) > 0);
	bad[3] = mixed;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		write_text(certificate_path, bad[i]);
		assert_int_equal(tls_context_reload_certificate(context, &err),
			error_code_to_errno(ERROR_INVALID));
		assert_non_null(strstr(error_message(&err), certificate_path));
		assert_shows(server, second);
	}
	assert_int_equal(unlink(certificate_path), 0);
	assert_int_equal(tls_context_reload_certificate(context, &err), -ENOENT);
	assert_shows(server, second);
	assert_served(old);
	/* Whoever had connected before the change, and begins only now, is served too. */
	assert_int_equal(handshake(half), 0);
	assert_served(half);
}

/* A session of the past must not open the door to a client without its certificate. */
static void test_no_resumption(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start(context);

	for (size_t i = 0; i < ELEMENTSOF(both_versions); i++) {
		_cleanup_client_ struct client *before =
			join_as(server, both_versions[i], client_identity);
		_cleanup_client_ struct client *with = NULL, *without = NULL;
		gnutls_datum_t session = {NULL, 0};
		int handled, r;
		char reply[2048];

		assert_served(before);
		assert_false(
			gnutls_session_get_flags(before->session) & GNUTLS_SFLAGS_SESSION_TICKET);
		r = gnutls_session_get_data2(before->session, &session);
		with = client_new(dial(server), both_versions[i], client_identity);
		without = client_new(dial(server), both_versions[i], NULL);
		if (r >= 0 && session.size > 0) {
			gnutls_session_set_data(with->session, session.data, session.size);
			gnutls_session_set_data(without->session, session.data, session.size);
		}
		gnutls_free(session.data);
		assert_int_equal(handshake(with), 0);
		assert_false(gnutls_session_is_resumed(with->session));
		assert_served(with);

		handled = atomic_load(&agent.handled);
		if (handshake(without) >= 0) {
			say(without, "GET /1.0/info HTTP/1.1\r\nHost: x\r\n\r\n");
			assert_int_equal(hear(without, reply, sizeof(reply)), 0);
		}
		assert_int_equal(atomic_load(&agent.handled), handled);
	}
}

static void test_no_renegotiation(void **state _unused_)
{
	_cleanup_(tls_context_freep) struct tls_context *context = make_context(NULL);
	_cleanup_(server_freep) struct server *server = start(context);
	_cleanup_client_ struct client *client = join_as(server, TLS_1_2, client_identity);

	assert_served(client);
	assert_true(handshake(client) < 0);
	assert_int_equal(atomic_load(&agent.handled), 1);
}

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

static int setup(void **state _unused_)
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

static int teardown(void **state _unused_)
{
	struct identity *all[] = {ca, first, second, client_identity, unlimited_identity};

	for (size_t i = 0; i < ELEMENTSOF(all); i++)
		identity_free(all[i]);
	return fileio_remove_tree(AT_FDCWD, folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_log_is_limited),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_no_resumption),
		cmocka_unit_test(test_no_renegotiation),
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
