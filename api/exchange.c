/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exchange.h"

#include <stdint.h>
#include <strings.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "api/framing.h"
#include "api/reply.h"
#include "api/thread.h"

enum {
	/* Of a body that is refused while it arrives, what the route would have taken and so many
	 * bytes more are thrown away; then the connection is cut. */
	DISCARD_BYTES = 1024 * 1024,
	/* For replies to leave when the server stops. */
	FLUSH_MS = 1000,
};

enum exchange_state {
	EXCHANGE_STARTED,   /* request line read */
	EXCHANGE_RECEIVING, /* headers judged; the body is collected, or, if refused, thrown away */
	EXCHANGE_HANDLING,  /* suspended, a worker has it */
	EXCHANGE_READY,     /* the response is complete */
	EXCHANGE_ANSWERED,  /* and given to libmicrohttpd */
};

struct exchange {
	struct work work; /* first: the workers' handle */
	struct exchanges *shared;
	struct MHD_Connection *connection;
	struct connection *beside; /* what we keep for it; may be NULL */
	unsigned references;       /* under shared->lock, as the next four */
	enum exchange_state state; /* where a worker is involved */
	bool abandoned;
	bool unfinished;                  /* counted there */
	struct exchange *previous, *next; /* in shared->handled */

	int64_t started_ms;
	char *path;   /* owned */
	char *query;  /* owned */
	char *method; /* owned */
	struct request_values values;
	struct route_match match;
	struct body body;
	size_t expected; /* announced length of the body, 0 if unknown */
	size_t discarded;
	bool refused;    /* response holds the refusal */
	bool early;      /* answered before the body was read */
	unsigned status; /* for the access log */
	struct request request;
	struct response response;
};

static void exchange_free(struct exchange *exchange)
{
	free(exchange->path);
	free(exchange->query);
	free(exchange->method);
	request_values_done(&exchange->values);
	route_match_done(&exchange->match);
	body_done(&exchange->body);
	response_done(&exchange->response);
	free(exchange);
}

static void exchange_unref(struct exchange *exchange)
{
	struct exchanges *shared = exchange->shared;
	bool last;

	pthread_mutex_lock(&shared->lock);
	last = --exchange->references == 0;
	pthread_mutex_unlock(&shared->lock);
	if (last)
		exchange_free(exchange);
}

static void log_5xx(const struct exchange *exchange, unsigned status, const struct error *err)
{
	if (status >= 500)
		log_line(LOG_ERR, &(const struct log_fields){.request_id = exchange->request.id},
			"%.32s %.512s: %s", exchange->method ? exchange->method : "?",
			exchange->path, error_message(err));
}

static void refuse(struct exchange *exchange, bool by_route, const struct error *err)
{
	const struct route *route = exchange->match.route;
	enum error_style style = route ? route->style : router_style_of(exchange->path);

	body_done(&exchange->body);
	if (by_route)
		response_from_route_error(&exchange->response, style, err);
	else
		response_from_error(&exchange->response, style, err);
	exchange->refused = true;
	log_5xx(exchange, exchange->response.status, err);
}

/* The path of a request target: origin-form, or absolute-form, which a server has to accept (RFC
 * 9112, section 3.2.2). */
static const char *target_path(const char *target)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
		if (strncasecmp(target, schemes[i], strlen(schemes[i])) == 0) {
			target += strlen(schemes[i]);
			return target + strcspn(target, "/?");
		}
	return target;
}

void *exchange_start(void *cls, const char *target, struct MHD_Connection *connection)
{
	struct exchanges *shared = cls;
	struct exchange *exchange;
	size_t length;

	exchange = calloc(1, sizeof(*exchange));
	if (!exchange)
		return NULL; /* exchange_access() closes the connection */
	exchange->shared = shared;
	exchange->connection = connection;
	exchange->beside = connection_of(connection);
	exchange->references = 1;
	exchange->started_ms = process_now_ms();
	exchange->body = BODY_INIT(&shared->budget);
	exchange->response = RESPONSE_INIT;
	target = target ? target_path(target) : "";
	length = strcspn(target, "?");
	exchange->path = strndup(target, length);
	exchange->query = strdup(target[length] ? target + length + 1 : "");
	if (!exchange->path || !exchange->query || request_make_id(exchange->request.id) < 0) {
		exchange_free(exchange);
		return NULL;
	}
	connection_set_deadline(exchange->beside, shared->limits.request_ms);
	return exchange;
}

