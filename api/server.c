/* SPDX-License-Identifier: Apache-2.0 */
#include "api/server.h"

#include <gnutls/abstract.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "api/exchange.h"
#include "api/listen.h"
#include "api/thread.h"
#include "api/tls_internal.h"

enum {
	MAX_LISTENING = 16,
	/* Request line, headers and the library's own needs; a longer target is answered 414,
	   longer headers 431. */
	CONNECTION_MEMORY = 32 * 1024,
	/* A request's time limit, in idle timeouts: 120 s where the idle timeout is 30 s. */
	REQUEST_IDLE_TIMES = 4,
	STRANGERS_PART = 4, /* this part of the connections may be in the TLS handshake */
};

struct door {
	struct MHD_Daemon *daemon;
	struct listening listening;
};

struct server {
	struct exchanges exchanges;
	unsigned max_connections;
	unsigned idle_timeout_s;
	char *socket_group; /* owned */
	bool stopped;
	struct door doors[MAX_LISTENING];
	size_t n_doors;
};

int server_new(const struct server_options *options, struct server **ret, struct error *err)
{
	_cleanup_(server_freep) struct server *server = NULL;
	struct exchanges *shared;
	int r;

	server = calloc(1, sizeof(*server));
	if (!server)
		return error_set_errno(err, -ENOMEM, "HTTP server");
	shared = &server->exchanges;
	pthread_mutex_init(&shared->lock, NULL);
	r = thread_condition_init(&shared->changed);
	if (r < 0) {
		pthread_mutex_destroy(&shared->lock);
		free(TAKE_PTR(server));
		return error_set_errno(err, r, "HTTP server");
	}
	shared->routes = options->routes;
	shared->agent = options->agent;
	shared->budget.max = options->max_body_memory;
	shared->budget.spool_dir = options->spool_dir;
	shared->budget.spool_max = options->max_body_files;
	shared->tls = options->tls;
	shared->limits.idle_ms = (int64_t)options->idle_timeout_s * 1000;
	shared->limits.request_ms = REQUEST_IDLE_TIMES * shared->limits.idle_ms;
	server->max_connections = options->max_connections;
	server->idle_timeout_s = options->idle_timeout_s;
	if (options->socket_group) {
		server->socket_group = strdup(options->socket_group);
		if (!server->socket_group)
			return error_set_errno(err, -ENOMEM, "HTTP server");
	}
	r = keeper_new(&shared->keeper);
	if (r >= 0)
		keeper_limit_strangers(shared->keeper, options->max_connections / STRANGERS_PART);
	if (r >= 0)
		r = workers_new(options->workers, exchange_handle, &shared->workers);
	if (r < 0)
		return error_set_errno(err, r, "threads of the HTTP server");
	*ret = TAKE_PTR(server);
	return 0;
}

/* The library logs what a client did wrong and what the system refused, without telling them apart.
 */
static void __attribute__((__format__(__printf__, 2, 0)))
log_library(void *cls _unused_, const char *format, va_list arguments)
{
	char line[512];
	size_t length;

	if (vsnprintf(line, sizeof(line), format, arguments) < 0)
		return;
	length = strcspn(line, "\n");
	line[length] = '\0';
	/* What we refuse in a handshake we log ourselves, and within limits. */
	log_line(strstr(line, "handshake") ? LOG_DEBUG : LOG_INFO, NULL, "http: %s", line);
}

/* The router decodes, after it has split the path. */
static size_t keep_escapes(
	void *cls _unused_, struct MHD_Connection *connection _unused_, char *text)
{
	return strlen(text);
}

/* The certificate of a connection for which tls_peer_new() could not set one: none. */
static int no_certificate(gnutls_session_t session _unused_,
	const struct gnutls_cert_retr_st *info _unused_, gnutls_pcert_st **certificates _unused_,
	unsigned *n _unused_, gnutls_ocsp_data_st **ocsp _unused_, unsigned *n_ocsp _unused_,
	gnutls_privkey_t *key _unused_, unsigned *flags _unused_)
{
	return -1;
}

