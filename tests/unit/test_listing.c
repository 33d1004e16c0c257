/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/text.h"
#include "api/lbaas_v2/listing.h"

/*
 * A collection of four pools, asked in all ways. In the order of their creation: delta, alpha, charlie, bravo; the
 * last two at once, so that their ids decide.
 */

#define ID(digit) #digit "0000000-0000-4000-8000-000000000000"
#define LB(digit) "a" #digit "000000-0000-4000-8000-000000000000"

static const char pools[] =
	"["
	"{\"id\":\"" ID(4) "\",\"name\":\"bravo\",\"created_at\":\"2026-01-03T00:00:00\",\"admin_state_up\":true,"
	"\"lb_algorithm\":\"ROUND_ROBIN\",\"loadbalancers\":[{\"id\":\"" LB(1) "\"}],\"tags\":[\"red\",\"blue\"],"
	"\"tls_versions\":[\"TLSv1.2\",\"TLSv1.3\"],\"tls_ciphers\":null,\"project_id\":\"one\"},"
	"{\"id\":\"" ID(1) "\",\"name\":\"alpha\",\"created_at\":\"2026-01-02T00:00:00\",\"admin_state_up\":false,"
	"\"lb_algorithm\":\"SOURCE_IP\",\"loadbalancers\":[{\"id\":\"" LB(2) "\"}],\"tags\":[\"red\"],"
	"\"tls_versions\":[],\"tls_ciphers\":\"A:B\",\"project_id\":\"two\"},"
	"{\"id\":\"" ID(3) "\",\"name\":\"charlie\",\"created_at\":\"2026-01-03T00:00:00\",\"admin_state_up\":true,"
	"\"lb_algorithm\":\"SOURCE_IP\",\"loadbalancers\":[{\"id\":\"" LB(1) "\"}],\"tags\":[],"
	"\"tls_versions\":[\"TLSv1.3\"],\"tls_ciphers\":\"C\",\"project_id\":\"one\"},"
	"{\"id\":\"" ID(2) "\",\"name\":\"delta\",\"created_at\":\"2026-01-01T00:00:00\",\"admin_state_up\":false,"
	"\"lb_algorithm\":\"ROUND_ROBIN\",\"loadbalancers\":[{\"id\":\"" LB(2) "\"}],\"tags\":[\"blue, red\"],"
	"\"tls_versions\":[],\"tls_ciphers\":null,\"project_id\":\"\"}"
	"]";

static const char members[] =
	"["
	"{\"id\":\"" ID(1) "\",\"name\":\"m1\",\"protocol_port\":80,\"weight\":10,\"http_version\":1.1},"
	"{\"id\":\"" ID(2) "\",\"name\":\"m2\",\"protocol_port\":8080,\"weight\":9},"
	"{\"id\":\"" ID(3) "\",\"name\":\"m3\",\"protocol_port\":80,\"weight\":null}"
	"]";

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

static json_t *load(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	assert_non_null(json);
	return json;
}

struct asked {
	int r;
	struct response response;
	struct error err;
};

static struct asked ask_with(const char *collection, const char *objects, const char *query, const char *host,
	bool secure)
{
	_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;
	struct request request = {.values = &values, .path = "/v2.0/lbaas/pools", .secure = secure,
		.parameters = {ID(9)}};
	struct asked asked = {.response = RESPONSE_INIT, .err = ERROR_INIT};

	assert_int_equal(request_values_parse_query(&values, query, NULL), 0);
	if (host)
		assert_int_equal(request_values_add_header(&values, "host", host), 0);
	asked.r = listing_answer(&request, collection, load(objects), &asked.response, &asked.err);
	return asked;
}

static void asked_done(struct asked *asked)
{
	response_done(&asked->response);
	error_done(&asked->err);
}
#define _cleanup_asked_ _cleanup_(asked_done)

static json_t *body_of(const struct asked *asked)
{
	if (asked->r < 0)
		fail_msg("%s", error_message(&asked->err));
	assert_int_equal(asked->response.status, 200);
	return load(asked->response.body);
}