static int find_route(struct exchange *exchange, bool *ret_by_route, struct error *err)
{
	_cleanup_free_ char *allow = NULL;
	int r;

	r = router_find(exchange->shared->routes, exchange->method, exchange->path,
		&exchange->match, &allow, err);
	*ret_by_route = r < 0 && (err->code == ERROR_NOT_FOUND || err->code == ERROR_METHOD);
	if (allow &&
		response_add_header(&exchange->response, MHD_HTTP_HEADER_ALLOW, "%s", allow) < 0)
		return error_set_errno(err, -ENOMEM, "answering");
	return r;
}

static int judge(struct exchange *exchange, const struct framing *framing, long long length,
	struct error *err)
{
	int r;

	r = request_values_parse_query(&exchange->values, exchange->query, err);
	if (r < 0)
		return r;
	exchange->body.secret = router_body_is_secret(exchange->match.route);
	r = router_check_body(exchange->match.route, framing->content_type, length, err);
	if (r < 0 || length <= 0)
		return r;
	exchange->expected = (size_t)length;
	return body_check_budget(&exchange->shared->budget, exchange->body.secret, exchange->expected, err);
}

static enum MHD_Result answer(struct exchange *exchange);

static enum MHD_Result on_headers(struct exchange *exchange, const char *method)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct framing framing;
	bool by_route = false;
	long long length = -1; /* if that cannot be told, the connection cannot be used further */
	int r;

	exchange->state = EXCHANGE_RECEIVING;
	exchange->method = strdup(method);
	if (!exchange->method)
		return MHD_NO;
	if (framing_read(exchange->connection, &exchange->values, &framing) < 0)
		return MHD_NO;
	r = framing_judge(&framing, &length, &err);
	if (r >= 0)
		r = find_route(exchange, &by_route, &err);
	if (r >= 0)
		r = judge(exchange, &framing, length, &err);
	if (r >= 0)
		return MHD_YES;
	refuse(exchange, by_route, &err);
	/* Without a body the answer can wait for the library's next call, which keeps the
	 * connection open. */
	if (length == 0)
		return MHD_YES;
	exchange->early = true;
	return answer(exchange);
}

static enum MHD_Result on_body(struct exchange *exchange, const char *bytes, size_t *length)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	const struct route *route = exchange->match.route;
	size_t n = *length;
	int r;

	*length = 0;
	if (exchange->refused) {
		exchange->discarded += n;
		return exchange->discarded > route->max_body + DISCARD_BYTES ? MHD_NO : MHD_YES;
	}
	if (route->body == BODY_NONE)
		r = error_set(&err, ERROR_INVALID, NULL, "%s takes no body here", route->method);
	else
		r = body_append(
			&exchange->body, bytes, n, route->max_body, exchange->expected, &err);
	if (r < 0)
		refuse(exchange, false, &err);
	return MHD_YES;
}

/* False after refusing the request. */
static bool finish_body(struct exchange *exchange)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	if (body_finish(&exchange->body, &exchange->request.body, &err) < 0)
		refuse(exchange, false, &err);
	return !exchange->refused;
}

/* Gives the request to a worker, unless the server is stopping. */
static enum MHD_Result dispatch(struct exchange *exchange)
{
	struct exchanges *shared = exchange->shared;
	bool stopping;

	exchange->request.agent = shared->agent;
	exchange->request.method = exchange->method;
	exchange->request.path = exchange->path;
	exchange->request.secure = connection_is_secure(exchange->connection);
	exchange->request.pattern = exchange->match.route->pattern;
	exchange->request.body_length = exchange->body.length;
	for (size_t i = 0; i < REQUEST_MAX_PARAMETERS; i++)
		exchange->request.parameters[i] = exchange->match.parameters[i];
	exchange->request.values = &exchange->values;
	connection_set_deadline(exchange->beside, 0);

