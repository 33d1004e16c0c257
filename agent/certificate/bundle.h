/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A PEM text taken apart: its certificates, its key, its CRLs, as GnuTLS's objects. What is there twice counts once.
 * bundle_judge() decides what the whole is good for and puts the certificates in their order.
 */

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/certificate/store.h"

enum {
	BUNDLE_HASH_BYTES = 32,
	BUNDLE_CHAIN_MAX = 10,      /* certificates that go with a key; OpenSSL's clients look at no more by default */
	BUNDLE_RSA_BITS_MIN = 2048, /* NIST SP 800-57, part 1, 5.6.1.1: 112 bits of security */
	BUNDLE_RSA_BITS_MAX = 16384, /* OPENSSL_RSA_MAX_MODULUS_BITS */
};

struct bundle_certificate {
	gnutls_x509_crt_t crt; /* owned */
	size_t position;       /* among the certificates as they were given, from 1 */
};

struct bundle {
	struct bundle_certificate *certificates;
	size_t n;
	size_t n_given; /* with those that were there twice */
	gnutls_x509_privkey_t key; /* NULL: none */
	size_t key_line;
	gnutls_x509_crl_t *crls;
	uint8_t (*crl_hashes)[BUNDLE_HASH_BYTES]; /* by which one that is there twice is known */
	size_t n_crls;
};

#define BUNDLE_INIT ((struct bundle){0})
#define _cleanup_bundle_ _cleanup_(bundle_done)
void bundle_done(struct bundle *bundle);

/* ERROR_INVALID with words for whoever sent it. */
int bundle_read(const char *pem, size_t length, struct bundle *ret, struct error *err);

/* Sorts a chain (leaf first) and drops the certificates that only came to vouch for CRLs. A negative "now_s" leaves times out:
 * what was good when it was stored. */
int bundle_judge(struct bundle *bundle, int64_t now_s, enum certificate_kind *ret_kind, struct error *err);

/* The stored form: certificate, key, chain; or certificates; or CRLs. */
int bundle_write(const struct bundle *bundle, char **ret_pem, size_t *ret_length, struct error *err);

/* info.c: what may be told of it. "name" is the caller's affair. */
int bundle_info(const struct bundle *bundle, enum certificate_kind kind, struct certificate_info *ret, struct error *err);

/* info.c: "certificate 2 of 3 (CN=name)"; what a certificate says of itself comes without control characters. */
enum { BUNDLE_WORDS_SIZE = 256 };
void bundle_describe(const struct bundle *bundle, size_t i, char ret[BUNDLE_WORDS_SIZE]);
void bundle_describe_crl(const struct bundle *bundle, size_t i, char ret[BUNDLE_WORDS_SIZE]);
/* "RSA 2048", "EC P-256", "Ed25519" */
void bundle_describe_key(gnutls_x509_crt_t crt, char ret[BUNDLE_WORDS_SIZE]);
gnutls_ecc_curve_t bundle_curve(gnutls_x509_crt_t crt);
void bundle_describe_time(int64_t time_s, char ret[BUNDLE_WORDS_SIZE]);
/* Fails for want of memory only. Fills in "" where there is no name. */
int bundle_subject(gnutls_x509_crt_t crt, char **ret);
int bundle_dns_names(gnutls_x509_crt_t crt, char ***ret);

/* A failure of GnuTLS: ERROR_INVALID, or -ENOMEM. */
int bundle_refuse(struct error *err, int r, const char *format, ...) _printf_(3, 4);
