/* SPDX-License-Identifier: Apache-2.0 */

/* L7 policies and their rules. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/uuid.h"
#include "tests/unit/documents.h"

/* octavia/common/validate.py, sanitize_l7policy_api_args(). */
static void test_refused_policies(void **state)
{
	static const struct refusal rows[] = {
		{IN_POLICY("'name':'x'"), ERROR_INVALID, POLICY0 "/action", "is required"},
		{IN_POLICY("'action':'DENY'"), ERROR_INVALID, POLICY0 "/action",
			"must be one of REJECT, REDIRECT_TO_POOL, REDIRECT_TO_URL, REDIRECT_PREFIX"},
		{IN_POLICY(POLICY ",'x':1"), ERROR_INVALID, POLICY0 "/x", "unknown field of a l7policy"},
		{IN_POLICY(POLICY ",'position':0"), ERROR_INVALID, POLICY0 "/position", "0 is not between 1 and 2147483647"},
		{IN_POLICY("'action':'REDIRECT_TO_URL'"), ERROR_INVALID, POLICY0 "/redirect_url", "is required"},
		{IN_POLICY("'action':'REDIRECT_PREFIX'"), ERROR_INVALID, POLICY0 "/redirect_prefix", "is required"},
		{IN_POLICY("'action':'REDIRECT_TO_POOL'"), ERROR_INVALID, POLICY0 "/redirect_pool_id", "is required"},
		{IN_POLICY(POLICY ",'redirect_url':'http://a'"), ERROR_INVALID, POLICY0 "/redirect_url",
			"not allowed with action REJECT"},
		{IN_POLICY("'action':'REDIRECT_TO_URL','redirect_url':'http://a','redirect_prefix':'http://a'"),
			ERROR_INVALID, POLICY0 "/redirect_prefix", "not allowed"},
		{IN_POLICY("'action':'REDIRECT_TO_URL','redirect_url':'http://a','redirect_pool_id':'" ID_A "'"),
			ERROR_INVALID, POLICY0 "/redirect_pool_id", "not allowed"},
		{IN_POLICY(POLICY ",'redirect_http_code':302"), ERROR_INVALID, POLICY0 "/redirect_http_code", "not allowed"},
		{IN_POLICY("'action':'REDIRECT_TO_URL','redirect_url':'http://a','redirect_http_code':300"), ERROR_INVALID,
			POLICY0 "/redirect_http_code", "300 is not between"},
		{IN_POLICY("'action':'REDIRECT_TO_URL','redirect_url':'http://a','redirect_http_code':304"), ERROR_INVALID,
			POLICY0 "/redirect_http_code", "must be one of 301, 302, 303, 307, 308"},
		{IN_POLICY("'action':'REDIRECT_TO_URL','redirect_url':'/path'"), ERROR_INVALID, POLICY0 "/redirect_url",
			"must be a URL"},
		{IN_POLICY("'action':'REDIRECT_PREFIX','redirect_prefix':'ftp://a'"), ERROR_INVALID,
			POLICY0 "/redirect_prefix", "must be a URL"},
		{IN_POLICY("'action':'REDIRECT_TO_POOL','redirect_pool_id':'" ID_A "'"), ERROR_INVALID,
			POLICY0 "/redirect_pool_id", "no such pool"},
		{IN_POLICY("'action':'REDIRECT_TO_POOL','redirect_pool':{'name':'x'}"), ERROR_INVALID,
			POLICY0 "/redirect_pool", "no pool of that name"},
		{IN_POLICY("'action':'REDIRECT_TO_POOL','redirect_pool_id':'" ID_A "','redirect_pool':{'name':'x'}"),
			ERROR_INVALID, POLICY0 "/redirect_pool", "must not be given together"},
		{IN_POLICY("'action':'REDIRECT_TO_POOL','redirect_pool':{'protocol':'TCP','lb_algorithm':'ROUND_ROBIN'}"),
			ERROR_INVALID, POLICY0 "/redirect_pool", "'TCP' is invalid while the listener protocol is 'HTTP'"},
		{IN_LISTENER("'l7policies':[{'name':'a'," POLICY "},{'name':'a'," POLICY "}]"), ERROR_CONFLICT,
			L0 "/l7policies/1/id", POLICY0 "/id"},
		{"'listeners':[{'protocol':'TCP','protocol_port':1,'l7policies':[{" POLICY "}]}]", ERROR_UNSUPPORTED,
			L0 "/l7policies", "TCP protocol listeners do not support L7 policies"},
		{"'listeners':[{'protocol':'PROMETHEUS','protocol_port':1,'l7policies':[{" POLICY "}]}]", ERROR_INVALID,
			L0 "/l7policies", "PROMETHEUS listeners can not have child objects"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
}

static void test_policies(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good("'pools':[{'id':'" ID_A "'," POOL "}]," IN_LISTENER(
		"'l7policies':[{'action':'REDIRECT_TO_URL','redirect_url':'https://a.example/x?y=1#z'},"
		"{'action':'REDIRECT_PREFIX','redirect_prefix':'http://[2001:db8::1]:8080','redirect_http_code':'308'},"
		"{'action':'REDIRECT_TO_POOL','redirect_pool_id':'" ID_A "'},"
		"{'action':'REDIRECT_TO_POOL','redirect_pool':{" POOL ",'members':[{" MEMBER "}]},'admin_state_up':false},"
		"{'action':'REJECT','description':'d','tags':['t']}]"));
	const struct l7policy *p = lb->listeners[0].l7policies;

	(void)state;
	assert_int_equal(lb->listeners[0].n_l7policies, 5);
	assert_int_equal(p[0].redirect_http_code, 302);
	assert_int_equal(p[1].redirect_http_code, 308);
	assert_string_equal(p[2].redirect_pool_id, ID_A);
	assert_int_equal(p[2].redirect_http_code, 0);
	assert_int_equal(lb->n_pools, 2);
	assert_string_equal(p[3].redirect_pool_id, lb->pools[1].id);
	assert_int_equal(lb->pools[1].n_members, 1);
	assert_false(p[3].admin_state_up);
	assert_int_equal(p[4].position, 5);
}

/* Octavia inserts one after the other, each before the one that has its place. */
static void test_positions(void **state)
{
	static const struct {
		int positions[5];
		const char *order;
	} rows[] = {
		{{1, 2, 3, 4, 5}, "abcde"},
		{{5, 4, 3, 2, 1}, "eadbc"},
		{{1, 1, 1, 1, 1}, "edcba"},
		{{2, 1, 2, 1, 2}, "debca"},
		{{9, 9, 9, 9, 9}, "abcde"},
		{{0, 0, 1, 0, 2}, "ceabd"}, /* 0: none given */
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_load_balancer_ struct load_balancer *lb = NULL;
		_cleanup_text_ struct text text = TEXT_INIT;
		char order[6] = "";

		text_append(&text, "'listeners':[{" LISTENER ",'l7policies':[");
		for (int j = 0; j < 5; j++) {
			text_printf(&text, "%s{'name':'%c'," POLICY, j ? "," : "", 'a' + j);
			if (rows[i].positions[j])
				text_printf(&text, ",'position':%d", rows[i].positions[j]);
			text_append(&text, "}");
		}
		text_append(&text, "]}]");
		lb = parse_good(text_peek(&text));
		for (size_t j = 0; j < 5; j++) {
			order[j] = lb->listeners[0].l7policies[j].name[0];
			assert_int_equal(lb->listeners[0].l7policies[j].position, j + 1);
		}
		assert_string_equal(order, rows[i].order);
		check_fixed_point(text_peek(&text));
	}
}

#define RULE_OF(type, compare, value) \
	IN_RULE("'type':'" type "','compare_type':'" compare "','value':'" value "'")
#define KEYED(type, compare, key, value) \
	IN_RULE("'type':'" type "','compare_type':'" compare "','key':'" key "','value':'" value "'")

/* octavia/common/validate.py, l7rule_data(). */
static void test_refused_rules(void **state)
{
	static const struct refusal rows[] = {
		{IN_RULE("'compare_type':'REGEX','value':'x'"), ERROR_INVALID, RULE0 "/type", "is required"},
		{IN_RULE("'type':'PATH','value':'x'"), ERROR_INVALID, RULE0 "/compare_type", "is required"},
		{IN_RULE("'type':'PATH','compare_type':'REGEX'"), ERROR_INVALID, RULE0 "/value", "is required"},
		{RULE_OF("PATH", "REGEX", ""), ERROR_INVALID, RULE0 "/value", "must not be empty"},
		{RULE_OF("URL", "REGEX", "x"), ERROR_INVALID, RULE0 "/type", "must be one of HOST_NAME, PATH"},
		{RULE_OF("PATH", "LIKE", "x"), ERROR_INVALID, RULE0 "/compare_type", "must be one of REGEX, STARTS_WITH"},
		{RULE_OF("HEADER", "EQUAL_TO", "x"), ERROR_INVALID, RULE0 "/key", "is required with type HEADER"},
		{RULE_OF("COOKIE", "EQUAL_TO", "x"), ERROR_INVALID, RULE0 "/key", "is required with type COOKIE"},
		{RULE_OF("SSL_DN_FIELD", "EQUAL_TO", "x"), ERROR_INVALID, RULE0 "/key", "is required"},
		{KEYED("HEADER", "EQUAL_TO", "", "x"), ERROR_INVALID, RULE0 "/key", "is required"},
		{KEYED("PATH", "EQUAL_TO", "k", "x"), ERROR_INVALID, RULE0 "/key", "does not use the \"key\" field"},
		{KEYED("SSL_CONN_HAS_CERT", "EQUAL_TO", "k", "True"), ERROR_INVALID, RULE0 "/key", "does not use"},
		{KEYED("HEADER", "EQUAL_TO", "X Y", "x"), ERROR_INVALID, RULE0 "/key", "must be an HTTP token"},
		{KEYED("HEADER", "EQUAL_TO", "a),b(", "x"), ERROR_INVALID, RULE0 "/key", "must be an HTTP token"},
		{KEYED("COOKIE", "EQUAL_TO", "a,b", "x"), ERROR_INVALID, RULE0 "/key", "must be an HTTP token"},
		{KEYED("SSL_DN_FIELD", "EQUAL_TO", "1CN", "x"), ERROR_INVALID, RULE0 "/key", "must be the name of a field"},
		{KEYED("HEADER", "EQUAL_TO", "X", "a b"), ERROR_INVALID, RULE0 "/value", "must be visible ASCII"},
		{KEYED("COOKIE", "CONTAINS", "X", "a;b"), ERROR_INVALID, RULE0 "/value", "must be letters, digits"},
		{RULE_OF("HOST_NAME", "ENDS_WITH", "b\u00fc"), ERROR_INVALID, RULE0 "/value", "must be visible ASCII"},
		{RULE_OF("PATH", "REGEX", "a\\n\\u000a"), ERROR_INVALID, RULE0 "/value", "control characters"},
		{RULE_OF("PATH", "REGEX", "("), ERROR_INVALID, RULE0 "/value", "must be a regular expression"},
		{KEYED("SSL_DN_FIELD", "REGEX", "CN", "*a"), ERROR_INVALID, RULE0 "/value", "must be a regular expression"},
		{RULE_OF("FILE_TYPE", "STARTS_WITH", "x"), ERROR_INVALID, RULE0 "/compare_type", "invalid comparison type"},
		{RULE_OF("FILE_TYPE", "CONTAINS", "x"), ERROR_INVALID, RULE0 "/compare_type", "invalid comparison type"},
		{RULE_OF("SSL_CONN_HAS_CERT", "REGEX", "True"), ERROR_INVALID, RULE0 "/compare_type", "invalid comparison"},
		{RULE_OF("SSL_VERIFY_RESULT", "STARTS_WITH", "1"), ERROR_INVALID, RULE0 "/compare_type",
			"invalid comparison"},
		{RULE_OF("SSL_CONN_HAS_CERT", "EQUAL_TO", "False"), ERROR_INVALID, RULE0 "/value", "must be True"},
		{RULE_OF("SSL_VERIFY_RESULT", "EQUAL_TO", "-1"), ERROR_INVALID, RULE0 "/value", "must be an integer"},
		{RULE_OF("SSL_VERIFY_RESULT", "EQUAL_TO", "+1"), ERROR_INVALID, RULE0 "/value", "must be an integer"},
		{RULE_OF("SSL_VERIFY_RESULT", "EQUAL_TO", "1 or 2"), ERROR_INVALID, RULE0 "/value", "must be an integer"},
		{IN_POLICY(POLICY ",'rules':[{'id':'" ID_A "'," RULE "},{'id':'" ID_A "'," RULE "}]"), ERROR_CONFLICT,
			POLICY0 "/rules/1/id", RULE0 "/id"},
		{IN_POLICY("'id':'" ID_A "'," POLICY ",'rules':[{'id':'" ID_A "'," RULE "}]"), ERROR_CONFLICT, RULE0 "/id",
			POLICY0 "/id"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
}

static void test_rules(void **state)
{
	static const char *const good[] = {
		RULE_OF("HOST_NAME", "EQUAL_TO", "www.example.com"),
		RULE_OF("HOST_NAME", "REGEX", "^(a|b)[.]example$"),
		RULE_OF("PATH", "STARTS_WITH", "/a#b%c\\\\${X}%[src]"),
		RULE_OF("FILE_TYPE", "EQUAL_TO", "jpg"),
		RULE_OF("FILE_TYPE", "REGEX", "jpe?g"),
		KEYED("HEADER", "CONTAINS", "X-Y", "\\\"a b\\\""),
		KEYED("COOKIE", "ENDS_WITH", "id", "a,b"),
		RULE_OF("SSL_CONN_HAS_CERT", "EQUAL_TO", "tRuE"),
		RULE_OF("SSL_VERIFY_RESULT", "EQUAL_TO", "18"),
		KEYED("SSL_DN_FIELD", "STARTS_WITH", "CN", "J\u00fcrgen M"),
		IN_RULE(RULE ",'key':'','invert':'true','admin_state_up':false,'tags':['x']"),
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		check_fixed_point(good[i]);
}

/* The scheme is a promise, as of listeners and pools. */
static void test_derived_ids(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good("'listeners':[{'id':'" ID_A "'," LISTENER
		",'l7policies':[{'name':'n'," POLICY ",'rules':[{" RULE "},{" RULE "},{" RULE ",'invert':true},"
		"{'type':'HEADER','compare_type':'REGEX','key':'X','value':'y z'}]},{" POLICY "}]}]");
	const struct l7policy *policies = lb->listeners[0].l7policies;
	static const char *const names[] = {"rule:PATH STARTS_WITH  /x", "rule:PATH STARTS_WITH  /x\n2",
		"rule:PATH STARTS_WITH not  /x", "rule:HEADER REGEX X y z"};
	char wanted[UUID_SIZE];

	(void)state;
	assert_int_equal(uuid_derive(ID_A, "l7policy:n", wanted), 0);
	assert_string_equal(policies[0].id, wanted);
	assert_int_equal(uuid_derive(ID_A, "l7policy-at:2", wanted), 0);
	assert_string_equal(policies[1].id, wanted);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		assert_int_equal(uuid_derive(policies[0].id, names[i], wanted), 0);
		assert_string_equal(policies[0].rules[i].id, wanted);
	}
}

/* Of whatever a rule may say: a key and a value of the most characters, each of the value in four bytes. */
static void test_longest_derived_id(void **state)
{
	_cleanup_text_ struct text value = TEXT_INIT, key = TEXT_INIT, document = TEXT_INIT, said = TEXT_INIT;
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	const struct l7policy *policy;
	char wanted[UUID_SIZE];

	(void)state;
	for (size_t i = 0; i < LIMIT_NAME; i++) {
		text_append_char(&key, 'k');
		text_append(&value, "\U0001f600");
	}
	text_printf(&document, "'listeners':[{" LISTENER ",'l7policies':[{" POLICY
		",'rules':[{'type':'HEADER','compare_type':'REGEX','invert':true,'key':'%s','value':'%s'}]}]}]",
		text_peek(&key), text_peek(&value));
	text_printf(&said, "rule:HEADER REGEX not %s %s", text_peek(&key), text_peek(&value));
	lb = parse_good(text_peek(&document));
	policy = &lb->listeners[0].l7policies[0];
	assert_int_equal(uuid_derive(policy->id, text_peek(&said), wanted), 0);
	assert_string_equal(policy->rules[0].id, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_policies),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_refused_rules),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_derived_ids),
		cmocka_unit_test(test_longest_derived_id),
	};

	return cmocka_run_group_tests_name("definition_l7", tests, NULL, NULL);
}
