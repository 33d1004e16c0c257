/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gnutls/pkcs12.h>
#include <gnutls/pkcs7.h>
#include <string.h>
#include <time.h>

#include "agent/base/text.h"
#include "agent/certificate/bundle.h"
#include "tests/unit/pki.h"

/*
 * Which bundles are taken, in which order they are stored, and what is said about those that are not.
 */

enum { PARTS_MAX = 8 };

static struct identity *root, *middle, *leaf, *stranger, *alone;

/* The parts, one after the other; NULL ends them. */
static char *join(const char *const *parts)
{
	struct text text = TEXT_INIT;
	char *joined;

	for (; *parts; parts++)
		text_append(&text, *parts);
	assert_int_equal(text_finish(&text, &joined, NULL), 0);
	return joined;
}
#define JOIN(...) join((const char *const[]){__VA_ARGS__, NULL})

static void assert_stored(char *given, char *wanted, enum certificate_kind kind)
{
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *stored = NULL, *again = NULL;
	size_t length, again_length;

	if (certificate_normalise(given, strlen(given), time(NULL), &stored, &length, &info, &err) < 0)
		fail_msg("refused: %s", error_message(&err));
	assert_int_equal(info.kind, kind);
	assert_string_equal(stored, wanted);
	assert_int_equal(strlen(stored), length);
	/* What is stored is taken, and stays as it is. */
	assert_int_equal(certificate_normalise(stored, length, time(NULL), &again, &again_length, NULL, &err), 0);
	assert_string_equal(again, stored);
	free(given);
	free(wanted);
}

static void assert_refused(char *given, const char *complaint)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	char *stored;
	size_t length;
	int r = certificate_normalise(given, strlen(given), time(NULL), &stored, &length, NULL, &err);

	if (r != error_code_to_errno(ERROR_INVALID) || !strstr(error_message(&err), complaint))
		fail_msg("wanted '%s', got %d: %s", complaint, r, r == 0 ? stored : error_message(&err));
	if (strstr(error_message(&err), "PRIVATE KEY-----"))
		fail_msg("the error quotes the input: %s", error_message(&err));
	free(given);
}

static void test_order(void **state _unused_)
{
	const char *c = leaf->certificate_pem, *k = leaf->key_pem, *m = middle->certificate_pem, *r = root->certificate_pem;
	const char *const orders[][PARTS_MAX] = {{c, k, m, r}, {k, c, m, r}, {c, m, r, k}, {r, m, c, k}, {m, k, r, c}, {r, c, k, m}};

	for (size_t i = 0; i < ELEMENTSOF(orders); i++)
		assert_stored(join(orders[i]), JOIN(c, k, m, r), CERTIFICATE_PAIR);
	assert_stored(JOIN(k, m, c), JOIN(c, k, m), CERTIFICATE_PAIR);
	assert_stored(JOIN(c, k), JOIN(c, k), CERTIFICATE_PAIR);
	assert_stored(JOIN(alone->key_pem, alone->certificate_pem), JOIN(alone->certificate_pem,
		alone->key_pem), CERTIFICATE_PAIR);
}

