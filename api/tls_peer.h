/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The client's side of one TLS connection: asks for its certificate and verifies it in the
 * handshake. What is refused is logged, a few lines a second at most, with the address, the reason
 * and the subject of the certificate.
 *
 * A peer belongs to the thread that serves its connection.
 */

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "api/tls.h"

struct tls_peer;

enum tls_event {
	TLS_PEER_READY,   /* verified, and the client's part of the handshake is complete */
	TLS_PEER_REFUSED, /* an alert was sent; the connection is about to be closed */
};

typedef void (*tls_notify)(void *userdata, enum tls_event event);

/* For a session that has not begun. Takes its session pointer (gnutls_session_set_ptr()) and gives
 * it the context's present certificate. */
int tls_peer_new(struct tls_context *context, gnutls_session_t session,
	const struct sockaddr *address, tls_notify notify, void *userdata, struct tls_peer **ret);
/* The second line of defence: whether the client of this session was verified. False for NULL. */
bool tls_peer_is_trusted(const struct tls_peer *peer, gnutls_session_t session);
/* After the session has ended. */
void tls_peer_free(struct tls_peer *peer);
