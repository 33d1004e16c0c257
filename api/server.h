/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The HTTP server: libmicrohttpd with one thread per listening socket for the network (epoll; poll
 * for TLS), and a small pool of worker threads that run handlers as plain blocking code. A
 * connection whose request is complete is suspended, handled by a worker and resumed with its
 * response, so that a slow handler (haproxy -c, a reload) delays nobody else and an idle or
 * half-sent request costs a descriptor and no thread.
 *
 * Limits: connections in all and per client address (half of them, on TCP), seconds without
 * progress, seconds for a whole request and for a whole reply (four idle timeouts each), bytes of
 * headers, bytes of a body (the route's), bytes of all bodies in flight (503 with Retry-After over
 * it).
 *
 * Every reply carries x-openstack-request-id, and every request gives a line in the log with the
 * same id.
 *
 * HTTPS is mutual TLS (tls.h): whoever has no certificate of the right CA does not get as far as a
 * request. A handshake may take ten seconds, or the idle timeout if that is shorter.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"
#include "api/router.h"

struct server;

enum listen_kind {
	LISTEN_UNIX,  /* unix:/path */
	LISTEN_HTTP,  /* http://127.0.0.1:port or http://[::1]:port; any other address is refused */
	LISTEN_HTTPS, /* https://address:port; "[::]" takes IPv4 too */
};

struct listen_address {
	enum listen_kind kind;
	char *path;    /* LISTEN_UNIX */
	char *address; /* else: without brackets */
	int port;      /* else: 0 picks a free one */
};

/* Parses one item of the option "listen". */
int listen_address_parse(const char *text, struct listen_address *ret, struct error *err);
void listen_address_done(struct listen_address *address);

struct tls_context;

struct server_options {
	const struct route *routes;
	struct agent *agent;      /* handed to handlers */
	unsigned workers;         /* threads that run handlers, at least 1 */
	unsigned max_connections; /* per listening socket */
	unsigned idle_timeout_s;  /* without progress, at least 1 */
	size_t max_body_memory;   /* bytes of all request bodies in flight */
	const char *spool_dir;    /* large ones wait in files without a name here; NULL: in memory */
	size_t max_body_files;    /* bytes of those files */
	const char *socket_group; /* group of unix sockets, or NULL */
	struct tls_context *tls;  /* borrowed, outlives the server; NULL: HTTPS is refused */
};

int server_new(const struct server_options *options, struct server **ret, struct error *err);
/* Binds and starts to serve. A stale unix socket is replaced, one that answers is an error. Mode
 * 0660. */
int server_listen(struct server *server, const struct listen_address *address, struct error *err);
/* Serves an already listening socket (socket activation); takes the descriptor. */
int server_listen_fd(struct server *server, int fd, struct error *err);
/* "unix:/run/…", "http://127.0.0.1:8080" or "https://[::]:9443" of the n-th listening socket (with
 * the port that was picked), or NULL. */
const char *server_address(const struct server *server, size_t n);
/* Stops accepting, lets running handlers finish for up to grace_ms, closes everything, removes unix
 * sockets that it bound itself. Requests whose handler is not done by then are answered 503; such a
 * handler runs on, and server_free() waits for it, so the agent must outlive that. */
void server_stop(struct server *server, int grace_ms);
/* workers_hang() of its threads: the watchdog looks at it. */
bool server_hangs(struct server *server);
void server_free(struct server *server);
DEFINE_CLEANUP(struct server *, server_free);