	MHD_suspend_connection(exchange->connection);
	pthread_mutex_lock(&shared->lock);
	stopping = shared->stopping;
	if (!stopping) {
		exchange->state = EXCHANGE_HANDLING;
		exchange->references++;
		exchange->unfinished = true;
		shared->unfinished++;
		exchange->next = shared->handled;
		if (exchange->next)
			exchange->next->previous = exchange;
		shared->handled = exchange;
	}
	pthread_mutex_unlock(&shared->lock);
	if (stopping) {
		_cleanup_error_ struct error err = ERROR_INIT;

		error_set(&err, ERROR_BUSY, NULL, "the agent is stopping");
		refuse(exchange, false, &err);
		exchange->state = EXCHANGE_READY;
		MHD_resume_connection(exchange->connection);
		return MHD_YES;
	}
	workers_push(shared->workers, &exchange->work);
	return MHD_YES;
}

static void unlink_handled(struct exchange *exchange)
{
	if (exchange->previous)
		exchange->previous->next = exchange->next;
	else
		exchange->shared->handled = exchange->next;
	if (exchange->next)
		exchange->next->previous = exchange->previous;
	exchange->previous = exchange->next = NULL;
}

static void run_handler(struct exchange *exchange)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	const struct route *route = exchange->match.route;
	int r;

	r = route->handler(&exchange->request, &exchange->response, &err);
	/* Before the reply, so that a client that has read it finds the room it has left. */
	body_done(&exchange->body);
	if (r >= 0)
		return;
	if (!err.message)
		error_set_errno(&err, r, "%s %s", route->method, route->pattern);
	response_from_error(&exchange->response, route->style, &err);
	log_5xx(exchange, exchange->response.status, &err);
}

void exchange_handle(struct work *work)
{
	struct exchange *exchange = (struct exchange *)work;
	struct exchanges *shared = exchange->shared;
	bool abandoned;

	pthread_mutex_lock(&shared->lock);
	abandoned = exchange->abandoned;
	pthread_mutex_unlock(&shared->lock);
	if (!abandoned)
		run_handler(exchange);

	pthread_mutex_lock(&shared->lock);
	abandoned = exchange->abandoned;
	if (!abandoned) {
		unlink_handled(exchange);
		exchange->state = EXCHANGE_READY;
		shared->resuming++;
	}
	pthread_mutex_unlock(&shared->lock);
	if (!abandoned) {
		MHD_resume_connection(exchange->connection);
		pthread_mutex_lock(&shared->lock);
		shared->resuming--;
		pthread_cond_broadcast(&shared->changed);
		pthread_mutex_unlock(&shared->lock);
	}
	exchange_unref(exchange);
}

static enum MHD_Result send_response(struct exchange *exchange, struct response *response)
{
	struct exchanges *shared = exchange->shared;
	struct MHD_Response *reply;
	enum MHD_Result result;
	bool closing;

	pthread_mutex_lock(&shared->lock);
	exchange->state = EXCHANGE_ANSWERED;
	closing = shared->stopping;
	if (!exchange->unfinished) {
		exchange->unfinished = true;
		shared->unfinished++;
	}
	pthread_mutex_unlock(&shared->lock);
	connection_set_deadline(exchange->beside, shared->limits.request_ms);
	/* What comes after a refusal that did not wait for the body may be that body. */
	reply = reply_new(response, exchange->request.id, closing || exchange->early);
	if (!reply)
		return MHD_NO;
	exchange->status = response->status;
	result = MHD_queue_response(exchange->connection, response->status, reply);
	MHD_destroy_response(reply);
	return result;
}

static enum MHD_Result answer(struct exchange *exchange)
{
	return send_response(exchange, &exchange->response);
}

/* The handler still runs: its response is not ours to touch. */
static enum MHD_Result answer_abandoned(struct exchange *exchange)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_response_ struct response response = RESPONSE_INIT;

	error_set(&err, ERROR_BUSY, NULL,
		"the agent is stopping and did not wait for the end of this request");
	response_from_error(&response, exchange->match.route->style, &err);
	log_5xx(exchange, response.status, &err);
	return send_response(exchange, &response);
}

