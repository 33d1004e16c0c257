/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/certificate/bundle.h"

#include <string.h>

#include "agent/base/text.h"

/*
 * What a bundle is good for. Refused is what OpenSSL would refuse at its security level 2, the default of current
 * distributions (SSL_CTX_set_security_level(3)): RSA below 2048 bits, signatures with MD5 or SHA-1 but those of
 * self-signed certificates, which nobody checks; and what no client could accept.
 */

enum {
	KEY_ID_BYTES = 64,
	/* Times and algorithms are judged here, with better words. */
	VERIFY_SIGNATURE = GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS |
		GNUTLS_VERIFY_ALLOW_BROKEN | GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1,
};

static int refuse(struct error *err, const char *what, const char *why)
{
	return error_set(err, ERROR_INVALID, NULL, "%s %s", what, why);
}

static int check_times(const char *what, int64_t begin_s, int64_t end_s, int64_t now_s, const char *end_words,
	struct error *err)
{
	char time[BUNDLE_WORDS_SIZE], now[BUNDLE_WORDS_SIZE];

	if (now_s < 0)
		return 0;
	bundle_describe_time(now_s, now);
	if (end_s > 0 && end_s < now_s) {
		bundle_describe_time(end_s, time);
		return error_set(err, ERROR_INVALID, NULL, "%s %s %s", what, end_words, time);
	}
	if (begin_s > now_s) {
		bundle_describe_time(begin_s, time);
		return error_set(err, ERROR_INVALID, NULL, "%s is not valid before %s, and here it is %s", what, time, now);
	}
	return 0;
}

/* What HAProxy and OpenSSL can sign with, and clients verify. */
static bool key_is_strong(gnutls_x509_crt_t crt, const char **ret_wanted)
{
	unsigned bits = 0;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
	gnutls_ecc_curve_t curve;

	switch (algorithm) {
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
		*ret_wanted = "RSA keys need 2048 to 16384 bits";
		return bits >= BUNDLE_RSA_BITS_MIN && bits <= BUNDLE_RSA_BITS_MAX;
	case GNUTLS_PK_ECDSA:
		*ret_wanted = "of the elliptic curves P-256, P-384 and P-521 are taken";
		curve = bundle_curve(crt);
		return curve == GNUTLS_ECC_CURVE_SECP256R1 || curve == GNUTLS_ECC_CURVE_SECP384R1 ||
			curve == GNUTLS_ECC_CURVE_SECP521R1;
	case GNUTLS_PK_EDDSA_ED25519:
	case GNUTLS_PK_EDDSA_ED448:
		return true;
	default:
		*ret_wanted = "RSA, ECDSA, Ed25519 and Ed448 are taken";
		return false;
	}
}

/* As OpenSSL has it (EXFLAG_SS): by names and key identifiers. */
static bool is_self_signed(gnutls_x509_crt_t crt)
{
	return gnutls_x509_crt_check_issuer(crt, crt);
}

static bool signature_is_strong(gnutls_x509_crt_t crt)
{
	int algorithm = gnutls_x509_crt_get_signature_algorithm(crt);

	if (algorithm < 0 || algorithm == GNUTLS_SIGN_UNKNOWN)
		return false;
	switch (gnutls_sign_get_hash_algorithm((gnutls_sign_algorithm_t)algorithm)) {
	case GNUTLS_DIG_MD2:
	case GNUTLS_DIG_MD5:
	case GNUTLS_DIG_SHA1:
	case GNUTLS_DIG_RMD160:
		return false;
	default: /* of EdDSA there is none to name */
		return true;
	}
}

static int check_certificate(const struct bundle *bundle, size_t i, int64_t now_s, struct error *err)
{
	gnutls_x509_crt_t crt = bundle->certificates[i].crt;
	char what[BUNDLE_WORDS_SIZE], key[BUNDLE_WORDS_SIZE];
	const char *wanted;
	int r;

	bundle_describe(bundle, i, what);
	r = check_times(what, gnutls_x509_crt_get_activation_time(crt), gnutls_x509_crt_get_expiration_time(crt), now_s,
		"expired on", err);
	if (r < 0)
		return r;
	if (!key_is_strong(crt, &wanted)) {
		bundle_describe_key(crt, key);
		return error_set(err, ERROR_INVALID, NULL, "%s has a key of the kind '%s': %s", what, key, wanted);
	}
	if (!signature_is_strong(crt) && !is_self_signed(crt))
		return refuse(err, what, "is signed with an algorithm that is not secure any more (MD5, SHA-1)");
	return 0;
}

