/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One request and its reply, between libmicrohttpd's callbacks and a handler.
 *
 * libmicrohttpd's thread:   start -> headers judged -> body collected -> suspended ... resumed ->
 * reply -> completed a worker thread: handler
 *
 * - A request that is refused while its body is still to come is answered at once and its
 * connection closed (so a client that waits for "100 Continue" gets the refusal instead). Once the
 * body has begun to arrive the library takes no reply before its end, so a body that turns out to
 * be too large is thrown away as it comes, within limits, and answered then.
 * - The worker works on copies only. When the server stops and a handler does not end in time, the
 * connection is answered without it ("abandoned"); the exchange belongs to both threads and the
 * last one frees it.
 */

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>

#include "api/body.h"
#include "api/connection.h"
#include "api/router.h"
#include "api/workers.h"

struct exchange;

/* What the exchanges of all listening sockets share; part of struct server. */
struct exchanges {
	const struct route *routes;
	struct agent *agent;
	struct workers *workers;
	struct keeper *keeper;
	struct tls_context *tls; /* of TLS connections; may be NULL */
	struct body_budget budget;
	/* Idle: the pause between two requests, as libmicrohttpd enforces it too. Request: from
	 * the request line to the end of the body, and again for the reply. */
	struct connection_limits limits;

	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t changed;
	struct exchange *handled; /* given to a worker and not abandoned */
	unsigned unfinished;      /* to be answered, or being answered */
	unsigned resuming;        /* workers inside MHD_resume_connection() */
	bool stopping;
};

/* Callbacks of libmicrohttpd, whose "cls" is the struct exchanges. */
void *exchange_start(void *cls, const char *target, struct MHD_Connection *connection);
enum MHD_Result exchange_access(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **context);
void exchange_completed(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode why);
void exchange_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
	enum MHD_ConnectionNotificationCode code);

/* Runs the handler; the workers' function. */
void exchange_handle(struct work *work);

/* From now on every request is refused. Waits for those that are being handled, up to grace_ms;
 * answers what is left without its handler. After this no connection is suspended. */
void exchanges_stop(struct exchanges *exchanges, int grace_ms);
