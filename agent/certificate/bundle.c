/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/certificate/bundle.h"

#include <gnutls/crypto.h>
#include <gnutls/pkcs7.h>
#include <stdarg.h>
#include <string.h>

#include "agent/certificate/pem.h"

void bundle_done(struct bundle *bundle)
{
	for (size_t i = 0; i < bundle->n; i++)
		gnutls_x509_crt_deinit(bundle->certificates[i].crt);
	for (size_t i = 0; i < bundle->n_crls; i++)
		gnutls_x509_crl_deinit(bundle->crls[i]);
	gnutls_x509_privkey_deinit(bundle->key);
	free(bundle->certificates);
	free(bundle->crls);
	free(bundle->crl_hashes);
	*bundle = BUNDLE_INIT;
}

int bundle_refuse(struct error *err, int r, const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	va_list arguments;

	if (r == GNUTLS_E_MEMORY_ERROR)
		return error_set_errno(err, -ENOMEM, "certificate");
	va_start(arguments, format);
	if (vasprintf(&what, format, arguments) < 0)
		what = NULL;
	va_end(arguments);
	return error_set(err, ERROR_INVALID, NULL, "%s: %s", what ? what : "the bundle cannot be read", gnutls_strerror(r));
}

static bool has_certificate(const struct bundle *bundle, gnutls_x509_crt_t crt)
{
	for (size_t i = 0; i < bundle->n; i++)
		if (gnutls_x509_crt_equals(bundle->certificates[i].crt, crt))
			return true;
	return false;
}

static int add_certificate(struct bundle *bundle, const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format, size_t line,
	struct error *err)
{
	struct bundle_certificate *grown;
	gnutls_x509_crt_t crt;
	int r;

	grown = reallocarray(bundle->certificates, bundle->n + 1, sizeof(*grown));
	if (!grown)
		return error_set_errno(err, -ENOMEM, "certificate");
	bundle->certificates = grown;
	bundle->n_given++;
	r = gnutls_x509_crt_init(&crt);
	if (r < 0)
		return bundle_refuse(err, r, "certificate");
	r = gnutls_x509_crt_import(crt, data, format);
	if (r < 0 || has_certificate(bundle, crt)) {
		gnutls_x509_crt_deinit(crt);
		return r < 0 ? bundle_refuse(err, r, "certificate %zu, in line %zu, cannot be read", bundle->n_given, line) : 0;
	}
	grown[bundle->n++] = (struct bundle_certificate){crt, bundle->n_given};
	return 0;
}

/* SHA-256 of the DER form: comparing that form itself would mean to write it anew for each pair of thousands. */
static int hash_crl(gnutls_x509_crl_t crl, uint8_t ret[BUNDLE_HASH_BYTES])
{
	gnutls_datum_t der = {0};
	int r = gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_DER, &der);

	if (r >= 0)
		r = gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, ret);
	gnutls_free(der.data);
	return r;
}

static bool has_hash(const struct bundle *bundle, const uint8_t hash[BUNDLE_HASH_BYTES])
{
	for (size_t i = 0; i < bundle->n_crls; i++)
		if (memcmp(bundle->crl_hashes[i], hash, BUNDLE_HASH_BYTES) == 0)
			return true;
	return false;
}

static int grow_crls(struct bundle *bundle)
{
	gnutls_x509_crl_t *crls = reallocarray(bundle->crls, bundle->n_crls + 1, sizeof(*crls));
	uint8_t(*hashes)[BUNDLE_HASH_BYTES];

	if (!crls)
		return -ENOMEM;
	bundle->crls = crls;
	hashes = reallocarray(bundle->crl_hashes, bundle->n_crls + 1, sizeof(*hashes));
	if (!hashes)
		return -ENOMEM;
	bundle->crl_hashes = hashes;
	return 0;
}

static int add_crl(struct bundle *bundle, const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format, size_t line,
	struct error *err)
{
	uint8_t *hash;
	gnutls_x509_crl_t crl;
	int r;

	if (grow_crls(bundle) < 0)
		return error_set_errno(err, -ENOMEM, "CRL");
	hash = bundle->crl_hashes[bundle->n_crls];
	r = gnutls_x509_crl_init(&crl);
	if (r < 0)
		return bundle_refuse(err, r, "CRL");
	r = gnutls_x509_crl_import(crl, data, format);
	if (r >= 0)
		r = hash_crl(crl, hash);
	if (r < 0 || has_hash(bundle, hash)) {
		gnutls_x509_crl_deinit(crl);
		return r < 0 ? bundle_refuse(err, r, "the CRL in line %zu cannot be read", line) : 0;
	}
	bundle->crls[bundle->n_crls++] = crl;
	return 0;
}

