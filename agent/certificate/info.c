/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/certificate/bundle.h"

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <time.h>

#include "agent/base/text.h"

enum {
	SERIAL_BYTES = 64,
	SHA256_BYTES = 32,
	NAME_BYTES = 512, /* of an alternative name; longer ones are no host's */
};

void certificate_info_done(struct certificate_info *info)
{
	free(info->name);
	free(info->subject);
	free(info->issuer);
	strv_free(info->dns_names);
	free(info->key_type);
	free(info->serial);
	free(info->sha256);
	*info = CERTIFICATE_INFO_INIT;
}

/* Whoever made a certificate wrote what he liked. */
static char *printable(const unsigned char *bytes, size_t length)
{
	char *text = strndup((const char *)bytes, length);

	if (text)
		text_make_printable(text);
	return text;
}

static int take_name(int r, gnutls_datum_t *name, char **ret)
{
	if (r == GNUTLS_E_MEMORY_ERROR)
		return -ENOMEM;
	*ret = r < 0 ? strdup("") : printable(name->data, name->size);
	gnutls_free(name->data);
	return *ret ? 0 : -ENOMEM;
}

int bundle_subject(gnutls_x509_crt_t crt, char **ret)
{
	gnutls_datum_t name = {0};

	return take_name(gnutls_x509_crt_get_dn3(crt, &name, 0), &name, ret);
}

static int issuer_of(gnutls_x509_crt_t crt, char **ret)
{
	gnutls_datum_t name = {0};

	return take_name(gnutls_x509_crt_get_issuer_dn3(crt, &name, 0), &name, ret);
}

static int crl_issuer(gnutls_x509_crl_t crl, char **ret)
{
	gnutls_datum_t name = {0};

	return take_name(gnutls_x509_crl_get_issuer_dn3(crl, &name, 0), &name, ret);
}

static char *alternative_name(int type, const unsigned char *value, size_t length)
{
	char address[INET6_ADDRSTRLEN];

	if (type == GNUTLS_SAN_DNSNAME)
		return printable(value, length);
	if (inet_ntop(length == 4 ? AF_INET : AF_INET6, value, address, sizeof(address)))
		return strdup(address);
	return NULL;
}

int bundle_dns_names(gnutls_x509_crt_t crt, char ***ret)
{
	_cleanup_strv_ char **names = calloc(1, sizeof(*names));
	unsigned char value[NAME_BYTES];
	size_t n = 0, length;
	int r;

	if (!names)
		return -ENOMEM;
	for (unsigned i = 0;; i++) {
		length = sizeof(value);
		r = gnutls_x509_crt_get_subject_alt_name(crt, i, value, &length, NULL);
		if (r < 0 && r != GNUTLS_E_SHORT_MEMORY_BUFFER)
			break;
		if (r == GNUTLS_SAN_DNSNAME || (r == GNUTLS_SAN_IPADDRESS && (length == 4 || length == 16)))
			if (strv_push(&names, &n, alternative_name(r, value, length)) < 0)
				return -ENOMEM;
	}
	length = sizeof(value);
	if (n == 0 && gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, value, &length) == 0)
		if (strv_push(&names, &n, printable(value, length)) < 0)
			return -ENOMEM;
	*ret = TAKE_PTR(names);
	return 0;
}

void bundle_describe(const struct bundle *bundle, size_t i, char ret[BUNDLE_WORDS_SIZE])
{
	const struct bundle_certificate *certificate = &bundle->certificates[i];
	_cleanup_free_ char *subject = NULL;

	if (bundle_subject(certificate->crt, &subject) < 0 || !subject[0])
		snprintf(ret, BUNDLE_WORDS_SIZE, "certificate %zu of %zu", certificate->position, bundle->n_given);
	else
		snprintf(ret, BUNDLE_WORDS_SIZE, "certificate %zu of %zu (%.180s)", certificate->position, bundle->n_given,
			subject);
}

void bundle_describe_crl(const struct bundle *bundle, size_t i, char ret[BUNDLE_WORDS_SIZE])
{
	_cleanup_free_ char *issuer = NULL;

	if (crl_issuer(bundle->crls[i], &issuer) < 0 || !issuer[0])
		snprintf(ret, BUNDLE_WORDS_SIZE, "CRL %zu of %zu", i + 1, bundle->n_crls);
	else
		snprintf(ret, BUNDLE_WORDS_SIZE, "CRL %zu of %zu (of %.180s)", i + 1, bundle->n_crls, issuer);
}

