/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What we keep beside libmicrohttpd for a connection, from its first moment to its last: its
 * deadline, and its TLS peer.
 *
 * A client has a few seconds for the TLS handshake; the deadlines of requests begin after it.
 */

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/keeper.h"

struct connection;
struct tls_context;

struct connection_limits {
	int64_t idle_ms;
	int64_t request_ms;
};

/* "tls" is for TLS connections. Without memory NULL, and then no TLS handshake succeeds. */
struct connection *connection_new(struct MHD_Connection *connection, struct keeper *keeper,
	struct tls_context *tls, const struct connection_limits *limits);
/* When the library has ended its TLS session and is about to close the descriptor. */
void connection_free(struct connection *connection);

/* The connection that the library's belongs to, or NULL. */
struct connection *connection_of(struct MHD_Connection *connection);
/* Never, if 0; nothing happens if the connection is NULL. */
void connection_set_deadline(struct connection *connection, int64_t after_ms);
/* Plain, or TLS with a client that was verified. */
bool connection_is_trusted(struct MHD_Connection *connection);
/* Over TLS. */
bool connection_is_secure(struct MHD_Connection *connection);
int connection_fd(struct MHD_Connection *connection);
