/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls_pair.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "api/tls.h"

enum {
	PEM_MAX_BYTES = 1024 * 1024,
	KEY_ID_BYTES = 64,
};

static int invalid(struct error *err, const char *words)
{
	return error_set(err, ERROR_INVALID, NULL, "%s", words);
}

/* Words of the library, which never quote the input. */
static int invalid_because(struct error *err, const char *what, int r)
{
	if (r == GNUTLS_E_MEMORY_ERROR)
		return error_set_errno(err, -ENOMEM, "%s", what);
	return error_set(err, ERROR_INVALID, NULL, "%s: %s", what, gnutls_strerror(r));
}

static const char *find(const char *text, const char *end, const char *word)
{
	return memmem(text, (size_t)(end - text), word, strlen(word));
}

/* The next PEM block (RFC 7468) whose label ends in "PRIVATE KEY", from its first dash to its last.
 */
static bool next_key_block(const char **position, const char *end, gnutls_datum_t *ret)
{
	static const char begin_mark[] = "-----BEGIN ", label_end[] = "PRIVATE KEY-----",
			  end_mark[] = "-----END ";
	const char *begin, *label, *stop;

	for (; (begin = find(*position, end, begin_mark)); *position = label) {
		label = begin + strlen(begin_mark);
		stop = memchr(label, '\n', (size_t)(end - label));
		if (!stop)
			return false;
		if (!find(label, stop, label_end))
			continue;
		stop = find(stop, end, end_mark);
		stop = stop ? find(stop, end, label_end) : NULL;
		/* One that is cut off is given as an empty block, which is no key. */
		stop = stop ? stop + strlen(label_end) : begin;
		*position = stop > begin ? stop : end;
		ret->data = (unsigned char *)(uintptr_t)begin;
		ret->size = (unsigned)(stop - begin);
		return true;
	}
	return false;
}

/* PKCS #8, or the older form of OpenSSL (RFC 1421, section 4.6.1.1). */
static bool is_encrypted(const gnutls_datum_t *block)
{
	const char *text = (const char *)block->data, *end = text + block->size;

	return find(text, end, "-----BEGIN ENCRYPTED ") ||
	       find(text, end, "Proc-Type: 4,ENCRYPTED");
}

static int read_key(const char *pem, size_t length, struct tls_pair *pair, struct error *err)
{
	const char *position = pem, *end = pem + length;
	gnutls_datum_t block, second;
	int r;

	if (!next_key_block(&position, end, &block))
		return invalid(err, "there is no private key in the PEM file");
	if (next_key_block(&position, end, &second))
		return invalid(err, "there is more than one private key in the PEM file");
	if (is_encrypted(&block))
		return invalid(err, "the private key is encrypted: only one without a password can "
				    "be used");
	r = gnutls_x509_privkey_init(&pair->key);
	if (r >= 0)
		r = gnutls_x509_privkey_import2(
			pair->key, &block, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
	return r < 0 ? invalid_because(err, "the private key cannot be read", r) : 0;
}

static int read_chain(const char *pem, size_t length, struct tls_pair *pair, struct error *err)
{
	const gnutls_datum_t all = {(unsigned char *)(uintptr_t)pem, (unsigned)length};
	gnutls_x509_crt_t *chain = NULL;
	unsigned n = 0;
	int r;

	if (!find(pem, pem + length, "-----BEGIN CERTIFICATE-----"))
		return invalid(err, "there is no certificate in the PEM file");
	r = gnutls_x509_crt_list_import2(
		&chain, &n, &all, GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_SORT);
	if (r < 0)
		return invalid_because(err, "the certificate cannot be read", r);
	pair->chain = chain;
	pair->n = n;
	return n > 0 ? 0 : invalid(err, "there is no certificate in the PEM file");
}

static int check_match(const struct tls_pair *pair, struct error *err)
{
	unsigned char of_key[KEY_ID_BYTES], of_certificate[KEY_ID_BYTES];
	size_t n_key = sizeof(of_key), n_certificate = sizeof(of_certificate);
	int r;

	r = gnutls_x509_privkey_get_key_id(pair->key, GNUTLS_KEYID_USE_SHA256, of_key, &n_key);
	if (r >= 0)
		r = gnutls_x509_crt_get_key_id(
			pair->chain[0], GNUTLS_KEYID_USE_SHA256, of_certificate, &n_certificate);
	if (r < 0)
		return invalid_because(err, "comparing the private key with the certificate", r);
	if (n_key != n_certificate || memcmp(of_key, of_certificate, n_key) != 0)
		return invalid(err, "the private key does not belong to the (first) certificate");
	return 0;
}

/* What a TLS server can sign with. */
static int check_algorithm(const struct tls_pair *pair, struct error *err)
{
	int algorithm = gnutls_x509_privkey_get_pk_algorithm(pair->key);

	switch (algorithm) {
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
	case GNUTLS_PK_ECDSA:
	case GNUTLS_PK_EDDSA_ED25519:
	case GNUTLS_PK_EDDSA_ED448:
		return 0;
	default:
		return error_set(err, ERROR_INVALID, NULL, "TLS cannot use a key of the kind '%s'",
			gnutls_pk_algorithm_get_name((gnutls_pk_algorithm_t)algorithm));
	}
}

int tls_pair_read(const char *pem, size_t length, struct tls_pair *ret, struct error *err)
{
	_cleanup_tls_pair_ struct tls_pair pair = TLS_PAIR_INIT;
	int r;

	if (length > PEM_MAX_BYTES)
		return error_set(err, ERROR_TOO_LARGE, NULL, "the PEM file is larger than %d bytes",
			PEM_MAX_BYTES);
	r = read_key(pem, length, &pair, err);
	if (r >= 0)
		r = read_chain(pem, length, &pair, err);
	if (r >= 0)
		r = check_match(&pair, err);
	if (r >= 0)
		r = check_algorithm(&pair, err);
	if (r < 0)
		return r;
	*ret = pair;
	pair = TLS_PAIR_INIT;
	return 0;
}

int tls_pair_judge(const struct tls_pair *pair, struct error *err)
{
	time_t now = time(NULL);

	for (unsigned i = 0; i < pair->n; i++) {
		time_t end = gnutls_x509_crt_get_expiration_time(pair->chain[i]);
		char text[32] = "?";
		struct tm tm;

		if (end == (time_t)-1 || end >= now)
			continue;
		if (gmtime_r(&end, &tm))
			strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
		return error_set(err, ERROR_INVALID, NULL, "%s expired on %s",
			i == 0 ? "the certificate" : "a CA's certificate that goes with it", text);
	}
	if (!gnutls_x509_crt_check_key_purpose(pair->chain[0], GNUTLS_KP_TLS_WWW_SERVER, 0))
		return invalid(err, "the certificate is not for TLS servers (extended key usage)");
	return 0;
}

void tls_pair_done(struct tls_pair *pair)
{
	gnutls_x509_privkey_deinit(pair->key);
	for (unsigned i = 0; i < pair->n; i++)
		gnutls_x509_crt_deinit(pair->chain[i]);
	gnutls_free(pair->chain);
	*pair = TLS_PAIR_INIT;
}

int tls_check_pair(const char *pem, size_t length, struct error *err)
{
	_cleanup_tls_pair_ struct tls_pair pair = TLS_PAIR_INIT;
	int r;

	r = tls_pair_read(pem, length, &pair, err);
	return r < 0 ? r : tls_pair_judge(&pair, err);
}
