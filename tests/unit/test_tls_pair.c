/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "api/tls.h"
#include "tests/unit/pki.h"

/*
 * Which files make a TLS context, and what is said about those that do not.
 */

static char folder[64];
static struct identity *ca, *server, *other, *expired, *client_only, *rsa;

static void assert_pair(const char *pem, const char *complaint)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	int r = tls_check_pair(pem, strlen(pem), &err);

	if (!complaint && r < 0)
		fail_msg("refused: %s", error_message(&err));
	if (complaint && (r != error_code_to_errno(ERROR_INVALID) ||
				 !strstr(error_message(&err), complaint)))
		fail_msg("wanted '%s', got %d: %s", complaint, r, error_message(&err));
}

static void assert_joined(const char *a, const char *b, const char *complaint)
{
	_cleanup_free_ char *pem = NULL;

	assert_true(asprintf(&pem, "%s%s", a, b) > 0);
	assert_pair(pem, complaint);
}

static void test_good_pairs(void **state _unused_)
{
	_cleanup_free_ char *chain = NULL, *text = NULL;

	assert_pair(server->pem, NULL);
	assert_pair(rsa->pem, NULL);
	/* Key first, certificate first, with the CA's certificate, among other text. */
	assert_joined(server->key_pem, server->certificate_pem, NULL);
	assert_true(asprintf(&chain, "%s%s", server->certificate_pem, ca->certificate_pem) > 0);
	assert_joined(chain, server->key_pem, NULL);
	assert_joined(server->key_pem, chain, NULL);
	assert_true(asprintf(&text,
			    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
			    "-----END EC PARAMETERS-----\nsubject=CN = x\n%s",
			    server->pem) > 0);
	assert_pair(text, NULL);
}

static void test_bad_pairs(void **state _unused_)
{
	_cleanup_free_ char *encrypted = identity_encrypted_key(server), *broken = NULL;
	const char *old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
				    "DEK-Info: AES-128-CBC,00\n\nAAAA\n"
				    "-----END RSA PRIVATE KEY-----\n";

	assert_pair("", "no private key");
	assert_pair("not PEM at all", "no private key");
	assert_pair(server->certificate_pem, "no private key");
	assert_pair(server->key_pem, "no certificate");
	assert_joined(server->certificate_pem, other->key_pem, "does not belong");
	assert_joined(ca->certificate_pem, server->pem, "does not belong");
	assert_joined(rsa->certificate_pem, server->key_pem, "does not belong");
	assert_joined(server->pem, other->key_pem, "more than one private key");
	assert_joined(server->certificate_pem, encrypted, "encrypted");
	assert_joined(server->certificate_pem, old_encrypted, "encrypted");
	assert_pair(expired->pem, "the certificate expired on 20");
	assert_pair(client_only->pem, "not for TLS servers");

	/* Damage: in the middle of the key, of the certificate, and a text that just ends. */
	broken = strdup(server->key_pem);
	assert_non_null(broken);
	memset(broken + strlen(broken) / 2, '!', 8);
	assert_joined(server->certificate_pem, broken, "the private key cannot be read");
	free(broken);
	broken = strdup(server->pem);
	assert_non_null(broken);
	memset(broken + 100, '!', 8);
	assert_pair(broken, "the certificate cannot be read");
	assert_pair("-----BEGIN PRIVATE KEY-----", "no private key");
	assert_pair("-----BEGIN PRIVATE KEY-----\n", "cannot be read");
	assert_joined(
		server->certificate_pem, "-----BEGIN PRIVATE KEY-----\nAAAA", "cannot be read");
	/* No cut may be taken for the whole, or read beyond. */
	for (size_t length = strlen(server->pem) - 2; length > 0; length--) {
		char *cut = malloc(length);

		assert_non_null(cut);
		memcpy(cut, server->pem, length);
		assert_true(tls_check_pair(cut, length, NULL) < 0);
		free(cut);
	}
}

static void test_binary_and_large(void **state _unused_)
{
	static char large[2 * 1024 * 1024];
	_cleanup_error_ struct error err = ERROR_INIT;

	memset(large, 0, sizeof(large));
	assert_int_equal(tls_check_pair(large, 1000, &err), error_code_to_errno(ERROR_INVALID));
	assert_int_equal(
		tls_check_pair(large, sizeof(large), &err), error_code_to_errno(ERROR_TOO_LARGE));
}

static void write_file(const char *name, const char *text, char ret_path[static 128])
{
	snprintf(ret_path, 128, "%s/%s", folder, name);
	assert_int_equal(fileio_write(AT_FDCWD, ret_path, text, strlen(text), 0600), 0);
}

