/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Mutual TLS for the HTTP server: the agent's certificate and key, and the CA that its clients must
 * have a certificate of. Every client is verified in the handshake, before a byte of HTTP is read;
 * there is no session resumption and no renegotiation, so none is ever taken on trust.
 *
 * A context is shared by threads. A connection keeps the certificate that it began with; a
 * certificate that is read again is for the connections that come after it.
 */

#include <stddef.h>

#include "agent/base/error.h"

struct tls_context;

struct tls_options {
	/* Octavia's agent_server_cert: one PEM file with the private key and the certificate,
	 * followed by those of intermediate CAs, if any. */
	const char *certificate_file;
	/* Octavia's agent_server_ca: PEM, one certificate or more. */
	const char *client_ca_file;
	/* Octavia's agent_tls_protocol: "TLSv1.2" (also NULL and "") or "TLSv1.3". The older ones
	 * that the option allows (SSLv3, TLSv1, TLSv1.1, and Python's spellings with '_') mean
	 * TLSv1.2, with a warning in the log: RFC 8996 has deprecated them. */
	const char *minimum_version;
};

/* Reads both files. ERROR_INVALID for what is not right in them. An expired certificate, or one
 * that is not for servers, is only warned about: what else the agent does must go on. */
int tls_context_new(const struct tls_options *options, struct tls_context **ret, struct error *err);

/* Reads certificate_file again, for the connections from now on. On failure (here also for an
 * expired certificate) the old one stays. From any thread. */
int tls_context_reload_certificate(struct tls_context *context, struct error *err);

/* All servers that use it must have been freed. */
void tls_context_free(struct tls_context *context);
DEFINE_CLEANUP(struct tls_context *, tls_context_free);

/* Whether this PEM text can be the agent's certificate file: one private key without a password and
 * the certificate that belongs to it, not expired, for TLS servers. ERROR_INVALID says what is not
 * right. (The beginning of the validity is not judged: our clock may be a little behind.) */
int tls_check_pair(const char *pem, size_t length, struct error *err);