/* The names of the objects in the order of the answer, with blanks between. */
static void assert_names_of(const char *collection, const char *objects, const char *query, const char *expected)
{
	_cleanup_asked_ struct asked asked = ask_with(collection, objects, query, "amphora", false);
	_cleanup_json_ json_t *body = body_of(&asked);
	_cleanup_text_ struct text found = TEXT_INIT;
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(body, collection), i, item)
		text_printf(&found, "%s%s", i ? " " : "", json_string_value(json_object_get(item, "name")));
	assert_string_equal(text_peek(&found), expected);
}

static void assert_names(const char *query, const char *expected)
{
	assert_names_of("pools", pools, query, expected);
}

static void assert_refused(const char *collection, const char *query, const char *message)
{
	_cleanup_asked_ struct asked asked = ask_with(collection, pools, query, "amphora", false);

	assert_int_equal(asked.r, -EINVAL);
	assert_int_equal(asked.err.code, ERROR_INVALID);
	assert_string_equal(asked.err.message, message);
}

static void test_order(void **state _unused_)
{
	assert_names("", "delta alpha charlie bravo");
	assert_names("sort=name", "alpha bravo charlie delta");
	assert_names("sort=name:desc", "delta charlie bravo alpha");
	assert_names("sort=name:DESC", "delta charlie bravo alpha");
	assert_names("sort=lb_algorithm:desc,name:asc", "alpha charlie bravo delta");
	assert_names("sort=lb_algorithm,name:desc,lb_algorithm:desc", "delta bravo charlie alpha");
	assert_names("sort=tls_ciphers", "delta bravo alpha charlie"); /* null first */
	assert_names("sort=admin_state_up:desc", "charlie bravo delta alpha");
	assert_names("sort=created_at:desc", "charlie bravo alpha delta");
	assert_names("sort=created_at:desc,id:desc", "bravo charlie alpha delta");
	assert_names("sort_key=name", "alpha bravo charlie delta");
	assert_names("sort_key=lb_algorithm,name&sort_dir=desc", "alpha charlie bravo delta");
	assert_names("sort_key=lb_algorithm,name&sort_dir=desc,desc,asc", "charlie alpha delta bravo");
	assert_names("sort=name&sort_key=id&sort_dir=desc", "alpha bravo charlie delta");
	assert_names("sort=&sort_key=&sort_dir=", "delta alpha charlie bravo");
	assert_names_of("members", members, "sort=weight", "m3 m2 m1");
}

static void test_filters(void **state _unused_)
{
	assert_names("name=alpha", "alpha");
	assert_names("name=Alpha", "");
	assert_names("name=alpha&name=delta&name=nobody", "delta alpha");
	assert_names("name=alpha&lb_algorithm=ROUND_ROBIN", "");
	assert_names("admin_state_up=true", "charlie bravo");
	assert_names("admin_state_up=Yes", "charlie bravo");
	assert_names("admin_state_up=t", "charlie bravo");
	assert_names("admin_state_up=False", "delta alpha");
	assert_names("admin_state_up=maybe", "delta alpha");
	assert_names("loadbalancer_id=" LB(1), "charlie bravo");
	assert_names("load_balancer_id=" LB(2), "delta alpha");
	assert_names("loadbalancers=" LB(2), "delta alpha");
	assert_names("tls_versions=TLSv1.3", "charlie bravo");
	assert_names("tls_ciphers=A:B", "alpha");
	assert_names("tls_ciphers=", ""); /* null is no empty text */
	assert_names("project_id=", "delta");
	assert_names("project_id=one&created_at=2026-01-03T00:00:00", "charlie bravo");
	assert_names("healthmonitor_id=" ID(1), "");
	assert_names_of("members", members, "protocol_port=80", "m1 m3");
	assert_names_of("members", members, "protocol_port=080x", "");
	assert_names_of("members", members, "weight=", "");
	assert_names_of("members", members, "pool_id=" ID(9) "&weight=9", "m2"); /* the path says the same */
	assert_names_of("members", members, "pool_id=" ID(8), "");
	assert_names_of("members", members, "weight=9&weight=10", "m1 m2");
	assert_names_of("members", members, "protocol_port=80&weight=10&protocol_port=8080", "m1");
}

