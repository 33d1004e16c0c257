/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP to one amphorad, over its unix socket or over TCP (with TLS and a client certificate for
 * https). No redirects, no proxies, and replies of at most HTTP_MAX_REPLY bytes: the server is not
 * trusted either.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

enum {
	HTTP_MAX_REPLY =
		128 * 1024 *
		1024, /* a dry run carries the definition, its configuration and its commands */
	HTTP_MAX_HEADER = 64, /* of the headers that we read */
};

struct http_options {
	const char *socket_path; /* used unless url is set */
	const char *url;         /* http://HOST[:PORT] or https://HOST[:PORT] */
	const char *certificate, *key, *ca_certificate; /* PEM files for https, or NULL */
	long timeout_s;                                 /* for one whole exchange */
};

struct http_request {
	const char *method;
	const char *path; /* with the query, absolute, only of characters that need no escape */
	const char *body; /* or NULL */
	const char *content_type; /* of the body; NULL: JSON */
	size_t body_length;
	const char *if_match; /* revision, or NULL */
};

struct http_reply {
	long status;
	char *body; /* owned, NUL-terminated */
	size_t length;
	char etag[HTTP_MAX_HEADER];  /* without the quotes; "" without one */
	char apply[HTTP_MAX_HEADER]; /* Amphorad-Apply; "" without one */
};

#define HTTP_REPLY_INIT ((struct http_reply){0})
#define _cleanup_http_reply_ _cleanup_(http_reply_done)
void http_reply_done(struct http_reply *reply);

struct http;

/* The options must outlive the result. ERROR_INVALID for a URL of another kind. */
int http_new(const struct http_options *options, struct http **ret, struct error *err);
void http_free(struct http *http);
DEFINE_CLEANUP(struct http *, http_free);
#define _cleanup_http_ _cleanup_(http_freep)

/* Asked now and then during an exchange: true ends it as a failure. NULL: nobody is asked. */
void http_set_cancel(struct http *http, bool (*is_cancelled)(void));

/* One exchange. 0 for every reply, whatever its status. Otherwise nothing sensible came back, and
 * the error says why and what a person can do about it. */
int http_exchange(struct http *http, const struct http_request *request, struct http_reply *ret,
	struct error *err);