static bool belongs_to_key(gnutls_x509_crt_t crt, const unsigned char *key_id, size_t key_id_length)
{
	unsigned char id[KEY_ID_BYTES];
	size_t length = sizeof(id);

	return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, id, &length) == 0 && length == key_id_length &&
		memcmp(id, key_id, length) == 0;
}

static void swap(struct bundle *bundle, size_t i, size_t j)
{
	struct bundle_certificate first = bundle->certificates[i];

	bundle->certificates[i] = bundle->certificates[j];
	bundle->certificates[j] = first;
}

/* Puts the certificate of the key first. */
static int find_leaf(struct bundle *bundle, struct error *err)
{
	unsigned char id[KEY_ID_BYTES];
	size_t length = sizeof(id), leaf = SIZE_MAX;
	char what[BUNDLE_WORDS_SIZE], other[BUNDLE_WORDS_SIZE];
	int r;

	r = gnutls_x509_privkey_get_key_id(bundle->key, GNUTLS_KEYID_USE_SHA256, id, &length);
	if (r < 0)
		return bundle_refuse(err, r, "the private key");
	for (size_t i = 0; i < bundle->n; i++) {
		if (!belongs_to_key(bundle->certificates[i].crt, id, length))
			continue;
		if (leaf != SIZE_MAX) {
			bundle_describe(bundle, leaf, what);
			bundle_describe(bundle, i, other);
			return error_set(err, ERROR_INVALID, NULL,
				"the private key belongs to %s as well as to %s: leave one of them out", what, other);
		}
		leaf = i;
	}
	bundle_describe(bundle, 0, what);
	if (leaf == SIZE_MAX && bundle->n == 1)
		return error_set(err, ERROR_INVALID, NULL, "the private key does not belong to %s", what);
	if (leaf == SIZE_MAX)
		return error_set(err, ERROR_INVALID, NULL,
			"the private key belongs to none of the %zu certificates, the first of which is %s", bundle->n, what);
	swap(bundle, 0, leaf);
	return 0;
}

/* Whether it was signed by that issuer. Names match already. */
static int check_signature(const struct bundle *bundle, size_t i, size_t issuer, struct error *err)
{
	char what[BUNDLE_WORDS_SIZE], who[BUNDLE_WORDS_SIZE];
	unsigned status = 0;
	int r;

	bundle_describe(bundle, i, what);
	bundle_describe(bundle, issuer, who);
	r = gnutls_x509_crt_verify(
		bundle->certificates[i].crt, &bundle->certificates[issuer].crt, 1, VERIFY_SIGNATURE, &status);
	if (r < 0)
		return bundle_refuse(err, r, "%s", what);
	if (status & (GNUTLS_CERT_SIGNER_NOT_CA | GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE))
		return error_set(err, ERROR_INVALID, NULL, "%s may not have issued %s: it is no CA, or not for that", who, what);
	if (status & GNUTLS_CERT_INVALID)
		return error_set(err, ERROR_INVALID, NULL, "%s has the name of the issuer of %s and did not sign it", who, what);
	return 0;
}

/* Puts the issuer of a certificate behind it. Of several with that name the one that signed it counts. */
static int find_issuer(struct bundle *bundle, size_t i, struct error *err)
{
	char what[BUNDLE_WORDS_SIZE], last[BUNDLE_WORDS_SIZE];
	bool named = false;
	int r = 0;

	for (size_t issuer = i + 1; issuer < bundle->n; issuer++) {
		if (!gnutls_x509_crt_check_issuer(bundle->certificates[i].crt, bundle->certificates[issuer].crt))
			continue;
		named = true;
		r = check_signature(bundle, i, issuer, err);
		if (r == 0) {
			error_done(err);
			swap(bundle, i + 1, issuer);
			return 0;
		}
	}
	if (named)
		return r;
	bundle_describe(bundle, i + 1, what);
	bundle_describe(bundle, i, last);
	return error_set(err, ERROR_INVALID, NULL,
		"%s does not belong to the chain: that ends with %s, which none of the rest issued", what, last);
}

/* Octavia writes the intermediates as they come; TLS before 1.3 wants each to certify the one before it (RFC 5246, 7.4.2). */
static int sort_chain(struct bundle *bundle, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i + 1 < bundle->n; i++)
		r = find_issuer(bundle, i, err);
	return r;
}