/* The context's errors; "complaint" NULL: none. */
static void assert_context(
	const char *certificate_pem, const char *ca_pem, const char *version, const char *complaint)
{
	_cleanup_(tls_context_freep) struct tls_context *context = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	char certificate[128] = "", authority[128] = "";
	struct tls_options options = {
		.certificate_file = certificate,
		.client_ca_file = authority,
		.minimum_version = version,
	};
	int r;

	if (certificate_pem)
		write_file("server.pem", certificate_pem, certificate);
	if (ca_pem)
		write_file("ca.pem", ca_pem, authority);
	r = tls_context_new(&options, &context, &err);
	if (!complaint && r < 0)
		fail_msg("refused: %s", error_message(&err));
	if (complaint && (r >= 0 || !strstr(error_message(&err), complaint)))
		fail_msg("wanted '%s', got %d: %s", complaint, r, error_message(&err));
	if (r < 0)
		assert_null(context);
}

static void test_context(void **state _unused_)
{
	static const char *const fine[] = {NULL, "", "TLSv1.2", "TLSv1.3", "TLSv1_2", "TLSv1_3",
		"TLSv1", "TLSv1.1", "TLSv1_1", "SSLv3", "SSLv23", "tlsv1.2"};
	static const char *const wrong[] = {
		"TLSv1.4", "TLSv1.2 ", "1.2", "none", "TLSv1.2TLSv1.2TLSv1.2", "NORMAL:+VERS-ALL"};

	for (size_t i = 0; i < ELEMENTSOF(fine); i++)
		assert_context(server->pem, ca->certificate_pem, fine[i], NULL);
	for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
		assert_context(server->pem, ca->certificate_pem, wrong[i], "is not known");
	assert_context(NULL, ca->certificate_pem, NULL, "needs a certificate file");
	assert_context(server->pem, NULL, NULL, "needs a certificate file");
	assert_context(server->key_pem, ca->certificate_pem, NULL, "server.pem: there is no");
	assert_context(server->pem, "", NULL, "CA of the clients");
	assert_context(server->pem, "junk", NULL, "CA of the clients");
	assert_context(server->pem, server->key_pem, NULL, "CA of the clients");
	/* Starting must work with a certificate that has run out; replacing one by it must not. */
	assert_context(expired->pem, ca->certificate_pem, NULL, NULL);
}

static void test_missing_files(void **state _unused_)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct tls_context *context = NULL;
	char certificate[128];
	struct tls_options options = {"/nonexistent/server.pem", certificate, NULL};

	write_file("server.pem", server->pem, certificate);
	assert_int_equal(tls_context_new(&options, &context, &err), -ENOENT);
	assert_non_null(strstr(error_message(&err), "/nonexistent/server.pem"));
	options = (struct tls_options){certificate, "/nonexistent/ca.pem", NULL};
	assert_int_equal(tls_context_new(&options, &context, &err), -ENOENT);
	assert_non_null(strstr(error_message(&err), "/nonexistent/ca.pem"));
	assert_null(context);
	tls_context_free(NULL);
}

static int setup(void **state _unused_)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/tls-pair-XXXXXX",
		base && strlen(base) < 32 ? base : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	ca = identity_new(&(struct identity_options){.name = "CA", .is_ca = true});
	server = identity_new(&(struct identity_options){
		.name = "server", .issuer = ca, .purpose = GNUTLS_KP_TLS_WWW_SERVER});
	other = identity_new(&(struct identity_options){.name = "other", .issuer = ca});
	expired = identity_new(&(struct identity_options){
		.name = "expired", .issuer = ca, .begin_s = -2 * PKI_DAY_S, .end_s = -PKI_DAY_S});
	client_only = identity_new(&(struct identity_options){
		.name = "client", .issuer = ca, .purpose = GNUTLS_KP_TLS_WWW_CLIENT});
	rsa = identity_new(&(struct identity_options){
		.name = "rsa", .issuer = ca, .algorithm = GNUTLS_PK_RSA, .bits = 2048});
	return 0;
}

static int teardown(void **state _unused_)
{
	struct identity *all[] = {ca, server, other, expired, client_only, rsa};

	for (size_t i = 0; i < ELEMENTSOF(all); i++)
		identity_free(all[i]);
	return fileio_remove_tree(AT_FDCWD, folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_pairs),
		cmocka_unit_test(test_bad_pairs),
		cmocka_unit_test(test_binary_and_large),
		cmocka_unit_test(test_context),
		cmocka_unit_test(test_missing_files),
	};

	log_set_level(getenv("TEST_VERBOSE") ? LOG_DEBUG : LOG_ERR - 1);
	return cmocka_run_group_tests(tests, setup, teardown);
}
