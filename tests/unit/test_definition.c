/* SPDX-License-Identifier: Apache-2.0 */

/* Documents in, an object tree or an error out. Documents are written with ' where JSON has ". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/model.h"
#include "agent/definition/uuid.h"

#define LB_ID "11111111-2222-4333-8444-555555555555"
#define ID_A "aaaaaaaa-0000-4000-8000-00000000000a"
#define ID_B "bbbbbbbb-0000-4000-8000-00000000000b"

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50001,
	.timeout_member_connect_ms = 5002,
	.timeout_member_data_ms = 50003,
	.timeout_tcp_inspect_ms = 4};

static int parse_raw(const char *body, size_t length, struct load_balancer **ret, struct error *err)
{
	return definition_parse(LB_ID, body, length, &defaults, ret, err);
}

static char *with_quotes(const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

static int parse_document(const char *text, struct load_balancer **ret, struct error *err)
{
	_cleanup_free_ char *body = with_quotes(text);

	return parse_raw(body, strlen(body), ret, err);
}

/* "text" is what stands between the braces of the load balancer. */
static int parse(const char *text, struct load_balancer **ret, struct error *err)
{
	_cleanup_free_ char *document = NULL;

	assert_true(asprintf(&document, "{'loadbalancer':{%s}}", text) > 0);
	return parse_document(document, ret, err);
}

static struct load_balancer *parse_good(const char *text)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct load_balancer *lb = NULL;

	if (parse(text, &lb, &err) != 0)
		fail_msg("%s\n%s: %s", text, err.pointer, error_message(&err));
	assert_null(err.message);
	return lb;
}

struct refusal {
	const char *document;
	enum error_code code;
	const char *pointer;
	const char *words; /* part of the message */
};

static void check_refusal(
	const struct refusal *row, int r, const struct load_balancer *lb, const struct error *err)
{
	if (r != error_code_to_errno(row->code) || err->code != row->code || lb ||
		!streq_null(err->pointer, row->pointer) || !strstr(error_message(err), row->words))
		fail_msg("%s\n  wanted %d at %s: %s\n  got %d (%d) at %s: %s", row->document,
			row->code, row->pointer ? row->pointer : "nowhere", row->words, err->code,
			r, err->pointer ? err->pointer : "nowhere", error_message(err));
}

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
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_load_balancer_ struct load_balancer *lb = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		int r = parse_document(rows[i].document, &lb, &err);

		check_refusal(&rows[i], r, lb, &err);
	}
}

#define LISTENER "'protocol':'HTTP','protocol_port':80"
#define POOL "'protocol':'HTTP','lb_algorithm':'ROUND_ROBIN'"
#define MEMBER "'address':'192.0.2.1','protocol_port':80"
#define MONITOR "'delay':5,'timeout':3,'max_retries':2"
#define IN_LISTENER(text) "'listeners':[{" LISTENER "," text "}]"
#define IN_POOL(text) "'pools':[{'name':'p'," POOL "," text "}]"
#define IN_MEMBER(text) IN_POOL("'members':[{" MEMBER "," text "}]")
#define IN_MONITOR(text) IN_POOL("'healthmonitor':{" MONITOR "," text "}")
#define L0 "/loadbalancer/listeners/0"
#define L1 "/loadbalancer/listeners/1"
#define P0 "/loadbalancer/pools/0"
#define P1 "/loadbalancer/pools/1"
#define M0 P0 "/members/0"

