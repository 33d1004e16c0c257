/* SPDX-License-Identifier: Apache-2.0 */

/* What is written of a definition: for the store, for clients, as a resource. Documents are written with ' where JSON has ". */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/fields.h"
#include "agent/definition/tree.h"
#include "tests/unit/documents.h"
#include "tests/unit/quotes.h"

/* Every field of every object, once at least; test_text_has_every_field() sees to that. */
static const char everything[] =
	"'id':'" LB_ID "','name':'n \\u00fc \\\\ \\u0027','description':'d','admin_state_up':false,'vip_address':'192.0.2.9',"
	"'vip_port_id':'" ID_A "','vip_subnet_id':'" ID_A "','vip_network_id':'" ID_A "','vip_qos_policy_id':'" ID_A "',"
	"'additional_vips':[{'ip_address':'2001:DB8::1','subnet_id':'" ID_B "','port_id':'" ID_B "'}],"
	"'project_id':'p','provider':'octavia','flavor_id':'" ID_A "','availability_zone':'z','tags':['t','u'],"
	"'vip_sg_ids':['" ID_A "'],'hard_stop_after_s':60,'max_old_workers':'2',"
	"'stats_page':{'address':'127.0.0.1','port':9000,'uri':'/stats','username':'admin',"
	"'password_hash':'$5$saltsalt$0123456789abcdefghij'},"
	"'listeners':[{'name':'l','description':'d','admin_state_up':false," LISTENER ",'connection_limit':0,"
	"'insert_headers':{'X-Forwarded-Proto':'true','X-Forwarded-For':false},'timeout_client_data':0,"
	"'timeout_member_connect':1,'timeout_member_data':2,'timeout_tcp_inspect':3,'tags':['x'],"
	"'proxy_protocol':{'accept':true,'trusted_cidrs':['10.1.2.3/8'],'header_timeout_ms':1},"
	"'default_pool':{'name':'p','description':'d','admin_state_up':false," POOL ",'tags':[],"
	"'session_persistence':{'type':'APP_COOKIE','cookie_name':'c'},"
	"'healthmonitor':{'name':'h','type':'HTTP'," MONITOR ",'max_retries_down':1,'http_method':'HEAD','url_path':'/x?y',"
	"'expected_codes':'200-204','http_version':1.1,'domain_name':'a.example','proxy_protocol':'off',"
	"'admin_state_up':false,'tags':['x']},"
	"'members':[{'name':'m'," MEMBER ",'weight':0,'backup':true,'admin_state_up':false,'monitor_address':'192.0.2.7',"
	"'monitor_port':1,'subnet_id':'" ID_B "','request_sriov':true,'tags':['x']}],"
	"'tls_enabled':true,'tls_container_ref':'c1','ca_tls_container_ref':'c2','crl_container_ref':'c3',"
	"'tls_ciphers':'AES','tls_versions':['TLSv1.2'],'alpn_protocols':['h2']},"
	"'l7policies':[{'name':'n','description':'d','action':'REDIRECT_PREFIX','redirect_prefix':'http://a','position':1,"
	"'redirect_http_code':307,'admin_state_up':false,'tags':['x'],'rules':[{'type':'HEADER','compare_type':'REGEX',"
	"'key':'K','value':'v','invert':true,'admin_state_up':false,'tags':['x']}]},"
	"{'action':'REDIRECT_TO_URL','redirect_url':'http://b'},"
	"{'action':'REDIRECT_TO_POOL','redirect_pool':{'protocol':'PROXYV2','lb_algorithm':'SOURCE_IP',"
	"'proxy_protocol_options':['ssl','crc32c']}}]},"
	"{'protocol':'TERMINATED_HTTPS','protocol_port':443,'default_tls_container_ref':'d','sni_container_refs':['e','f'],"
	"'client_ca_tls_container_ref':'g','client_crl_container_ref':'h','client_authentication':'OPTIONAL',"
	"'tls_ciphers':'HIGH','tls_versions':['TLSv1.3'],'alpn_protocols':['http/1.1'],'hsts_max_age':5,"
	"'hsts_include_subdomains':true,'hsts_preload':true},"
	"{'protocol':'UDP','protocol_port':53,'default_pool':{'protocol':'UDP','lb_algorithm':'SOURCE_IP',"
	"'session_persistence':{'type':'SOURCE_IP','persistence_timeout':7,'persistence_granularity':'255.255.255.0'}}}]";

