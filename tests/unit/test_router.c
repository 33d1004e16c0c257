/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/text.h"
#include "api/router.h"

static int handler(const struct request *request _unused_, struct response *response _unused_,
	struct error *err _unused_)
{
	return 0;
}

static const struct route table[] = {
	{"GET", "/", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"GET", "/v2/lbaas/things", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"POST", "/v2/lbaas/things", handler, BODY_JSON, 100, ERROR_STYLE_LBAAS, ""},
	{"GET", "/v2/lbaas/things/{id}", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"PUT", "/v2/lbaas/things/{id}", handler, BODY_JSON, 100, ERROR_STYLE_LBAAS, ""},
	{"DELETE", "/v2/lbaas/things/{id}", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"GET", "/v2/lbaas/things/{id}/parts/{part}", handler, BODY_NONE, 0, ERROR_STYLE_LBAAS, ""},
	{"PUT", "/1.0/things/{id}/special", handler, BODY_ANY, 100, ERROR_STYLE_AMPHORA, "first"},
	{"PUT", "/1.0/things/{id}/{action}", handler, BODY_NONE, 0, ERROR_STYLE_AMPHORA, "second"},
	{NULL, NULL, NULL, BODY_NONE, 0, ERROR_STYLE_LBAAS, NULL},
};

struct found {
	int r;
	struct route_match match;
	char *allow;
	struct error err;
};

static struct found find(const char *method, const char *path)
{
	struct found found = {.err = ERROR_INIT};

	found.r = router_find(table, method, path, &found.match, &found.allow, &found.err);
	return found;
}

static void found_done(struct found *found)
{
	route_match_done(&found->match);
	free(found->allow);
	error_done(&found->err);
}

static void assert_pattern(const char *method, const char *path, const char *pattern)
{
	struct found found = find(method, path);

	assert_int_equal(found.r, 0);
	assert_string_equal(found.match.route->pattern, pattern);
	found_done(&found);
}

static void assert_refused(const char *method, const char *path, enum error_code code)
{
	struct found found = find(method, path);

	if (found.r != error_code_to_errno(code) || found.err.code != code)
		fail_msg("%s %s: %d, %s", method, path, found.r, error_message(&found.err));
	for (size_t i = 0; i < REQUEST_MAX_PARAMETERS; i++)
		assert_null(found.match.parameters[i]);
	found_done(&found);
}

static void test_finds(void **state _unused_)
{
	assert_pattern("GET", "/", "/");
	assert_pattern("GET", "//", "/"); /* Octavia's controller asks so */
	assert_pattern("GET", "", "/");
	assert_pattern("HEAD", "/", "/");
	assert_pattern("GET", "/v2/lbaas/things", "/v2/lbaas/things");
	assert_pattern("GET", "/v2/lbaas/things/", "/v2/lbaas/things");
	assert_pattern("GET", "///v2/lbaas/things", "/v2/lbaas/things");
	assert_pattern("POST", "/v2.0/lbaas/things", "/v2/lbaas/things");
	assert_pattern("GET", "/v2.0/lbaas/things/7/", "/v2/lbaas/things/{id}");
	assert_pattern("GET", "/v2.0/things/7", "/v2/lbaas/things/{id}");
	assert_pattern("GET", "/v2/things/lbaas/parts/lbaas", "/v2/lbaas/things/{id}/parts/{part}");
	assert_pattern("PUT", "/1.0/things/7/special", "/1.0/things/{id}/special");
	assert_pattern("PUT", "/1.0/things/7/start", "/1.0/things/{id}/{action}");
}

static void test_unknown(void **state _unused_)
{
	static const char *const paths[] = {"/v2", "/v2/lbaas", "/v2/lbaas/thing",
		"/v2/lbaas/things/7/parts", "/v2/lbaas/things/7/8", "/v2/lbaas//things",
		"/v2/lbaas/things//", "/v2/lbaas/things//parts/1", "/v2.0", "/v2.1/lbaas/things",
		"/lbaas/v2.0/things", "/v2/lbaas/things?x", "/V2/lbaas/things", "*",
		"/v2/lbaas/v2.0", "//%2f", "/things", "/v2/lbaas/lbaas/things", "/v2//things"};

	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		assert_refused("GET", paths[i], ERROR_NOT_FOUND);
}