static struct MHD_Daemon *start_daemon(struct server *server, const struct listening *listening)
{
	struct exchanges *shared = &server->exchanges;
	/* One address may take half of the connections, so that another one still gets in. 0 is no
	 * limit. */
	unsigned per_address = listening->is_tcp ? (server->max_connections + 1) / 2 : 0;
	const struct MHD_OptionItem tls_options[] = {
		{MHD_OPTION_HTTPS_PRIORITIES, 0,
			shared->tls ? (void *)(uintptr_t)tls_context_priorities(shared->tls)
				    : NULL},
		/* The library does not start without some certificate; what a connection really
		 * uses is set when it begins (tls_peer.c). */
		{MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(uintptr_t)no_certificate},
		{MHD_OPTION_END, 0, NULL},
	};
	const struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};
	const struct MHD_OptionItem options[] = {
		/* First, so that it is used for what the library says about the others. */
		{MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_library, NULL},
		{MHD_OPTION_LISTEN_SOCKET, listening->fd, NULL},
		{MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)exchange_start, shared},
		{MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)exchange_completed, shared},
		{MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)exchange_connection, shared},
		{MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escapes, NULL},
		{MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
		{MHD_OPTION_CONNECTION_LIMIT, (intptr_t)server->max_connections, NULL},
		{MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)per_address, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)server->idle_timeout_s, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
		{MHD_OPTION_THREAD_STACK_SIZE, THREAD_STACK_BYTES, NULL},
		{MHD_OPTION_ARRAY, 0,
			(void *)(uintptr_t)(listening->is_tls ? tls_options : no_options)},
		{MHD_OPTION_END, 0, NULL},
	};
	/* With epoll the library (0.9.75 to 1.0.1 at least) does not wait for the rest of a
	 * handshake, it spins: whoever sends a few bytes and stops would cost us a processor. */
	const unsigned flags = (listening->is_tls ? MHD_USE_TLS | MHD_USE_POLL_INTERNAL_THREAD
						  : MHD_USE_EPOLL_INTERNAL_THREAD) |
			       MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
	struct MHD_Daemon *daemon;
	sigset_t saved;

	thread_block_signals(&saved);
	daemon = MHD_start_daemon(flags, 0, NULL, NULL, exchange_access, shared, MHD_OPTION_ARRAY,
		options, MHD_OPTION_END);
	thread_restore_signals(&saved);
	return daemon;
}

/* Takes what "listening" holds. */
static int serve(struct server *server, struct listening *listening, struct error *err)
{
	struct door *door = &server->doors[server->n_doors];
	struct MHD_Daemon *daemon;

	daemon = start_daemon(server, listening);
	if (!daemon) {
		int r = errno ? -errno : -EIO;

		/* Whether the library has closed the socket is not defined then; a leak is better
		 * than closing another's. */
		listening->fd = -1;
		return error_set_errno(err, r, "starting to serve %s", listening->name);
	}
	door->daemon = daemon;
	door->listening = *listening;
	*listening = LISTENING_INIT;
	server->n_doors++;
	log_notice("listening on %s", door->listening.name);
	return 0;
}

static int check_room(const struct server *server, struct error *err)
{
	if (server->n_doors == MAX_LISTENING)
		return error_set(err, ERROR_TOO_LARGE, NULL, "listen: more than %d addresses",
			MAX_LISTENING);
	return 0;
}

int server_listen(struct server *server, const struct listen_address *address, struct error *err)
{
	_cleanup_listening_ struct listening listening = LISTENING_INIT;
	int r;

	if (address->kind == LISTEN_HTTPS && !server->exchanges.tls)
		return error_set(err, ERROR_INVALID, NULL,
			"listen: HTTPS on %s port %d needs a certificate and the CA of its clients "
			"(agent_server_cert and agent_server_ca in [amphora_agent])",
			address->address, address->port);
	r = check_room(server, err);
	if (r < 0)
		return r;
	r = listening_open(address, server->socket_group, &listening, err);
	if (r < 0)
		return r;
	return serve(server, &listening, err);
}

int server_listen_fd(struct server *server, int fd, struct error *err)
{
	_cleanup_listening_ struct listening listening = LISTENING_INIT;
	int r;

	r = listening_adopt(fd, &listening, err);
	if (r < 0)
		return r;
	r = check_room(server, err);
	if (r < 0)
		return r;
	return serve(server, &listening, err);
}

const char *server_address(const struct server *server, size_t n)
{
	return n < server->n_doors ? server->doors[n].listening.name : NULL;
}

void server_stop(struct server *server, int grace_ms)
{
	if (server->stopped)
		return;
	server->stopped = true;
	/* From here the listening sockets are ours again. */
	for (size_t i = 0; i < server->n_doors; i++)
		MHD_quiesce_daemon(server->doors[i].daemon);
	exchanges_stop(&server->exchanges, grace_ms);
	for (size_t i = 0; i < server->n_doors; i++) {
		MHD_stop_daemon(server->doors[i].daemon);
		listening_done(&server->doors[i].listening);
	}
	server->n_doors = 0;
}

bool server_hangs(struct server *server)
{
	return workers_hang(server->exchanges.workers, process_now_ms());
}

void server_free(struct server *server)
{
	if (!server)
		return;
	server_stop(server, 0);
	workers_free(server->exchanges.workers);
	keeper_free(server->exchanges.keeper);
	pthread_cond_destroy(&server->exchanges.changed);
	pthread_mutex_destroy(&server->exchanges.lock);
	free(server->socket_group);
	free(server);
}
