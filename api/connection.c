/* SPDX-License-Identifier: Apache-2.0 */
#include "api/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "agent/base/process.h"
#include "api/tls_peer.h"

enum {
	HANDSHAKE_MS = 10000,
};

struct connection {
	struct keeper *keeper; /* borrowed */
	struct kept *kept;     /* may be NULL */
	struct tls_peer *peer; /* NULL: plain */
	int fd;                /* the library's */
	int64_t first_ms;      /* until the first request is complete */
};

static const union MHD_ConnectionInfo *ask(
	struct MHD_Connection *connection, enum MHD_ConnectionInfoType what)
{
	return MHD_get_connection_info(connection, what);
}

/* NULL: a plain connection. */
static gnutls_session_t session_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = ask(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

	return info ? info->tls_session : NULL;
}

int connection_fd(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = ask(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

struct connection *connection_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = ask(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void connection_set_deadline(struct connection *connection, int64_t after_ms)
{
	if (connection)
		keeper_set_deadline(connection->keeper, connection->kept,
			after_ms > 0 ? process_now_ms() + after_ms : 0);
}

/* The client has the last word in a handshake of TLS 1.3 (RFC 8446, section 2), and we give no tickets (tls.c) that its
 * acknowledgement could go with: it would be delayed (RFC 1122, section 4.2.3.2), 40 ms on Linux, and a client that leaves
 * Nagle's algorithm on holds its request back for as long. tcp(7): TCP_QUICKACK sends what is due. */
static void acknowledge(int fd)
{
	const int now = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &now, sizeof(now)) < 0)
		return; /* it comes later then */
}

static void on_tls(void *userdata, enum tls_event event)
{
	struct connection *connection = userdata;

	switch (event) {
	case TLS_PEER_READY:
		acknowledge(connection->fd);
		keeper_set_stranger(connection->keeper, connection->kept, false);
		connection_set_deadline(connection, connection->first_ms);
		break;
	case TLS_PEER_REFUSED:
		/* In TLS 1.3 a request may already be on its way; without this it would be
		 * answered by a reset, which can overtake the alert. */
		keeper_linger(connection->keeper, connection->fd);
		break;
	}
}

struct connection *connection_new(struct MHD_Connection *handle, struct keeper *keeper,
	struct tls_context *tls, const struct connection_limits *limits)
{
	gnutls_session_t session = session_of(handle);
	const union MHD_ConnectionInfo *address = ask(handle, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct connection *connection;
	int64_t begin_ms;

	connection = calloc(1, sizeof(*connection));
	if (!connection)
		return NULL;
	connection->keeper = keeper;
	connection->fd = connection_fd(handle);
	connection->first_ms = begin_ms = limits->idle_ms + limits->request_ms;
	if (session) {
		if (!tls || tls_peer_new(tls, session, address ? address->client_addr : NULL,
				    on_tls, connection, &connection->peer) < 0) {
			free(connection);
			return NULL;
		}
		begin_ms = limits->idle_ms < HANDSHAKE_MS ? limits->idle_ms : HANDSHAKE_MS;
	}
	connection->kept = keeper_add(keeper, connection->fd, process_now_ms() + begin_ms);
	keeper_set_stranger(keeper, connection->kept, session != NULL);
	return connection;
}

void connection_free(struct connection *connection)
{
	if (!connection)
		return;
	keeper_remove(connection->keeper, connection->kept);
	tls_peer_free(connection->peer);
	free(connection);
}

bool connection_is_trusted(struct MHD_Connection *handle)
{
	struct connection *connection = connection_of(handle);
	gnutls_session_t session = session_of(handle);

	return !session || tls_peer_is_trusted(connection ? connection->peer : NULL, session);
}

bool connection_is_secure(struct MHD_Connection *handle)
{
	return session_of(handle) != NULL;
}
