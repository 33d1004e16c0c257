/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Finds the handler of a request in the one route table (routes.c), before its body is read. 404,
 * 405 with Allow, 413 and 415 are answered from here. HEAD is answered as GET. The prefix /v2.0/ is
 * /v2/, and "lbaas" may be left out, as with Octavia (octavia/api/v2/controllers/__init__.py; gophercloud
 * asks for quotas so). A trailing slash is ignored and leading slashes are taken as one.
 *
 * The path is matched as sent, segment by segment, and nothing is ever resolved: a "." or ".."
 * segment, in whatever encoding, belongs to no route, and neither does an encoded literal
 * ("/v2/lb%61as"). Only the segments that match a {parameter} are percent-decoded, after the split
 * at '/', so that %2f cannot make a second segment out of one. Of several rows that match, the
 * first one in the table is taken.
 */

#include <stdbool.h>
#include <stddef.h>

#include "api/request.h"
#include "api/response.h"

enum body_kind {
	BODY_NONE, /* a body is refused with 400 (an empty one is fine) */
	BODY_JSON, /* application/json, or no content type at all */
	BODY_ANY,  /* whatever is sent */
	BODY_SECRET, /* the same, with a key in it: kept in memory, wiped afterwards */
	BODY_PEM,    /* PEM, with a key in it, of one of the types under which such files are sent */
};

typedef int (*route_handler)(
	const struct request *request, struct response *response, struct error *err);

struct route {
	const char *method;
	const char *pattern; /* "/v2/lbaas/loadbalancers/{loadbalancer_id}/status"; {…} is one whole
				segment */
	route_handler handler;
	enum body_kind body;
	size_t max_body; /* bytes; 0 with BODY_NONE */
	enum error_style style;
	const char *summary; /* a line for documentation */
};

/* The table, which ends in a row without a method. */
extern const struct route routes[];

struct route_match {
	const struct route *route;
	char *parameters[REQUEST_MAX_PARAMETERS]; /* owned */
};

/* ERROR_NOT_FOUND, ERROR_METHOD (then *ret_allow, if wanted, is the Allow header's value, owned),
 * ERROR_INVALID for a path that cannot be decoded. On failure ret->route may still be set to a row
 * of the same path family, so that the error has that door's style; the default is
 * ERROR_STYLE_LBAAS, ERROR_STYLE_AMPHORA below /1.0. */
int router_find(const struct route *table, const char *method, const char *path,
	struct route_match *ret, char **ret_allow, struct error *err);
void route_match_done(struct route_match *match);
enum error_style router_style_of(const char *path);

/* Whether a body is to leave no traces. */
bool router_body_is_secret(const struct route *route);

/* Judges the headers of a body before it is read. content_length is -1 when chunked or absent. */
int router_check_body(const struct route *route, const char *content_type, long long content_length,
	struct error *err);
