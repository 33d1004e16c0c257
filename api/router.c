/* SPDX-License-Identifier: Apache-2.0 */
#include "api/router.h"

#include <assert.h>
#include <strings.h>

#include "agent/base/text.h"
#include "api/encoding.h"

struct segment {
	const char *start;
	size_t length;
};

/* The path without its leading slashes and without one trailing slash; "" is the root. */
static struct segment trim_slashes(const char *path)
{
	size_t length;

	path += strspn(path, "/");
	length = strlen(path);
	if (length > 0 && path[length - 1] == '/')
		length--;
	return (struct segment){path, length};
}

/* Cuts the first segment off "rest". False when there is none left. */
static bool next_segment(struct segment *rest, struct segment *ret)
{
	const char *slash;

	if (!rest->start)
		return false;
	*ret = *rest;
	slash = memchr(rest->start, '/', rest->length);
	if (!slash) {
		rest->start = NULL;
		return true;
	}
	ret->length = (size_t)(slash - rest->start);
	rest->start = slash + 1;
	rest->length -= ret->length + 1;
	return true;
}

static bool segment_is(struct segment segment, const char *text)
{
	return segment.length == strlen(text) && memcmp(segment.start, text, segment.length) == 0;
}

/* "." or "..", also as %2e: RFC 3986, section 6.2.2.2, takes both spellings for the same. */
static bool is_dot_segment(struct segment segment)
{
	size_t dots = 0;

	for (size_t i = 0; i < segment.length; dots++) {
		if (segment.start[i] == '.')
			i++;
		else if (segment.length - i >= 3 && strncasecmp(segment.start + i, "%2e", 3) == 0)
			i += 3;
		else
			return false;
	}
	return dots == 1 || dots == 2;
}

static bool path_matches(const char *pattern, const char *path,
	struct segment values[static REQUEST_MAX_PARAMETERS], size_t *ret_n)
{
	struct segment pattern_rest = trim_slashes(pattern), path_rest = trim_slashes(path);
	struct segment wanted, given;
	size_t n = 0;

	for (bool first = true; next_segment(&pattern_rest, &wanted); first = false) {
		struct segment before = path_rest;

		if (!next_segment(&path_rest, &given))
			return false;
		if (wanted.length > 0 && wanted.start[0] == '{') {
			assert(n < REQUEST_MAX_PARAMETERS);
			if (given.length == 0 || is_dot_segment(given))
				return false;
			values[n++] = given;
		} else if (wanted.length != given.length ||
			   memcmp(wanted.start, given.start, wanted.length) != 0) {
			if (!first && segment_is(wanted, "lbaas"))
				path_rest = before; /* left out */
			else if (!first || !segment_is(wanted, "v2") || !segment_is(given, "v2.0"))
				return false;
		}
	}
	if (next_segment(&path_rest, &given))
		return false;
	*ret_n = n;
	return true;
}

static int decode_parameters(const struct segment *values, size_t n,
	char *parameters[static REQUEST_MAX_PARAMETERS], struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = percent_decode(
			values[i].start, values[i].length, false, "the path", &parameters[i], err);

		if (r < 0)
			return r;
		if (strchr(parameters[i], '/'))
			return error_set(
				err, ERROR_INVALID, NULL, "the path has an encoded '/' in a name");
	}
	return 0;
}

static bool method_serves(const char *route_method, const char *method)
{
	return streq(route_method, method) || (streq(route_method, "GET") && streq(method, "HEAD"));
}

static void list_method(struct text *allow, const char *method)
{
	if (allow->length > 0)
		text_append(allow, ", ");
	text_append(allow, method);
}

/* The value of Allow (RFC 9110, section 10.2.1), each method once. */
static int allowed_methods(const struct route *table, const char *path, char **ret)
{
	_cleanup_text_ struct text allow = TEXT_INIT;
	struct segment values[REQUEST_MAX_PARAMETERS];
	size_t n;

	for (const struct route *route = table; route->method; route++) {
		bool listed = false;

		if (!path_matches(route->pattern, path, values, &n))
			continue;
		for (const struct route *earlier = table; earlier < route && !listed; earlier++)
			listed = streq(earlier->method, route->method) &&
				 path_matches(earlier->pattern, path, values, &n);
		if (listed)
			continue;
		list_method(&allow, route->method);
		if (streq(route->method, "GET"))
			list_method(&allow, "HEAD");
	}
	return text_finish(&allow, ret, NULL);
}

