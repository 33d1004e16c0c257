/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "api/client/view.h"
#include "tests/unit/quotes.h"

#define ID "0b9f5f2e-3a55-4d4c-9a53-7d0e3b8c7a11"

static const struct terminal ascii = {.utf8 = false};

#define _cleanup_json_ _cleanup_(json_decrefp)

static void status_is_a_tree(_unused_ void **state)
{
	_cleanup_json_ json_t *reply = json_of(
		"{'statuses': {'loadbalancer': {'id': 'L', 'name': 'web', 'operating_status': "
		"'DEGRADED',"
		" 'provisioning_status': 'ACTIVE', 'listeners': [{'id': 'l1', 'name': '',"
		" 'operating_status': 'ONLINE', 'provisioning_status': 'PENDING_UPDATE', 'pools': "
		"[{'id': 'p1',"
		" 'name': 'app', 'operating_status': 'DEGRADED', 'health_monitor': {'type': "
		"'HTTP'},"
		" 'members': [{'id': 'm1', 'name': 'one\\u001b', 'address': '192.0.2.1', "
		"'protocol_port': 80,"
		" 'operating_status': 'ONLINE'}, {'id': 'm2', 'name': '', 'address': '2001:db8::1',"
		" 'protocol_port': 80, 'operating_status': 'ERROR'}]}]}],"
		" 'pools': [{'id': 'p2', 'name': 'spare', 'operating_status': 'OFFLINE', "
		"'members': []}]}}}");
	_cleanup_json_ json_t *definition =
		json_of("{'loadbalancer': {'vip_address': '203.0.113.1', 'listeners': [{'id': 'l1', "
		     "'protocol': 'TCP',"
		     " 'protocol_port': 443}], 'pools': [{'id': 'p2', 'admin_state_up': false}, "
		     "{'id': 'p1',"
		     " 'protocol': 'PROXYV2', 'lb_algorithm': 'ROUND_ROBIN', 'members': [{'id': "
		     "'m2', 'backup': true},"
		     " {'id': 'm1', 'weight': 5}]}]}}");
	_cleanup_text_ struct text with = TEXT_INIT, without = TEXT_INIT;

	assert_int_equal(view_status(reply, definition, &ascii, &with), 0);
	assert_string_equal(text_peek(&with),
		"web                               DEGRADED  203.0.113.1\n"
		"|- listener l1                    ONLINE    TCP, port 443, PENDING_UPDATE\n"
		"|  `- pool app                    DEGRADED  PROXYV2, ROUND_ROBIN, HTTP checks\n"
		"|     |- member one?              ONLINE    192.0.2.1:80, weight 5\n"
		"|     `- member [2001:db8::1]:80  ERROR     backup\n"
		"`- pool spare                     OFFLINE   administratively down\n");
	assert_int_equal(view_status(reply, NULL, &ascii, &without), 0);
	assert_non_null(strstr(text_peek(&without), "HTTP checks"));
	assert_null(strstr(text_peek(&without), "weight"));
}

static void list_is_a_table(_unused_ void **state)
{
	_cleanup_json_ json_t *reply =
		json_of("{'loadbalancers': [{'id': '" ID "', 'name': 'web', 'vip_address': null,"
		     " 'operating_status': 'ONLINE', 'provisioning_status': 'ACTIVE',"
		     " 'listeners': [{'id': 'a'}, {'id': 'b'}], 'pools': []}]}");
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(view_list(reply, &ascii, &out), 0);
	assert_string_equal(text_peek(&out),
		"NAME  VIP  OPERATING  PROVISIONING  LISTENERS  POOLS  ID\n"
		"web   -    ONLINE     ACTIVE                2      0  " ID "\n");
}

static void resource_shows_what_is_set(_unused_ void **state)
{
	_cleanup_json_ json_t *reply = json_of("{'loadbalancer': {'id': 'L', 'admin_state_up': true, "
					    "'name': 'web', 'description': '',"
					    " 'flavor_id': null, 'tags': ['a', 'b'], 'listeners': "
					    "[{'id': 'l1'}], 'x': {'y': 1}}}");
	_cleanup_json_ json_t *definition =
		json_of("{'loadbalancer': {'listeners': [{'id': 'l1', 'name': 'https'}]}}");
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(view_resource(reply, definition, "4", &ascii, &out), 0);
	assert_string_equal(text_peek(&out), "name            web\n"
					     "id              L\n"
					     "revision        4\n"
					     "admin_state_up  true\n"
					     "tags            a\n"
					     "                b\n"
					     "listeners       l1  https\n"
					     "x               {\"y\":1}\n");
}

static void resource_may_know_its_revision(_unused_ void **state)
{
	_cleanup_json_ json_t *reply = json_of("{'loadbalancer': {'id': 'L', 'revision': 5}}");
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(view_resource(reply, NULL, "4", &ascii, &out), 0);
	assert_string_equal(text_peek(&out), "id        L\nrevision  5\n");
}

