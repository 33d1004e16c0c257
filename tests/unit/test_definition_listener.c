/* SPDX-License-Identifier: Apache-2.0 */

/* Listeners: their fields, TLS, and the pools that they use. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/documents.h"

/* One row a rule of the field table. */
static void test_refused_fields(void **state)
{
	static const struct refusal rows[] = {
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
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
}

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
			ERROR_INVALID, L0 "/insert_headers", "not a valid option for a TCP protocol listener"},
		{"'vip_address':'2001:db8::1'," IN_LISTENER(
			 "'allowed_cidrs':['2001:db8::/32','10.0.0.0/8']"),
			ERROR_INVALID, L0 "/allowed_cidrs/1",
			"same IP version as a VIP (2001:db8::1)"},
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
		{"'pools':[{'id':'" ID_A "','name':'p'," POOL "},{'id':'" ID_B "','name':'p'," POOL
		 "}]," IN_LISTENER("'default_pool':{'name':'p'}"),
			ERROR_INVALID, L0 "/default_pool", "more than one pool has this name"},
		{"'pools':[{'name':'p'," POOL "}]," IN_LISTENER("'default_pool':{'name':'p','tls_enabled':true}"),
			ERROR_INVALID, L0 "/default_pool/protocol", "is required"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
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

/* VALID_LISTENER_POOL_PROTOCOL_MAP of octavia/common/constants.py, cell by cell. */
static void test_pool_protocols(void **state)
{
	static const char *const pools[] = {"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP"};
	static const struct {
		const char *listener, *more;
		bool allowed[ELEMENTSOF(pools)];
	} rows[] = {
		{"TCP", "", {1, 1, 1, 1, 1, 0, 0}},
		{"HTTP", "", {0, 1, 0, 1, 1, 0, 0}},
		{"HTTPS", "", {1, 0, 1, 1, 1, 0, 0}},
		{"TERMINATED_HTTPS", ",'default_tls_container_ref':'c'", {0, 1, 0, 1, 1, 0, 0}},
		{"UDP", "", {0, 0, 0, 0, 0, 1, 0}},
		{"SCTP", "", {0, 0, 0, 0, 0, 0, 1}},
		{"PROMETHEUS", "", {0, 0, 0, 0, 0, 0, 0}},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		for (size_t j = 0; j < ELEMENTSOF(pools); j++) {
			_cleanup_load_balancer_ struct load_balancer *lb = NULL;
			_cleanup_error_ struct error err = ERROR_INIT;
			_cleanup_free_ char *text = NULL;

			assert_true(asprintf(&text, "'listeners':[{'protocol':'%s','protocol_port':1%s,'default_pool':"
						    "{'protocol':'%s','lb_algorithm':'ROUND_ROBIN'}}]",
					    rows[i].listener, rows[i].more, pools[j]) > 0);
			if ((parse(text, &lb, &err) == 0) != rows[i].allowed[j])
				fail_msg("%s: %s", text, error_message(&err));
			if (!rows[i].allowed[j])
				assert_string_equal(err.pointer, L0 "/default_pool");
		}
}

#define ON(protocol) "'listeners':[{'protocol':'" protocol "','protocol_port':80"
#define TLS ON("TERMINATED_HTTPS") ",'default_tls_container_ref':'c'"

static void test_refused_tls(void **state)
{
	static const struct refusal rows[] = {
		{ON("TERMINATED_HTTPS") "}]", ERROR_INVALID, L0 "/default_tls_container_ref",
			"must be provided for TERMINATED_HTTPS protocol listeners"},
		{ON("TERMINATED_HTTPS") ",'default_tls_container_ref':''}]", ERROR_INVALID,
			L0 "/default_tls_container_ref", "must be provided"},
		{ON("TERMINATED_HTTPS") ",'sni_container_refs':[]}]", ERROR_INVALID,
			L0 "/default_tls_container_ref", "must be provided"},
		{ON("HTTP") ",'default_tls_container_ref':'c'}]", ERROR_INVALID, L0 "/default_tls_container_ref",
			"not allowed on HTTP protocol listeners"},
		{ON("HTTPS") ",'sni_container_refs':['c']}]", ERROR_INVALID, L0 "/sni_container_refs",
			"not allowed on HTTPS protocol listeners"},
		{ON("TCP") ",'client_ca_tls_container_ref':'c'}]", ERROR_INVALID, L0 "/client_ca_tls_container_ref",
			"not allowed on TCP protocol listeners"},
		{ON("UDP") ",'default_tls_container_ref':'c'}]", ERROR_INVALID, L0 "/default_tls_container_ref",
			"UDP protocol listener does not support TLS"},
		{ON("SCTP") ",'sni_container_refs':['c']}]", ERROR_INVALID, L0 "/sni_container_refs",
			"SCTP protocol listener does not support TLS"},
		{ON("TERMINATED_HTTPS") ",'client_ca_tls_container_ref':'ca'}]", ERROR_INVALID,
			L0 "/client_ca_tls_container_ref", "must be provided with a client CA"},
		{ON("PROMETHEUS") ",'client_ca_tls_container_ref':'ca'}]", ERROR_INVALID,
			L0 "/client_ca_tls_container_ref", "must be provided with a client CA"},
		{TLS ",'client_authentication':'MANDATORY'}]", ERROR_INVALID, L0 "/client_authentication",
			"MANDATORY requires a client CA"},
		{TLS ",'client_authentication':'OPTIONAL'}]", ERROR_INVALID, L0 "/client_authentication",
			"OPTIONAL requires a client CA"},
		{ON("HTTP") ",'client_authentication':'OPTIONAL'}]", ERROR_INVALID, L0 "/client_authentication",
			"requires a client CA"},
		{TLS ",'client_authentication':'mandatory'}]", ERROR_INVALID, L0 "/client_authentication",
			"must be one of NONE, OPTIONAL, MANDATORY"},
		{TLS ",'client_crl_container_ref':'crl'}]", ERROR_INVALID, L0 "/client_crl_container_ref",
			"CA reference is required"},
		{TLS ",'sni_container_refs':['a','b','a']}]", ERROR_INVALID, L0 "/sni_container_refs/2", "is there twice"},
		{TLS ",'sni_container_refs':['a','']}]", ERROR_INVALID, L0 "/sni_container_refs/1", "must not be empty"},
		{TLS ",'sni_container_refs':'a'}]", ERROR_INVALID, L0 "/sni_container_refs", "an array of strings"},
		{TLS ",'sni_container_refs':['../a',1]}]", ERROR_INVALID, L0 "/sni_container_refs/1", "must be a string"},
		{TLS ",'default_tls_container_ref':'c'}]", ERROR_INVALID, "", "duplicate"},
		{ON("TERMINATED_HTTPS") ",'default_tls_container_ref':'https://h/c/..'}]", ERROR_INVALID,
			L0 "/default_tls_container_ref", "must be the name of a stored certificate"},
		{TLS ",'tls_versions':[]}]", ERROR_INVALID, L0 "/tls_versions", "must not be empty"},
		{TLS ",'alpn_protocols':[]}]", ERROR_INVALID, L0 "/alpn_protocols", "must not be empty"},
		{TLS ",'tls_versions':['TLSv1.2','TLSv1.4']}]", ERROR_INVALID, L0 "/tls_versions/1",
			"must be one of SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"},
		{TLS ",'tls_versions':['TLSv1.2','TLSv1.2']}]", ERROR_INVALID, L0 "/tls_versions/1", "is there twice"},
		{TLS ",'alpn_protocols':['h3']}]", ERROR_INVALID, L0 "/alpn_protocols/0", "must be one of h2, http/1.1"},
		{TLS ",'tls_ciphers':'A B'}]", ERROR_INVALID, L0 "/tls_ciphers", "must be an OpenSSL cipher list"},
		{ON("HTTP") ",'tls_versions':['TLSv1.3']}]", ERROR_INVALID, L0 "/tls_versions", "where TLS ends only"},
		{ON("HTTPS") ",'tls_ciphers':'AES'}]", ERROR_INVALID, L0 "/tls_ciphers", "where TLS ends only"},
		{ON("UDP") ",'alpn_protocols':['h2']}]", ERROR_INVALID, L0 "/alpn_protocols", "where TLS ends only"},
		{ON("PROMETHEUS") ",'alpn_protocols':['h2']}]", ERROR_INVALID, L0 "/alpn_protocols", "where TLS ends only"},
		{ON("HTTP") ",'hsts_max_age':1}]", ERROR_INVALID, L0 "/hsts_max_age", "TERMINATED_HTTPS protocol"},
		{ON("HTTP") ",'hsts_max_age':0}]", ERROR_INVALID, L0 "/hsts_max_age", "TERMINATED_HTTPS protocol"},
		{ON("PROMETHEUS") ",'default_tls_container_ref':'c','hsts_max_age':1}]", ERROR_INVALID, L0 "/hsts_max_age",
			"TERMINATED_HTTPS protocol"},
		{TLS ",'hsts_preload':true}]", ERROR_INVALID, L0 "/hsts_max_age", "only make sense if"},
		{TLS ",'hsts_include_subdomains':true}]", ERROR_INVALID, L0 "/hsts_max_age", "only make sense if"},
		{TLS ",'hsts_max_age':-1}]", ERROR_INVALID, L0 "/hsts_max_age", "-1 is not between 0"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
}

static void test_tls(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good("'listeners':["
		"{'protocol':'TERMINATED_HTTPS','protocol_port':1,'default_tls_container_ref':'https://barbican/v1/secrets/c.1',"
		"'tls_ciphers':'','client_crl_container_ref':''},"
		"{'protocol':'TERMINATED_HTTPS','protocol_port':2,'sni_container_refs':['a','b'],'tls_ciphers':'HIGH:!aNULL',"
		"'tls_versions':['TLSv1.3'],'alpn_protocols':['http/1.1'],'client_ca_tls_container_ref':'ca',"
		"'client_crl_container_ref':'crl','client_authentication':'OPTIONAL','hsts_max_age':0,'hsts_preload':true},"
		"{'protocol':'PROMETHEUS','protocol_port':3,'default_tls_container_ref':'c'},"
		"{'protocol':'HTTP','protocol_port':4,'tls_versions':null,'hsts_preload':false}]");
	const struct listener *l = lb->listeners;

	(void)state;
	/* Octavia's defaults. */
	assert_true(text_after_prefix(l[0].tls_ciphers, "TLS_AES_128_GCM_SHA256:"));
	assert_int_equal(strv_length(l[0].tls_versions), 2);
	assert_string_equal(l[0].tls_versions[0], "TLSv1.2");
	assert_string_equal(l[0].tls_versions[1], "TLSv1.3");
	assert_int_equal(strv_length(l[0].alpn_protocols), 3);
	assert_string_equal(l[0].alpn_protocols[0], "h2");
	assert_null(l[0].sni_container_refs);
	assert_null(l[0].client_crl_container_ref);
	assert_int_equal(l[0].client_authentication, CLIENT_AUTHENTICATION_NONE);
	assert_int_equal(l[0].hsts_max_age_s, -1);
	/* What was said. */
	assert_null(l[1].default_tls_container_ref);
	assert_string_equal(l[1].sni_container_refs[1], "b");
	assert_string_equal(l[1].tls_ciphers, "HIGH:!aNULL");
	assert_int_equal(strv_length(l[1].tls_versions), 1);
	assert_string_equal(l[1].alpn_protocols[0], "http/1.1");
	assert_int_equal(l[1].client_authentication, CLIENT_AUTHENTICATION_OPTIONAL);
	assert_int_equal(l[1].hsts_max_age_s, 0);
	assert_true(l[1].hsts_preload);
	/* Octavia has none for these. */
	assert_null(l[2].tls_versions);
	assert_null(l[2].tls_ciphers);
	assert_null(l[3].tls_versions);
}

static void test_ports_of_transports(void **state)
{
	static const struct refusal rows[] = {
		{"'listeners':[{'protocol':'UDP','protocol_port':53},{'name':'b','protocol':'UDP','protocol_port':53}]",
			ERROR_CONFLICT, L1 "/protocol_port", L0 "/protocol_port"},
		{"'listeners':[{'protocol':'SCTP','protocol_port':53},{'name':'b','protocol':'SCTP','protocol_port':53}]",
			ERROR_CONFLICT, L1 "/protocol_port", "taken"},
		{"'listeners':[{'protocol':'HTTPS','protocol_port':53},{'protocol':'PROMETHEUS','protocol_port':53}]",
			ERROR_CONFLICT, L1 "/protocol_port", "taken"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_good("'listeners':[{'protocol':'UDP','protocol_port':53},{'protocol':'TCP','protocol_port':53},"
		    "{'protocol':'SCTP','protocol_port':53}]");
}

static void test_insert_headers(void **state)
{
	static const struct refusal rows[] = {
		{IN_LISTENER("'insert_headers':{'X-SSL-Client-CN':'true'}"), ERROR_INVALID,
			L0 "/insert_headers/X-SSL-Client-CN", "not a valid option for a HTTP protocol listener"},
		/* As with Octavia, whatever its value. */
		{IN_LISTENER("'insert_headers':{'X-SSL-Issuer':'false'}"), ERROR_INVALID,
			L0 "/insert_headers/X-SSL-Issuer", "not a valid option"},
		{ON("PROMETHEUS") ",'insert_headers':{'X-Forwarded-For':'true'}}]", ERROR_INVALID, L0 "/insert_headers",
			"PROMETHEUS protocol listener"},
		{ON("HTTPS") ",'insert_headers':{'X-Forwarded-For':'true'}}]", ERROR_INVALID, L0 "/insert_headers",
			"HTTPS protocol listener"},
		{ON("UDP") ",'insert_headers':{'X-Forwarded-For':'true'}}]", ERROR_INVALID, L0 "/insert_headers",
			"UDP protocol listener"},
		{TLS ",'insert_headers':{'x-ssl-client-cn':'true'}}]", ERROR_INVALID, L0 "/insert_headers/x-ssl-client-cn",
			"unknown header"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_good(ON("TCP") ",'insert_headers':{}}]");
	assert_good(TLS ",'insert_headers':{'X-Forwarded-For':'true','X-SSL-Client-Verify':'true','X-SSL-Client-Has-Cert':true,"
			"'X-SSL-Client-DN':'true','X-SSL-Client-CN':'true','X-SSL-Issuer':'true','X-SSL-Client-SHA1':'true',"
			"'X-SSL-Client-Not-Before':'true','X-SSL-Client-Not-After':'false'}}]");
}

static void test_proxy_protocol(void **state)
{
	static const struct refusal rows[] = {
		{IN_LISTENER("'proxy_protocol':{}"), ERROR_INVALID, L0 "/proxy_protocol/accept", "is required"},
		{IN_LISTENER("'proxy_protocol':{'accept':true,'x':1}"), ERROR_INVALID, L0 "/proxy_protocol/x",
			"unknown field of a proxy_protocol"},
		{IN_LISTENER("'proxy_protocol':{'accept':true,'trusted_cidrs':['x']}"), ERROR_INVALID,
			L0 "/proxy_protocol/trusted_cidrs/0", "must be a network"},
		{IN_LISTENER("'proxy_protocol':{'accept':true,'header_timeout_ms':0}"), ERROR_INVALID,
			L0 "/proxy_protocol/header_timeout_ms", "0 is not between 1"},
		{IN_LISTENER("'proxy_protocol':{'accept':false,'header_timeout_ms':1}"), ERROR_INVALID,
			L0 "/proxy_protocol/accept", "must be true"},
		{ON("UDP") ",'proxy_protocol':{'accept':true}}]", ERROR_INVALID, L0 "/proxy_protocol/accept",
			"a UDP listener cannot accept the PROXY protocol"},
	};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(IN_LISTENER("'proxy_protocol':{'accept':true,"
		"'trusted_cidrs':['2001:DB8::1/32','10.0.0.1'],'header_timeout_ms':'3000'}"));
	const struct listener_proxy_protocol *proxy = lb->listeners[0].proxy_protocol;

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_true(proxy->accept);
	assert_string_equal(proxy->trusted_cidrs[0], "2001:db8::/32");
	assert_string_equal(proxy->trusted_cidrs[1], "10.0.0.1/32");
	assert_int_equal(proxy->header_timeout_ms, 3000);
}

static void test_allowed_networks_of_several_vips(void **state)
{
	static const struct refusal rows[] = {
		{"'vip_sg_ids':['" ID_A "']," IN_LISTENER("'allowed_cidrs':['10.0.0.0/8']"), ERROR_INVALID,
			L0 "/allowed_cidrs", "custom VIP Security Groups"},
		{"'vip_address':'192.0.2.1','additional_vips':[{'ip_address':'192.0.2.2'}]," IN_LISTENER(
			 "'allowed_cidrs':['10.0.0.0/8','::/0']"),
			ERROR_INVALID, L0 "/allowed_cidrs/1", "must be of the same IP version"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_good("'vip_address':'192.0.2.1','additional_vips':[{'ip_address':'2001:db8::1'}]," IN_LISTENER(
		"'allowed_cidrs':['10.0.0.0/8','::/0']"));
}

/* Whichever comes first in the document. */
static void test_nested_pools_can_be_referred_to(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(
		"'listeners':[{'name':'a'," LISTENER ",'default_pool':{'name':'later'},'l7policies':[{'action':"
		"'REDIRECT_TO_POOL','redirect_pool':{'name':'policy'}}]},"
		"{'name':'b','protocol':'HTTP','protocol_port':81,'default_pool':{'name':'later'," POOL "},"
		"'l7policies':[{'action':'REDIRECT_TO_POOL','redirect_pool':{'name':'policy'," POOL "}}]},"
		"{'name':'c','protocol':'TCP','protocol_port':82,'default_pool':{'name':'policy'}}]");

	(void)state;
	assert_int_equal(lb->n_pools, 2);
	assert_string_equal(lb->pools[0].name, "later");
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(lb->listeners[i].default_pool_id, lb->pools[0].id);
		assert_string_equal(lb->listeners[i].l7policies[0].redirect_pool_id, lb->pools[1].id);
		assert_null(lb->listeners[i].l7policies[0].redirect_pool);
	}
	assert_string_equal(lb->listeners[2].default_pool_id, lb->pools[1].id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_fields),
		cmocka_unit_test(test_refused_combinations),
		cmocka_unit_test(test_pools_by_name_and_id),
		cmocka_unit_test(test_pool_protocols),
		cmocka_unit_test(test_refused_tls),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_ports_of_transports),
		cmocka_unit_test(test_insert_headers),
		cmocka_unit_test(test_proxy_protocol),
		cmocka_unit_test(test_allowed_networks_of_several_vips),
		cmocka_unit_test(test_nested_pools_can_be_referred_to),
	};

	return cmocka_run_group_tests_name("definition_listener", tests, NULL, NULL);
}
