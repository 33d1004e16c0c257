/* SPDX-License-Identifier: Apache-2.0 */

/* What the planner decides. Whether its commands do what they should is test_plan_real.c's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/plans.h"
#include "tests/unit/servers.h"

#define BASE                                                                    \
	"global\n  maxconn 10\ndefaults\n  retries 3\nfrontend f\n  bind 1:1\n" \
	"  default_backend b\nbackend b\n  mode tcp\n"

static void test_sections(void **state)
{
	(void)state;
	check(BASE, BASE, "none\n");
	check(NULL, BASE, "start\n- HAProxy does not run\n");
	check(BASE, BASE "# only a comment\n\n", "none\n");
	check(BASE, BASE "backend c\n", "reload\n- backend c: added\n");
	check(BASE, "global\n  maxconn 10\ndefaults\n  retries 3\n",
		"reload\n- frontend f: removed\n- backend b: removed\n");
	check(BASE,
		"global\n  maxconn 11\ndefaults\n  retries 3\nfrontend f\n  bind 1:2\n"
		"  default_backend b\nbackend b\n  mode tcp\n",
		"reload\n- global: \"maxconn\" changed\n- frontend f: \"bind\" changed\n");
	check("backend a\nbackend b\n", "backend b\nbackend a\n",
		"reload\n- order of sections changed\n");
	/* Each "defaults" is for what comes after it. */
	check("defaults\n mode tcp\ndefaults\n mode http\n",
		"defaults\n mode http\ndefaults\n mode tcp\n",
		"reload\n- defaults: \"mode\" changed\n- defaults: \"mode\" changed\n");
	check("defaults x\ndefaults y\nbackend b from x\n",
		"defaults x\ndefaults y\nbackend b from y\n",
		"reload\n- backend b: \"backend\" changed\n");
	/* What a variable stands for is not known, and quotes can make one of it. */
	check("backend b\n use-server \"$A\" if TRUE\n", "backend b\n use-server '$A' if TRUE\n",
		"reload\n- backend b: \"use-server\" changed\n");
	check("backend b\n .if defined(X)\n server s 1.1.1.1:1\n .endif\n",
		"backend b\n .if defined(X)\n server s 1.1.1.1:2\n .endif\n",
		"reload\n- the configuration changed, and has conditional blocks\n");
	/* Servers of sections that are no pools are lines like any other. */
	check("peers p\n server a 1.1.1.1:1\n", "peers p\n server a 1.1.1.1:2\n",
		"reload\n- peers p: \"server\" changed\n");
}

static void test_texts_that_cannot_be_read(void **state)
{
	struct plan plan = PLAN_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct plan_input input = input_of(BASE, "global\n 'x");

	(void)state;
	check("'", BASE, "reload\n- the running configuration differs\n");
	assert_int_equal(plan_make(&input, &plan, &err), -EINVAL);
	assert_non_null(strstr(error_message(&err), "line 2"));
	assert_null(plan.reasons);
}