static int refuse_method(const struct route *table, const char *method, const char *path,
	char **ret_allow, struct error *err)
{
	_cleanup_free_ char *allow = NULL;
	int r;

	r = allowed_methods(table, path, &allow);
	if (r < 0)
		return error_set_errno(err, r, "listing the methods of a path");
	r = error_set(err, ERROR_METHOD, NULL,
		"%.32s is not a method of this resource; %s can be used", method, allow);
	if (ret_allow)
		*ret_allow = TAKE_PTR(allow);
	return r;
}

int router_find(const struct route *table, const char *method, const char *path,
	struct route_match *ret, char **ret_allow, struct error *err)
{
	struct segment values[REQUEST_MAX_PARAMETERS];
	struct route_match match = {0};
	size_t n;
	int r;

	for (const struct route *route = table; route->method; route++) {
		if (!path_matches(route->pattern, path, values, &n))
			continue;
		if (!match.route)
			match.route = route;
		if (!method_serves(route->method, method))
			continue;
		match.route = route;
		r = decode_parameters(values, n, match.parameters, err);
		if (r < 0) {
			route_match_done(&match);
			ret->route = route;
			return r;
		}
		*ret = match;
		return 0;
	}
	if (match.route) {
		ret->route = match.route;
		return refuse_method(table, method, path, ret_allow, err);
	}
	return error_set(
		err, ERROR_NOT_FOUND, NULL, "there is no resource of this name in the API");
}

void route_match_done(struct route_match *match)
{
	for (size_t i = 0; i < ELEMENTSOF(match->parameters); i++)
		free(match->parameters[i]);
	*match = (struct route_match){0};
}

enum error_style router_style_of(const char *path)
{
	struct segment rest = trim_slashes(path), first;

	return next_segment(&rest, &first) && (segment_is(first, "v2") || segment_is(first, "v2.0"))
		? ERROR_STYLE_LBAAS
		: ERROR_STYLE_AMPHORA;
}

/* Perhaps with parameters (RFC 9110, section 8.3.1). */
static bool is_type(const char *content_type, const char *type)
{
	const char *rest;

	content_type += strspn(content_type, " \t");
	if (strncasecmp(content_type, type, strlen(type)) != 0)
		return false;
	rest = content_type + strlen(type);
	rest += strspn(rest, " \t");
	return *rest == '\0' || *rest == ';';
}

/* application/pem-certificate-chain is the registered one (RFC 8555, section 9.1); the others are what files and clients go by. */
static bool is_pem_type(const char *content_type)
{
	static const char *const types[] = {"application/x-pem-file", "application/pem-certificate-chain",
		"application/x-x509-ca-cert", "application/octet-stream", "text/plain"};

	for (size_t i = 0; i < ELEMENTSOF(types); i++)
		if (is_type(content_type, types[i]))
			return true;
	return false;
}

static int check_type(const struct route *route, const char *content_type, struct error *err)
{
	if (!content_type || !*content_type)
		return 0;
	if (route->body == BODY_JSON && !is_type(content_type, "application/json"))
		return error_set(err, ERROR_MEDIA_TYPE, NULL,
			"a body of type '%.64s'; send JSON with Content-Type: application/json", content_type);
	if (route->body == BODY_PEM && !is_pem_type(content_type))
		return error_set(err, ERROR_MEDIA_TYPE, NULL,
			"a body of type '%.64s'; send PEM with Content-Type: application/x-pem-file", content_type);
	return 0;
}

bool router_body_is_secret(const struct route *route)
{
	return route->body == BODY_SECRET || route->body == BODY_PEM;
}

int router_check_body(const struct route *route, const char *content_type, long long content_length,
	struct error *err)
{
	if (content_length == 0)
		return 0;
	if (route->body == BODY_NONE) {
		if (content_length > 0)
			return error_set(
				err, ERROR_INVALID, NULL, "%s takes no body here", route->method);
		return 0;
	}
	if (content_length > 0 && (unsigned long long)content_length > route->max_body)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"a body of %lld bytes; at most %zu are taken here", content_length,
			route->max_body);
	return check_type(route, content_type, err);
}