static void stats_are_human(_unused_ void **state)
{
	_cleanup_json_ json_t *reply =
		json_of("{'stats': {'bytes_in': 1536, 'bytes_out': -1, 'active_connections': 3,"
		     " 'total_connections': 1234567, 'request_errors': 'no'}, 'listeners': [{'id': "
		     "'l1', 'bytes_in': 1}]}");
	_cleanup_table_ struct table *table = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(view_stats_table(&table), 0);
	assert_int_equal(view_stats(table, "L", reply, NULL), 0);
	table_print(table, &ascii, &out);
	assert_string_equal(text_peek(&out),
		"LOAD BALANCER / LISTENER  ACTIVE  TOTAL       IN  OUT  ERRORS\n"
		"L                              3   1.2M  1.5 KiB    -       -\n"
		"  l1                           -      -      1 B    -       -\n");
}

static void assert_applied(
	const char *reply_text, bool created, const char *action, const char *expected)
{
	_cleanup_json_ json_t *reply = json_of(reply_text);
	_cleanup_text_ struct text out = TEXT_INIT;

	view_applied(ID, reply, created, action, &ascii, &out);
	assert_string_equal(text_peek(&out), expected);
}

static void applied_is_one_line(_unused_ void **state)
{
	assert_applied(
		"{'loadbalancer': {'name': 'web'}, 'revision': 4, 'apply': {'action': 'reload',"
		" 'reasons': ['frontend\\nx', 'b'], 'duration_ms': 38}}",
		false, "", "web (" ID "): revision 4, reload: frontend?x; b (38 ms)\n");
	assert_applied(
		"{'loadbalancer': {}, 'revision': 1, 'apply': {'action': 'start', 'reasons': []}}",
		true, "", ID ": created, revision 1, start\n");
	assert_applied("{'revision': 2}", false, "none",
		ID ": revision 2, none: HAProxy runs it already\n");
	assert_applied("{'revision': 3, 'apply': {'action': 'reload', 'reasons': "
		       "['1','2','3','4','5','6','7']}}",
		false, "", ID ": revision 3, reload: 1; 2; 3; 4; 5; and 2 more\n");
}

static void plan_has_reasons_and_verdict(_unused_ void **state)
{
	_cleanup_json_ json_t *reply =
		json_of("{'loadbalancer': {'name': 'web'}, 'dry_run': {'action': 'runtime', "
		     "'reasons': ['member x added'],"
		     " 'commands': ['add server p/x', 'enable server p/x'],"
		     " 'haproxy_verdict': 'Warning\\u0007\\nConfiguration file is valid\\n'}}");
	_cleanup_text_ struct text out = TEXT_INIT;

	view_plan(ID, reply, &ascii, &out);
	assert_string_equal(text_peek(&out), "Plan for web (" ID "): runtime\n"
					     "  member x added\n"
					     "Runtime API commands:\n"
					     "  add server p/x\n"
					     "  enable server p/x\n"
					     "HAProxy: Warning?\n"
					     "HAProxy: Configuration file is valid\n");
}

static void assert_differences(const char *old_text, const char *new_text, const char *expected)
{
	_cleanup_json_ json_t *old = json_of(old_text), *new = json_of(new_text);
	_cleanup_text_ struct text out = TEXT_INIT;
	size_t lines = 0;

	assert_int_equal(view_differences(old, new, " ", &ascii, &out) > 0, *expected != '\0');
	assert_string_equal(text_peek(&out), expected);
	for (const char *p = expected; *p; p++)
		lines += *p == '\n';
	text_truncate(&out, 0);
	assert_int_equal(view_differences(old, new, "", &ascii, &out), lines);
}

static void differences_are_pointers(_unused_ void **state)
{
	assert_differences("{'a': 1, 'b': [1, {'c': 'x'}]}", "{'b': [1, {'c': 'x'}], 'a': 1}", "");
	assert_differences("{'a': 1, 'b': [1, {'c/~': 'x'}]}", "{'a': '1', 'b': [1, {'c/~': 'y'}]}",
		" /a\n /b/1/c~1~0\n");
	assert_differences("{'a': [1]}", "{'a': [1, 2]}", " /a\n");
	assert_differences("{'a': 1, 'only': 1}", "{'a': 1, 'other': 1}", "");
}

