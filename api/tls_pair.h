/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A private key and its certificate, out of one PEM text.
 */

#include <gnutls/x509.h>

#include "agent/base/error.h"

struct tls_pair {
	gnutls_x509_privkey_t key; /* owned */
	gnutls_x509_crt_t *chain;  /* owned; the key's certificate is first */
	unsigned n;
};

#define TLS_PAIR_INIT ((struct tls_pair){0})
#define _cleanup_tls_pair_ _cleanup_(tls_pair_done)

/* ERROR_INVALID unless there is exactly one key, without a password, and its certificate. */
int tls_pair_read(const char *pem, size_t length, struct tls_pair *ret, struct error *err);
/* ERROR_INVALID if clients will refuse it: expired, or not for TLS servers. */
int tls_pair_judge(const struct tls_pair *pair, struct error *err);
void tls_pair_done(struct tls_pair *pair);