static void test_forms(void **state _unused_)
{
	const char *c = leaf->certificate_pem, *k = leaf->key_pem, *m = middle->certificate_pem;
	_cleanup_free_ char *dos = NULL, *glued = strndup(c, strlen(c) - 1);
	struct text text = TEXT_INIT;

	/* What is there twice counts once, explanations are left out, and line ends do not matter. */
	assert_stored(JOIN(c, k, c, m, m), JOIN(c, k, m), CERTIFICATE_PAIR);
	assert_stored(JOIN("Bag Attributes\n    friendlyName: x\nsubject=CN = a\n", c, "\n\nKey: --- yes ---\n",
			      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", k, "the end"),
		JOIN(c, k), CERTIFICATE_PAIR);
	assert_stored(JOIN("\xef\xbb\xbf", c, k), JOIN(c, k), CERTIFICATE_PAIR);
	assert_stored(JOIN(glued, k), JOIN(c, k), CERTIFICATE_PAIR);
	for (const char *p = leaf->pem; *p; p++) {
		if (*p == '\n')
			text_append_char(&text, '\r');
		text_append_char(&text, *p);
	}
	assert_int_equal(text_finish(&text, &dos, NULL), 0);
	assert_stored(TAKE_PTR(dos), JOIN(c, k), CERTIFICATE_PAIR);
}

static void test_traditional_key(void **state _unused_)
{
	_cleanup_free_ char *traditional = NULL;
	gnutls_datum_t datum;

	assert_int_equal(gnutls_x509_privkey_export2(leaf->key, GNUTLS_X509_FMT_PEM, &datum), 0);
	traditional = strndup((char *)datum.data, datum.size);
	gnutls_free(datum.data);
	assert_non_null(strstr(traditional, "-----BEGIN EC PRIVATE KEY-----"));
	assert_stored(
		JOIN(leaf->certificate_pem, traditional), JOIN(leaf->certificate_pem, leaf->key_pem), CERTIFICATE_PAIR);
}

static char *make_pkcs7(void)
{
	gnutls_datum_t datum;
	gnutls_pkcs7_t list;
	char *pem;

	assert_int_equal(gnutls_pkcs7_init(&list), 0);
	assert_int_equal(gnutls_pkcs7_set_crt(list, root->certificate), 0);
	assert_int_equal(gnutls_pkcs7_set_crt(list, middle->certificate), 0);
	assert_int_equal(gnutls_pkcs7_export2(list, GNUTLS_X509_FMT_PEM, &datum), 0);
	gnutls_pkcs7_deinit(list);
	pem = strndup((char *)datum.data, datum.size);
	gnutls_free(datum.data);
	return pem;
}

static void test_list_of_intermediates(void **state _unused_)
{
	_cleanup_free_ char *list = make_pkcs7();

	assert_stored(JOIN(leaf->pem, list),
		JOIN(leaf->certificate_pem, leaf->key_pem, middle->certificate_pem, root->certificate_pem), CERTIFICATE_PAIR);
	assert_refused(JOIN("-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n"), "PKCS #7 block in line 1 cannot be read");
}

static void test_missing_parts(void **state _unused_)
{
	assert_refused(JOIN(""), "there is no certificate in it");
	assert_refused(JOIN("hello\n"), "there is no certificate in it");
	assert_refused(JOIN(leaf->key_pem), "a private key, and no certificate");
	assert_refused(JOIN(leaf->certificate_pem), "certificate 1 of 1 (CN=leaf) is no CA, and there is no private key");
	assert_refused(JOIN(leaf->certificate_pem, stranger->key_pem),
		"the private key does not belong to certificate 1 of 1 (CN=leaf)");
	assert_refused(JOIN(leaf->certificate_pem, middle->certificate_pem, stranger->key_pem),
		"belongs to none of the 2 certificates, the first of which is certificate 1 of 2 (CN=leaf)");
	assert_refused(JOIN(leaf->pem, stranger->key_pem), "more than one private key");
	assert_refused(JOIN(leaf->pem, leaf->key_pem), "more than one private key");
	assert_refused(JOIN("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"),
		"there is no certificate in it");
}

static void test_chains_that_break(void **state _unused_)
{
	const struct identity_options no_ca = {.name = "no CA", .issuer = root};
	_cleanup_identity_ struct identity *false_ca = identity_new(&no_ca);
	const struct identity_options under = {.name = "under", .issuer = false_ca};
	_cleanup_identity_ struct identity *below = identity_new(&under);
	const struct identity_options like_middle = {.name = "middle", .is_ca = true};
	_cleanup_identity_ struct identity *double_ = identity_new(&like_middle);
	const struct identity_options renewal = {.name = "leaf", .issuer = middle, .twin = leaf};
	_cleanup_identity_ struct identity *renewed = identity_new(&renewal);

	assert_refused(JOIN(leaf->pem, root->certificate_pem),
		"certificate 2 of 2 (CN=root) does not belong to the chain: that ends with certificate 1 of 2 (CN=leaf)");
	assert_refused(JOIN(leaf->pem, middle->certificate_pem, stranger->certificate_pem),
		"certificate 3 of 3 (CN=stranger) does not belong to the chain: that ends with certificate 2 of 3 (CN=middle)");
	assert_refused(JOIN(alone->pem, root->certificate_pem), "certificate 2 of 2 (CN=root) does not belong");
	assert_refused(JOIN(below->pem, false_ca->certificate_pem),
		"certificate 2 of 2 (CN=no CA) may not have issued certificate 1 of 2 (CN=under)");
	assert_refused(JOIN(leaf->pem, double_->certificate_pem),
		"certificate 2 of 2 (CN=middle) has the name of the issuer of certificate 1 of 2 (CN=leaf) and did not sign it");
	/* Of two with that name the right one is taken, and the other belongs nowhere. */
	assert_refused(JOIN(leaf->pem, double_->certificate_pem, middle->certificate_pem), "certificate 2 of 3 (CN=middle)");
	assert_refused(JOIN(leaf->pem, renewed->certificate_pem),
		"the private key belongs to certificate 1 of 2 (CN=leaf) as well as to certificate 2 of 2 (CN=leaf)");
}

static void assert_made(const struct identity_options *options, const char *complaint)
{
	_cleanup_identity_ struct identity *identity = identity_new(options);

	if (complaint)
		assert_refused(JOIN(identity->pem), complaint);
	else
		assert_stored(JOIN(identity->pem), JOIN(identity->certificate_pem, identity->key_pem), CERTIFICATE_PAIR);
}
#define ASSERT_MADE(complaint, ...) assert_made(&(const struct identity_options){.name = "it", __VA_ARGS__}, complaint)

static void test_times(void **state _unused_)
{
	const struct identity_options old_ca = {.name = "old", .is_ca = true, .begin_s = -3 * PKI_DAY_S, .end_s = -PKI_DAY_S};
	_cleanup_identity_ struct identity *old = identity_new(&old_ca);
	const struct identity_options below_old = {.name = "below", .issuer = old};
	_cleanup_identity_ struct identity *below = identity_new(&below_old);

	ASSERT_MADE("certificate 1 of 1 (CN=it) expired on 20", .begin_s = -2 * PKI_DAY_S, .end_s = -PKI_DAY_S);
	ASSERT_MADE("certificate 1 of 1 (CN=it) is not valid before 20", .begin_s = PKI_DAY_S, .end_s = 2 * PKI_DAY_S);
	assert_refused(JOIN(below->pem, old->certificate_pem), "certificate 2 of 2 (CN=old) expired on 20");
	assert_refused(JOIN(root->certificate_pem, old->certificate_pem), "certificate 2 of 2 (CN=old) expired on 20");
}

static void test_keys(void **state _unused_)
{
	ASSERT_MADE(NULL, .algorithm = GNUTLS_PK_RSA, .bits = 2048);
	ASSERT_MADE(NULL, .algorithm = GNUTLS_PK_ECDSA, .bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1));
	ASSERT_MADE(NULL, .algorithm = GNUTLS_PK_ECDSA, .bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP521R1));
	ASSERT_MADE(NULL, .algorithm = GNUTLS_PK_EDDSA_ED25519, .bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519),
		.digest = GNUTLS_DIG_SHA512);
	ASSERT_MADE("key of the kind 'RSA 1024': RSA keys need 2048", .algorithm = GNUTLS_PK_RSA, .bits = 1024);
	ASSERT_MADE("key of the kind 'EC P-192'", .algorithm = GNUTLS_PK_ECDSA,
		.bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP192R1));
}