/* The canonical text parses to an equal tree, whatever the defaults have become since. */
static void test_text_is_a_fixed_point(void **state)
{
	static const char *const documents[] = {"", everything, "'listeners':[]",
		IN_POOL("'members':[{" MEMBER "}]"), IN_LISTENER("'default_pool':{" POOL "}")};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(documents); i++)
		check_fixed_point(documents[i]);
}

static void test_copy_has_every_field(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(everything), *copy = NULL;
	_cleanup_free_ char *text = NULL, *copied = NULL;

	(void)state;
	assert_int_equal(tree_copy(lb, &copy), 0);
	assert_true(definition_equal(lb, copy));
	assert_int_equal(definition_to_text(lb, DEFINITION_WHOLE, &text, NULL), 0);
	assert_int_equal(definition_to_text(copy, DEFINITION_WHOLE, &copied, NULL), 0);
	assert_string_equal(text, copied);
}

/* The fields of a type that the document has, below it those of its children; "seen" has "type.field" as keys. */
static void collect_fields(const struct object_type *type, const json_t *json, json_t *seen)
{
	for (const struct field *field = type->fields; field->name; field++) {
		const json_t *value = json_object_get(json, field->name);
		char key[80];
		size_t i;
		json_t *item;

		snprintf(key, sizeof(key), "%s.%s", type->name, field->name);
		if (value)
			assert_int_equal(json_object_set_new(seen, key, json_true()), 0);
		if (value && field->type == FIELD_OBJECT)
			collect_fields(field->object, value, seen);
		json_array_foreach(field->type == FIELD_LIST ? value : NULL, i, item)
			collect_fields(field->object, item, seen);
	}
}

/* Nothing that can be given is lost: each field of the tables is in the text. allowed_cidrs cannot be there with vip_sg_ids. */
static void test_text_has_every_field(void **state)
{
	static const struct object_type *const types[] = {&load_balancer_type, &additional_vip_type, &stats_page_type,
		&listener_type, &listener_proxy_protocol_type, &l7policy_type, &l7rule_type, &pool_type,
		&session_persistence_type, &health_monitor_type, &member_type};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(everything);
	json_auto_t *document = document_of(lb, DEFINITION_WHOLE), *seen = json_object();

	(void)state;
	collect_fields(&load_balancer_type, json_object_get(document, "loadbalancer"), seen);
	for (size_t i = 0; i < ELEMENTSOF(types); i++)
		for (const struct field *field = types[i]->fields; field->name; field++) {
			char key[80];

			snprintf(key, sizeof(key), "%s.%s", types[i]->name, field->name);
			if (!json_object_get(seen, key) && !(field->flags & (FIELD_TRANSIENT | FIELD_STORED)) &&
				!streq(key, "listener.allowed_cidrs"))
				fail_msg("%s is not in the text", key);
		}
}

/* What was given is what is in the text, in canonical form. */
static void test_text_keeps_values(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(everything);
	_cleanup_free_ char *text = NULL;
	static const char *const parts[] = {"\"name\":\"n \xc3\xbc \\\\ '\"", "\"vip_qos_policy_id\":\"" ID_A "\"",
		"\"availability_zone\":\"z\"", "\"provider\":\"octavia\"", "\"tags\":[\"t\",\"u\"]",
		"\"connection_limit\":0", "\"insert_headers\":{\"X-Forwarded-For\":\"false\",\"X-Forwarded-Proto\":\"true\"}",
		"\"timeout_client_data\":0", "\"timeout_tcp_inspect\":3", "\"trusted_cidrs\":[\"10.0.0.0/8\"]",
		"\"cookie_name\":\"c\"", "\"http_version\":\"1.1\"", "\"expected_codes\":\"200-204\"",
		"\"max_retries_down\":1", "\"monitor_address\":\"192.0.2.7\"", "\"monitor_port\":1",
		"\"subnet_id\":\"" ID_B "\"", "\"backup\":true", "\"weight\":0", "\"default_pool_id\":",
		"\"additional_vips\":[{\"ip_address\":\"2001:db8::1\",", "\"vip_sg_ids\":[\"" ID_A "\"]",
		"\"hard_stop_after_s\":60", "\"max_old_workers\":2", "\"password_hash\":\"$5$saltsalt$0123456789abcdefghij\"",
		"\"tls_enabled\":true", "\"alpn_protocols\":[\"h2\"]", "\"proxy_protocol_options\":[\"ssl\",\"crc32c\"]",
		"\"redirect_http_code\":307", "\"redirect_http_code\":302", "\"redirect_pool_id\":", "\"invert\":true",
		"\"sni_container_refs\":[\"e\",\"f\"]", "\"client_authentication\":\"OPTIONAL\"", "\"hsts_max_age\":5",
		"\"persistence_timeout\":7", "\"persistence_granularity\":\"255.255.255.0\"", "\"request_sriov\":true"};

	(void)state;
	assert_int_equal(definition_to_text(lb, DEFINITION_WHOLE, &text, NULL), 0);
	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no %s in %s", parts[i], text);
	assert_null(strstr(text, "\"default_pool\":"));
	assert_null(strstr(text, "\"redirect_pool\":"));
}