static void test_tags(void **state _unused_)
{
	assert_names("tags=red", "alpha bravo");
	assert_names("tags=red,blue", "bravo");
	assert_names("tags=red&tags=blue", "bravo");
	assert_names("tags=", "");
	assert_names("tags-any=red,blue", "alpha bravo");
	assert_names("not-tags=red", "delta charlie");
	assert_names("not-tags=red,blue", "delta alpha charlie");
	assert_names("not-tags-any=red,blue", "delta charlie");
	assert_names("tags=red&not-tags=blue", "alpha");
	assert_names("tags=blue,%20red", ""); /* a tag with a comma cannot be asked for */
	assert_names("tags=Red", "");
}

static void test_pages(void **state _unused_)
{
	assert_names("limit=2", "delta alpha");
	assert_names("limit=3", "delta alpha charlie");
	assert_names("limit=0", "delta alpha charlie bravo");
	assert_names("limit=-1", "delta alpha charlie bravo");
	assert_names("limit=infinite", "delta alpha charlie bravo");
	assert_names("limit=99999999999999999999", "delta alpha charlie bravo");
	assert_names("limit=2&marker=" ID(1), "charlie bravo");
	assert_names("marker=" ID(4), "");
	assert_names("sort=name&marker=" ID(4), "charlie delta");
	assert_names("sort=name:desc&marker=" ID(4), "alpha");
	assert_names("limit=1&page_reverse=true&marker=" ID(4), "charlie");
	assert_names("limit=2&page_reverse=True&marker=" ID(4), "alpha charlie");
	assert_names("page_reverse=True&marker=" ID(4), "delta alpha charlie");
	assert_names("page_reverse=False&limit=1&marker=" ID(1), "charlie");
	assert_names("page_reverse=True&limit=1", "delta");
	/* A marker that the filter leaves out is a place in the list nevertheless. */
	assert_names("admin_state_up=true&limit=1&marker=" ID(1), "charlie");
	assert_names("admin_state_up=true&limit=1&marker=" ID(3), "bravo");
}

/* Pages of what filters and several keys leave; forwards and backwards they are the same. */
static void test_pages_of_filtered(void **state _unused_)
{
	assert_names("limit=1&admin_state_up=true", "charlie");
	assert_names("limit=1&sort=lb_algorithm:desc,name:desc", "charlie");
	assert_names("limit=2&sort=lb_algorithm:desc,name:desc&marker=" ID(3), "alpha delta");
	assert_names("limit=2&sort=lb_algorithm:desc,name:desc&marker=" ID(4) "&page_reverse=true", "alpha delta");
	assert_names("limit=1&sort=lb_algorithm,name&project_id=one&marker=" ID(2) "&page_reverse=true", "bravo");
	assert_names("limit=2&tags-any=red&sort=name:desc", "bravo alpha");
	assert_names("limit=2&tags=red&not-tags=blue&sort=name", "alpha");
	assert_names("limit=1&sort=tls_ciphers:desc,id&marker=" ID(3), "alpha");
	assert_names("limit=3&sort=tls_ciphers:desc,id:desc&marker=" ID(1), "bravo delta");
	assert_names("limit=1&name=bravo&name=delta&marker=" ID(2), "bravo");
	assert_names_of("members", members, "limit=1&pool_id=" ID(8), "");
	assert_names_of("members", members, "limit=2&sort=protocol_port:desc,weight", "m2 m3");
	assert_names_of("members", members, "limit=1&protocol_port=80&sort=weight:desc&marker=" ID(2), "m3");
}

static void test_fields(void **state _unused_)
{
	_cleanup_asked_ struct asked asked =
		ask_with("pools", pools, "limit=1&fields=name&fields=tags,nothing", "amphora", false);
	_cleanup_json_ json_t *body = body_of(&asked), *expected = load("[{\"name\":\"delta\",\"tags\":[\"blue, red\"]}]");

	assert_true(json_equal(json_object_get(body, "pools"), expected));
}

