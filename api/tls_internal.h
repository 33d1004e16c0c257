/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What tls.c has for tls_peer.c and for the server.
 */

#include <gnutls/gnutls.h>

#include "api/tls.h"

/* Versions and algorithms, as GnuTLS writes them. */
const char *tls_context_priorities(const struct tls_context *context);

/* The certificate, key and client CA that a connection keeps as long as it lives. */
struct tls_credentials;
/* A reference to the present ones; never NULL. */
struct tls_credentials *tls_context_credentials(struct tls_context *context);
gnutls_certificate_credentials_t tls_credentials_get(const struct tls_credentials *credentials);
void tls_credentials_unref(struct tls_credentials *credentials);

/* Logs that a client was refused, unless there were too many such lines in the last second. */
void tls_context_log_refused(
	struct tls_context *context, const char *address, const char *reason, const char *subject);