gnutls_ecc_curve_t bundle_curve(gnutls_x509_crt_t crt)
{
	gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
	gnutls_datum_t x = {0}, y = {0};

	if (gnutls_x509_crt_get_pk_ecc_raw(crt, &curve, &x, &y) < 0)
		return GNUTLS_ECC_CURVE_INVALID;
	gnutls_free(x.data);
	gnutls_free(y.data);
	return curve;
}

void bundle_describe_key(gnutls_x509_crt_t crt, char ret[BUNDLE_WORDS_SIZE])
{
	unsigned bits = 0;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
	const char *name = algorithm < 0 ? NULL : gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm);

	switch (algorithm) {
	case GNUTLS_PK_ECDSA:
		/* GnuTLS counts the bits of whole bytes. */
		snprintf(ret, BUNDLE_WORDS_SIZE, "EC P-%u", bits == 528 ? 521 : bits);
		break;
	case GNUTLS_PK_EDDSA_ED25519:
	case GNUTLS_PK_EDDSA_ED448:
		snprintf(ret, BUNDLE_WORDS_SIZE, "%s", algorithm == GNUTLS_PK_EDDSA_ED448 ? "Ed448" : "Ed25519");
		break;
	default:
		snprintf(ret, BUNDLE_WORDS_SIZE, "%s %u", name ? name : "unknown", bits);
	}
}

void bundle_describe_time(int64_t time_s, char ret[BUNDLE_WORDS_SIZE])
{
	time_t value = (time_t)time_s;
	struct tm tm;

	if (!gmtime_r(&value, &tm) || strftime(ret, BUNDLE_WORDS_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(ret, BUNDLE_WORDS_SIZE, "?");
}

static char *hex_of(const uint8_t *bytes, size_t length)
{
	char *text = malloc(2 * length + 1);

	if (text)
		text_hex(bytes, length, text);
	return text;
}

static int certificate_details(gnutls_x509_crt_t crt, struct certificate_info *info)
{
	unsigned char serial[SERIAL_BYTES], digest[SHA256_BYTES];
	size_t serial_length = sizeof(serial), digest_length = sizeof(digest);
	char key[BUNDLE_WORDS_SIZE];

	if (bundle_subject(crt, &info->subject) < 0 || issuer_of(crt, &info->issuer) < 0 ||
		bundle_dns_names(crt, &info->dns_names) < 0)
		return GNUTLS_E_MEMORY_ERROR;
	bundle_describe_key(crt, key);
	info->key_type = strdup(key);
	info->serial = gnutls_x509_crt_get_serial(crt, serial, &serial_length) < 0 ? strdup("")
										    : hex_of(serial, serial_length);
	if (gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, digest, &digest_length) == 0)
		info->sha256 = hex_of(digest, digest_length);
	info->not_before_s = gnutls_x509_crt_get_activation_time(crt);
	info->not_after_s = gnutls_x509_crt_get_expiration_time(crt);
	return info->key_type && info->serial && info->sha256 ? 0 : GNUTLS_E_MEMORY_ERROR;
}

static int crl_details(gnutls_x509_crl_t crl, struct certificate_info *info)
{
	unsigned char digest[SHA256_BYTES];
	gnutls_datum_t der = {0};
	time_t next = gnutls_x509_crl_get_next_update(crl);
	int r;

	if (crl_issuer(crl, &info->issuer) < 0)
		return GNUTLS_E_MEMORY_ERROR;
	info->not_before_s = gnutls_x509_crl_get_this_update(crl);
	info->not_after_s = next == (time_t)-1 ? 0 : next;
	r = gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_DER, &der);
	if (r >= 0)
		r = gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest);
	gnutls_free(der.data);
	if (r < 0)
		return r;
	info->sha256 = hex_of(digest, sizeof(digest));
	return info->sha256 ? 0 : GNUTLS_E_MEMORY_ERROR;
}

int bundle_info(const struct bundle *bundle, enum certificate_kind kind, struct certificate_info *ret, struct error *err)
{
	_cleanup_certificate_info_ struct certificate_info info = {.kind = kind};
	int r;

	info.n_certificates = kind == CERTIFICATE_CRL ? bundle->n_crls : bundle->n;
	r = kind == CERTIFICATE_CRL ? crl_details(bundle->crls[0], &info)
				    : certificate_details(bundle->certificates[0].crt, &info);
	if (r < 0)
		return bundle_refuse(err, r, "certificate");
	*ret = info;
	info = CERTIFICATE_INFO_INIT;
	return 0;
}