static void test_fields_of_one(void **state _unused_)
{
	_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;
	struct request request = {.values = &values, .path = "/"};
	_cleanup_response_ struct response response = RESPONSE_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_int_equal(listing_answer_one(&request, "pool", load("{\"id\":1,\"name\":2}"), &response, &err), 0);
	assert_string_equal(response.body, "{\"pool\":{\"id\":1,\"name\":2}}");
	assert_int_equal(request_values_parse_query(&values, "fields=name&unknown=1", NULL), 0);
	assert_int_equal(listing_answer_one(&request, "pool", load("{\"id\":1,\"name\":2}"), &response, &err), 0);
	assert_string_equal(response.body, "{\"pool\":{\"name\":2}}");
	assert_true(listing_answer_one(&request, "pool", NULL, &response, &err) < 0);
}

static void assert_links_from(const char *query, const char *host, bool secure, const char *expected)
{
	_cleanup_asked_ struct asked asked = ask_with("pools", pools, query, host, secure);
	_cleanup_json_ json_t *body = body_of(&asked);
	_cleanup_text_ struct text found = TEXT_INIT;
	json_t *link;
	size_t i;

	assert_true(json_is_array(json_object_get(body, "pools_links")));
	json_array_foreach(json_object_get(body, "pools_links"), i, link)
	{
		assert_int_equal(json_object_size(link), 2);
		text_printf(&found, "%s %s\n", json_string_value(json_object_get(link, "rel")),
			json_string_value(json_object_get(link, "href")));
	}
	assert_string_equal(text_peek(&found), expected);
}

static void assert_links(const char *query, const char *expected)
{
	assert_links_from(query, "amphora:9443", false, expected);
}

#define BASE "http://amphora:9443/v2.0/lbaas/pools?"

static void test_links(void **state _unused_)
{
	assert_links("", "");
	assert_links("limit=5", "");
	assert_links("name=nobody&limit=1", "");
	/* A full page has a next one, even where it turns out to be empty: Octavia. */
	assert_links("limit=4", "next " BASE "limit=4&marker=" ID(4) "\n");
	assert_links("limit=2", "next " BASE "limit=2&marker=" ID(1) "\n");
	assert_links("marker=" ID(1), "previous " BASE "marker=" ID(3) "&page_reverse=True\n");
	assert_links("limit=1&marker=" ID(1),
		"previous " BASE "limit=1&marker=" ID(3) "&page_reverse=True\nnext " BASE "limit=1&marker=" ID(3) "\n");
	assert_links("marker=" ID(1) "&limit=2&sort=name:asc",
		"previous " BASE "limit=2&sort=name:asc&marker=" ID(4) "&page_reverse=True\n"
		"next " BASE "limit=2&sort=name:asc&marker=" ID(3) "\n");
	/* The first page, reached from behind, has a next one though it is not full. */
	assert_links("limit=2&page_reverse=True&marker=" ID(1),
		"previous " BASE "limit=2&marker=" ID(2) "&page_reverse=True\nnext " BASE "limit=2&marker=" ID(2) "\n");
	/* The page is full of what the filter leaves. */
	assert_links("limit=2&project_id=one", "next " BASE "limit=2&project_id=one&marker=" ID(4) "\n");
	assert_links("limit=3&project_id=one", "");
	assert_links("limit=1&project_id=one&page_reverse=True&marker=" ID(4),
		"previous " BASE "limit=1&project_id=one&marker=" ID(3) "&page_reverse=True\n"
		"next " BASE "limit=1&project_id=one&marker=" ID(3) "\n");
	assert_links("limit=1&name=alpha&name=b%26c+d&fields=id&fields=name&sort_key=id&sort_dir=desc",
		"next " BASE "limit=1&sort_key=id&sort_dir=desc&fields=id&fields=name&name=alpha&name=b%26c%20d&marker=" ID(1) "\n");
}

static void test_links_go_on_without_the_id(void **state _unused_)
{
	assert_links("limit=1&fields=name", "next " BASE "limit=1&fields=name&marker=" ID(2) "\n");
}

static void test_hosts(void **state _unused_)
{
	static const char rest[] = "/v2.0/lbaas/pools?limit=1&marker=" ID(2) "\n";
	static const struct {
		const char *host;
		bool secure;
		const char *base;
	} cases[] = {
		{"lb.example.org", true, "https://lb.example.org"},
		{"[2001:db8::1]:9443", true, "https://[2001:db8::1]:9443"},
		{"localhost", false, "http://localhost"},
		{NULL, true, ""},
		{"", false, ""},
		{"evil\"><script>", false, ""},
		{"a/b", false, ""},
		{"user@host", false, ""},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_free_ char *expected = NULL;

		assert_true(asprintf(&expected, "next %s%s", cases[i].base, rest) > 0);
		assert_links_from("limit=1", cases[i].host, cases[i].secure, expected);
	}
}

