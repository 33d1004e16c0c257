/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: a query. What is accepted gives a part of the collection, in an order, with links that are queries again;
 * following "next" comes to an end and meets nothing twice. What is refused says why.
 */

#include <stdint.h>

#include "agent/base/text.h"
#include "api/lbaas_v2/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char objects[] =
	"[{\"id\":\"1\",\"name\":\"a\",\"admin_state_up\":true,\"loadbalancers\":[{\"id\":\"9\"}],\"tags\":[\"x\",\"y\"],"
	"\"created_at\":\"2026-01-01T00:00:00\",\"project_id\":null,\"tls_versions\":[\"TLSv1.3\"]},"
	"{\"id\":\"2\",\"name\":\"b\",\"admin_state_up\":false,\"loadbalancers\":[],\"tags\":[],"
	"\"created_at\":\"2026-01-01T00:00:00\",\"project_id\":\"p\",\"lb_algorithm\":7},"
	"{\"id\":\"3\",\"name\":null,\"tags\":\"none\",\"created_at\":1.5,\"lb_algorithm\":\"SOURCE_IP\"},"
	"{}, 4, null]";
enum { N_OBJECTS = 6 };

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* The query of the next page, NULL if there is none or the query is refused. */
static char *ask(const char *query, json_t *list, json_t *seen)
{
	_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;
	const struct request request = {.values = &values, .path = "/v2/lbaas/pools"};
	_cleanup_response_ struct response response = RESPONSE_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	json_t *body, *item;
	char *next = NULL;
	size_t i;
	int r;

	if (request_values_parse_query(&values, query, NULL) < 0)
		return NULL;
	r = listing_answer(&request, "pools", json_incref(list), &response, &err);
	require((r < 0) == (err.message != NULL));
	if (r < 0)
		return NULL;
	body = json_loads(response.body, 0, NULL);
	require(json_is_array(json_object_get(body, "pools")));
	require(json_array_size(json_object_get(body, "pools")) <= N_OBJECTS);
	json_array_foreach(json_object_get(body, "pools"), i, item)
	{
		const char *id = json_string_value(json_object_get(item, "id"));

		/* One that is not the last of its page is not met again. */
		require(!id || !json_object_get(seen, id));
		if (id)
			json_object_set_new(seen, id, json_true());
	}
	json_array_foreach(json_object_get(body, "pools_links"), i, item)
		if (streq(json_string_value(json_object_get(item, "rel")), "next"))
			next = strdup(strchr(json_string_value(json_object_get(item, "href")), '?') + 1);
	json_decref(body);
	return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *query = strndup(size ? (const char *)data : "", size);
	json_t *list = json_loads(objects, 0, NULL), *seen = json_object();
	bool reversed = query && strstr(query, "reverse");

	for (size_t pages = 0; query; pages++) {
		char *next = ask(query, list, seen);

		require(pages <= N_OBJECTS);
		free(query);
		/* A reversed page is followed by the objects that the query came from. */
		query = reversed ? NULL : next;
		if (reversed)
			free(next);
	}
	json_decref(list);
	json_decref(seen);
	return 0;
}
