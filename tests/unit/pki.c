/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gnutls/crypto.h>
#include <string.h>
#include <time.h>

#include "tests/unit/pki.h"

static char *to_string(gnutls_datum_t *datum)
{
	char *text = strndup((const char *)datum->data, datum->size);

	assert_non_null(text);
	gnutls_free(datum->data);
	return text;
}

static void make_key(struct identity *identity, const struct identity_options *options)
{
	gnutls_pk_algorithm_t algorithm = options->algorithm ? options->algorithm : GNUTLS_PK_ECDSA;
	unsigned bits = options->bits ? options->bits
				      : (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

	assert_int_equal(gnutls_x509_privkey_init(&identity->key), 0);
	if (options->twin) {
		assert_int_equal(gnutls_x509_privkey_cpy(identity->key, options->twin->key), 0);
		return;
	}
	assert_int_equal(gnutls_x509_privkey_generate(identity->key, algorithm, bits, 0), 0);
}

static void make_certificate(struct identity *identity, const struct identity_options *options)
{
	const struct identity *issuer = options->issuer ? options->issuer : identity;
	gnutls_x509_crt_t certificate;
	bool usual = options->begin_s == 0 && options->end_s == 0;
	time_t now = time(NULL);
	unsigned char serial[8];

	assert_int_equal(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial)), 0);
	serial[0] = (unsigned char)(serial[0] >> 1 | 1); /* positive, not zero */
	assert_int_equal(gnutls_x509_crt_init(&identity->certificate), 0);
	certificate = identity->certificate;
	gnutls_x509_crt_set_version(certificate, 3);
	gnutls_x509_crt_set_serial(certificate, serial, sizeof(serial));
	if (!options->unnamed)
		gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
			options->name, (unsigned)strlen(options->name));
	gnutls_x509_crt_set_activation_time(
		certificate, now + (usual ? -PKI_DAY_S : options->begin_s));
	gnutls_x509_crt_set_expiration_time(
		certificate, now + (usual ? 30 * PKI_DAY_S : options->end_s));
	gnutls_x509_crt_set_basic_constraints(certificate, options->is_ca, -1);
	gnutls_x509_crt_set_key_usage(certificate,
		options->is_ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
			       : GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (options->purpose)
		gnutls_x509_crt_set_key_purpose_oid(certificate, options->purpose, 0);
	if (options->host)
		gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, options->host,
			(unsigned)strlen(options->host), GNUTLS_FSAN_SET);
	gnutls_x509_crt_set_key(certificate, identity->key);
	assert_int_equal(gnutls_x509_crt_sign2(certificate, issuer->certificate, issuer->key,
				 options->digest ? options->digest : GNUTLS_DIG_SHA256, 0),
		0);
}

struct identity *identity_new(const struct identity_options *options)
{
	struct identity *identity = calloc(1, sizeof(*identity));
	gnutls_datum_t datum;

	assert_non_null(identity);
	make_key(identity, options);
	make_certificate(identity, options);
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(identity->key, GNUTLS_X509_FMT_PEM, NULL,
				 GNUTLS_PKCS_PLAIN, &datum),
		0);
	identity->key_pem = to_string(&datum);
	assert_int_equal(
		gnutls_x509_crt_export2(identity->certificate, GNUTLS_X509_FMT_PEM, &datum), 0);
	identity->certificate_pem = to_string(&datum);
	assert_true(
		asprintf(&identity->pem, "%s%s", identity->certificate_pem, identity->key_pem) > 0);
	return identity;
}

char *identity_encrypted_key(const struct identity *identity)
{
	gnutls_datum_t datum;

	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(identity->key, GNUTLS_X509_FMT_PEM,
				 "password", GNUTLS_PKCS_PBES2_AES_256, &datum),
		0);
	return to_string(&datum);
}

char *identity_crl(const struct identity *issuer, long begin_s, long end_s)
{
	bool usual = begin_s == 0 && end_s == 0;
	time_t now = time(NULL);
	gnutls_x509_crl_t crl;
	gnutls_datum_t datum;

	assert_int_equal(gnutls_x509_crl_init(&crl), 0);
	gnutls_x509_crl_set_version(crl, 2);
	gnutls_x509_crl_set_this_update(crl, now + (usual ? -PKI_DAY_S : begin_s));
	gnutls_x509_crl_set_next_update(crl, now + (usual ? 30 * PKI_DAY_S : end_s));
	assert_int_equal(gnutls_x509_crl_sign2(crl, issuer->certificate, issuer->key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &datum), 0);
	gnutls_x509_crl_deinit(crl);
	return to_string(&datum);
}

void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	gnutls_x509_privkey_deinit(identity->key);
	gnutls_x509_crt_deinit(identity->certificate);
	free(identity->key_pem);
	free(identity->certificate_pem);
	free(identity->pem);
	free(identity);
}
