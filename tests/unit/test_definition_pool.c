/* SPDX-License-Identifier: Apache-2.0 */

/* Pools with their members, monitors and persistence. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/documents.h"

/* One row a rule of the field tables. */
static void test_refused_fields(void **state)
{
	static const struct refusal rows[] = {
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
		{IN_MONITOR("'type':'tcp'"), ERROR_INVALID, P0 "/healthmonitor/type",
			"must be one of TCP, HTTP, HTTPS, TLS-HELLO, PING, UDP-CONNECT, SCTP"},
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
	check_refusals(rows, ELEMENTSOF(rows));
}

/* One row a rule between fields or objects (check_pool.c). */
static void test_refused_combinations(void **state)
{
	static const struct refusal rows[] = {
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
			P0 "/healthmonitor/http_method", "types HTTP and HTTPS only"},
		{IN_MONITOR("'type':'PING','url_path':'/'"), ERROR_INVALID,
			P0 "/healthmonitor/url_path", "types HTTP and HTTPS only"},
		{IN_MONITOR("'type':'TCP','expected_codes':'200'"), ERROR_INVALID,
			P0 "/healthmonitor/expected_codes", "types HTTP and HTTPS only"},
		{IN_MONITOR("'type':'TCP','http_version':1.1"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "types HTTP and HTTPS only"},
		{IN_MONITOR("'type':'TCP','domain_name':'a.example'"), ERROR_INVALID,
			P0 "/healthmonitor/domain_name", "types HTTP and HTTPS only"},
		{IN_MONITOR("'type':'HTTP','domain_name':'a.example'"), ERROR_INVALID,
			P0 "/healthmonitor/http_version", "must be 1.1 with a domain_name"},
		{IN_MONITOR("'type':'HTTP','domain_name':'a.example','http_version':1.0"),
			ERROR_INVALID, P0 "/healthmonitor/http_version",
			"must be 1.1 with a domain_name"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
}

/* octavia/api/v2/controllers/health_monitor.py: which types go with which pools. */
static void test_monitors_of_protocols(void **state)
{
	static const char *const types[] = {"TCP", "HTTP", "HTTPS", "TLS-HELLO", "PING", "UDP-CONNECT", "SCTP"};
	static const struct {
		const char *protocol;
		bool allowed[ELEMENTSOF(types)];
	} rows[] = {
		{"TCP", {1, 1, 1, 1, 1, 0, 0}},
		{"HTTP", {1, 1, 1, 1, 1, 0, 0}},
		{"HTTPS", {1, 1, 1, 1, 1, 0, 0}},
		{"PROXY", {1, 1, 1, 1, 1, 0, 0}},
		{"PROXYV2", {1, 1, 1, 1, 1, 0, 0}},
		{"UDP", {1, 1, 0, 0, 0, 1, 1}},
		{"SCTP", {1, 1, 0, 0, 0, 1, 1}},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		for (size_t j = 0; j < ELEMENTSOF(types); j++) {
			_cleanup_load_balancer_ struct load_balancer *lb = NULL;
			_cleanup_error_ struct error err = ERROR_INIT;
			_cleanup_free_ char *text = NULL;

			assert_true(asprintf(&text, "'pools':[{'name':'p','protocol':'%s','lb_algorithm':'ROUND_ROBIN',"
						    "'healthmonitor':{'type':'%s'," MONITOR "}}]",
					    rows[i].protocol, types[j]) > 0);
			if ((parse(text, &lb, &err) == 0) != rows[i].allowed[j])
				fail_msg("%s: %s", text, error_message(&err));
			if (!rows[i].allowed[j])
				assert_string_equal(err.pointer, H0 "/type");
		}
}

#define OF(protocol, text) "'pools':[{'name':'p','protocol':'" protocol "','lb_algorithm':'ROUND_ROBIN'," text "}]"

static void test_refused_monitors(void **state)
{
	static const struct refusal rows[] = {
		{OF("UDP", "'healthmonitor':{'type':'UDP-CONNECT','delay':2,'timeout':1,'max_retries':1}"), ERROR_INVALID,
			H0 "/delay", "must be at least 3"},
		{OF("UDP", "'healthmonitor':{'type':'UDP-CONNECT'," MONITOR ",'url_path':'/'}"), ERROR_INVALID,
			H0 "/url_path", "types HTTP and HTTPS only"},
		{OF("TCP", "'healthmonitor':{'type':'TCP'," MONITOR ",'proxy_protocol':'on'}"), ERROR_INVALID,
			H0 "/proxy_protocol", "PROXY or PROXYV2"},
		{OF("PROXY", "'healthmonitor':{'type':'PING'," MONITOR ",'proxy_protocol':'on'}"), ERROR_INVALID,
			H0 "/proxy_protocol", "not with type PING"},
		{OF("PROXY", "'healthmonitor':{'type':'TCP'," MONITOR ",'proxy_protocol':'v2'}"), ERROR_INVALID,
			H0 "/proxy_protocol", "must be one of auto, on, off"},
	};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(
		OF("PROXY", "'healthmonitor':{'type':'HTTPS'," MONITOR ",'proxy_protocol':'off'}"));

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_int_equal(lb->pools[0].healthmonitor->proxy_protocol, MONITOR_PROXY_OFF);
	assert_string_equal(lb->pools[0].healthmonitor->url_path, "/");
	assert_string_equal(lb->pools[0].healthmonitor->expected_codes, "200");
}

static void test_persistence_of_protocols(void **state)
{
	static const struct refusal rows[] = {
		{OF("UDP", "'session_persistence':{'type':'HTTP_COOKIE'}"), ERROR_INVALID, P0 "/session_persistence/type",
			"HTTP_COOKIE is not supported for UDP/SCTP"},
		{OF("SCTP", "'session_persistence':{'type':'APP_COOKIE','cookie_name':'a'}"), ERROR_INVALID,
			P0 "/session_persistence/type", "APP_COOKIE is not supported"},
		{OF("UDP", "'session_persistence':{'type':'SOURCE_IP','cookie_name':'a'}"), ERROR_INVALID,
			P0 "/session_persistence/cookie_name", "APP_COOKIE only"},
		{OF("TCP", "'session_persistence':{'type':'SOURCE_IP','persistence_timeout':1}"), ERROR_INVALID,
			P0 "/session_persistence/persistence_timeout", "only for UDP and SCTP"},
		{OF("HTTP", "'session_persistence':{'type':'SOURCE_IP','persistence_granularity':'255.0.0.0'}"),
			ERROR_INVALID, P0 "/session_persistence/persistence_granularity", "only for UDP and SCTP"},
		{OF("UDP", "'session_persistence':{'type':'SOURCE_IP','persistence_timeout':2678401}"), ERROR_INVALID,
			P0 "/session_persistence/persistence_timeout", "not between 1 and 2678400"},
		{OF("UDP", "'session_persistence':{'type':'SOURCE_IP','persistence_granularity':'255.0.255.0'}"),
			ERROR_INVALID, P0 "/session_persistence/persistence_granularity", "must be a netmask"},
		{"'vip_address':'2001:db8::1'," OF("UDP",
			 "'session_persistence':{'type':'SOURCE_IP','persistence_granularity':'255.255.0.0'}"),
			ERROR_INVALID, P0 "/session_persistence/persistence_granularity", "must be a prefix length"},
		{"'vip_address':'192.0.2.1'," OF("UDP",
			 "'session_persistence':{'type':'SOURCE_IP','persistence_granularity':'64'}"),
			ERROR_INVALID, P0 "/session_persistence/persistence_granularity", "must be a netmask"},
	};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good("'vip_address':'2001:db8::1'," OF("SCTP",
		"'session_persistence':{'type':'SOURCE_IP','persistence_timeout':60,'persistence_granularity':'64'}"));

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_int_equal(lb->pools[0].session_persistence->persistence_timeout_s, 60);
	assert_string_equal(lb->pools[0].session_persistence->persistence_granularity, "64");
}

static void test_tls(void **state)
{
	static const struct refusal rows[] = {
		{IN_POOL("'crl_container_ref':'c'"), ERROR_INVALID, P0 "/crl_container_ref",
			"CA certificate reference is required"},
		{OF("UDP", "'tls_enabled':true"), ERROR_INVALID, P0 "/tls_enabled", "UDP protocol pool does not support TLS"},
		{IN_POOL("'tls_versions':[]"), ERROR_INVALID, P0 "/tls_versions", "must not be empty"},
		{IN_POOL("'alpn_protocols':['x']"), ERROR_INVALID, P0 "/alpn_protocols/0", "must be one of"},
		{IN_POOL("'tls_container_ref':'.'"), ERROR_INVALID, P0 "/tls_container_ref",
			"must be the name of a stored certificate"},
		{IN_POOL("'tls_ciphers':'a\"b'"), ERROR_INVALID, "", "not a JSON document"},
		{IN_POOL("'tls_ciphers':'a\\\\b'"), ERROR_INVALID, P0 "/tls_ciphers", "must be an OpenSSL cipher list"},
	};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(
		"'pools':[{'name':'a'," POOL ",'tls_enabled':true,'tls_container_ref':'c','ca_tls_container_ref':'ca',"
		"'crl_container_ref':'crl'},{'name':'b'," POOL ",'ca_tls_container_ref':'ca'},{'name':'c'," POOL
		",'tls_enabled':true,'tls_ciphers':'AES','tls_versions':['TLSv1.3'],'alpn_protocols':['http/1.1']}]");

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_true(text_after_prefix(lb->pools[0].tls_ciphers, "TLS_AES_128_GCM_SHA256:"));
	assert_int_equal(strv_length(lb->pools[0].tls_versions), 2);
	assert_int_equal(strv_length(lb->pools[0].alpn_protocols), 3);
	assert_null(lb->pools[1].tls_versions);
	assert_string_equal(lb->pools[1].ca_tls_container_ref, "ca");
	assert_string_equal(lb->pools[2].tls_ciphers, "AES");
	assert_int_equal(strv_length(lb->pools[2].alpn_protocols), 1);
}

static void test_proxy_protocol_options(void **state)
{
	static const struct refusal rows[] = {
		{OF("PROXY", "'proxy_protocol_options':['ssl']"), ERROR_INVALID, P0 "/proxy_protocol_options",
			"PROXYV2 only"},
		{OF("PROXYV2", "'proxy_protocol_options':['ssl','cn']"), ERROR_INVALID, P0 "/proxy_protocol_options/1",
			"must be one of ssl, cert-cn, ssl-cipher, cert-sig, cert-key, authority, crc32c, unique-id"},
		{OF("PROXYV2", "'proxy_protocol_options':['ssl','ssl']"), ERROR_INVALID, P0 "/proxy_protocol_options/1",
			"is there twice"},
	};

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_good(OF("PROXYV2", "'proxy_protocol_options':['ssl','cert-cn','ssl-cipher','cert-sig','cert-key','authority',"
				  "'crc32c','unique-id']"));
	assert_good(OF("TCP", "'proxy_protocol_options':[]"));
}

static void test_member_addresses(void **state)
{
	static const struct refusal rows[] = {
		{IN_POOL("'members':[{'address':'169.254.169.254','protocol_port':80}]"), ERROR_INVALID, M0 "/address",
			"not a valid option for member address"},
		{"'vip_address':'192.0.2.1'," OF("UDP", "'members':[{'address':'2001:db8::1','protocol_port':80}]"),
			ERROR_UNSUPPORTED, M0 "/address", "mixing IPv4 and IPv6"},
	};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(IN_MEMBER("'request_sriov':true"));

	(void)state;
	check_refusals(rows, ELEMENTSOF(rows));
	assert_true(lb->pools[0].members[0].request_sriov);
	assert_good("'vip_address':'192.0.2.1'," OF("TCP", "'members':[{'address':'2001:db8::1','protocol_port':80}]"));
	assert_good("'vip_address':'192.0.2.1','additional_vips':[{'ip_address':'2001:db8::9'}]," OF("UDP",
		"'members':[{'address':'2001:db8::1','protocol_port':80}]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_fields),
		cmocka_unit_test(test_refused_combinations),
		cmocka_unit_test(test_monitors_of_protocols),
		cmocka_unit_test(test_refused_monitors),
		cmocka_unit_test(test_persistence_of_protocols),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_proxy_protocol_options),
		cmocka_unit_test(test_member_addresses),
	};

	return cmocka_run_group_tests_name("definition_pool", tests, NULL, NULL);
}