static void test_parameters(void **state _unused_)
{
	struct found found = find("GET", "/v2/lbaas/things/a%20b+c/parts/%C3%A9%25");

	assert_int_equal(found.r, 0);
	assert_string_equal(found.match.parameters[0], "a b+c");
	assert_string_equal(found.match.parameters[1], "\xc3\xa9%");
	assert_null(found.match.parameters[2]);
	found_done(&found);

	found = find("GET", "/v2/lbaas/things/%252e%252e");
	assert_int_equal(found.r, 0);
	assert_string_equal(found.match.parameters[0], "%2e%2e"); /* decoded once, never twice */
	found_done(&found);
}

static void test_encoding_attacks(void **state _unused_)
{
	static const char *const invalid[] = {"%", "%4", "a%", "%zz", "%2", "%%32", "%00", "a%00b",
		"%2f", "..%2f..", "%2F%2e%2e", "%0a", "%0d%0a", "%7f", "%1b", "%ff", "%c0%af",
		"%ed%a0%80", "%e2%82", "%f4%90%80%80", "%c2%85", "\x01", "\xff", "%+4", "% 4",
		"%0x"};
	static const char *const unknown[] = {".", "..", "%2e", "%2E%2e", ".%2e", "%2e.", "%2e%2E"};
	char path[128];

	for (size_t i = 0; i < ELEMENTSOF(invalid); i++) {
		snprintf(path, sizeof(path), "/v2/lbaas/things/%s", invalid[i]);
		assert_refused("GET", path, ERROR_INVALID);
		snprintf(path, sizeof(path), "/v2/lbaas/things/good/parts/%s", invalid[i]);
		assert_refused("GET", path, ERROR_INVALID);
	}
	for (size_t i = 0; i < ELEMENTSOF(unknown); i++) {
		snprintf(path, sizeof(path), "/v2/lbaas/things/%s", unknown[i]);
		assert_refused("GET", path, ERROR_NOT_FOUND);
	}
	/* Nothing is resolved, and literals are not decoded. */
	assert_refused("GET", "/v2/lbaas/x/../things", ERROR_NOT_FOUND);
	assert_refused("GET", "/v2/lbaas%2fthings", ERROR_NOT_FOUND);
	assert_refused("GET", "/v2/lb%61as/things", ERROR_NOT_FOUND);
	assert_pattern("GET", "/v2/lbaas/things/...", "/v2/lbaas/things/{id}");
}

static void test_methods(void **state _unused_)
{
	struct found found = find("PATCH", "/v2.0/lbaas/things/7/");

	assert_int_equal(found.r, error_code_to_errno(ERROR_METHOD));
	assert_string_equal(found.allow, "GET, HEAD, PUT, DELETE");
	assert_ptr_equal(found.match.route, &table[3]);
	found_done(&found);

	found = find("GET", "/1.0/things/7/special"); /* both rows are for PUT: listed once */
	assert_string_equal(found.allow, "PUT");
	assert_int_equal(found.match.route->style, ERROR_STYLE_AMPHORA);
	found_done(&found);

	assert_refused("get", "/", ERROR_METHOD);
	assert_refused("", "/", ERROR_METHOD);
	assert_refused("HEAD", "/1.0/things/7/special", ERROR_METHOD);
	/* A path that cannot be decoded has no method either. */
	assert_refused("PATCH", "/v2/lbaas/things/%zz", ERROR_METHOD);
}

static void test_style(void **state _unused_)
{
	assert_int_equal(router_style_of("/1.0/whatever"), ERROR_STYLE_AMPHORA);
	assert_int_equal(router_style_of("//1.0"), ERROR_STYLE_AMPHORA);
	assert_int_equal(router_style_of("/1.0/"), ERROR_STYLE_AMPHORA);
	assert_int_equal(router_style_of("/v2/x"), ERROR_STYLE_LBAAS);
	assert_int_equal(router_style_of("//v2.0/lbaas"), ERROR_STYLE_LBAAS);
	assert_int_equal(router_style_of("/v2x"), ERROR_STYLE_AMPHORA);
}