static int add_key(struct bundle *bundle, const gnutls_datum_t *data, size_t line, struct error *err)
{
	gnutls_x509_privkey_t key;
	int r;

	if (bundle->key)
		return error_set(err, ERROR_INVALID, NULL,
			"there is more than one private key: in line %zu and in line %zu", bundle->key_line, line);
	r = gnutls_x509_privkey_init(&key);
	if (r < 0)
		return bundle_refuse(err, r, "private key");
	r = gnutls_x509_privkey_import2(key, data, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
	if (r < 0) {
		gnutls_x509_privkey_deinit(key);
		return bundle_refuse(err, r, "the private key in line %zu cannot be read", line);
	}
	bundle->key = key;
	bundle->key_line = line;
	return 0;
}

static int add_listed(struct bundle *bundle, gnutls_pkcs7_t list, size_t line, struct error *err)
{
	int n = gnutls_pkcs7_get_crt_count(list), r = 0;

	for (int i = 0; r == 0 && i < n; i++) {
		gnutls_datum_t der = {0};

		r = gnutls_pkcs7_get_crt_raw2(list, (unsigned)i, &der);
		r = r < 0 ? bundle_refuse(err, r, "the PKCS #7 block in line %zu", line)
			  : add_certificate(bundle, &der, GNUTLS_X509_FMT_DER, line, err);
		gnutls_free(der.data);
	}
	n = gnutls_pkcs7_get_crl_count(list);
	for (int i = 0; r == 0 && i < n; i++) {
		gnutls_datum_t der = {0};

		r = gnutls_pkcs7_get_crl_raw2(list, (unsigned)i, &der);
		r = r < 0 ? bundle_refuse(err, r, "the PKCS #7 block in line %zu", line)
			  : add_crl(bundle, &der, GNUTLS_X509_FMT_DER, line, err);
		gnutls_free(der.data);
	}
	return r;
}

static int add_list(struct bundle *bundle, const gnutls_datum_t *data, size_t line, struct error *err)
{
	gnutls_pkcs7_t list;
	int r;

	r = gnutls_pkcs7_init(&list);
	if (r < 0)
		return bundle_refuse(err, r, "PKCS #7");
	r = gnutls_pkcs7_import(list, data, GNUTLS_X509_FMT_PEM);
	r = r < 0 ? bundle_refuse(err, r, "the PKCS #7 block in line %zu cannot be read", line)
		  : add_listed(bundle, list, line, err);
	gnutls_pkcs7_deinit(list);
	return r;
}

static int add_block(struct bundle *bundle, const struct pem_block *block, struct error *err)
{
	const gnutls_datum_t data = {(unsigned char *)(uintptr_t)block->text, (unsigned)block->length};

	switch (block->kind) {
	case PEM_CERTIFICATE:
		return add_certificate(bundle, &data, GNUTLS_X509_FMT_PEM, block->line, err);
	case PEM_KEY:
		return add_key(bundle, &data, block->line, err);
	case PEM_CRL:
		return add_crl(bundle, &data, GNUTLS_X509_FMT_PEM, block->line, err);
	case PEM_PKCS7:
		return add_list(bundle, &data, block->line, err);
	}
	return -EINVAL;
}

/* PFX ::= SEQUENCE { version INTEGER {v3(3)}, … } (RFC 7292, section 4). */
static bool is_pkcs12(const unsigned char *der, size_t length)
{
	static const unsigned char version_3[] = {0x02, 0x01, 0x03};
	size_t header;

	if (length < 2 || der[0] != 0x30)
		return false;
	header = der[1] > 0x80 ? 2 + (size_t)(der[1] & 0x7f) : 2;
	return length >= header + sizeof(version_3) && memcmp(der + header, version_3, sizeof(version_3)) == 0;
}

/* There is not one block: what may it be? Octavia takes PKCS #12 in base64, from Barbican. */
static int refuse_other_format(const char *text, size_t length, struct error *err)
{
	const gnutls_datum_t data = {(unsigned char *)(uintptr_t)text, (unsigned)length};
	gnutls_datum_t decoded = {0};
	bool der = length > 0 && text[0] == 0x30 && length > 1 && ((unsigned char)text[1] & 0x80);
	bool archive = is_pkcs12(data.data, data.size);

	if (!archive && gnutls_base64_decode2(&data, &decoded) == 0) {
		archive = is_pkcs12(decoded.data, decoded.size);
		explicit_bzero(decoded.data, decoded.size);
		gnutls_free(decoded.data);
	}
	if (archive)
		return error_set(err, ERROR_INVALID, NULL,
			"this is PKCS #12, not PEM; convert it: openssl pkcs12 -in FILE -nodes -out FILE.pem "
			"(first base64 -d FILE, if it is in base64)");
	if (der)
		return error_set(err, ERROR_INVALID, NULL,
			"this is DER, not PEM; convert it: openssl x509 -inform DER -in FILE -out FILE.pem, and "
			"openssl pkey for a key");
	if (memchr(text, '\0', length))
		return error_set(err, ERROR_INVALID, NULL, "this is no PEM text");
	return error_set(err, ERROR_INVALID, NULL, "there is no certificate in it: no line '-----BEGIN CERTIFICATE-----'");
}

int bundle_read(const char *pem, size_t length, struct bundle *ret, struct error *err)
{
	_cleanup_bundle_ struct bundle bundle = BUNDLE_INIT;
	struct pem_reader reader = PEM_READER(pem, length);
	bool any = false;

	if (length > CERTIFICATE_BODY_LIMIT)
		return error_set(err, ERROR_TOO_LARGE, NULL, "more than %d bytes", CERTIFICATE_BODY_LIMIT);
	for (;;) {
		struct pem_block block;
		bool found;
		int r = pem_next(&reader, &block, &found, err);

		if (r == 0 && found)
			r = add_block(&bundle, &block, err);
		if (r < 0)
			return r;
		if (!found)
			break;
		any = true;
	}
	if (!any)
		return refuse_other_format(pem, length, err);
	*ret = bundle;
	bundle = BUNDLE_INIT;
	return 0;
}

struct parts {
	gnutls_datum_t *items; /* in PEM */
	size_t n;
};

static void parts_done(struct parts *parts)
{
	for (size_t i = 0; i < parts->n; i++) {
		explicit_bzero(parts->items[i].data, parts->items[i].size);
		gnutls_free(parts->items[i].data);
	}
	free(parts->items);
}

/* The key follows its certificate. */
static int export_parts(const struct bundle *bundle, struct parts *parts)
{
	int r = 0;

	parts->items = calloc(bundle->n + bundle->n_crls + 1, sizeof(*parts->items));
	if (!parts->items)
		return GNUTLS_E_MEMORY_ERROR;
	for (size_t i = 0; r >= 0 && i < bundle->n; i++) {
		r = gnutls_x509_crt_export2(bundle->certificates[i].crt, GNUTLS_X509_FMT_PEM, &parts->items[parts->n]);
		parts->n += r >= 0;
		if (r >= 0 && i == 0 && bundle->key) {
			r = gnutls_x509_privkey_export2_pkcs8(
				bundle->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &parts->items[parts->n]);
			parts->n += r >= 0;
		}
	}
	for (size_t i = 0; r >= 0 && i < bundle->n_crls; i++) {
		r = gnutls_x509_crl_export2(bundle->crls[i], GNUTLS_X509_FMT_PEM, &parts->items[parts->n]);
		parts->n += r >= 0;
	}
	return r;
}

int bundle_write(const struct bundle *bundle, char **ret_pem, size_t *ret_length, struct error *err)
{
	_cleanup_(parts_done) struct parts parts = {0};
	size_t length = 0;
	char *pem, *end;
	int r;

	r = export_parts(bundle, &parts);
	if (r < 0)
		return bundle_refuse(err, r, "writing the bundle");
	for (size_t i = 0; i < parts.n; i++)
		length += parts.items[i].size;
	/* One allocation, so that no copy of the key stays behind. */
	pem = end = malloc(length + 1);
	if (!pem)
		return error_set_errno(err, -ENOMEM, "certificate");
	for (size_t i = 0; i < parts.n; i++)
		end = mempcpy(end, parts.items[i].data, parts.items[i].size);
	*end = '\0';
	*ret_pem = pem;
	*ret_length = length;
	return 0;
}
