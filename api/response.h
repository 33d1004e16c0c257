/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a handler answers. Starts as 200 with no body; a handler that fails just returns its error,
 * and the router writes the body in the words of the door (response_from_error()).
 */

#include <stddef.h>

#include <jansson.h>

#include "agent/base/error.h"
#include "agent/base/text.h"

enum { RESPONSE_MAX_HEADERS = 8 };

struct response {
	unsigned status;
	const char *content_type; /* static string; NULL with no body */
	char *body;               /* owned */
	size_t length;
	struct {
		const char *name; /* static string */
		char *value;      /* owned */
	} headers[RESPONSE_MAX_HEADERS];
	size_t n_headers;
};

#define RESPONSE_INIT ((struct response){.status = 200})
#define _cleanup_response_ _cleanup_(response_done)

/* Which error body a route's clients expect. */
enum error_style {
	ERROR_STYLE_LBAAS,   /* {"faultcode","faultstring","debuginfo"}: Octavia API v2 */
	ERROR_STYLE_AMPHORA, /* {"message","details"}: Amphora API 1.0 */
};

/* The HTTP status of an error code: the one table. */
unsigned response_status_of(enum error_code code);

/* Takes the reference. Compact JSON, application/json. */
int response_set_json(struct response *response, unsigned status, json_t *body);
/* Takes "body" (malloc'ed). */
void response_set_body(struct response *response, unsigned status, const char *content_type,
	char *body, size_t length);
/* Takes what the text has, and leaves it empty. -ENOMEM: of it or of an append to it. */
int response_set_text(struct response *response, unsigned status, const char *content_type, struct text *text);
/* -EINVAL for a value with a control character, -ENOBUFS when there are RESPONSE_MAX_HEADERS. */
int response_add_header(struct response *response, const char *name, const char *format, ...)
	_printf_(3, 4);
/* Replaces whatever is there by the error's status and body; headers stay. A pointer is put in
 * front of the message:
 * "/loadbalancer/listeners/0/name: …". ERROR_BUSY adds Retry-After. Without memory for a body there
 * is none. */
void response_from_error(
	struct response *response, enum error_style style, const struct error *err);
/* The same for an unknown path or method, which the Amphora API answers in other words:
 * {"error","http_code"}. */
void response_from_route_error(
	struct response *response, enum error_style style, const struct error *err);
void response_done(struct response *response);
