/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A request as handlers see it: complete, bounded, independent of the HTTP library. Valid until the
 * handler returns.
 */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "agent/base/error.h"

struct agent;
struct text;

enum {
	REQUEST_MAX_PARAMETERS = 4,
	REQUEST_MAX_QUERY = 64, /* parameters of a query */
	REQUEST_ID_SIZE = 41,   /* "req-", a UUID and NUL */
};

/* Copies of the header and query values, so that a request outlives its connection. Filled by the
 * server, and by tests of handlers. Start with REQUEST_VALUES_INIT, end with request_values_done().
 */
struct request_values {
	struct request_value *items; /* owned */
	size_t n;
	size_t allocated;
};
#define REQUEST_VALUES_INIT ((struct request_values){0})
#define _cleanup_request_values_ _cleanup_(request_values_done)

struct request {
	struct agent *agent;
	char id[REQUEST_ID_SIZE]; /* "req-" and a UUID: in the log, and in the reply's
				     x-openstack-request-id */
	const char *method;
	const char *path; /* as sent, without the query */
	bool secure;      /* it came over TLS */
	const char *body; /* NUL-terminated; "" when there is none */
	size_t body_length;
	/* Values of the route's {parameters}, in order, percent-decoded; without NUL, '/' or
	 * control characters. */
	const char *parameters[REQUEST_MAX_PARAMETERS];
	const char *pattern; /* of the route that the path matches: which of several a handler serves */
	const struct request_values *values; /* NULL: no header and no query; for request.c only */
};

/* Header and query values, NULL if absent ("" for "?name"). Owned by the request. Header names
 * match in any case. Of several with one name the first is given. */
const char *request_header(const struct request *request, const char *name);
const char *request_query(const struct request *request, const char *name);

/* One parameter of the query after the other, also those of one name: false after the last. Start with 0. */
bool request_query_next(const struct request *request, size_t *position, const char **ret_name, const char **ret_value);

/* Appends the beginning of absolute URLs, "https://host:9443", by the name under which the client reached us (Host).
 * Nothing if it named no host: what follows is a relative reference then (RFC 3986, section 4.2). */
void request_append_origin(const struct request *request, struct text *text);

/* A boolean query parameter: absent is false, "" is true, otherwise oslo's words; anything else is
 * ERROR_INVALID. */
int request_query_bool(
	const struct request *request, const char *name, bool *ret, struct error *err);

int request_values_add_header(struct request_values *values, const char *name, const char *value);
/* Splits and decodes "name=value&name": '+' is a space (as HTML forms and Python's urlencode()
 * write it), percent-encoding is undone once. A broken escape, a control character, invalid UTF-8
 * or too many parameters are ERROR_INVALID. */
int request_values_parse_query(struct request_values *values, const char *query, struct error *err);
void request_values_done(struct request_values *values);

/* A new random request id: "req-" and a UUIDv4 (RFC 9562, section 5.4), as OpenStack's services
 * make them. */
int request_make_id(char ret[static REQUEST_ID_SIZE]);
