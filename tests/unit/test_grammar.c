/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/grammar.h"

#define X16 "xxxxxxxxxxxxxxxx"
#define LABEL63 X16 X16 X16 "xxxxxxxxxxxxxxx"
#define NAME253 LABEL63 "." LABEL63 "." LABEL63 "." X16 X16 X16 "xxxxxxxxxxxxx"

static void check(grammar_check grammar, const char *value, bool good)
{
	const char *wanted = grammar(value);

	if (good ? wanted != NULL : !wanted || !text_after_prefix(wanted, "must "))
		fail_msg("\"%s\": %s", value, wanted ? wanted : "taken");
}

static void test_cookie_names(void **state)
{
	static const char *const good[] = {"JSESSIONID", "a", "!#$%&'*+-.^_`|~", "0"};
	static const char *const bad[] = {"", "a b", "a=b", "a;b", "a,b", "a\"b", "a\\b", "(a)",
		"a/b", "[a]", "{a}", "a@b", "<a>", "a?", "a:b", "\xc3\xbc", "a\tb", "a\x7f"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		check(grammar_cookie_name, good[i], true);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		check(grammar_cookie_name, bad[i], false);
}

static void test_url_paths(void **state)
{
	static const char *const good[] = {
		"/", "//", "/a/b.html?x=1&y=%20;z", "/%7Euser", "/a:b@c!$'()*+,", "/?", "/a?b?c/d"};
	static const char *const bad[] = {"", "a", "*", "/a b", "/%", "/%2", "/%2g", "/%%20",
		"/a#b", "/a\"b", "/a\\b", "/\xc3\xbc", "/a\nb", "/{}", "/a|b", "/<", "http://a/"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		check(grammar_url_path, good[i], true);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		check(grammar_url_path, bad[i], false);
}

static void test_expected_codes(void **state)
{
	static const struct {
		const char *value, *regex; /* NULL: bad */
	} rows[] = {
		{"200", "200"},
		{"100", "100"},
		{"599", "599"},
		{"200,202", "200|202"},
		{"200, 202 ,301", "200|202|301"},
		{"200-204", "200|201|202|203|204"},
		{"200-200", "200"},
		{"", NULL},
		{"99", NULL},
		{"099", NULL},
		{"600", NULL},
		{"2000", NULL},
		{"20", NULL},
		{"2xx", NULL},
		{"200-", NULL},
		{"-200", NULL},
		{"204-200", NULL},
		{"200-204,301", NULL},
		{"200-600", NULL},
		{"200,", NULL},
		{",200", NULL},
		{"200;202", NULL},
		{" 200", NULL},
		{"200|.*", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *regex = NULL;

		check(grammar_expected_codes, rows[i].value, rows[i].regex);
		assert_int_equal(
			grammar_expand_codes(rows[i].value, &regex), rows[i].regex ? 0 : -EINVAL);
		assert_true(streq_null(regex, rows[i].regex));
	}
}

static void test_domain_names(void **state)
{
	static const char *const good[] = {"a", "a.example", "a.example.", "xn--bcher-kva.example",
		"_tcp.example", "1.2.3.4", "a-b.c", LABEL63, NAME253, NAME253 "."};
	static const char *const bad[] = {"", ".", "..", "a..b", ".a", "-a", "a-", "a.-b", "a-.b",
		"a b", "a/b", "a:80", "\xc3\xbc", LABEL63 "x", NAME253 "x", "a.example..", "a\"",
		"%[src]"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		check(grammar_domain_name, good[i], true);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		check(grammar_domain_name, bad[i], false);
}

struct canonical_row {
	const char *value, *canonical; /* NULL: bad */
};

static void check_canonical(int (*function)(const char *, char **), const struct canonical_row *row)
{
	_cleanup_free_ char *canonical = NULL;
	int r = function(row->value, &canonical);

	if (r != (row->canonical ? 0 : -EINVAL) || !streq_null(canonical, row->canonical))
		fail_msg("%s: %d, %s", row->value, r, canonical ? canonical : "nothing");
}

static void test_addresses(void **state)
{
	static const struct canonical_row rows[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"0.0.0.0", "0.0.0.0"},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
		{"::", "::"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
		{"", NULL},
		{"192.0.2", NULL},
		{"192.0.2.256", NULL},
		{"192.0.2.01", NULL},
		{"0x7f000001", NULL},
		{"127.1", NULL},
		{" 192.0.2.1", NULL},
		{"192.0.2.1 ", NULL},
		{"192.0.2.1/32", NULL},
		{"[::1]", NULL},
		{"::1%lo", NULL},
		{":::", NULL},
		{"1:2:3:4:5:6:7:8:9", NULL},
		{"localhost", NULL},
		{"unix@/x", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		check_canonical(grammar_address, &rows[i]);
}

static void test_networks(void **state)
{
	static const struct canonical_row rows[] = {
		{"192.0.2.0/24", "192.0.2.0/24"},
		{"192.0.2.129/25", "192.0.2.128/25"},
		{"10.255.255.255/8", "10.0.0.0/8"},
		{"192.0.2.1", "192.0.2.1/32"},
		{"1.2.3.4/0", "0.0.0.0/0"},
		{"192.0.2.1/32", "192.0.2.1/32"},
		{"192.0.2.3/31", "192.0.2.2/31"},
		{"2001:DB8::1/32", "2001:db8::/32"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"ffff::/1", "8000::/1"},
		{"::/0", "::/0"},
		{"", NULL},
		{"/8", NULL},
		{"10.0.0.0/", NULL},
		{"10.0.0.0/33", NULL},
		{"10.0.0.0/-1", NULL},
		{"10.0.0.0/+8", NULL},
		{"10.0.0.0/8/8", NULL},
		{"10.0.0.0/ 8", NULL},
		{"10.0.0.0/255.0.0.0", NULL},
		{"::/129", NULL},
		{"::/99999999999999999999", NULL},
		{"10.0.0/8", NULL},
		{"10.0.0.0/8 ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		check_canonical(grammar_cidr, &rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cookie_names),
		cmocka_unit_test(test_url_paths),
		cmocka_unit_test(test_expected_codes),
		cmocka_unit_test(test_domain_names),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_networks),
	};

	return cmocka_run_group_tests_name("grammar", tests, NULL, NULL);
}