#define PAGE(fields) "'stats_page':{'port':1" fields "}"
#define HASH "$5$saltsalt$0123456789abcdefghij"

/* Nobody is shown a secret; who sends back what he read means the one that is there. */
static void test_secrets(void **state)
{
	static const struct {
		const char *now, *before;
		const char *kept; /* NULL: refused */
	} rows[] = {
		{PAGE(",'username':'u'"), NULL, NULL},
		{PAGE(",'username':'u'"), "'name':'n'", NULL},
		{PAGE(",'username':'u'"), PAGE(""), NULL},
		{PAGE(",'username':'u'"), PAGE(",'username':'v','password_hash':'" HASH "'"), NULL},
		{PAGE(",'username':'u'"), PAGE(",'username':'u','password_hash':'" HASH "'"), HASH},
		{PAGE(",'username':'u','password_hash':null"), PAGE(",'username':'u','password_hash':'" HASH "'"), HASH},
		{PAGE(",'username':'u','password_hash':'$6" HASH "'"), PAGE(",'username':'u','password_hash':'" HASH "'"),
			"$6" HASH},
		{PAGE(""), PAGE(",'username':'u','password_hash':'" HASH "'"), ""},
		{"'name':'n'", PAGE(",'username':'u','password_hash':'" HASH "'"), ""},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_load_balancer_ struct load_balancer *lb = parse_good(rows[i].now),
							     *before = rows[i].before ? parse_good(rows[i].before) : NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		_cleanup_free_ char *stored = NULL, *shown = NULL;
		json_auto_t *resource = NULL;
		int r = definition_keep_secrets(lb, before, &err);

		assert_int_equal(r, rows[i].kept ? 0 : error_code_to_errno(ERROR_INVALID));
		if (r < 0) {
			assert_string_equal(err.pointer, "/loadbalancer/stats_page/password_hash");
			continue;
		}
		assert_int_equal(definition_to_text(lb, DEFINITION_WHOLE, &stored, NULL), 0);
		if (rows[i].kept[0])
			assert_non_null(strstr(stored, rows[i].kept));
		assert_int_equal(definition_to_text(lb, DEFINITION_SHOWN, &shown, NULL), 0);
		assert_null(strstr(shown, HASH));
		assert_int_equal(object_to_resource(&load_balancer_type, lb, &resource), 0);
		free(shown);
		shown = json_dumps(resource, 0);
		assert_null(strstr(shown, HASH));
	}
}

static void test_resource(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb =
		parse_good("'name':'n','additional_vips':[{'ip_address':'::1'}],'listeners':[{'id':'" ID_B "'," LISTENER
			   "}],'pools':[{'id':'" ID_A "'," POOL "}]");
	_cleanup_free_ char *children = NULL;
	json_auto_t *resource = NULL;

	(void)state;
	assert_int_equal(object_to_resource(&load_balancer_type, lb, &resource), 0);
	assert_string_equal(json_string_value(json_object_get(resource, "name")), "n");
	assert_true(json_is_null(json_object_get(resource, "vip_address")));
	assert_int_equal(json_array_size(json_object_get(resource, "tags")), 0);
	assert_int_equal(json_array_size(json_object_get(resource, "additional_vips")), 1);
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(resource, "additional_vips"), 0), "port_id")));
	assert_true(json_is_array(json_object_get(resource, "vip_sg_ids")));
	children = json_dumps(json_object_get(resource, "listeners"), JSON_COMPACT);
	assert_string_equal(children, "[{\"id\":\"" ID_B "\"}]");
	free(TAKE_PTR(children));
	children = json_dumps(json_object_get(resource, "pools"), JSON_COMPACT);
	assert_string_equal(children, "[{\"id\":\"" ID_A "\"}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_is_a_fixed_point),
		cmocka_unit_test(test_copy_has_every_field),
		cmocka_unit_test(test_text_has_every_field),
		cmocka_unit_test(test_text_keeps_values),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_resource),
	};

	return cmocka_run_group_tests_name("definition_write", tests, NULL, NULL);
}
