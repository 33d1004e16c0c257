/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/text.h"
#include "api/request.h"
#include "api/response.h"

static void test_statuses(void **state _unused_)
{
	static const unsigned expected[_ERROR_CODE_MAX] = {
		[ERROR_INTERNAL] = 500,
		[ERROR_INVALID] = 400,
		[ERROR_FORBIDDEN] = 403,
		[ERROR_NOT_FOUND] = 404,
		[ERROR_METHOD] = 405,
		[ERROR_CONFLICT] = 409,
		[ERROR_STALE] = 412,
		[ERROR_TOO_LARGE] = 413,
		[ERROR_MEDIA_TYPE] = 415,
		[ERROR_UNSUPPORTED] = 501,
		[ERROR_BUSY] = 503,
		[ERROR_HAPROXY] = 400,
		[ERROR_APPLY] = 500,
	};

	for (int code = 0; code < _ERROR_CODE_MAX; code++)
		assert_int_equal(response_status_of((enum error_code)code), expected[code]);
	assert_int_equal(response_status_of(_ERROR_CODE_MAX), 500);
}

static void assert_error(enum error_style style, bool by_route, enum error_code code,
	const char *pointer, const char *message, const char *body)
{
	_cleanup_response_ struct response response = RESPONSE_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	error_set(&err, code, pointer, "%s", message);
	if (by_route)
		response_from_route_error(&response, style, &err);
	else
		response_from_error(&response, style, &err);
	assert_int_equal(response.status, response_status_of(code));
	assert_string_equal(response.content_type, "application/json");
	assert_string_equal(response.body, body);
	assert_int_equal(response.length, strlen(body));
}

static void test_error_bodies(void **state _unused_)
{
	assert_error(ERROR_STYLE_LBAAS, false, ERROR_INVALID, "/loadbalancer/listeners/0/name",
		"is too long",
		"{\"faultcode\":\"Client\",\"faultstring\":\"/loadbalancer/listeners/0/name: is "
		"too long\","
		"\"debuginfo\":null}");
	assert_error(ERROR_STYLE_LBAAS, false, ERROR_APPLY, NULL, "boom",
		"{\"faultcode\":\"Server\",\"faultstring\":\"boom\",\"debuginfo\":null}");
	assert_error(ERROR_STYLE_LBAAS, true, ERROR_METHOD, NULL, "no",
		"{\"faultcode\":\"Client\",\"faultstring\":\"no\",\"debuginfo\":null}");
	assert_error(ERROR_STYLE_AMPHORA, false, ERROR_HAPROXY, NULL, "line 1\nline \"2\"",
		"{\"message\":\"Invalid request\",\"details\":\"line 1\\nline \\\"2\\\"\"}");
	assert_error(ERROR_STYLE_AMPHORA, true, ERROR_NOT_FOUND, NULL, "no such thing",
		"{\"error\":\"no such thing\",\"http_code\":404}");
}

static void test_hostile_words(void **state _unused_)
{
	assert_error(ERROR_STYLE_AMPHORA, true, ERROR_NOT_FOUND, NULL, "\xff<\xc3\xa9>\xe2\x82",
		"{\"error\":\"?<\xc3\xa9>??\",\"http_code\":404}");
}

static void test_no_words(void **state _unused_)
{
	_cleanup_response_ struct response response = RESPONSE_INIT;
	struct error err = ERROR_INIT;

	response_from_error(&response, ERROR_STYLE_LBAAS, &err);
	assert_int_equal(response.status, 500);
	assert_non_null(strstr(response.body, "\"faultcode\":\"Server\""));
}

static void test_replaces(void **state _unused_)
{
	_cleanup_response_ struct response response = RESPONSE_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_int_equal(response_set_json(&response, 201, json_pack("{s:[i,i]}", "a", 1, 2)), 0);
	assert_string_equal(response.body, "{\"a\":[1,2]}");
	assert_int_equal(response.status, 201);
	response_set_body(&response, 202, "text/plain", strdup("abc"), 3);
	assert_string_equal(response.body, "abc");
	assert_int_equal(response_add_header(&response, "ETag", "\"%d\"", 7), 0);
	error_set(&err, ERROR_BUSY, NULL, "later");
	response_from_error(&response, ERROR_STYLE_LBAAS, &err);
	assert_int_equal(response.status, 503);
	assert_int_equal(response.n_headers, 2);
	assert_string_equal(response.headers[0].value, "\"7\"");
	assert_string_equal(response.headers[1].name, "Retry-After");
	assert_int_equal(response_set_json(&response, 200, NULL), -ENOMEM);
	assert_int_equal(response.status, 503);
}

