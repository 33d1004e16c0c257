/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: "METHOD target", as in a request line. What the router accepts must be safe to use as a
 * name, what it refuses must say why.
 */

#include <stdint.h>

#include "agent/base/text.h"
#include "api/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int handler(const struct request *request _unused_, struct response *response _unused_,
	struct error *err _unused_)
{
	return 0;
}

static const struct route table[] = {
	{"GET", "/", handler, BODY_NONE, 0, ERROR_STYLE_AMPHORA, ""},
	{"GET", "/v2/lbaas/loadbalancers", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"PUT", "/v2/lbaas/loadbalancers/{id}/definition", handler, BODY_JSON, 100,
		ERROR_STYLE_LBAAS, ""},
	{"GET", "/v2/lbaas/loadbalancers/{id}", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"GET", "/v2/lbaas/pools/{id}/members/{member}", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		""},
	{"PUT", "/1.0/loadbalancer/{amphora}/{id}/haproxy", handler, BODY_ANY, 100,
		ERROR_STYLE_AMPHORA, ""},
	{"PUT", "/1.0/loadbalancer/{id}/{action}", handler, BODY_NONE, 0, ERROR_STYLE_AMPHORA, ""},
	{NULL, NULL, NULL, BODY_NONE, 0, ERROR_STYLE_LBAAS, NULL},
};

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void check_parameter(const char *value)
{
	require(*value != '\0');
	require(!streq(value, ".") && !streq(value, ".."));
	require(!strchr(value, '/'));
	require(!text_has_control(value, strlen(value)));
}

static void check_route(const char *method, const char *path)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *allow = NULL;
	struct route_match match = {0};
	int r;

	r = router_find(table, method, path, &match, &allow, &err);
	require((r < 0) == (err.message != NULL));
	require((allow != NULL) == (r < 0 && err.code == ERROR_METHOD));
	if (r < 0) {
		require(err.code == ERROR_NOT_FOUND || err.code == ERROR_METHOD ||
			err.code == ERROR_INVALID);
		for (size_t i = 0; i < REQUEST_MAX_PARAMETERS; i++)
			require(!match.parameters[i]);
	} else {
		require(router_style_of(path) == match.route->style);
		for (size_t i = 0; i < REQUEST_MAX_PARAMETERS && match.parameters[i]; i++)
			check_parameter(match.parameters[i]);
	}
	route_match_done(&match);
}

static void check_query(const char *query)
{
	_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;
	const struct request request = {.values = &values};
	const char *value;

	if (request_values_parse_query(&values, query, NULL) < 0)
		return;
	value = request_query(&request, "a");
	require(!value || !text_has_control(value, strlen(value)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = strndup(size ? (const char *)data : "", size);
	char *path, *query;

	if (!text)
		return 0;
	path = strchr(text, ' ');
	if (!path)
		return 0;
	*path++ = '\0';
	query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	check_route(text, path);
	check_query(query ? query : "");
	return 0;
}
