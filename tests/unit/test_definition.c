/* SPDX-License-Identifier: Apache-2.0 */

/* Documents in, an object tree or an error out. Documents are written with ' where JSON has ". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/tree.h"
#include "agent/definition/uuid.h"
#include "tests/unit/documents.h"
#include "tests/unit/quotes.h"

static void test_refused_documents(void **state)
{
	static const struct refusal rows[] = {
		{"", ERROR_INVALID, NULL, "the body is empty"},
		{" ", ERROR_INVALID, "", "not a JSON document"},
		{"{", ERROR_INVALID, "", "line 1"},
		{"{}", ERROR_INVALID, "/loadbalancer", "is required"},
		{"[]", ERROR_INVALID, "", "must be an object"},
		{"'x'", ERROR_INVALID, "", "not a JSON document"},
		{"{'loadbalancer':{}} x", ERROR_INVALID, "", "end of file"},
		{"{'loadbalancer':null}", ERROR_INVALID, "/loadbalancer",
			"must be an object, not null"},
		{"{'loadbalancer':[]}", ERROR_INVALID, "/loadbalancer",
			"must be an object, not an array"},
		{"{'loadbalancer':{},'x/~y':1}", ERROR_INVALID, "/x~1~0y",
			"unknown field of the document"},
		{"{'loadbalancer':{},'loadbalancer':{}}", ERROR_INVALID, "", "duplicate"},
		{"{'loadbalancer':{'name':'a','name':'b'}}", ERROR_INVALID, "", "duplicate"},
		{"{'loadbalancer':{'name':'a\\u0000b'}}", ERROR_INVALID, "", "\\u0000"},
		{"{'loadbalancer':{'name':'\xff'}}", ERROR_INVALID, "", "not a JSON document"},
		{"{'loadbalancer':{'name':'\xc0\x80'}}", ERROR_INVALID, "", "not a JSON document"},
		{"{'loadbalancer':{'name':'\\ud800'}}", ERROR_INVALID, "", "not a JSON document"},
		{"{'loadbalancer':{'name':'a\nb'}}", ERROR_INVALID, "", "not a JSON document"},
		{"{'loadbalancer':{'listeners':99999999999999999999}}", ERROR_INVALID, "",
			"not a JSON document"},
		{"{'loadbalancer':{'listeners':1e999}}", ERROR_INVALID, "", "not a JSON document"},
		{"{'loadbalancer':{'tags':[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}}", ERROR_INVALID, "",
			"nested at most"},
	};

	(void)state;
	check_refused_documents(rows, ELEMENTSOF(rows));
}

/* One row a rule of the field tables (fields.c, values.c). */
static void test_refused_fields(void **state)
{
	static const struct refusal rows[] = {
		{"'nmae':'x'", ERROR_INVALID, "/loadbalancer/nmae",
			"unknown field of a loadbalancer"},
		{"'':1", ERROR_INVALID, "/loadbalancer/", "unknown field of a loadbalancer"},
		{IN_LISTENER("'a/b':1"), ERROR_INVALID, L0 "/a~1b", "unknown field of a listener"},
		{IN_POOL("'x':1"), ERROR_INVALID, P0 "/x", "unknown field of a pool"},
		{IN_MEMBER("'x':1"), ERROR_INVALID, M0 "/x", "unknown field of a member"},
		{IN_MONITOR("'x':1"), ERROR_INVALID, P0 "/healthmonitor/x",
			"unknown field of a healthmonitor"},

		{"'name':1", ERROR_INVALID, "/loadbalancer/name", "must be a string, not a number"},
		{"'name':'a\\nb'", ERROR_INVALID, "/loadbalancer/name", "control characters"},
		{"'name':'a\\u007f'", ERROR_INVALID, "/loadbalancer/name", "control characters"},
		{"'name':'a\\u0085'", ERROR_INVALID, "/loadbalancer/name", "control characters"},
		{"'description':'\\t'", ERROR_INVALID, "/loadbalancer/description",
			"control characters"},
		{"'id':'x'", ERROR_INVALID, "/loadbalancer/id", "must be a UUID in lower case"},
		{"'id':'AAAAAAAA-0000-4000-8000-00000000000A'", ERROR_INVALID, "/loadbalancer/id",
			"lower case"},
		{"'id':1", ERROR_INVALID, "/loadbalancer/id", "must be a UUID, not a number"},
		{"'id':'" ID_A "'", ERROR_INVALID, "/loadbalancer/id",
			"differs from the id in the path"},
		{"'vip_address':'localhost'", ERROR_INVALID, "/loadbalancer/vip_address",
			"IPv4 or IPv6"},
		{"'vip_address':'fe80::1%eth0'", ERROR_INVALID, "/loadbalancer/vip_address",
			"IPv4 or IPv6"},
		{"'vip_address':[]", ERROR_INVALID, "/loadbalancer/vip_address",
			"an IP address, not an array"},
		{"'vip_subnet_id':'net'", ERROR_INVALID, "/loadbalancer/vip_subnet_id",
			"must be a UUID"},
		{"'provider':'ovn'", ERROR_INVALID, "/loadbalancer/provider",
			"must be one of amphora, octavia"},
		{"'project_id':'0123456789012345678901234567890123456'", ERROR_INVALID,
			"/loadbalancer/project_id", "has 37 characters, more than the 36"},
		{"'admin_state_up':'maybe'", ERROR_INVALID, "/loadbalancer/admin_state_up",
			"true or false, not a string"},
		{"'admin_state_up':2", ERROR_INVALID, "/loadbalancer/admin_state_up",
			"true or false, not a number"},
		{"'tags':'x'", ERROR_INVALID, "/loadbalancer/tags",
			"an array of strings, not a string"},
		{"'tags':['ok',1]", ERROR_INVALID, "/loadbalancer/tags/1",
			"must be a string, not a number"},
		{"'tags':['']", ERROR_INVALID, "/loadbalancer/tags/0", "must not be empty"},
		{"'tags':['\\u0001']", ERROR_INVALID, "/loadbalancer/tags/0", "control characters"},
		{"'listeners':{}", ERROR_INVALID, "/loadbalancer/listeners",
			"must be an array, not an object"},
		{"'listeners':[null]", ERROR_INVALID, L0, "must be an object, not null"},
		{"'listeners':['x']", ERROR_INVALID, L0, "must be an object, not a string"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
}

static void test_defaults(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(
		"'name':null," IN_LISTENER("'default_pool':{" POOL ",'members':[{" MEMBER
					   "}],'healthmonitor':{'type':'HTTP'," MONITOR "}}"));
	const struct listener *listener = &lb->listeners[0];
	const struct pool *pool = &lb->pools[0];

	(void)state;
	assert_string_equal(lb->id, LB_ID);
	assert_null(lb->name);
	assert_null(lb->vip_address);
	assert_string_equal(lb->provider, "amphorad");
	assert_true(lb->admin_state_up);
	assert_true(listener->admin_state_up);
	assert_int_equal(listener->connection_limit, -1);
	assert_int_equal(listener->timeout_client_data_ms, 50001);
	assert_int_equal(listener->timeout_member_connect_ms, 5002);
	assert_int_equal(listener->timeout_member_data_ms, 50003);
	assert_int_equal(listener->timeout_tcp_inspect_ms, 4);
	assert_null(listener->allowed_cidrs);
	assert_null(listener->default_pool);
	assert_string_equal(listener->default_pool_id, pool->id);
	assert_int_equal(lb->n_pools, 1);
	assert_true(pool->admin_state_up);
	assert_null(pool->session_persistence);
	assert_int_equal(pool->members[0].weight, 1);
	assert_false(pool->members[0].backup);
	assert_true(pool->members[0].admin_state_up);
	assert_int_equal(pool->members[0].monitor_port, 0);
	assert_int_equal(pool->healthmonitor->max_retries_down, 3);
	assert_string_equal(pool->healthmonitor->http_method, "GET");
	assert_string_equal(pool->healthmonitor->url_path, "/");
	assert_string_equal(pool->healthmonitor->expected_codes, "200");
	assert_null(pool->healthmonitor->http_version);
	assert_ptr_equal(load_balancer_find_pool(lb, pool->id), pool);
	assert_null(load_balancer_find_pool(lb, ID_A));
}

/* As Octavia's clients send them. */
static void test_numbers_and_booleans_as_strings(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb =
		parse_good("'admin_state_up':'False','listeners':[{'protocol':'HTTP','protocol_"
			   "port':'8080','connection_limit':'-1',"
			   "'timeout_client_data':'+7','insert_headers':{'X-Forwarded-For':true,'X-"
			   "Forwarded-Port':'TRUE',"
			   "'X-Forwarded-Proto':'false'},'default_pool':{" POOL
			   ",'members':[{'address':'192.0.2.1','protocol_port':'1',"
			   "'weight':'0','backup':'yes'}],'healthmonitor':{'type':'HTTP','delay':'"
			   "5','timeout':'3','max_retries':'2',"
			   "'http_version':'1.1','domain_name':'a.example'}}}]");
	const struct listener *listener = &lb->listeners[0];

	(void)state;
	assert_false(lb->admin_state_up);
	assert_int_equal(listener->protocol_port, 8080);
	assert_int_equal(listener->connection_limit, -1);
	assert_int_equal(listener->timeout_client_data_ms, 7);
	assert_string_equal(
		json_string_value(json_object_get(listener->insert_headers, "X-Forwarded-For")),
		"true");
	assert_string_equal(
		json_string_value(json_object_get(listener->insert_headers, "X-Forwarded-Port")),
		"true");
	assert_string_equal(
		json_string_value(json_object_get(listener->insert_headers, "X-Forwarded-Proto")),
		"false");
	assert_int_equal(lb->pools[0].members[0].weight, 0);
	assert_true(lb->pools[0].members[0].backup);
	assert_int_equal(lb->pools[0].healthmonitor->delay_s, 5);
	assert_string_equal(lb->pools[0].healthmonitor->http_version, "1.1");
}

static void test_addresses_are_canonical(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb =
		parse_good("'vip_address':'2001:DB8:0:0::1'," IN_LISTENER(
			"'allowed_cidrs':['2001:DB8:1::1/48','::1'],'default_pool':{" POOL
			",'members':[{'address':'2001:DB8::00A','protocol_port':1}]}"));

	(void)state;
	assert_string_equal(lb->vip_address, "2001:db8::1");
	assert_string_equal(lb->listeners[0].allowed_cidrs[0], "2001:db8:1::/48");
	assert_string_equal(lb->listeners[0].allowed_cidrs[1], "::1/128");
	assert_null(lb->listeners[0].allowed_cidrs[2]);
	assert_string_equal(lb->pools[0].members[0].address, "2001:db8::a");
}

/* All that a tree has ids of, as one sorted text. */
static char *ids_of(const struct load_balancer *lb)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	const char *ids[32];
	size_t n = 0;
	char *result;

	for (size_t i = 0; i < lb->n_listeners; i++)
		ids[n++] = lb->listeners[i].id;
	for (size_t i = 0; i < lb->n_pools; i++) {
		ids[n++] = lb->pools[i].id;
		if (lb->pools[i].healthmonitor)
			ids[n++] = lb->pools[i].healthmonitor->id;
		for (size_t j = 0; j < lb->pools[i].n_members; j++)
			ids[n++] = lb->pools[i].members[j].id;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (strcmp(ids[i], ids[j]) > 0) {
				const char *swap = ids[i];

				ids[i] = ids[j];
				ids[j] = swap;
			}
	for (size_t i = 0; i < n; i++) {
		assert_true(text_is_uuid(ids[i]));
		text_printf(&text, "%s\n", ids[i]);
	}
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

#define M_A "{'name':'a','address':'192.0.2.1','protocol_port':80}"
#define M_B "{'address':'192.0.2.2','protocol_port':80}"
#define L_A(pool) "{'name':'web','protocol':'HTTP','protocol_port':80,'default_pool':{" pool "}}"
#define L_B(pool) "{'protocol':'TCP','protocol_port':81,'default_pool':{" pool "}}"
#define WATCHED(members) POOL ",'healthmonitor':{'type':'TCP'," MONITOR "},'members':[" members "]"

static void test_derived_ids_are_stable(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *one = parse_good(
		"'listeners':[" L_A(WATCHED(M_A "," M_B)) "," L_B("'name':'p'," WATCHED(M_B)) "]");
	_cleanup_load_balancer_ struct load_balancer *other = parse_good(
		"'listeners':[" L_B("'name':'p'," WATCHED(M_B)) "," L_A(WATCHED(M_B "," M_A)) "]");
	_cleanup_free_ char *ids = ids_of(one), *other_ids = ids_of(other);
	char wanted[UUID_SIZE];

	(void)state;
	assert_string_equal(ids, other_ids);
	/* The scheme is a promise: other programs compute these ids too. */
	assert_int_equal(uuid_derive(LB_ID, "listener:web", wanted), 0);
	assert_string_equal(one->listeners[0].id, wanted);
	assert_int_equal(uuid_derive(LB_ID, "listener-at:TCP:81", wanted), 0);
	assert_string_equal(one->listeners[1].id, wanted);
	assert_int_equal(uuid_derive(LB_ID, "pool:p", wanted), 0);
	assert_string_equal(one->pools[1].id, wanted);
	assert_int_equal(uuid_derive(one->pools[0].id, "member:a", wanted), 0);
	assert_string_equal(one->pools[0].members[0].id, wanted);
	assert_int_equal(uuid_derive(one->pools[0].id, "member-at:192.0.2.2|80", wanted), 0);
	assert_string_equal(one->pools[0].members[1].id, wanted);
	assert_string_not_equal(one->pools[0].members[1].id, one->pools[1].members[0].id);
	assert_string_not_equal(one->pools[0].healthmonitor->id, one->pools[1].healthmonitor->id);
}

static void test_refused_vips_and_pages(void **state)
{
	static const struct refusal rows[] = {
		{"'additional_vips':[{}]", ERROR_INVALID, "/loadbalancer/additional_vips/0/ip_address", "is required"},
		{"'vip_address':'192.0.2.1','additional_vips':[{'ip_address':'192.0.2.1'}]", ERROR_CONFLICT,
			"/loadbalancer/additional_vips/0/ip_address", "is the VIP itself"},
		{"'additional_vips':[{'ip_address':'::1'},{'ip_address':'0::1'}]", ERROR_CONFLICT,
			"/loadbalancer/additional_vips/1/ip_address", "is there twice"},
		{"'vip_subnet_id':'" ID_A "','additional_vips':[{'ip_address':'::1','subnet_id':'" ID_A "'}]", ERROR_INVALID,
			"/loadbalancer/additional_vips/0/subnet_id", "Duplicate VIP subnet(s)"},
		{"'additional_vips':[{'ip_address':'::1','subnet_id':'" ID_A "'},{'ip_address':'::2','subnet_id':'" ID_A "'}]",
			ERROR_INVALID, "/loadbalancer/additional_vips/1/subnet_id", "Duplicate VIP subnet(s)"},
		{"'vip_sg_ids':['x']", ERROR_INVALID, "/loadbalancer/vip_sg_ids/0", "must be a UUID"},
		{"'max_old_workers':0", ERROR_INVALID, "/loadbalancer/max_old_workers", "0 is not between 1"},
		{"'hard_stop_after_s':0", ERROR_INVALID, "/loadbalancer/hard_stop_after_s", "0 is not between 1"},
		{"'stats_page':{}", ERROR_INVALID, "/loadbalancer/stats_page/port", "is required"},
		{"'stats_page':{'port':1,'uri':'/a?b'}", ERROR_INVALID, "/loadbalancer/stats_page/uri", "without a query"},
		{"'stats_page':{'port':1,'password_hash':'$5$saltsalt$0123456789abcdefghij'}", ERROR_INVALID,
			"/loadbalancer/stats_page/username", "is required with a password_hash"},
		{"'stats_page':{'port':1,'username':'u','password_hash':'secret'}", ERROR_INVALID,
			"/loadbalancer/stats_page/password_hash", "crypt(3)"},
		{"'stats_page':{'port':80}," IN_LISTENER("'name':'x'"), ERROR_CONFLICT, "/loadbalancer/stats_page/port",
			L0 "/protocol_port"},
		{"'vip_address':'192.0.2.1','additional_vips':[{'ip_address':'::1'}],'stats_page':{'address':'::1','port':80},"
			IN_LISTENER("'name':'x'"), ERROR_CONFLICT, "/loadbalancer/stats_page/port", L0 "/protocol_port"},
		{"'vip_address':'192.0.2.1','stats_page':{'address':'0.0.0.0','port':80}," IN_LISTENER("'name':'x'"),
			ERROR_CONFLICT, "/loadbalancer/stats_page/port", L0 "/protocol_port"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_good("'vip_address':'192.0.2.1','stats_page':{'address':'127.0.0.1','port':80}," IN_LISTENER("'name':'x'"));
	assert_good("'stats_page':{'port':53},'listeners':[{'protocol':'UDP','protocol_port':53}]");
}

static void test_references(void **state)
{
	struct load_balancer *lb = parse_good("'name':'n'");

	(void)state;
	assert_int_equal(lb->references, 1);
	assert_ptr_equal(load_balancer_ref(lb), lb);
	load_balancer_unref(lb);
	assert_int_equal(lb->references, 1);
	assert_string_equal(lb->name, "n");
	load_balancer_unref(lb);
	load_balancer_unref(NULL);
	assert_null(load_balancer_ref(NULL));
}

/* "unit" (with one %zu if it counts) "n" times. */
static char *repeat(const char *before, const char *unit, size_t n, const char *after)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	text_append(&text, before);
	for (size_t i = 0; i < n; i++) {
		const char *mark = strchr(unit, '@');

		text_append(&text, i ? "," : "");
		if (mark) {
			text_append_bytes(&text, unit, (size_t)(mark - unit));
			text_printf(&text, "%zu%s", i + 1, mark + 1);
		} else {
			text_append(&text, unit);
		}
	}
	text_append(&text, after);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void test_limits(void **state)
{
	static const struct {
		const char *before, *unit, *after;
		size_t limit;
		enum error_code code;
		const char *pointer;
	} rows[] = {
		{"'listeners':[", "{'protocol':'TCP','protocol_port':@}", "]", LIMIT_LISTENERS,
			ERROR_TOO_LARGE, "/loadbalancer/listeners"},
		{"'pools':[", "{'name':'@'," POOL "}", "]", LIMIT_POOLS, ERROR_TOO_LARGE,
			"/loadbalancer/pools"},
		{"'pools':[{'name':'p'," POOL ",'members':[",
			"{'address':'192.0.2.1','protocol_port':@}", "]}]", LIMIT_MEMBERS_PER_POOL,
			ERROR_TOO_LARGE, P0 "/members"},
		{"'listeners':[{" LISTENER ",'allowed_cidrs':[", "'10.0.0.0/8'", "]}]",
			LIMIT_CIDRS_PER_LISTENER, ERROR_TOO_LARGE, L0 "/allowed_cidrs"},
		{"'tags':[", "'@'", "]", LIMIT_TAGS, ERROR_TOO_LARGE, "/loadbalancer/tags"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *full =
			repeat(rows[i].before, rows[i].unit, rows[i].limit, rows[i].after);
		_cleanup_free_ char *over =
			repeat(rows[i].before, rows[i].unit, rows[i].limit + 1, rows[i].after);
		_cleanup_load_balancer_ struct load_balancer *none = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;

		load_balancer_unref(parse_good(full));
		assert_int_equal(parse(over, &none, &err), error_code_to_errno(rows[i].code));
		assert_string_equal(err.pointer, rows[i].pointer);
		assert_null(none);
	}
}

/* Lengths count characters, not bytes. */
static void test_length_of_strings(void **state)
{
	_cleanup_text_ struct text name = TEXT_INIT;
	_cleanup_load_balancer_ struct load_balancer *lb = NULL, *none = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	(void)state;
	text_append(&name, "'name':'");
	for (int i = 0; i < LIMIT_NAME; i++)
		text_append(&name, "\xe2\x82\xac");
	text_append(&name, "'");
	lb = parse_good(text_peek(&name));
	assert_int_equal(strlen(lb->name), 3 * LIMIT_NAME);
	text_truncate(&name, name.length - 1);
	text_append(&name, "x'");
	assert_int_equal(parse(text_peek(&name), &none, &err), -EINVAL);
	assert_non_null(strstr(error_message(&err), "has 256 characters, more than the 255"));
}

static void test_nested_pools_count_too(void **state)
{
	_cleanup_free_ char *text =
		repeat("'listeners':[{" LISTENER ",'default_pool':{" POOL "}}],'pools':[",
			"{'name':'@'," POOL "}", LIMIT_POOLS, "]");
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(parse(text, &lb, &err), -EFBIG);
	assert_string_equal(err.pointer, L0 "/default_pool");
}

static void test_body_too_large(void **state)
{
	size_t length = LIMIT_BODY_BYTES + 1;
	_cleanup_free_ char *body = malloc(length);
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	(void)state;
	assert_non_null(body);
	memset(body, ' ', length);
	assert_int_equal(parse_raw(body, length, &lb, &err), -EFBIG);
	assert_int_equal(err.code, ERROR_TOO_LARGE);
	memcpy(body, "{\"loadbalancer\":{}}", 19);
	assert_int_equal(parse_raw(body, LIMIT_BODY_BYTES, &lb, NULL), 0);
}

static void test_depth_of_hostile_documents(void **state)
{
	static const char *const openings[] = {"[", "{\"loadbalancer\":", "{\"a\":["};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(openings); i++) {
		_cleanup_text_ struct text body = TEXT_INIT;
		_cleanup_load_balancer_ struct load_balancer *lb = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;

		for (int depth = 0; depth < 200000; depth++)
			text_append(&body, openings[i]);
		assert_int_equal(parse_raw(text_peek(&body), body.length, &lb, &err), -EINVAL);
		assert_int_equal(err.code, ERROR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_documents),
		cmocka_unit_test(test_refused_fields),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_numbers_and_booleans_as_strings),
		cmocka_unit_test(test_addresses_are_canonical),
		cmocka_unit_test(test_derived_ids_are_stable),
		cmocka_unit_test(test_refused_vips_and_pages),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_length_of_strings),
		cmocka_unit_test(test_nested_pools_count_too),
		cmocka_unit_test(test_body_too_large),
		cmocka_unit_test(test_depth_of_hostile_documents),
	};

	return cmocka_run_group_tests_name("definition", tests, NULL, NULL);
}