static void test_headers(void **state _unused_)
{
	_cleanup_response_ struct response response = RESPONSE_INIT;

	assert_int_equal(response_add_header(&response, "X", "%s", "a\r\nSet-Cookie: x"), -EINVAL);
	assert_int_equal(response.n_headers, 0);
	for (size_t i = 0; i < RESPONSE_MAX_HEADERS; i++)
		assert_int_equal(response_add_header(&response, "X", "%zu", i), 0);
	assert_int_equal(response_add_header(&response, "X", "y"), -ENOBUFS);
}

static void test_request_values(void **state _unused_)
{
	_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct request request = {.values = &values};
	struct request empty = {0};
	bool flag;

	assert_int_equal(request_values_add_header(&values, "If-Match", "7"), 0);
	assert_int_equal(request_values_add_header(&values, "if-match", "8"), 0);
	assert_int_equal(
		request_values_parse_query(&values,
			"a=1+2%2B3&b&&c=&a=x&%64=%26%3D&e=f=g&yes=True&no=off&odd=2&If-Match=q",
			&err),
		0);
	assert_string_equal(request_header(&request, "IF-MATCH"), "7");
	assert_null(request_header(&request, "a"));
	assert_string_equal(request_query(&request, "a"), "1 2+3");
	assert_string_equal(request_query(&request, "b"), "");
	assert_string_equal(request_query(&request, "c"), "");
	assert_string_equal(request_query(&request, "d"), "&=");
	assert_string_equal(request_query(&request, "e"), "f=g");
	assert_string_equal(request_query(&request, "If-Match"), "q");
	assert_null(request_query(&request, "A"));
	assert_null(request_query(&empty, "a"));
	assert_int_equal(request_query_bool(&request, "yes", &flag, &err), 0);
	assert_true(flag);
	assert_int_equal(request_query_bool(&request, "no", &flag, &err), 0);
	assert_false(flag);
	assert_int_equal(request_query_bool(&request, "b", &flag, &err), 0);
	assert_true(flag);
	assert_int_equal(request_query_bool(&request, "absent", &flag, &err), 0);
	assert_false(flag);
	flag = true;
	assert_int_equal(request_query_bool(&request, "odd", &flag, &err), -EINVAL);
	assert_true(flag);
	assert_non_null(strstr(error_message(&err), "odd"));
}

static void test_bad_queries(void **state _unused_)
{
	static const char *const bad[] = {
		"a=%", "%=a", "a=%0", "a=%00", "a=%zz", "a=%0a", "a=%ff", "a=\xff", "a=\x01"};
	char many[3 * REQUEST_MAX_QUERY + 4] = "";

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;

		assert_int_equal(request_values_parse_query(&values, bad[i], NULL), -EINVAL);
	}
	for (size_t i = 0; i <= REQUEST_MAX_QUERY; i++)
		memcpy(many + 3 * i, "a=&", 4);
	{
		_cleanup_request_values_ struct request_values values = REQUEST_VALUES_INIT;

		assert_int_equal(request_values_parse_query(&values, many, NULL), -EINVAL);
		assert_int_equal(values.n, REQUEST_MAX_QUERY);
	}
}

static void test_ids(void **state _unused_)
{
	char ids[200][REQUEST_ID_SIZE];

	for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
		assert_int_equal(request_make_id(ids[i]), 0);
		assert_non_null(text_after_prefix(ids[i], "req-"));
		assert_true(text_is_uuid(ids[i] + 4));
		assert_int_equal(ids[i][4 + 14], '4'); /* the version */
		assert_non_null(strchr("89ab", ids[i][4 + 19]));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(ids[i], ids[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_error_bodies),
		cmocka_unit_test(test_hostile_words),
		cmocka_unit_test(test_no_words),
		cmocka_unit_test(test_replaces),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_request_values),
		cmocka_unit_test(test_bad_queries),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
