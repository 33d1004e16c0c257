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

static void check_all(grammar_check grammar, const char *const *values, bool good)
{
	for (; *values; values++)
		check(grammar, *values, good);
}

/* What has a meaning to HAProxy, keepalived or a shell. */
static const char *const hostile[] = {"a\nbind :1", "a\r\nX: y", "a\tb", "a\x01", "a\x7f", "a b", "a\"b", "a'b", "a\\b",
	"a#b", "${HOME}", "a$b", "`id`", "%[src]", "%{+Q}o", "a{b}", "a;b", "a|b", "a&b", "a<b>", "(a)", "[a]", "a,b", "a:b",
	"a/b", "../a", "a=b", "a\xc3\xbc", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x80\xa8", "-a", "*", "", NULL};

/* Each grammar takes what it can mean of them and nothing else. */
static void test_hostile_values(void **state)
{
	static const struct {
		const char *name;
		grammar_check grammar;
		const char *taken[24];
	} rows[] = {
		{"cookie name", grammar_cookie_name, {"a'b", "a#b", "a$b", "`id`", "a|b", "a&b", "-a", "*"}},
		{"header name", grammar_header_name, {"a'b", "a#b", "a$b", "`id`", "a|b", "a&b", "-a", "*"}},
		{"header value", grammar_header_value,
			{"a\"b", "a'b", "a\\b", "a#b", "${HOME}", "a$b", "`id`", "%[src]", "%{+Q}o", "a{b}", "a;b", "a|b",
				"a&b", "a<b>", "(a)", "[a]", "a,b", "a:b", "a/b", "../a", "a=b", "-a", "*"}},
		{"cookie value", grammar_cookie_value,
			{"a'b", "a#b", "${HOME}", "a$b", "`id`", "%[src]", "%{+Q}o", "a{b}", "a|b", "a&b", "a<b>", "(a)", "[a]",
				"a,b", "a:b", "a/b", "../a", "a=b", "-a", "*"}},
		{"URL", grammar_url, {NULL}},
		{"URL path", grammar_url_path, {NULL}},
		{"stats URI", grammar_stats_uri, {NULL}},
		{"cipher list", grammar_tls_ciphers, {"a:b", "a=b", "-a"}},
		{"DN field", grammar_dn_field, {NULL}},
		{"certificate", grammar_certificate_reference, {"a/b", "../a", "-a"}},
		{"netmask", grammar_netmask, {NULL}},
		{"user name", grammar_user_name,
			{"a\"b", "a'b", "a\\b", "a#b", "${HOME}", "a$b", "`id`", "%[src]", "%{+Q}o", "a{b}", "a;b", "a|b",
				"a&b", "a<b>", "(a)", "[a]", "a,b", "a/b", "../a", "a=b", "-a", "*"}},
		{"password hash", grammar_password_hash, {NULL}},
		{"domain name", grammar_domain_name, {NULL}},
		{"expected codes", grammar_expected_codes, {NULL}},
		{"UUID", grammar_uuid, {NULL}},
		{"verify result", grammar_verify_result, {NULL}},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		for (const char *const *value = hostile; *value; value++) {
			const char *const *taken = rows[i].taken;
			bool wanted;

			while (*taken && !streq(*taken, *value))
				taken++;
			wanted = *taken != NULL;
			if ((rows[i].grammar(*value) == NULL) != wanted)
				fail_msg("%s \"%s\" is %s", rows[i].name, *value, wanted ? "refused" : "taken");
		}
}

static void test_header_values(void **state)
{
	static const char *const good[] = {"x", "a,b;c=d", "\"", "\"\"", "\"a b\"", "\" \"", "a\"b", "\"a\"b\"", NULL};
	static const char *const bad[] = {"", " ", "a ", " a", "\"a b", "a b\"", "\"a\tb\"", "\"a\xc3\xbc\"", NULL};

	(void)state;
	check_all(grammar_header_value, good, true);
	check_all(grammar_header_value, bad, false);
}

static void test_urls(void **state)
{
	static const char *const good[] = {"http://a", "https://www.example.com/", "HTTPS://a.example:443/x?y=z#f",
		"http://192.0.2.1:8080", "http://[2001:db8::1]", "http://[::1]:80/x", "http://a:", "http://user:pw%40@a/",
		"http://a?x", "http://a#x", "http://a/%7Euser/(x);y,z", NULL};
	static const char *const bad[] = {"", "a", "//a", "http:", "http:/a", "http://", "http:///x", "http://?x", "ftp://a",
		"javascript:alert(1)", "http://a b", "http://a/\r\nSet-Cookie: x", "http://a/\"x", "http://a/x\\y",
		"http://a/{x}", "http://a/%", "http://a/%2", "http://a/%zz", "http://a/%[src]", "http://a:80x", "http://a:65536",
		"http://a:+80", "http://a:-1", "http://[::1", "http://[::1]x", "http://[a]", "http://-a", "http://a..b",
		"http://a@b@c", "http://a/\xc3\xbc", "http://a/<x>", "http://a/${X}", NULL};

	(void)state;
	check_all(grammar_url, good, true);
	check_all(grammar_url, bad, false);
}

static void test_tls_words(void **state)
{
	static const char *const ciphers[] = {"HIGH:!aNULL:@SECLEVEL=2", "ECDHE+AESGCM", "TLS_AES_128_GCM_SHA256", "DEFAULT",
		NULL};
	static const char *const no_ciphers[] = {"", "A B", "A,B", "A;B", "A\nB", "A\"", "$A", NULL};
	static const char *const fields[] = {"CN", "OU", "emailAddress", "a-1", NULL};
	static const char *const no_fields[] = {"", "1", "-", "C N", "CN,1", "CN)", "a_b", "a.b", NULL};
	static const char *const results[] = {"0", "1", "10", "2147483647", NULL};
	static const char *const no_results[] = {"", "-1", "+1", " 1", "1 ", "0x1", "2147483648", "99999999999999999999", NULL};

	(void)state;
	check_all(grammar_tls_ciphers, ciphers, true);
	check_all(grammar_tls_ciphers, no_ciphers, false);
	check_all(grammar_dn_field, fields, true);
	check_all(grammar_dn_field, no_fields, false);
	check_all(grammar_verify_result, results, true);
	check_all(grammar_verify_result, no_results, false);
}

static void test_certificate_references(void **state)
{
	static const char *const good[] = {"a", "www.example.com", "A-1_2.pem",
		"https://barbican.example:9311/v1/secrets/4d1d2e07-8a2e-4d6d-8a09-6b0c2a9d1e55", "/a", "a/b", NULL};
	static const char *const bad[] = {"", ".", "..", ".a", "a/", "https://h/.hidden", "https://h/..", "a b", "a?b", "a#b",
		"https://h/a?x=1", "a\nb", "a\xc3\xbc", "h \"/a", "a\\b", NULL};
	char longest[202];

	(void)state;
	check_all(grammar_certificate_reference, good, true);
	check_all(grammar_certificate_reference, bad, false);
	memset(longest, 'a', sizeof(longest));
	longest[200] = '\0';
	check(grammar_certificate_reference, longest, true);
	longest[200] = 'a';
	longest[201] = '\0';
	check(grammar_certificate_reference, longest, false);
}

static void test_netmasks(void **state)
{
	static const char *const good[] = {"255.255.255.255", "255.255.255.0", "255.0.0.0", "128.0.0.0", "1", "64", "128", NULL};
	static const char *const bad[] = {"", "0.0.0.0", "255.0.255.0", "0.0.0.255", "192.0.2.1", "255.255.255", "0", "129", "-1",
		"+64", "64 ", "ffff::", "/24", NULL};

	(void)state;
	check_all(grammar_netmask, good, true);
	check_all(grammar_netmask, bad, false);
}

static void test_users_of_the_statistics_page(void **state)
{
	static const char *const users[] = {"admin", "a@b.example", "a-b_c", NULL};
	static const char *const no_users[] = {"", "a:b", "a b", "a\n", "\xc3\xbc", NULL};
	static const char *const hashes[] = {"$1$saltsalt$0123456789abcdefghijkl",
		"$5$rounds=5000$salt$0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", "$6$salt./$0123456789./abcdef",
		"$y$j9T$salt$0123456789abcdef", NULL};
	static const char *const no_hashes[] = {"", "secret", "$6$x", "0123456789abcdefghijkl", "$6$saltsalt$0123456789 abcdef",
		"$6$saltsalt$0123456789\nuser", "$6$saltsalt$0123456789\"abc", "$6$saltsalt$0123456789#abc", NULL};

	(void)state;
	check_all(grammar_user_name, users, true);
	check_all(grammar_user_name, no_users, false);
	check_all(grammar_password_hash, hashes, true);
	check_all(grammar_password_hash, no_hashes, false);
}

static void test_regular_expressions(void **state)
{
	static const char *const good[] = {"a", "^/api/v[0-9]+(/.*)?$", "a|b", "(?i)x", "(?:a)*", "(?#a ( comment)x", "(*UTF8)x",
		"[]a]", "[^]a]", "[[:alpha:]]", "[a[]", "[\\]]", "\\(", "\\[", "\\\\", "\\Qa(b\\Ec", "\\Q(", "a{2,3}", "a{", "}",
		"x*?", "x++", "^", "$", ".", "()", "a||b", "#${X}%[src]\"'", "\xc3\xbc", NULL};
	static const char *const bad[] = {"\\", "a\\\\\\", "[", "[a", "[]", "[^]", "[[:alpha:]", "(", "(a", "a)", "())", "(?#a",
		"*", "*a", "+a", "?a", "a|*", NULL};

	(void)state;
	check_all(grammar_regex, good, true);
	check_all(grammar_regex, bad, false);
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
		cmocka_unit_test(test_hostile_values),
		cmocka_unit_test(test_header_values),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_tls_words),
		cmocka_unit_test(test_certificate_references),
		cmocka_unit_test(test_netmasks),
		cmocka_unit_test(test_users_of_the_statistics_page),
		cmocka_unit_test(test_regular_expressions),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_networks),
	};

	return cmocka_run_group_tests_name("grammar", tests, NULL, NULL);
}
