/* SPDX-License-Identifier: Apache-2.0 */

/* Who is let in by mutual TLS, with which versions, and what is logged of the others. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "tests/unit/tls_fixture.h"

#define TLS_1_2 "NORMAL:-VERS-ALL:+VERS-TLS1.2"

static const char *const both_versions[] = {TLS_1_2, TLS_1_3};

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
	};

	log_set_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_ERR - 1);
	return cmocka_run_group_tests(tests, setup, teardown);
}