/* One row a rule of the field tables (fields.c, document.c). */
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

		{"'listeners':[{'protocol':'TCP'}]", ERROR_INVALID, L0 "/protocol_port",
			"is required"},
		{"'listeners':[{'protocol_port':1}]", ERROR_INVALID, L0 "/protocol", "is required"},
		{"'listeners':[{'protocol':null,'protocol_port':1}]", ERROR_INVALID, L0 "/protocol",
			"is required"},
		{"'listeners':[{'protocol':'tcp','protocol_port':1}]", ERROR_INVALID,
			L0 "/protocol", "must be one of TCP, HTTP"},
		{"'listeners':[{'protocol':1,'protocol_port':1}]", ERROR_INVALID, L0 "/protocol",
			"must be one of"},
		{"'listeners':[{'protocol':'TCP','protocol_port':0}]", ERROR_INVALID,
			L0 "/protocol_port", "0 is not between 1 and 65535"},
		{"'listeners':[{'protocol':'TCP','protocol_port':65536}]", ERROR_INVALID,
			L0 "/protocol_port", "65536 is not between"},
		{"'listeners':[{'protocol':'TCP','protocol_port':80.5}]", ERROR_INVALID,
			L0 "/protocol_port", "must be an integer, not a number"},
		{"'listeners':[{'protocol':'TCP','protocol_port':' 80'}]", ERROR_INVALID,
			L0 "/protocol_port", "must be an integer"},
		{"'listeners':[{'protocol':'TCP','protocol_port':'80x'}]", ERROR_INVALID,
			L0 "/protocol_port", "must be an integer"},
		{"'listeners':[{'protocol':'TCP','protocol_port':'99999999999999999999'}]",
			ERROR_INVALID, L0 "/protocol_port", "must be an integer"},
		{"'listeners':[{'protocol':'TCP','protocol_port':true}]", ERROR_INVALID,
			L0 "/protocol_port", "must be an integer, not a boolean"},
		{IN_LISTENER("'connection_limit':-2"), ERROR_INVALID, L0 "/connection_limit",
			"-2 is not between -1"},
		{IN_LISTENER("'connection_limit':1000001"), ERROR_INVALID, L0 "/connection_limit",
			"1000000"},
		{IN_LISTENER("'timeout_client_data':-1"), ERROR_INVALID, L0 "/timeout_client_data",
			"-1 is not between 0"},
		{IN_LISTENER("'timeout_member_data':2073600001"), ERROR_INVALID,
			L0 "/timeout_member_data", "2073600000"},
		{IN_LISTENER("'insert_headers':[]"), ERROR_INVALID, L0 "/insert_headers",
			"must be an object"},
		{IN_LISTENER("'insert_headers':{'X-Evil':true}"), ERROR_INVALID,
			L0 "/insert_headers/X-Evil", "X-Forwarded-For"},
		{IN_LISTENER("'insert_headers':{'X-Forwarded-For':'x'}"), ERROR_INVALID,
			L0 "/insert_headers/X-Forwarded-For", "true or false"},
		{IN_LISTENER("'allowed_cidrs':'10.0.0.0/8'"), ERROR_INVALID, L0 "/allowed_cidrs",
			"an array of networks"},
		{IN_LISTENER("'allowed_cidrs':['10.0.0.0/8','10.0.0.0/33']"), ERROR_INVALID,
			L0 "/allowed_cidrs/1", "must be a network"},
		{IN_LISTENER("'allowed_cidrs':[1]"), ERROR_INVALID, L0 "/allowed_cidrs/0",
			"must be a network"},
		{IN_LISTENER("'default_pool':'p'"), ERROR_INVALID, L0 "/default_pool",
			"must be an object"},
		{IN_LISTENER("'default_pool_id':'p'"), ERROR_INVALID, L0 "/default_pool_id",
			"must be a UUID"},

		{IN_POOL("'session_persistence':{}"), ERROR_INVALID, P0 "/session_persistence/type",
			"is required"},
		{IN_POOL("'session_persistence':{'type':'X'}"), ERROR_INVALID,
			P0 "/session_persistence/type",
			"must be one of SOURCE_IP, HTTP_COOKIE, APP_COOKIE"},
		{IN_POOL("'session_persistence':{'type':'APP_COOKIE','cookie_name':'a b'}"),
			ERROR_INVALID, P0 "/session_persistence/cookie_name",
			"must be an HTTP token"},
		{IN_POOL("'session_persistence':{'type':'APP_COOKIE','cookie_name':''}"),
			ERROR_INVALID, P0 "/session_persistence/cookie_name", "must not be empty"},
		{IN_POOL("'members':[{'protocol_port':1}]"), ERROR_INVALID, M0 "/address",
			"is required"},
		{IN_POOL("'members':[{'address':'192.0.2.1'}]"), ERROR_INVALID, M0 "/protocol_port",
			"is required"},
		{IN_MEMBER("'weight':257"), ERROR_INVALID, M0 "/weight",
			"257 is not between 0 and 256"},
		{IN_MEMBER("'weight':-1"), ERROR_INVALID, M0 "/weight",
			"-1 is not between 0 and 256"},
		{IN_MEMBER("'backup':'perhaps'"), ERROR_INVALID, M0 "/backup", "true or false"},
		{IN_MEMBER("'monitor_port':0"), ERROR_INVALID, M0 "/monitor_port",
			"0 is not between 1 and 65535"},
		{IN_MEMBER("'monitor_address':'x'"), ERROR_INVALID, M0 "/monitor_address",
			"IPv4 or IPv6"},

		{IN_POOL("'healthmonitor':{" MONITOR "}"), ERROR_INVALID, P0 "/healthmonitor/type",
			"is required"},
		{IN_POOL("'healthmonitor':{'type':'TCP','timeout':1,'max_retries':1}"),
			ERROR_INVALID, P0 "/healthmonitor/delay", "is required"},
		{IN_POOL("'healthmonitor':{'type':'TCP','delay':0,'timeout':1,'max_retries':1}"),
			ERROR_INVALID, P0 "/healthmonitor/delay", "0 is not between 1"},
		{IN_POOL("'healthmonitor':{'type':'TCP','delay':1,'timeout':1,'max_retries':11}"),
			ERROR_INVALID, P0 "/healthmonitor/max_retries",
			"11 is not between 1 and 10"},
		{IN_MONITOR("'type':'TCP','max_retries_down':0"), ERROR_INVALID,
			P0 "/healthmonitor/max_retries_down", "0 is not between"},
		{IN_MONITOR("'type':'UDP-CONNECT'"), ERROR_INVALID, P0 "/healthmonitor/type",
			"must be one of TCP, HTTP, PING"},
		{IN_MONITOR("'type':'HTTP','http_method':'get'"), ERROR_INVALID,
			P0 "/healthmonitor/http_method", "must be one of GET, HEAD"},
		{IN_MONITOR("'type':'HTTP','url_path':'x'"), ERROR_INVALID,
			P0 "/healthmonitor/url_path", "must be a URL path"},
		{IN_MONITOR("'type':'HTTP','url_path':'/a b'"), ERROR_INVALID,
			P0 "/healthmonitor/url_path", "must be a URL path"},
		{IN_MONITOR("'type':'HTTP','expected_codes':'99'"), ERROR_INVALID,
			P0 "/healthmonitor/expected_codes", "must be a status code"},
		{IN_MONITOR("'type':'HTTP','http_version':'2'"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "must be one of 1.0, 1.1"},
		{IN_MONITOR("'type':'HTTP','http_version':1.14"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "must be one of 1.0, 1.1"},
		{IN_MONITOR("'type':'HTTP','http_version':1e300"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "must be one of 1.0, 1.1"},
		{IN_MONITOR("'type':'HTTP','http_version':[]"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "must be one of 1.0, 1.1"},
		{IN_MONITOR("'type':'HTTP','domain_name':'-x'"), ERROR_INVALID,
			P0 "/healthmonitor/domain_name", "must be a domain name"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_load_balancer_ struct load_balancer *lb = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		int r = parse(rows[i].document, &lb, &err);

		check_refusal(&rows[i], r, lb, &err);
	}
}

/* One row a rule between fields or objects (check.c). */
static void test_refused_combinations(void **state)
{
	static const struct refusal rows[] = {
		{"'listeners':[{" LISTENER "},{'protocol':'TCP','protocol_port':80}]",
			ERROR_CONFLICT, L1 "/protocol_port", L0 "/protocol_port"},
		{"'listeners':[{'name':'a'," LISTENER
		 "},{'name':'a','protocol':'TCP','protocol_port':81}]",
			ERROR_CONFLICT, L1 "/id", L0 "/id"},
		{"'listeners':[{'id':'" ID_A "'," LISTENER "},{'id':'" ID_A
		 "','protocol':'TCP','protocol_port':81}]",
			ERROR_CONFLICT, L1 "/id", L0 "/id"},
		{"'listeners':[{'protocol':'TCP','protocol_port':80,'insert_headers':{'X-Forwarded-"
		 "For':'true'}}]",
			ERROR_INVALID, L0 "/insert_headers", "protocol HTTP only"},
		{"'vip_address':'2001:db8::1'," IN_LISTENER(
			 "'allowed_cidrs':['2001:db8::/32','10.0.0.0/8']"),
			ERROR_INVALID, L0 "/allowed_cidrs/1",
			"same IP version as the VIP 2001:db8::1"},
		{"'vip_address':'192.0.2.1'," IN_LISTENER("'allowed_cidrs':['::/0']"),
			ERROR_INVALID, L0 "/allowed_cidrs/0", "same IP version"},

		{IN_LISTENER("'default_pool_id':'" ID_A "'"), ERROR_INVALID, L0 "/default_pool_id",
			"no such pool"},
		{IN_LISTENER("'default_pool':{'name':'x'}"), ERROR_INVALID, L0 "/default_pool",
			"no pool of that name"},
		{IN_LISTENER("'default_pool':{'id':'" ID_A "'}"), ERROR_INVALID, L0 "/default_pool",
			"no pool of that id"},
		{IN_LISTENER("'default_pool':{}"), ERROR_INVALID, L0 "/default_pool/protocol",
			"is required"},
		{IN_LISTENER("'default_pool':{'name':'x','protocol':'HTTP'}"), ERROR_INVALID,
			L0 "/default_pool/lb_algorithm", "is required"},
		{IN_LISTENER("'default_pool':{'name':'x','members':[{" MEMBER "}]}"), ERROR_INVALID,
			L0 "/default_pool/protocol", "is required"},
		{IN_LISTENER("'default_pool':{" POOL "},'default_pool_id':'" ID_A "'"),
			ERROR_INVALID, L0 "/default_pool", "must not be given together"},
		{IN_LISTENER("'default_pool':{'protocol':'TCP','lb_algorithm':'ROUND_ROBIN'}"),
			ERROR_INVALID, L0 "/protocol", "a HTTP listener cannot use a TCP pool"},

		{"'pools':[{" POOL "}]", ERROR_INVALID, P0, "needs a name or an id"},
		{"'pools':[{'name':''," POOL "}]", ERROR_INVALID, P0, "needs a name or an id"},
		{"'pools':[{'name':'p','protocol':'TCP'}]", ERROR_INVALID, P0 "/lb_algorithm",
			"is required"},
		{"'pools':[{'name':'p','lb_algorithm':'SOURCE_IP'}]", ERROR_INVALID, P0 "/protocol",
			"is required"},
		{"'pools':[{'name':'p','protocol':'TCP','lb_algorithm':'SOURCE_IP_PORT'}]",
			ERROR_UNSUPPORTED, P0 "/lb_algorithm", "SOURCE_IP_PORT"},
		{"'pools':[{'name':'p'," POOL "},{'name':'p'," POOL "}]", ERROR_CONFLICT, P1 "/id",
			P0 "/id"},
		{"'pools':[{'name':'p'," POOL
		 "}]," IN_LISTENER("'default_pool':{'name':'p'," POOL "}"),
			ERROR_CONFLICT, L0 "/default_pool/id", P0 "/id"},
		{IN_POOL("'session_persistence':{'type':'APP_COOKIE'}"), ERROR_INVALID,
			P0 "/session_persistence/cookie_name", "is required with type APP_COOKIE"},
		{IN_POOL("'session_persistence':{'type':'SOURCE_IP','cookie_name':'x'}"),
			ERROR_INVALID, P0 "/session_persistence/cookie_name",
			"type APP_COOKIE only"},

		{IN_POOL("'members':[{" MEMBER "},{'name':'b'," MEMBER "}]"), ERROR_CONFLICT,
			P0 "/members/1/protocol_port", "address and port are taken"},
		{IN_POOL("'members':[{'name':'a'," MEMBER
			 "},{'name':'a','address':'192.0.2.2','protocol_port':80}]"),
			ERROR_CONFLICT, P0 "/members/1/name", "need names of their own"},
		{"'pools':[{'name':'p'," POOL ",'members':[{'id':'" ID_A "'," MEMBER
		 "}]},{'name':'q'," POOL ",'members':[{'id':'" ID_A "'," MEMBER "}]}]",
			ERROR_CONFLICT, P1 "/members/0/id", M0 "/id"},
		{"'pools':[{'name':'p'," POOL ",'healthmonitor':{'id':'" ID_A
		 "','type':'TCP'," MONITOR "}},{'name':'q'," POOL ",'healthmonitor':{'id':'" ID_A
		 "','type':'TCP'," MONITOR "}}]",
			ERROR_CONFLICT, P1 "/healthmonitor/id", "this id is taken"},

		{IN_MONITOR("'type':'TCP','http_method':'GET'"), ERROR_INVALID,
			P0 "/healthmonitor/http_method", "type HTTP only"},
		{IN_MONITOR("'type':'PING','url_path':'/'"), ERROR_INVALID,
			P0 "/healthmonitor/url_path", "type HTTP only"},
		{IN_MONITOR("'type':'TCP','expected_codes':'200'"), ERROR_INVALID,
			P0 "/healthmonitor/expected_codes", "type HTTP only"},
		{IN_MONITOR("'type':'TCP','http_version':1.1"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "type HTTP only"},
		{IN_MONITOR("'type':'TCP','domain_name':'a.example'"), ERROR_INVALID,
			P0 "/healthmonitor/domain_name", "type HTTP only"},
		{IN_MONITOR("'type':'HTTP','domain_name':'a.example'"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "must be 1.1 with a domain_name"},
		{IN_MONITOR("'type':'HTTP','domain_name':'a.example','http_version':1.0"),
			ERROR_INVALID, P0 "/healthmonitor/http_version",
			"must be 1.1 with a domain_name"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_load_balancer_ struct load_balancer *lb = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		int r = parse(rows[i].document, &lb, &err);

		check_refusal(&rows[i], r, lb, &err);
	}
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

static void test_pools_by_name_and_id(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb =
		parse_good("'pools':[{'name':'shared'," POOL "},{'id':'" ID_A "'," POOL "}],"
			   "'listeners':[{" LISTENER ",'default_pool':{'name':'shared'}},"
			   "{'protocol':'TCP','protocol_port':81,'default_pool':{'name':'shared'}},"
			   "{'protocol':'TCP','protocol_port':82,'default_pool':{'id':'" ID_A "'}},"
			   "{'protocol':'TCP','protocol_port':83,'default_pool_id':'" ID_A "'},"
			   "{'protocol':'TCP','protocol_port':84}]");

	(void)state;
	assert_int_equal(lb->n_pools, 2);
	assert_string_equal(lb->listeners[0].default_pool_id, lb->pools[0].id);
	assert_string_equal(lb->listeners[1].default_pool_id, lb->pools[0].id);
	assert_string_equal(lb->listeners[2].default_pool_id, ID_A);
	assert_string_equal(lb->listeners[3].default_pool_id, ID_A);
	assert_null(lb->listeners[4].default_pool_id);
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

static const char everything[] =
	"'id':'" LB_ID "','name':'n \\u00fc \\\\ "
	"\\u0027','description':'d','admin_state_up':false,'vip_address':'192.0.2.9',"
	"'vip_port_id':'" ID_A "','vip_subnet_id':'" ID_A "','vip_network_id':'" ID_A
	"','vip_qos_policy_id':'" ID_A "',"
	"'project_id':'p','provider':'octavia','flavor_id':'" ID_A
	"','availability_zone':'z','tags':['t','u'],"
	"'listeners':[{'name':'l','description':'d','admin_state_up':false," LISTENER
	",'connection_limit':0,"
	"'insert_headers':{'X-Forwarded-Proto':'true','X-Forwarded-For':false},'timeout_client_"
	"data':0,"
	"'timeout_member_connect':1,'timeout_member_data':2,'timeout_tcp_inspect':3,'allowed_cidrs'"
	":['10.1.2.3/8'],"
	"'tags':['x'],'default_pool':{'name':'p','description':'d','admin_state_up':false," POOL
	",'tags':[],"
	"'session_persistence':{'type':'APP_COOKIE','cookie_name':'c'},"
	"'healthmonitor':{'name':'h','type':'HTTP'," MONITOR
	",'max_retries_down':1,'http_method':'HEAD','url_path':'/x?y',"
	"'expected_codes':'200-204','http_version':1.1,'domain_name':'a.example','admin_state_up':"
	"false,'tags':['x']},"
	"'members':[{'name':'m'," MEMBER
	",'weight':0,'backup':true,'admin_state_up':false,'monitor_address':'192.0.2.7',"
	"'monitor_port':1,'subnet_id':'" ID_B "','tags':['x']}]}}]";

/* The canonical text parses to an equal tree, whatever the defaults have become since. */
static void test_text_is_a_fixed_point(void **state)
{
	static const char *const documents[] = {"", everything, "'listeners':[]",
		IN_POOL("'members':[{" MEMBER "}]"), IN_LISTENER("'default_pool':{" POOL "}")};
	static const struct definition_defaults others = {.timeout_client_data_ms = 1,
		.timeout_member_connect_ms = 1,
		.timeout_member_data_ms = 1,
		.timeout_tcp_inspect_ms = 1};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(documents); i++) {
		_cleanup_load_balancer_ struct load_balancer *lb = parse_good(documents[i]),
							     *again = NULL;
		_cleanup_free_ char *text = NULL, *second = NULL;
		size_t length;

		assert_int_equal(definition_to_text(lb, &text, &length), 0);
		assert_int_equal(strlen(text), length);
		assert_int_equal(definition_parse(LB_ID, text, length, &others, &again, NULL), 0);
		assert_int_equal(definition_to_text(again, &second, NULL), 0);
		assert_string_equal(text, second);
	}
}

/* Nothing that was given is lost: each name of the document is in the text. */
static void test_text_has_every_field(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(everything);
	_cleanup_free_ char *text = NULL;
	static const char *const parts[] = {"\"name\":\"n \xc3\xbc \\\\ '\"",
		"\"vip_qos_policy_id\":\"" ID_A "\"", "\"availability_zone\":\"z\"",
		"\"provider\":\"octavia\"", "\"tags\":[\"t\",\"u\"]", "\"connection_limit\":0",
		"\"insert_headers\":{\"X-Forwarded-For\":\"false\",\"X-Forwarded-Proto\":\"true\"}",
		"\"timeout_client_data\":0", "\"timeout_tcp_inspect\":3",
		"\"allowed_cidrs\":[\"10.0.0.0/8\"]", "\"cookie_name\":\"c\"",
		"\"http_version\":\"1.1\"", "\"expected_codes\":\"200-204\"",
		"\"max_retries_down\":1", "\"monitor_address\":\"192.0.2.7\"", "\"monitor_port\":1",
		"\"subnet_id\":\"" ID_B "\"", "\"backup\":true", "\"weight\":0",
		"\"default_pool_id\":"};

	(void)state;
	assert_int_equal(definition_to_text(lb, &text, NULL), 0);
	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no %s in %s", parts[i], text);
	assert_null(strstr(text, "\"default_pool\":"));
}

static void test_resource(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb =
		parse_good("'name':'n','listeners':[{'id':'" ID_B "'," LISTENER
			   "}],'pools':[{'id':'" ID_A "'," POOL "}]");
	_cleanup_free_ char *children = NULL;
	json_auto_t *resource = NULL;

	(void)state;
	assert_int_equal(definition_lb_resource(lb, &resource), 0);
	assert_string_equal(json_string_value(json_object_get(resource, "name")), "n");
	assert_true(json_is_null(json_object_get(resource, "vip_address")));
	assert_int_equal(json_array_size(json_object_get(resource, "tags")), 0);
	assert_true(json_is_array(json_object_get(resource, "additional_vips")));
	children = json_dumps(json_object_get(resource, "listeners"), JSON_COMPACT);
	assert_string_equal(children, "[{\"id\":\"" ID_B "\"}]");
	free(TAKE_PTR(children));
	children = json_dumps(json_object_get(resource, "pools"), JSON_COMPACT);
	assert_string_equal(children, "[{\"id\":\"" ID_A "\"}]");
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
		cmocka_unit_test(test_refused_combinations),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_numbers_and_booleans_as_strings),
		cmocka_unit_test(test_addresses_are_canonical),
		cmocka_unit_test(test_pools_by_name_and_id),
		cmocka_unit_test(test_derived_ids_are_stable),
		cmocka_unit_test(test_text_is_a_fixed_point),
		cmocka_unit_test(test_text_has_every_field),
		cmocka_unit_test(test_resource),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_length_of_strings),
		cmocka_unit_test(test_nested_pools_count_too),
		cmocka_unit_test(test_body_too_large),
		cmocka_unit_test(test_depth_of_hostile_documents),
	};

	return cmocka_run_group_tests_name("definition", tests, NULL, NULL);
}
