/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A server with mutual TLS on loopback, and GnuTLS clients, good and bad.
 */

#include <gnutls/gnutls.h>
#include <stdatomic.h>

#include "agent/base/text.h"
#include "api/server.h"
#include "api/tls.h"
#include "api/tls_peer.h"
#include "tests/unit/pki.h"

enum {
	PATIENCE_MS = 20000, /* for what must happen at all */
	BODY_BYTES = 4 * 1024 * 1024,
};

#define TLS_1_3 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

struct agent {
	atomic_int handled;
};

extern struct agent agent;
extern char folder[64], certificate_path[96], ca_path[96], log_path[96];
extern struct identity *ca, *first, *second, *client_identity, *unlimited_identity;
extern const struct route routes_here[];
void write_text(const char *path, const char *text);
struct tls_context *make_context(const char *minimum_version);
struct server *start_on(
	struct tls_context *context, unsigned idle_timeout_s, const char *listen_on);
struct server *start(struct tls_context *context);

struct client {
	int fd;
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
};

int dial_address(const struct server *server, const char *ip);
int dial(const struct server *server);
/* A client that shows "identity", or nothing, whatever CA the server asks for. */
struct client *client_new(int fd, const char *priorities, const struct identity *identity);
int handshake(struct client *client);
void client_free(struct client *client);
DEFINE_CLEANUP(struct client *, client_free);
#define _cleanup_client_ _cleanup_(client_freep)
struct client *join_as(
	const struct server *server, const char *priorities, const struct identity *identity);
struct client *join(const struct server *server);
/* False when the server did not want to read it all. */
bool say_bytes(struct client *client, const char *bytes, size_t length);
bool say(struct client *client, const char *text);
/* One reply, which is short and has a Content-Length. Returns its status, 0 if the connection ends
 * first. */
int hear(struct client *client, char *ret_reply, size_t size);
void assert_served(struct client *client);
int setup(void **state);
int teardown(void **state);