static void test_signatures(void **state _unused_)
{
	ASSERT_MADE("signed with an algorithm that is not secure", .issuer = root, .digest = GNUTLS_DIG_SHA1);
	ASSERT_MADE(NULL, .is_ca = true, .digest = GNUTLS_DIG_SHA1); /* by itself: nobody checks that */
	ASSERT_MADE(NULL, .issuer = root, .digest = GNUTLS_DIG_SHA384);
}

static void test_purposes(void **state _unused_)
{
	ASSERT_MADE(NULL, .purpose = GNUTLS_KP_TLS_WWW_CLIENT);
	ASSERT_MADE("neither for TLS servers nor for TLS clients", .purpose = GNUTLS_KP_CODE_SIGNING);
	ASSERT_MADE(NULL, .unnamed = true, .host = "a.example");
	ASSERT_MADE("neither a subject nor an alternative name", .unnamed = true);
}

static void test_other_blocks(void **state _unused_)
{
	_cleanup_free_ char *encrypted = identity_encrypted_key(leaf);
	const char *c = leaf->certificate_pem;

	assert_refused(JOIN(c, encrypted), "the private key is encrypted");
	assert_refused(JOIN(c,
			       "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n"
			       "-----END RSA PRIVATE KEY-----\n"),
		"the private key is encrypted");
	assert_refused(JOIN(leaf->pem, "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"), "leave them out");
	assert_refused(JOIN("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
		"line 1: this is a request");
	assert_refused(JOIN("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"), "ssh-keygen");
	assert_refused(JOIN("\n\n-----BEGIN SECRETS-----\nAAAA\n-----END SECRETS-----\n"), "line 3 begins a block 'SECRETS'");
}

static void test_broken_blocks(void **state _unused_)
{
	_cleanup_free_ char *cut = strndup(leaf->pem, strlen(leaf->pem) - 40), *head = strdup(leaf->pem);
	_cleanup_free_ char *inside = strdup(leaf->certificate_pem);

	assert_refused(JOIN(cut), "has no end");
	assert_refused(JOIN(head + 40), "is the text cut off?");
	memset(inside + 200, '!', 8);
	assert_refused(JOIN(inside, leaf->key_pem), "certificate 1, in line 1, cannot be read");
	memset(inside + 200, 'A', 8);
	assert_refused(JOIN(inside, leaf->key_pem), "cert");
	assert_refused(JOIN("-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----\n"), "ends as another one");
	assert_refused(JOIN("-----BEGIN CERTIFICATE\n"), "line 1 is no beginning of a PEM block");
	assert_refused(JOIN("-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "has no end");
	assert_refused(JOIN(leaf->certificate_pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"the private key in line");
	assert_refused(JOIN("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "cannot be read");
	assert_refused(JOIN("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"), "the CRL in line 1 cannot be read");
}

static void test_other_formats(void **state _unused_)
{
	static const char archive[] = "\x30\x82\x05\x00\x02\x01\x03\x30\x82\x04";
	_cleanup_free_ char *stored = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	gnutls_datum_t raw = {(unsigned char *)(uintptr_t)archive, sizeof(archive)}, encoded, der;
	size_t length;

	assert_true(certificate_normalise(archive, sizeof(archive), 0, &stored, &length, NULL, &err) < 0);
	assert_non_null(strstr(error_message(&err), "openssl pkcs12"));
	assert_int_equal(gnutls_base64_encode2(&raw, &encoded), 0);
	assert_refused(strndup((char *)encoded.data, encoded.size), "openssl pkcs12");
	gnutls_free(encoded.data);
	assert_int_equal(gnutls_x509_crt_export2(leaf->certificate, GNUTLS_X509_FMT_DER, &der), 0);
	assert_true(certificate_normalise((char *)der.data, der.size, 0, &stored, &length, NULL, &err) < 0);
	assert_non_null(strstr(error_message(&err), "this is DER"));
	gnutls_free(der.data);
	assert_true(certificate_normalise("a\0b", 3, 0, &stored, &length, NULL, &err) < 0);
	assert_non_null(strstr(error_message(&err), "no PEM text"));
}

static void test_authorities(void **state _unused_)
{
	const char *m = middle->certificate_pem, *r = root->certificate_pem;

	assert_stored(JOIN(r), JOIN(r), CERTIFICATE_CA);
	assert_stored(JOIN(m, r), JOIN(m, r), CERTIFICATE_CA);
	assert_stored(JOIN(r, m, r), JOIN(r, m), CERTIFICATE_CA); /* in the order that was given */
	assert_stored(JOIN(alone->certificate_pem), JOIN(alone->certificate_pem), CERTIFICATE_CA); /* trusted by itself */
	assert_refused(JOIN(r, leaf->certificate_pem), "certificate 2 of 2 (CN=leaf) is no CA");
}

static void test_revocation_lists(void **state _unused_)
{
	_cleanup_free_ char *of_root = identity_crl(root, 0, 0), *of_middle = identity_crl(middle, 0, 0);
	_cleanup_free_ char *old = identity_crl(root, -2 * PKI_DAY_S, -PKI_DAY_S);
	_cleanup_free_ char *future = identity_crl(root, PKI_DAY_S, 2 * PKI_DAY_S);

	assert_stored(JOIN(of_root), JOIN(of_root), CERTIFICATE_CRL);
	assert_stored(JOIN(of_root, of_middle, of_root), JOIN(of_root, of_middle), CERTIFICATE_CRL);
	/* With a CA the signature is checked; the CA is not stored. */
	assert_stored(JOIN(root->certificate_pem, of_root), JOIN(of_root), CERTIFICATE_CRL);
	assert_stored(JOIN(of_middle, root->certificate_pem, middle->certificate_pem), JOIN(of_middle), CERTIFICATE_CRL);
	assert_refused(JOIN(stranger->certificate_pem, of_root), "CRL 1 of 1 (of CN=root) was not signed by any");
	assert_refused(JOIN(of_middle, old), "CRL 2 of 2 (of CN=root) is outdated: the next one was due on 20");
	assert_refused(JOIN(future), "CRL 1 of 1 (of CN=root) is not valid before 20");
	assert_refused(JOIN(leaf->pem, of_root), "a CRL beside a private key");
}

static void test_limits(void **state _unused_)
{
	struct text many = TEXT_INIT;
	_cleanup_free_ char *pem = NULL, *stored = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	size_t length;

	text_append(&many, leaf->pem);
	for (int i = 0; i < BUNDLE_CHAIN_MAX; i++) {
		const struct identity_options options = {.name = "more", .is_ca = true};
		_cleanup_identity_ struct identity *more = identity_new(&options);

		text_append(&many, more->certificate_pem);
	}
	assert_int_equal(text_finish(&many, &pem, NULL), 0);
	assert_refused(TAKE_PTR(pem), "11 certificates beside a private key; at most 10");
	pem = calloc(1, CERTIFICATE_BODY_LIMIT + 2);
	assert_non_null(pem);
	memset(pem, '\n', CERTIFICATE_BODY_LIMIT + 1);
	assert_int_equal(certificate_normalise(pem, CERTIFICATE_BODY_LIMIT + 1, 0, &stored, &length, NULL, &err),
		error_code_to_errno(ERROR_TOO_LARGE));
}

static void test_what_is_told(void **state _unused_)
{
	const struct identity_options options = {.name = "a,b\nc", .issuer = middle, .host = "www.example"};
	_cleanup_identity_ struct identity *identity = identity_new(&options);
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *given = JOIN(middle->certificate_pem, identity->pem), *stored = NULL;
	size_t length;

	assert_int_equal(certificate_normalise(given, strlen(given), time(NULL), &stored, &length, &info, &err), 0);
	assert_string_equal(info.issuer, "CN=middle");
	assert_non_null(strstr(info.subject, "CN=a\\,b"));
	assert_false(text_has_control(info.subject, strlen(info.subject)));
	assert_string_equal(info.dns_names[0], "www.example");
	assert_null(info.dns_names[1]);
	assert_string_equal(info.key_type, "EC P-256");
	assert_int_equal(strlen(info.sha256), 64);
	assert_int_equal(strlen(info.serial), 16);
	assert_int_equal(info.n_certificates, 2);
	assert_int_equal(info.not_after_s, gnutls_x509_crt_get_expiration_time(identity->certificate));
	assert_int_equal(info.not_before_s, gnutls_x509_crt_get_activation_time(identity->certificate));
}

static int setup(void **state _unused_)
{
	const struct identity_options r = {.name = "root", .is_ca = true}, s = {.name = "stranger", .is_ca = true},
				      a = {.name = "alone"};

	root = identity_new(&r);
	middle = identity_new(&(const struct identity_options){.name = "middle", .issuer = root, .is_ca = true});
	leaf = identity_new(&(const struct identity_options){.name = "leaf", .issuer = middle});
	stranger = identity_new(&s);
	alone = identity_new(&a);
	return 0;
}

static int teardown(void **state _unused_)
{
	identity_free(root);
	identity_free(middle);
	identity_free(leaf);
	identity_free(stranger);
	identity_free(alone);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_traditional_key),
		cmocka_unit_test(test_list_of_intermediates),
		cmocka_unit_test(test_missing_parts),
		cmocka_unit_test(test_chains_that_break),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_purposes),
		cmocka_unit_test(test_other_blocks),
		cmocka_unit_test(test_broken_blocks),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_authorities),
		cmocka_unit_test(test_revocation_lists),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_is_told),
	};

	return cmocka_run_group_tests_name("certificate bundles", tests, setup, teardown);
}