static void assert_body(
	const struct route *route, const char *type, long long length, enum error_code code)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	int r = router_check_body(route, type, length, &err);

	assert_int_equal(r, code == _ERROR_CODE_MAX ? 0 : error_code_to_errno(code));
}

static void test_bodies(void **state _unused_)
{
	const enum error_code fine = _ERROR_CODE_MAX;
	const struct route *none = &table[0], *json = &table[2], *any = &table[7];

	assert_body(none, NULL, 0, fine);
	assert_body(none, "text/plain", 0, fine);
	assert_body(none, NULL, 1, ERROR_INVALID);
	assert_body(none, NULL, -1, fine); /* refused when the first byte comes */
	assert_body(json, NULL, 100, fine);
	assert_body(json, "", 100, fine);
	assert_body(json, NULL, 101, ERROR_TOO_LARGE);
	assert_body(json, NULL, INT64_MAX, ERROR_TOO_LARGE);
	assert_body(json, NULL, -1, fine);
	assert_body(json, "application/json", 1, fine);
	assert_body(json, "Application/JSON; charset=utf-8", 1, fine);
	assert_body(json, "application/json ;charset=utf-8", -1, fine);
	assert_body(json, "application/jsonp", 1, ERROR_MEDIA_TYPE);
	assert_body(json, "application/x-www-form-urlencoded", -1, ERROR_MEDIA_TYPE);
	assert_body(json, "text/plain", 1, ERROR_MEDIA_TYPE);
	assert_body(any, "text/plain", 100, fine);
	assert_body(any, "text/plain", 101, ERROR_TOO_LARGE);
}

static void test_pem_bodies(void **state _unused_)
{
	static const char *const good[] = {NULL, "", "application/x-pem-file", "text/plain; charset=us-ascii",
		"application/octet-stream", "application/pem-certificate-chain", "application/x-x509-ca-cert"};
	static const char *const bad[] = {"application/json", "application/x-pkcs12", "text/plainer", "text",
		"application/x-www-form-urlencoded"};
	const struct route pem = {"PUT", "/x", handler, BODY_PEM, 100, ERROR_STYLE_LBAAS, ""};

	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		assert_body(&pem, good[i], 100, _ERROR_CODE_MAX);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_body(&pem, bad[i], 100, ERROR_MEDIA_TYPE);
	assert_body(&pem, NULL, 101, ERROR_TOO_LARGE);
	assert_true(router_body_is_secret(&pem));
	assert_false(router_body_is_secret(&table[2]));
	assert_false(router_body_is_secret(&table[7]));
}

static void assert_utf8(const char *bytes, size_t length)
{
	assert_int_equal(utf8_sequence(bytes, strlen(bytes)), length);
}

static void test_utf8(void **state _unused_)
{
	assert_int_equal(utf8_sequence("", 0), 0);
	assert_int_equal(utf8_sequence("", 1), 1); /* NUL is a character */
	assert_utf8("a", 1);
	assert_utf8("\xc2\x80", 2);
	assert_utf8("\xdf\xbf", 2);
	assert_utf8("\xe0\xa0\x80", 3);
	assert_utf8("\xed\x9f\xbf", 3);
	assert_utf8("\xf0\x90\x80\x80", 4);
	assert_utf8("\xf4\x8f\xbf\xbf", 4);
	assert_utf8("\x80", 0);
	assert_utf8("\xc1\xbf", 0);
	assert_utf8("\xe0\x9f\xbf", 0);
	assert_utf8("\xed\xa0\x80", 0);
	assert_utf8("\xf0\x8f\xbf\xbf", 0);
	assert_utf8("\xf4\x90\x80\x80", 0);
	assert_utf8("\xf5\x80\x80\x80", 0);
	assert_utf8("\xe2\x82", 0);
	assert_utf8("\xe2\x82g", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_encoding_attacks),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_style),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_pem_bodies),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