/* Every view of every kind of thing, in every place: nothing but text comes out. */
static void survives_anything(_unused_ void **state)
{
	static const char *const things[] = {"null", "true", "7", "'x'", "[]", "{}",
		"[null, 7, 'x', [], {}]",
		"{'id': 7, 'name': [], 'listeners': {}, 'pools': [{'members': [{'address': 7}]}]}"};
	static const char *const places[] = {"%s", "{'loadbalancers': %s}",
		"{'loadbalancers': [%s]}", "{'loadbalancer': %s}", "{'statuses': %s}",
		"{'statuses': {'loadbalancer': %s}}",
		"{'statuses': {'loadbalancer': {'listeners': [%s], 'pools': %s}}}",
		"{'stats': %s, 'listeners': %s}", "{'apply': %s, 'revision': %s}",
		"{'apply': {'reasons': %s, 'action': %s, 'duration_ms': %s}}", "{'dry_run': %s}",
		"{'dry_run': {'reasons': %s, 'commands': %s, 'haproxy_verdict': %s}}"};

	for (size_t i = 0; i < ELEMENTSOF(places) * ELEMENTSOF(things); i++) {
		const char *place = places[i / ELEMENTSOF(things)],
			   *thing = things[i % ELEMENTSOF(things)];
		_cleanup_text_ struct text source = TEXT_INIT, out = TEXT_INIT;
		_cleanup_table_ struct table *table = NULL;
		_cleanup_json_ json_t *reply = NULL;

		for (; *place; place++) {
			if (place[0] == '%' && place[1] == 's') {
				text_append(&source, thing);
				place++;
			} else {
				text_append_char(&source, *place);
			}
		}
		reply = json_of(text_peek(&source));
		assert_int_equal(view_list(reply, &ascii, &out), 0);
		assert_int_equal(view_resource(reply, reply, "", &ascii, &out), 0);
		assert_int_equal(view_status(reply, reply, &ascii, &out), 0);
		assert_int_equal(view_stats_table(&table), 0);
		assert_int_equal(view_stats(table, ID, reply, reply), 0);
		table_print(table, &ascii, &out);
		view_applied(ID, reply, false, "", &ascii, &out);
		view_plan(ID, reply, &ascii, &out);
		assert_int_equal(view_certificates(reply, 0, &ascii, &out), 0);
		assert_int_equal(view_certificate(reply, 0, &ascii, &out), 0);
		view_certificate_applied("a", reply, false, &ascii, &out);
		assert_int_equal(view_differences(reply, reply, "", &ascii, &out), 0);
		assert_false(out.failed);
		for (const char *p = text_peek(&out); *p; p++)
			assert_true(*p == '\n' || (*p >= ' ' && *p < 0x7f));
	}
}

static void certificates_say_until_when(_unused_ void **state)
{
	_cleanup_json_ json_t *list = json_of(
		"{'certificates': [{'name': 'old', 'type': 'certificate', 'not_after': '2026-01-01T00:00:00',"
		" 'dns_names': ['a.example', 'b.example'], 'used_by': [{}, {}]},"
		" {'name': 'list', 'type': 'crl', 'issuer': 'CN=r', 'not_after': null, 'dns_names': [], 'used_by': []}]}");
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(view_certificates(list, 1780000000, &ascii, &out), 0); /* in May 2026 */
	assert_string_equal(text_peek(&out),
		"NAME  TYPE         VALID UNTIL                    USES  FOR\n"
		"old   certificate  2026-01-01T00:00:00 (expired)     2  a.example and 1 more\n"
		"list  crl          -                                 0  CN=r\n");
}

static void certificate_says_who_uses_it(_unused_ void **state)
{
	_cleanup_json_ json_t *reply = json_of(
		"{'certificate': {'name': 'a', 'subject': 'CN=a', 'not_after': '2030-01-01T00:00:00', 'count': 2,"
		" 'dns_names': ['x', 'y'], 'used_by': [{'loadbalancer_id': 'L', 'pool_id': 'P', 'field': 'crl_container_ref'},"
		" {'loadbalancer_id': 'L', 'listener_id': 'l', 'field': 'sni_container_refs'}]},"
		" 'apply': {'loadbalancers': [{'id': 'L', 'action': 'reload', 'reasons': ['file changed'], 'duration_ms': 5},"
		" {'id': 'M', 'action': 'none', 'reasons': [], 'trouble': 'no way'}]}}");
	_cleanup_text_ struct text out = TEXT_INIT, applied = TEXT_INIT;

	assert_int_equal(view_certificate(reply, 1780000000, &ascii, &out), 0);
	assert_non_null(strstr(text_peek(&out), "used_by    crl_container_ref of pool P of load balancer L\n"));
	assert_non_null(strstr(text_peek(&out), "           sni_container_refs of listener l of load balancer L\n"));
	view_certificate_applied("a", reply, false, &ascii, &applied);
	assert_string_equal(
		text_peek(&applied), "a: stored\n  L: reload: file changed (5 ms)\n  M: no way\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_is_a_tree),
		cmocka_unit_test(list_is_a_table),
		cmocka_unit_test(resource_shows_what_is_set),
		cmocka_unit_test(resource_may_know_its_revision),
		cmocka_unit_test(stats_are_human),
		cmocka_unit_test(applied_is_one_line),
		cmocka_unit_test(plan_has_reasons_and_verdict),
		cmocka_unit_test(differences_are_pointers),
		cmocka_unit_test(certificates_say_until_when),
		cmocka_unit_test(certificate_says_who_uses_it),
		cmocka_unit_test(survives_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