#define DUPLICATE_OR_INVALID "One or more arguments are either duplicate or invalid: "

static void test_refused(void **state _unused_)
{
	assert_refused("pools", "colour=red", DUPLICATE_OR_INVALID "pools have no field 'colour'");
	assert_refused("pools", "=red", DUPLICATE_OR_INVALID "pools have no field ''");
	assert_refused("pools", "protocol_port=1", DUPLICATE_OR_INVALID "pools have no field 'protocol_port'");
	assert_refused("certificates", "tags=a", DUPLICATE_OR_INVALID "certificates have no tags");
	assert_refused("pools", "limit=1&limit=1", DUPLICATE_OR_INVALID "limit is given twice");
	assert_refused("pools", "limit=many", "Supplied pagination limit 'many' is not valid.");
	assert_refused("pools", "limit=", "Supplied pagination limit '' is not valid.");
	assert_refused("pools", "limit=None", "Supplied pagination limit 'None' is not valid.");
	assert_refused("pools", "marker=nobody", "Supplied pagination marker 'nobody' is not valid.");
	assert_refused("pools", "marker=", "Supplied pagination marker '' is not valid.");
	assert_refused("pools", "sort=colour", "Supplied sort key 'colour' is not valid.");
	assert_refused("members", "sort=pool_id", "Supplied sort key 'pool_id' is not valid.");
	assert_refused("pools", "sort=name,", "Supplied sort key '' is not valid.");
	assert_refused("pools", "sort=tags", "Supplied sort key 'tags' is not valid.");
	assert_refused("pools", "sort=loadbalancer_id", "Supplied sort key 'loadbalancer_id' is not valid.");
	assert_refused("pools", "sort=name:asc:desc", "Supplied sort key 'name:asc:desc' is not valid.");
	assert_refused("pools", "sort=name:up", "Supplied sort direction 'up' is not valid.");
	assert_refused("pools", "sort=name:", "Supplied sort direction '' is not valid.");
	assert_refused("pools", "sort_key=name&sort_dir=up", "Supplied sort direction 'up' is not valid.");
	assert_refused("pools", "sort_key=name&sort_dir=,", "Supplied sort direction '' is not valid.");
	assert_refused("pools", "page_reverse=perhaps", "page_reverse: 'perhaps' is neither true nor false");
	assert_refused("pools",
		"tags=,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,&not-tags=,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,",
		"the query has more than 100 tags");
	/* Longer than any name: cut in the message, compared as a whole. */
	assert_refused("pools", "sort=nameeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
		"Supplied sort key 'nameeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee' is not valid.");
}

/* Following the links visits every object once, whatever the size of the pages. */
static void test_many(void **state _unused_)
{
	enum { N = 2500 };
	_cleanup_text_ struct text list = TEXT_INIT;
	_cleanup_free_ char *query = strdup("limit=999&sort=weight:desc");
	size_t seen = 0, n_pages = 0;
	json_int_t last = N;

	text_append_char(&list, '[');
	for (int i = 0; i < N; i++)
		text_printf(&list, "%s{\"id\":\"%d\",\"weight\":%d}", i ? "," : "", i, i * 7 % N);
	text_append_char(&list, ']');
	while (query) {
		_cleanup_asked_ struct asked asked =
			ask_with("members", text_peek(&list), query, "amphora", false);
		_cleanup_json_ json_t *body = body_of(&asked);
		json_t *item;
		size_t i;

		json_array_foreach(json_object_get(body, "members"), i, item)
		{
			assert_true(json_integer_value(json_object_get(item, "weight")) < last);
			last = json_integer_value(json_object_get(item, "weight"));
			seen++;
		}
		n_pages++;
		free(query);
		query = NULL;
		json_array_foreach(json_object_get(body, "members_links"), i, item)
			if (streq(json_string_value(json_object_get(item, "rel")), "next"))
				query = strdup(strchr(json_string_value(json_object_get(item, "href")), '?') + 1);
	}
	assert_int_equal(seen, N);
	assert_int_equal(n_pages, 3);
}