enum MHD_Result exchange_access(void *cls, struct MHD_Connection *connection _unused_,
	const char *url _unused_, const char *method, const char *version _unused_,
	const char *upload_data, size_t *upload_data_size, void **context)
{
	struct exchanges *shared = cls;
	struct exchange *exchange = *context;
	enum exchange_state state;
	bool abandoned;

	/* The TLS handshake fails without a verified client; this holds even if it did not. */
	if (!exchange || !connection_is_trusted(connection))
		return MHD_NO;
	pthread_mutex_lock(&shared->lock);
	state = exchange->state;
	abandoned = exchange->abandoned;
	pthread_mutex_unlock(&shared->lock);
	switch (state) {
	case EXCHANGE_STARTED:
		return on_headers(exchange, method);
	case EXCHANGE_RECEIVING:
		if (*upload_data_size > 0)
			return on_body(exchange, upload_data, upload_data_size);
		return exchange->refused || !finish_body(exchange) ? answer(exchange)
								   : dispatch(exchange);
	case EXCHANGE_HANDLING:
		return abandoned ? answer_abandoned(exchange) : MHD_YES;
	case EXCHANGE_READY:
		return answer(exchange);
	case EXCHANGE_ANSWERED:
		return MHD_YES;
	}
	return MHD_NO;
}

static void log_access(const struct exchange *exchange, enum MHD_RequestTerminationCode why)
{
	const struct log_fields fields = {.request_id = exchange->request.id};
	const char *method = exchange->method ? exchange->method : "?";
	long long ms = process_now_ms() - exchange->started_ms;

	if (exchange->status == 0)
		log_line(LOG_INFO, &fields, "%.32s %.512s: not handled, %s, %lld ms", method,
			exchange->path,
			why == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED ? "timed out"
								      : "incomplete or malformed",
			ms);
	else
		log_line(LOG_INFO, &fields, "%.32s %.512s: %u, %lld ms%s", method, exchange->path,
			exchange->status, ms,
			why == MHD_REQUEST_TERMINATED_COMPLETED_OK
				? ""
				: ", reply not taken to its end");
}

void exchange_completed(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode why)
{
	struct exchanges *shared = cls;
	struct exchange *exchange = *context;

	if (!exchange)
		return;
	*context = NULL;
	log_access(exchange, why);
	if (exchange->early)
		keeper_linger(shared->keeper, connection_fd(connection));
	connection_set_deadline(
		exchange->beside, shared->limits.idle_ms + shared->limits.request_ms);
	pthread_mutex_lock(&shared->lock);
	if (exchange->unfinished) {
		exchange->unfinished = false;
		shared->unfinished--;
		pthread_cond_broadcast(&shared->changed);
	}
	pthread_mutex_unlock(&shared->lock);
	exchange_unref(exchange);
}

void exchange_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
	enum MHD_ConnectionNotificationCode code)
{
	struct exchanges *shared = cls;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context =
			connection_new(connection, shared->keeper, shared->tls, &shared->limits);
		return;
	}
	connection_free(*socket_context);
	*socket_context = NULL;
}

static bool is_settled(const struct exchanges *exchanges)
{
	return exchanges->unfinished == 0 && exchanges->resuming == 0;
}

static void wait_until_settled(struct exchanges *exchanges, int ms)
{
	struct timespec until;

	thread_time_after(ms, &until);
	while (!is_settled(exchanges))
		if (pthread_cond_timedwait(&exchanges->changed, &exchanges->lock, &until) != 0)
			break;
}

void exchanges_stop(struct exchanges *exchanges, int grace_ms)
{
	unsigned abandoned = 0;

	pthread_mutex_lock(&exchanges->lock);
	exchanges->stopping = true;
	wait_until_settled(exchanges, grace_ms);
	for (; exchanges->handled; abandoned++) {
		struct exchange *exchange = exchanges->handled;

		unlink_handled(exchange);
		exchange->abandoned = true;
		pthread_mutex_unlock(&exchanges->lock);
		/* Cannot be freed before it is resumed. */
		MHD_resume_connection(exchange->connection);
		pthread_mutex_lock(&exchanges->lock);
	}
	if (abandoned > 0) {
		log_warning("http: stopping without the end of %u requests", abandoned);
		wait_until_settled(exchanges, FLUSH_MS);
	}
	/* A worker is about to leave the library; it must not be destroyed under it. */
	while (exchanges->resuming > 0)
		pthread_cond_wait(&exchanges->changed, &exchanges->lock);
	pthread_mutex_unlock(&exchanges->lock);
}