static void test_servers(void **state)
{
	static const struct {
		const char *running, *wanted, *expected;
	} rows[] = {
		{"", " server s1 1.1.1.1:1\n",
			"runtime\n- backend b: server s1 added\n"
			"> add server b/s1 1.1.1.1:1 pool-max-conn -1 pool-purge-delay 5s\n"
			"> set server b/s1 state ready\n"},
		/* A check does what the traffic does where a line of the configuration would. */
		{"",
			" server s1 1.1.1.1:1 check send-proxy inter 5s fall 3 rise 2 weight 4 "
			"disabled\n",
			"runtime\n- backend b: server s1 added\n"
			"> add server b/s1 1.1.1.1:1 check check-send-proxy pool-max-conn -1 "
			"pool-purge-delay 5s send-proxy weight 4 fall 3 inter 5s rise 2\n"},
		{"", " server s1 1.1.1.1:1 check port 80 send-proxy-v2 ssl verify none\n",
			"runtime\n- backend b: server s1 added\n"
			"> add server b/s1 1.1.1.1:1 check pool-max-conn -1 pool-purge-delay 5s "
			"port 80 send-proxy-v2 ssl verify none\n"
			"> enable health b/s1;set server b/s1 state ready\n"},
		{"", " server s1 1.1.1.1:1 check ssl verify none check-sni a.b\n",
			"runtime\n- backend b: server s1 added\n"
			"> add server b/s1 1.1.1.1:1 check check-ssl pool-max-conn -1 "
			"pool-purge-delay 5s ssl check-sni a.b verify none\n"
			"> enable health b/s1;set server b/s1 state ready\n"},
		{" server s1 1.1.1.1:1\n", "",
			"runtime\n- backend b: server s1 removed\n"
			"> set server b/s1 state maint\n< b/s1 server s1 1.1.1.1:1\n"},
		{" server s1 1.1.1.1:1\n", " server s2 1.1.1.2:1\n",
			"runtime\n- backend b: server s1 removed\n- backend b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 pool-max-conn -1 pool-purge-delay 5s\n"
			"> set server b/s2 state ready\n> set server b/s1 state maint\n"
			"< b/s1 server s1 1.1.1.1:1\n"},
		{" server s1 1.1.1.1:1 weight 1\n server s2 1.1.1.2:1\n",
			" server s1 1.1.1.1:1 weight 0\n server s2 1.1.1.2:1 weight 3\n",
			"runtime\n- backend b: server s1 changed: weight\n"
			"- backend b: server s2 changed: weight\n"
			"> set server b/s2 weight 3\n> set server b/s1 weight 0\n"},
		{" server s1 1.1.1.1:1 weight 1 # one is what it would be anyway\n",
			" server s1 1.1.1.1:1\n", "none\n"},
		{" server s1 1.1.1.1:1\n", " server s1 1.1.1.1:1 disabled\n",
			"runtime\n- backend b: server s1 changed: disabled\n"
			"> set server b/s1 state maint\n"},
		{" server s1 1.1.1.1:1 check disabled\n", " server s1 1.1.1.1:1 check\n",
			"runtime\n- backend b: server s1 changed: disabled\n"
			"> enable health b/s1;set server b/s1 state ready\n"},
		{" server s1 1.1.1.1:1 check\n", " server s1 [2001:DB8::1]:2 check\n",
			"runtime\n- backend b: server s1 changed: address\n"
			"> set server b/s1 addr 2001:db8::1 port 2\n> set server b/s1 health up\n"},
		{" server s1 2001:db8::1:80\n", " server s1 [2001:db8:0::1]:80\n", "none\n"},
		{" server s1 1.1.1.1:1 check\n", " server s1 1.1.1.1:1 check addr 1.1.1.9 port 9\n",
			"runtime\n- backend b: server s1 changed: addr, port\n"
			"> set server b/s1 check-addr 1.1.1.9;set server b/s1 check-port 9\n"},
		{" server s1 1.1.1.1:1 check port 9\n", " server s1 1.1.1.1:1 check\n",
			"runtime\n- backend b: server s1 changed: port\n> set server b/s1 "
			"check-port 0\n"},
		{" server s1 1.1.1.1:1 maxconn 5\n", " server s1 1.1.1.1:1\n",
			"runtime\n- backend b: server s1 changed: maxconn\n"
			"> set maxconn server b/s1 0\n"},
		{" server s1 1.1.1.1:1\n server s2 1.1.1.1:2\n",
			" server s2 1.1.1.1:2\n server s1 1.1.1.1:1\n", "none\n"},
		{" default-server weight 5\n server s1 1.1.1.1:1\n",
			" default-server weight 6\n server s1 1.1.1.1:1\n",
			"runtime\n- backend b: server s1 changed: weight\n> set server b/s1 weight "
			"6\n"},
		{" default-server weight 5\n server s1 1.1.1.1:1\n",
			" server s1 1.1.1.1:1 weight 5\n", "none\n"},
		{" default-server backup\n server s1 1.1.1.1:1 no-backup\n",
			" server s1 1.1.1.1:1\n", "none\n"},
		{" fullconn 1\n", " fullconn 2\n", "none\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		check_after(&v26, "backend b\n", rows[i].running, rows[i].wanted, rows[i].expected);
}

static void test_what_needs_a_reload(void **state)
{
	static const struct {
		const char *running, *wanted, *reason;
	} rows[] = {
		{" server s1 1.1.1.1:1 check inter 5s\n", " server s1 1.1.1.1:1 check inter 6s\n",
			"server s1 changed: inter"},
		{" server s1 1.1.1.1:1\n", " server s1 1.1.1.1:1 check weight 4\n",
			"server s1 changed: check, weight"},
		{" server s1 1.1.1.1:1 id 1\n", " server s1 1.1.1.1:1 id 2\n",
			"server s1 changed: id"},
		{" server s1 1.1.1.1:1\n", " server s1 name.example:1\n",
			"server s1 changed: address"},
		{" server s1 1.1.1.1:1\n", " server s1 1.1.1.1\n", "server s1 changed: address"},
		{" server s1 1.1.1.1:1 check addr 1.1.1.2\n", " server s1 1.1.1.1:1 check\n",
			"server s1 changed: addr"},
		/* Its check has stood still since it was added, or since HAProxy started. */
		{" server s1 1.1.1.1:1 check disabled\n",
			" server s1 1.1.1.1:1 check disabled port 8\n", "server s1 changed: port"},
		{" server s1 1.1.1.1:1 weight 4\n", " server s1 1.1.1.1:1 weight 257\n",
			"server s1 changed: weight"},
		{" server s1 1.1.1.1:1 maxconn 4 minconn 1\n",
			" server s1 1.1.1.1:1 maxconn 5 minconn 1\n", "server s1 changed: maxconn"},
		{" server s1 1.1.1.1:1 on-marked-down shutdown-sessions\n",
			" server s1 1.1.1.1:1 on-marked-down shutdown-sessions disabled\n",
			"server s1 changed: disabled"},
		{" server s1 1.1.1.1:1 on-marked-down shutdown-sessions\n", "",
			"server s1 removed: on-marked-down"},
		{" server s1 1.1.1.1:1 agent-check agent-port 2\n", "",
			"server s1 removed: agent-check"},
		{"", " server s1 1.1.1.1:1 agent-check agent-port 2\n",
			"server s1 added: agent-check"},
		{"", " server s1 1.1.1.1:1 on-marked-up shutdown-backup-sessions\n",
			"server s1 added: on-marked-up"},
		{"", " server s1 1.1.1.1:1 cookie s1\n", "server s1 added: cookie"},
		{"", " server s1 name.example:1\n", "server s1 added: name.example:1"},
		{"", " server s1 1.1.1.1:1 resolvers r\n", "server s1 added: resolvers"},
		{"", " server s1 1.1.1.1:1 alpn h2,http/1.1 ssl verify none\n",
			"server s1 added: alpn"},
		{"", " server s1 1.1.1.1:1 ssl crt new.pem\n", "server s1 added: crt"},
		{"", " server s1 1.1.1.1:1 something new\n",
			"server s1 added: an option that the agent does not know"},
		{"", " server s1 \"$HOST:1\"\n",
			"server s1 added: an option that the agent does not know"},
		{" server s1 1.1.1.1:1 something new\n", "",
			"server s1 removed: an option that the agent does not know"},
		{" server s1 1.1.1.1:1\n", " server s1 1.1.1.1:1 send-proxy\n",
			"server s1 changed: send-proxy; no other is up meanwhile"},
		{" server s1 1.1.1.1:1\n server s2 1.1.1.1:2\n",
			" server s1 1.1.1.1:1\n server s2 1.1.1.1:2 backup\n",
			"server s2 changed: backup; no other is up meanwhile"},
		{" server s1 1.1.1.1:1 check send-proxy\n",
			" server s1 1.1.1.1:1 check send-proxy port 8\n",
			"server s1 changed: port; no other is up meanwhile"},
		{" server-template s 1-3 1.1.1.1:1\n", " server-template s 1-4 1.1.1.1:1\n",
			"servers changed"},
		{" server s1 1.1.1.1:1\n default-server weight 2\n",
			" server s1 1.1.1.1:1\n default-server weight 2\n server s2 1.1.1.1:2\n",
			"servers changed"},
		{"", " server a/b 1.1.1.1:1\n", "a server has no valid name"},
		{" server s1 1.1.1.1:1 backup\n",
			" server s2 1.1.1.1:2 backup\n server s1 1.1.1.1:1 backup\n",
			"server s2 added: which backup server is used depends on their order"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *expected = NULL;

		assert_true(asprintf(&expected, "reload\n- backend b: %s\n", rows[i].reason) >= 0);
		check_after(&v26, "backend b\n", rows[i].running, rows[i].wanted, expected);
	}
}

static void test_what_waits_for_a_reload(void **state)
{
	(void)state;
	check("global\n tune.ssl.cachesize 4000\n maxconn 10\nbackend b\n server s 1.1.1.1:1\n",
		"global\n tune.ssl.cachesize 5000\n maxconn 10\nbackend b\n server s 1.1.1.1:2\n",
		"runtime\n- backend b: server s changed: address\n"
		"> set server b/s addr 1.1.1.1 port 2\n");
	check("global\n maxconn 10\n", "global\n maxconn 10\n tune.ssl.cachesize 5000\n", "none\n");
	check("global\n tune.ssl.cachesize 4000\n maxconn 10\n", "global\n maxconn 10\n", "none\n");
	check("global\n tune.ssl.cachesize 4000\n tune.ssl.lifetime 1\n",
		"global\n tune.ssl.cachesize 5000\n tune.ssl.lifetime 2\n",
		"reload\n- global: \"tune.ssl.lifetime\" changed\n");
}

static void test_updates_turned_off(void **state)
{
	struct plan_input input = input_of(BASE, BASE " server s1 1.1.1.1:1\n");

	(void)state;
	input.runtime_updates = false;
	check_input(&input, "reload\n- backend b: server s1 added\n");
	input.wanted_length = input.running_length;
	check_input(&input, "none\n");
}

/* Nothing that a configuration holds becomes a command of its own. */
static void test_words_that_would_be_commands(void **state)
{
	static const char *const wanted[] = {
		"backend b\n server s1 1.1.1.1:1 sni 'a;shutdown sessions server b/s1'\n",
		"backend b\n server s1 1.1.1.1:1 sni \"a\\nshutdown\"\n",
		"backend b\n server s1;x 1.1.1.1:1\n",
		"backend b\n server s1 '1.1.1.1;x:1'\n",
		"backend b\n server s1 1.1.1.1:1 weight '1;x'\n",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
		struct plan_input input = input_of("backend b\n", wanted[i]);
		_cleanup_plan_ struct plan plan = PLAN_INIT;

		assert_int_equal(plan_make(&input, &plan, NULL), 0);
		if (i == 0)
			assert_non_null(strstr(plan.steps[0].command,
				"sni a\\;shutdown\\ sessions\\ server\\ b/s1"));
		else
			assert_int_equal(plan.action, PLAN_RELOAD);
	}
}

static char *with_servers(size_t n, const char *name)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	text_append(&text, "backend b\n balance leastconn\n");
	for (size_t i = 0; i < n; i++)
		text_printf(&text, " server %s%04zu 1.1.1.1:%zu\n", name, i, 1 + i % 60000);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void test_many(void **state)
{
	static const struct {
		size_t servers, reasons;
		enum plan_action action;
		const char *last;
	} rows[] = {
		{PLAN_MAX_REASONS - 1, PLAN_MAX_REASONS - 1, PLAN_RUNTIME,
			"backend b: server s0018 added"},
		{PLAN_MAX_REASONS, PLAN_MAX_REASONS, PLAN_RUNTIME, "and 1 more"},
		{4000, PLAN_MAX_REASONS, PLAN_RUNTIME, "and 3981 more"},
		/* Then a reload is quicker. */
		{6000, 1, PLAN_RELOAD, "6000 changes at once"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *wanted = with_servers(rows[i].servers, "s");
		_cleanup_plan_ struct plan plan = PLAN_INIT, back = PLAN_INIT;
		struct plan_input input = input_of("backend b\n balance leastconn\n", wanted);

		assert_int_equal(plan_make(&input, &plan, NULL), 0);
		assert_int_equal(strv_length(plan.reasons), rows[i].reasons);
		assert_string_equal(plan.reasons[rows[i].reasons - 1], rows[i].last);
		assert_int_equal(plan.action, rows[i].action);
		/* Many that leave fit into few commands. */
		input = input_of(wanted, "backend b\n balance leastconn\n");
		assert_int_equal(plan_make(&input, &back, NULL), 0);
		assert_int_equal(back.action, PLAN_RUNTIME);
		assert_int_equal(back.n_leaving, rows[i].servers);
		assert_in_range(back.n_steps, 1, 20);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(plan_action_name(PLAN_NONE), "none");
	assert_string_equal(plan_action_name(PLAN_RUNTIME), "runtime");
	assert_string_equal(plan_action_name(PLAN_RELOAD), "reload");
	assert_string_equal(plan_action_name(PLAN_START), "start");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_texts_that_cannot_be_read),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_what_needs_a_reload),
		cmocka_unit_test(test_what_waits_for_a_reload),
		cmocka_unit_test(test_updates_turned_off),
		cmocka_unit_test(test_words_that_would_be_commands),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