/* A collection that counts what is made of it: the numbers 0 to N - 1, of which the last comes first by its name. */
struct counted {
	size_t n, members, objects;
	size_t fails_at; /* the member that there is no memory for; 0: none */
};

static int counted_member(const void *userdata, size_t i, const char *name, json_t **ret)
{
	struct counted *counted = (void *)userdata;

	if (++counted->members == counted->fails_at)
		return -ENOMEM;
	*ret = NULL;
	if (streq(name, "id"))
		*ret = json_sprintf("%08zu", i);
	if (streq(name, "name"))
		*ret = json_sprintf("%08zu", counted->n - i);
	if (streq(name, "weight"))
		*ret = json_integer((json_int_t)(i % 3));
	return 0;
}

static int counted_object(const void *userdata, size_t i, json_t **ret)
{
	struct counted *counted = (void *)userdata;

	counted->objects++;
	*ret = json_pack("{s:o}", "id", json_sprintf("%08zu", i));
	return *ret ? 0 : -ENOMEM;
}

static int ask_counted(struct counted *counted, const char *query, json_t **ret)
{
	_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;
	struct request request = {.values = &values, .path = "/", .parameters = {ID(9)}};
	const struct listing_source source = {counted->n, counted_member, counted_object, counted};
	_cleanup_response_ struct response response = RESPONSE_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	int r;

	assert_int_equal(request_values_parse_query(&values, query, NULL), 0);
	r = listing_answer_from(&request, "members", &source, &response, &err);
	*ret = r == 0 ? load(response.body) : NULL;
	return r;
}

/* What no page shows is not made, whatever it is sorted and filtered by. */
static void test_only_what_is_shown_is_made(void **state _unused_)
{
	static const struct {
		const char *query;
		size_t first, last, n;
	} cases[] = {
		{"limit=10", 0, 9, 10},
		{"limit=10&marker=00000499", 500, 509, 10},
		{"limit=10&marker=00000499&page_reverse=true", 489, 498, 10},
		{"limit=10&sort=name", 4999, 4990, 10},
		{"limit=10&sort=name&marker=00000010", 9, 0, 10},
		{"limit=7&sort=weight:desc,name", 4997, 4979, 7},
		{"limit=7&weight=1&sort=name", 4999, 4981, 7},
		{"limit=10&sort=weight,id&marker=00004998&page_reverse=true", 4968, 4995, 10},
		{"limit=4999", 0, 4998, 4999},
		{"name=00000001", 4999, 4999, 1},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct counted counted = {.n = 5000};
		_cleanup_json_ json_t *body = NULL, *list;
		char first[16], last[16];

		assert_int_equal(ask_counted(&counted, cases[i].query, &body), 0);
		list = json_incref(json_object_get(body, "members"));
		assert_int_equal(json_array_size(list), cases[i].n);
		assert_int_equal(counted.objects, cases[i].n);
		snprintf(first, sizeof(first), "%08zu", cases[i].first);
		snprintf(last, sizeof(last), "%08zu", cases[i].last);
		assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), first);
		assert_string_equal(json_string_value(json_object_get(json_array_get(list, cases[i].n - 1), "id")), last);
	}
}

/* Wherever memory runs out, the list is an error and nothing is lost. */
static void test_no_memory(void **state _unused_)
{
	static const char query[] = "limit=3&sort=weight:desc,name&weight=1&tags-any=a,b&not-tags=c&marker=00000007";
	struct counted counted = {.n = 12};
	_cleanup_json_ json_t *body = NULL;
	size_t n;

	assert_int_equal(ask_counted(&counted, query, &body), 0);
	n = counted.members;
	for (size_t i = 1; i <= n; i++) {
		json_t *none;

		counted = (struct counted){.n = 12, .fails_at = i};
		assert_int_equal(ask_counted(&counted, query, &none), -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_pages_of_filtered),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_fields_of_one),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_links_go_on_without_the_id),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_only_what_is_shown_is_made),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
