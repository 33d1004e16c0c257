/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CAs and certificates for tests, made with GnuTLS while the test runs.
 */

#include <gnutls/x509.h>
#include <stdbool.h>

#include "agent/base/cleanup.h"

enum {
	PKI_DAY_S = 24 * 60 * 60,
};

struct identity {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t certificate;
	char *key_pem;         /* PKCS #8 */
	char *certificate_pem; /* alone */
	char *pem;             /* certificate and key, as in Octavia's agent_server_cert */
};

struct identity_options {
	const char *name;              /* CN */
	const struct identity *issuer; /* NULL: self-signed */
	bool is_ca;
	const char *purpose;             /* GNUTLS_KP_…; NULL: none is named */
	long begin_s, end_s;             /* from now; both 0: from a day ago to in 30 days */
	gnutls_pk_algorithm_t algorithm; /* 0: ECDSA */
	unsigned bits;                   /* 0: P-256 */
	gnutls_digest_algorithm_t digest; /* of the signature; 0: SHA-256 */
	bool unnamed;                     /* without a subject */
	const char *host;                /* alternative name; NULL: none */
	const struct identity *twin;     /* takes its key; NULL: a new one */
};

/* Fails the test if it cannot be made. */
struct identity *identity_new(const struct identity_options *options);
/* The key in OpenSSL's PKCS #8 form with a password; the caller frees. */
char *identity_encrypted_key(const struct identity *identity);
/* A revocation list of that CA without an entry, PEM; the caller frees. Times as in identity_options. */
char *identity_crl(const struct identity *issuer, long begin_s, long end_s);
void identity_free(struct identity *identity);
DEFINE_CLEANUP(struct identity *, identity_free);
#define _cleanup_identity_ _cleanup_(identity_freep)