static int check_leaf(const struct bundle *bundle, struct error *err)
{
	gnutls_x509_crt_t crt = bundle->certificates[0].crt;
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *subject = NULL;
	char what[BUNDLE_WORDS_SIZE];

	bundle_describe(bundle, 0, what);
	if (!gnutls_x509_crt_check_key_purpose(crt, GNUTLS_KP_TLS_WWW_SERVER, 0) &&
		!gnutls_x509_crt_check_key_purpose(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0))
		return refuse(err, what, "is neither for TLS servers nor for TLS clients (extended key usage)");
	if (bundle_subject(crt, &subject) < 0 || bundle_dns_names(crt, &names) < 0)
		return error_set_errno(err, -ENOMEM, "certificate");
	if (!subject[0] && !names[0])
		return refuse(err, what, "has neither a subject nor an alternative name");
	return 0;
}

static int judge_pair(struct bundle *bundle, int64_t now_s, struct error *err)
{
	int r;

	if (bundle->n == 0)
		return error_set(err, ERROR_INVALID, NULL, "there is a private key, and no certificate");
	if (bundle->n_crls > 0)
		return error_set(err, ERROR_INVALID, NULL,
			"there is a CRL beside a private key: it needs a name of its own");
	if (bundle->n > BUNDLE_CHAIN_MAX)
		return error_set(err, ERROR_INVALID, NULL, "%zu certificates beside a private key; at most %d make a chain",
			bundle->n, BUNDLE_CHAIN_MAX);
	r = find_leaf(bundle, err);
	for (size_t i = 0; r == 0 && i < bundle->n; i++)
		r = check_certificate(bundle, i, now_s, err);
	if (r == 0)
		r = sort_chain(bundle, err);
	return r == 0 ? check_leaf(bundle, err) : r;
}

static int judge_authorities(const struct bundle *bundle, int64_t now_s, struct error *err)
{
	for (size_t i = 0; i < bundle->n; i++) {
		gnutls_x509_crt_t crt = bundle->certificates[i].crt;
		char what[BUNDLE_WORDS_SIZE];
		int r;

		r = check_certificate(bundle, i, now_s, err);
		if (r < 0)
			return r;
		/* A self-signed one can be trusted by itself, whatever it says. */
		if (gnutls_x509_crt_get_ca_status(crt, NULL) > 0 || is_self_signed(crt))
			continue;
		bundle_describe(bundle, i, what);
		return refuse(err, what, "is no CA, and there is no private key for it");
	}
	return 0;
}

static int judge_crl(const struct bundle *bundle, size_t i, const gnutls_x509_crt_t *authorities, int64_t now_s,
	struct error *err)
{
	gnutls_x509_crl_t crl = bundle->crls[i];
	char what[BUNDLE_WORDS_SIZE];
	unsigned status = 0;
	int r;

	bundle_describe_crl(bundle, i, what);
	r = check_times(what, gnutls_x509_crl_get_this_update(crl), gnutls_x509_crl_get_next_update(crl), now_s,
		"is outdated: the next one was due on", err);
	if (r < 0 || bundle->n == 0)
		return r;
	r = gnutls_x509_crl_verify(crl, authorities, (unsigned)bundle->n, VERIFY_SIGNATURE, &status);
	if (r < 0)
		return bundle_refuse(err, r, "%s", what);
	if (status & GNUTLS_CERT_INVALID)
		return refuse(err, what, "was not signed by any of the certificates beside it");
	return 0;
}

static int judge_crls(struct bundle *bundle, int64_t now_s, struct error *err)
{
	_cleanup_free_ gnutls_x509_crt_t *authorities = calloc(bundle->n + 1, sizeof(gnutls_x509_crt_t));
	int r = authorities ? 0 : error_set_errno(err, -ENOMEM, "CRL");

	for (size_t i = 0; r == 0 && i < bundle->n; i++)
		authorities[i] = bundle->certificates[i].crt;
	for (size_t i = 0; r == 0 && i < bundle->n_crls; i++)
		r = judge_crl(bundle, i, authorities, now_s, err);
	if (r < 0)
		return r;
	while (bundle->n > 0)
		gnutls_x509_crt_deinit(bundle->certificates[--bundle->n].crt);
	return 0;
}

int bundle_judge(struct bundle *bundle, int64_t now_s, enum certificate_kind *ret_kind, struct error *err)
{
	int r;

	if (bundle->key) {
		r = judge_pair(bundle, now_s, err);
		*ret_kind = CERTIFICATE_PAIR;
	} else if (bundle->n_crls > 0) {
		r = judge_crls(bundle, now_s, err);
		*ret_kind = CERTIFICATE_CRL;
	} else if (bundle->n > 0) {
		r = judge_authorities(bundle, now_s, err);
		*ret_kind = CERTIFICATE_CA;
	} else {
		r = error_set(err, ERROR_INVALID, NULL, "there is nothing in it");
	}
	return r;
}
