/* SPDX-License-Identifier: Apache-2.0 */

/* What the planner decides. Whether its commands do what they should is test_plan_real.c's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan.h"
#include "tests/unit/servers.h"

static const struct haproxy_version v24 = {2, 4, "2.4.0"}, v25 = {2, 5, "2.5.0"},
				    v26 = {2, 6, "2.6.12"}, v28 = {2, 8, "2.8.1"},
				    v30 = {3, 0, "3.0.0"}, v32 = {3, 2, "3.2.1"},
				    v33 = {3, 3, "3.3.0"}, v34 = {3, 4, "3.4.0"};

static struct plan_input input_of(const char *running, const char *wanted)
{
	return (struct plan_input){
		.running = running,
		.running_length = running ? strlen(running) : 0,
		.wanted = wanted,
		.wanted_length = strlen(wanted),
		.version = v26,
		.runtime_updates = true,
	};
}

/* The action, then "- reason", "> command" and "< server that is left" in lines of their own. */
static char *describe(const struct plan *plan)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	text_printf(&text, "%s\n", plan_action_name(plan->action));
	STRV_FOREACH (reason, plan->reasons)
		text_printf(&text, "- %s\n", *reason);
	for (size_t i = 0; i < plan->n_steps; i++)
		text_printf(&text, "> %s\n",
			plan->steps[i].shown ? plan->steps[i].shown : plan->steps[i].command);
	for (size_t i = 0; i < plan->n_leaving; i++)
		text_printf(&text, "< %s/%s%s %s\n", plan->leaving[i].backend,
			plan->leaving[i].server, plan->leaving[i].keep ? " kept" : "",
			plan->leaving[i].line ? plan->leaving[i].line : "?");
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void check_input(const struct plan_input *input, const char *expected)
{
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *got = NULL;

	if (plan_make(input, &plan, &err) < 0)
		fail_msg("%s", error_message(&err));
	got = describe(&plan);
	if (!streq(got, expected))
		fail_msg("from\n%s\nto\n%s\nHAProxy %s:\n%s\ninstead of\n%s",
			input->running ? input->running : "nothing", input->wanted,
			input->version.text, got, expected);
}

static void check(const char *running, const char *wanted, const char *expected)
{
	struct plan_input input = input_of(running, wanted);

	check_input(&input, expected);
}

/* Two texts that have a beginning in common. */
static void check_after(const struct haproxy_version *version, const char *head,
	const char *running, const char *wanted, const char *expected)
{
	_cleanup_free_ char *a = NULL, *b = NULL;
	struct plan_input input;

	assert_true(asprintf(&a, "%s%s", head, running) >= 0);
	assert_true(asprintf(&b, "%s%s", head, wanted) >= 0);
	input = input_of(a, b);
	input.version = *version;
	check_input(&input, expected);
}

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

#define ADDED " server s1 1.1.1.1:1\n", " server s1 1.1.1.1:1\n server s2 1.1.1.2:1\n"
#define ADDED_ID \
	" server s1 1.1.1.1:1 id 5\n", " server s1 1.1.1.1:1 id 5\n server s2 1.1.1.2:1 id 6\n"
#define STEPS_OF_ADDED                                                       \
	"runtime\n- backend b: server s2 added\n"                            \
	"> add server b/s2 1.1.1.2:1 pool-max-conn -1 pool-purge-delay 5s\n" \
	"> set server b/s2 state ready\n"
#define STEPS_OF_ADDED_ID                                                         \
	"runtime\n- backend b: server s2 added\n"                                 \
	"> add server b/s2 1.1.1.2:1 id 6 pool-max-conn -1 pool-purge-delay 5s\n" \
	"> set server b/s2 state ready\n"

/* What the algorithm, the mode and the checks of a backend take. */
static void test_backends(void **state)
{
	static const char by_number[] =
		"reload\n- backend b: server s2 added: its algorithm counts on numbers that "
		"its servers have not been given\n";
	static const char is_static[] =
		"reload\n- backend b: server s2 added: its algorithm takes none at run time\n";
	static const struct {
		const char *head, *running, *wanted, *expected;
	} rows[] = {
		{"backend b\n balance leastconn\n", ADDED, STEPS_OF_ADDED},
		{"defaults\n balance leastconn\nbackend b\n", ADDED, STEPS_OF_ADDED},
		{"backend b\n balance source\n", ADDED, is_static},
		{"backend b\n balance static-rr\n hash-type consistent\n", ADDED, is_static},
		{"defaults\n balance source\nbackend b\n", ADDED, is_static},
		{"defaults a\n balance source\ndefaults c\nbackend b from a\n", ADDED, is_static},
		{"defaults a\n balance source\ndefaults c\nbackend b\n", ADDED, STEPS_OF_ADDED},
		{"backend b\n balance source\n hash-type consistent\n", ADDED, by_number},
		{"backend b\n balance source\n hash-type consistent\n", ADDED_ID,
			STEPS_OF_ADDED_ID},
		{"backend b\n balance url_param x\n hash-type consistent\n", ADDED_ID,
			STEPS_OF_ADDED_ID},
		{"backend b\n balance first\n", ADDED, by_number},
		{"backend b\n balance random(2)\n", ADDED_ID, STEPS_OF_ADDED_ID},
		{"backend b\n mode log\n", ADDED,
			"reload\n- backend b: server s2 added: its mode takes none at run time\n"},
		{"backend b\n option external-check\n", ADDED,
			"reload\n- backend b: server s2 added: external checks of added servers "
			"cannot run\n"},
		{"backend b\n dynamic-cookie-key k\n", ADDED,
			"reload\n- backend b: server s2 added: its cookies are made when HAProxy "
			"starts\n"},
		{"listen b\n", ADDED,
			"runtime\n- listen b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 pool-max-conn -1 pool-purge-delay 5s\n"
			"> set server b/s2 state ready\n"},
		{"defaults\n default-server check inter 3s\nbackend b\n", ADDED,
			"runtime\n- backend b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 check pool-max-conn -1 pool-purge-delay 5s "
			"inter 3s\n"
			"> enable health b/s2;set server b/s2 state ready\n"},
		/* A static algorithm lets servers be drained and moved, not weighed or put into
		   another order. */
		{"backend b\n balance source\n", " server s1 1.1.1.1:1\n",
			" server s1 1.1.1.1:1 weight 0\n",
			"runtime\n- backend b: server s1 changed: weight\n> set server b/s1 weight "
			"0\n"},
		{"backend b\n balance source\n", " server s1 1.1.1.1:1\n",
			" server s1 1.1.1.1:1 weight 2\n",
			"reload\n- backend b: server s1 changed: weight\n"},
		{"backend b\n balance source\n", " server a 1.1.1.1:1\n server b 1.1.1.1:2\n",
			" server b 1.1.1.1:2\n server a 1.1.1.1:1\n",
			"reload\n- backend b: order of servers changed\n"},
		{"backend b\n balance first\n", " server a 1.1.1.1:1\n server b 1.1.1.1:2\n",
			" server b 1.1.1.1:2\n server a 1.1.1.1:1\n",
			"reload\n- backend b: order of servers changed\n"},
		{"backend b\n balance first\n",
			" server a 1.1.1.1:1 id 2\n server b 1.1.1.1:2 id 1\n",
			" server b 1.1.1.1:2 id 1\n server a 1.1.1.1:1 id 2\n", "none\n"},
		{"backend b\n option allbackups\n", " server a 1.1.1.1:1 backup\n",
			" server s2 1.1.1.2:1 backup\n server a 1.1.1.1:1 backup\n",
			"runtime\n- backend b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 backup pool-max-conn -1 pool-purge-delay 5s\n"
			"> set server b/s2 state ready\n"},
		{"backend b\n no option allbackups\n option allbackups\n",
			" server a 1.1.1.1:1 backup\n",
			" server s2 1.1.1.2:1 backup\n server a 1.1.1.1:1 backup\n",
			"reload\n- backend b: server s2 added: which backup server is used depends "
			"on "
			"their order\n"},
		/* Up to 2.9 a server of an HTTP pool must not be deleted. */
		{"backend b\n mode http\n", " server s1 1.1.1.1:1\n", "",
			"runtime\n- backend b: server s1 removed\n> set server b/s1 state maint\n"
			"< b/s1 kept server s1 1.1.1.1:1\n"},
		{"backend b; c\n", ADDED, "reload\n- backend b;: servers changed\n"},
		{"backend b\n server s9 1.1.1.9:1 ssl ca-file /ca.pem\n", "",
			" server s2 1.1.1.2:1 ssl ca-file /ca.pem\n",
			"runtime\n- backend b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 ca-file /ca.pem pool-max-conn -1 "
			"pool-purge-delay 5s ssl\n"
			"> set server b/s2 state ready\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		check_after(&v26, rows[i].head, rows[i].running, rows[i].wanted, rows[i].expected);
}

/* Each version's row of the table of capabilities, and of that of words that "add server" takes. */
static void test_versions(void **state)
{
	static const char none[] = "reload\n- backend b: server s2 added: this version of HAProxy "
				   "adds none at run time\n";
	static const char since30[] =
		"runtime\n- backend b: server s2 added\n> add server b/s2 1.1.1.2:1\n"
		"> set server b/s2 state ready\n";
	static const struct {
		const struct haproxy_version *version;
		const char *options, *expected;
	} rows[] = {
		{&v24, "", none},
		{&v25, "", none},
		{&v26, "", STEPS_OF_ADDED},
		{&v28, "", STEPS_OF_ADDED},
		{&v30, "", since30},
		{&v32, "", since30},
		{&v28, " cookie c", "reload\n- backend b: server s2 added: cookie\n"},
		{&v30, " cookie c",
			"runtime\n- backend b: server s2 added\n> add server b/s2 1.1.1.2:1 cookie "
			"c\n"
			"> set server b/s2 state ready\n"},
		{&v30, " init-state down", "reload\n- backend b: server s2 added: init-state\n"},
		{&v32, " init-state down check",
			"runtime\n- backend b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 check init-state down\n"
			"> enable health b/s2;set server b/s2 state ready\n"},
		{&v28, " proto h2", "reload\n- backend b: server s2 added: proto\n"},
		{&v30, " alpn h2 ssl verify none",
			"runtime\n- backend b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 alpn h2 ssl verify none\n"
			"> set server b/s2 state ready\n"},
		{&v28, " sigalgs x", "reload\n- backend b: server s2 added: sigalgs\n"},
		{&v33, " ssl verify none id 2", "reload\n- backend b: server s2 added: ssl\n"},
		{&v34, " resolvers r id 2", "reload\n- backend b: server s2 added: resolvers\n"},
		{&v26, " observe layer4",
			"runtime\n- backend b: server s2 added\n"
			"> add server b/s2 1.1.1.2:1 error-limit 10 observe layer4 on-error "
			"fail-check "
			"pool-max-conn -1 pool-purge-delay 5s\n> set server b/s2 state ready\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *wanted = NULL;

		assert_true(asprintf(&wanted, " server s1 1.1.1.1:1 id 1\n server s2 1.1.1.2:1%s\n",
				    rows[i].options) >= 0);
		check_after(rows[i].version, "backend b\n", " server s1 1.1.1.1:1 id 1\n", wanted,
			rows[i].expected);
	}
	/* From 3.3 on no algorithm is "random", which counts on ids. */
	check_after(&v33, "backend b\n", ADDED,
		"reload\n- backend b: server s2 added: its algorithm counts on numbers that its "
		"servers have not "
		"been given\n");
	/* What is removed stays until a reload where deleting is experimental, or unsafe. */
	check_after(&v24, "backend b\n", " server s1 1.1.1.1:1\n", "",
		"runtime\n- backend b: server s1 removed\n> set server b/s1 state maint\n"
		"< b/s1 kept server s1 1.1.1.1:1\n");
	check_after(&v30, "backend b\n mode http\n", " server s1 1.1.1.1:1\n", "",
		"runtime\n- backend b: server s1 removed\n> set server b/s1 state maint\n"
		"< b/s1 server s1 1.1.1.1:1\n");
}

static void test_limits(void **state)
{
	static const char low[] =
		"global\n maxconn 10\nfrontend f\n maxconn 5\nbackend b\n fullconn 5\n";
	static const char high[] =
		"global\n maxconn 20\nfrontend f\n maxconn 9\nbackend b\n fullconn 9\n";
	static const char raised[] =
		"runtime\n- global: maxconn changed\n- frontend f: maxconn changed\n"
		"> set maxconn global 20;set maxconn frontend f 9\n";
	struct plan_input input = input_of(low, high);

	(void)state;
	check_input(&input, "reload\n- global: \"maxconn\" changed\n");
	input.hard_maxconn = 19;
	check_input(&input, "reload\n- global: \"maxconn\" changed\n");
	input.hard_maxconn = 20;
	check_input(&input, raised);
	check(high, low,
		"runtime\n- global: maxconn changed\n- frontend f: maxconn changed\n"
		"> set maxconn global 10;set maxconn frontend f 5\n");
	check("frontend f\n maxconn 5\n", "frontend f\n",
		"reload\n- frontend f: \"maxconn\" changed\n");
	check("frontend f\n maxconn 5\n", "frontend f\n maxconn 0\n",
		"reload\n- frontend f: \"maxconn\" changed\n");
	check("defaults\n maxconn 5\n", "defaults\n maxconn 6\n",
		"reload\n- defaults: \"maxconn\" changed\n");
	/* Servers whose limit follows the load of the backend. */
	check("backend b\n fullconn 5\n server s 1.1.1.1:1 minconn 1 maxconn 2\n",
		"backend b\n fullconn 6\n server s 1.1.1.1:1 minconn 1 maxconn 2\n",
		"reload\n- backend b: \"fullconn\" changed\n");
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

/* PROXY and the role of a backup, which take another server under the same name. */
static void test_replaced(void **state)
{
	static const char plain[] = " server s1 1.1.1.1:1\n server s2 1.1.1.2:1\n";
	static const char proxy[] =
		" server s1 1.1.1.1:1 send-proxy\n server s2 1.1.1.2:1 send-proxy\n";
	static const char replaced[] =
		"runtime\n- backend b: server s1 changed: send-proxy\n- backend b: server s2 "
		"changed: send-proxy\n"
		"> set server b/s1 state maint\n> del server b/s1\n"
		"> add server b/s1 1.1.1.1:1 pool-max-conn -1 pool-purge-delay 5s send-proxy\n"
		"> set server b/s1 state ready;set server b/s2 state maint\n> del server b/s2\n"
		"> add server b/s2 1.1.1.2:1 pool-max-conn -1 pool-purge-delay 5s send-proxy\n"
		"> set server b/s2 state ready\n";
	static const struct {
		const char *rows, *expected;
	} rows[] = {
		{UP("1") UP("2"), replaced},
		{UP("1") DOWN("2"), "reload\n- backend b: server s1 changed: send-proxy; no other "
				    "is up meanwhile\n"},
		{OUT("1") UP("2"), "reload\n- backend b: server s2 changed: send-proxy; no other "
				   "is up meanwhile\n"},
		{"", "reload\n- backend b: server s1 changed: send-proxy; no other is up "
		     "meanwhile\n"
		     "- backend b: server s2 changed: send-proxy; no other is up meanwhile\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *servers = state_of(rows[i].rows), *a = NULL, *b = NULL;
		struct plan_input input;

		assert_true(asprintf(&a, "backend b\n%s", plain) >= 0);
		assert_true(asprintf(&b, "backend b\n%s", proxy) >= 0);
		input = input_of(a, b);
		input.servers_state = servers;
		check_input(&input, rows[i].expected);
	}
	{
		_cleanup_free_ char *servers = state_of(UP("1") UP("2"));
		struct plan_input input = input_of(
			"backend b\n mode http\n server s1 1.1.1.1:1\n server s2 1.1.1.2:1\n",
			"backend b\n mode http\n server s1 1.1.1.1:1 backup\n server s2 "
			"1.1.1.2:1\n");

		input.servers_state = servers;
		check_input(&input, "reload\n- backend b: server s1 changed: backup; this version "
				    "of HAProxy cannot "
				    "delete it safely\n");
	}
}

/* Names that are still there, in maintenance. */
static void test_names_that_come_back(void **state)
{
	static const struct {
		const char *line;
		bool keep;
		const char *wanted, *expected;
	} rows[] = {
		{"server s1 1.1.1.1:1", true, " server s1 1.1.1.1:1\n",
			"runtime\n- backend b: server s1 comes back\n> set server b/s1 state "
			"ready\n"},
		{"server s1 1.1.1.1:1 check disabled weight 4", true,
			" server s1 1.1.1.2:1 check weight 5\n",
			"runtime\n- backend b: server s1 comes back\n> set server b/s1 addr "
			"1.1.1.2 port 1\n"
			"> set server b/s1 weight 5;enable health b/s1;set server b/s1 state "
			"ready\n"},
		{"server s1 1.1.1.1:1", true, " server s1 1.1.1.1:1 disabled\n",
			"runtime\n- backend b: server s1 comes back\n"},
		{"server s1 1.1.1.1:1", false, " server s1 1.1.1.1:1 send-proxy\n",
			"runtime\n- backend b: server s1 added\n> del server b/s1\n"
			"> add server b/s1 1.1.1.1:1 pool-max-conn -1 pool-purge-delay 5s "
			"send-proxy\n"
			"> set server b/s1 state ready\n"},
		{NULL, false, " server s1 1.1.1.1:1\n",
			"runtime\n- backend b: server s1 added\n> del server b/s1\n"
			"> add server b/s1 1.1.1.1:1 pool-max-conn -1 pool-purge-delay 5s\n"
			"> set server b/s1 state ready\n"},
		{NULL, true, " server s1 1.1.1.1:1\n",
			"reload\n- backend b: server s1 comes back: the former one cannot be "
			"deleted yet\n"},
		{"'", true, " server s1 1.1.1.1:1\n",
			"reload\n- backend b: server s1 comes back: the former one cannot be "
			"deleted yet\n"},
		/* Another one, while it waits; and one that wants its number. */
		{"server s1 1.1.1.1:1", true, " server s2 1.1.1.2:1\n",
			STEPS_OF_ADDED "< b/s1 kept server s1 1.1.1.1:1\n"},
		{"server s1 1.1.1.1:1 id 6 check", true, " server s2 1.1.1.2:1 id 6\n",
			"reload\n- backend b: server s2 added: id\n"},
		{"server s1 1.1.1.1:1", false, "", "none\n< b/s1 server s1 1.1.1.1:1\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		char backend[] = "b", server[] = "s1";
		struct plan_leaving leaving = {
			backend, server, rows[i].line ? strdup(rows[i].line) : NULL, rows[i].keep};
		_cleanup_free_ char *wanted = NULL;
		struct plan_input input;

		assert_true(asprintf(&wanted, "backend b\n%s", rows[i].wanted) >= 0);
		input = input_of("backend b\n", wanted);
		input.leaving = &leaving;
		input.n_leaving = 1;
		check_input(&input, rows[i].expected);
		free(leaving.line);
	}
}

#define LISTS                                                                                 \
	"frontend f\n bind 1:1 ssl crt-list l.txt ca-file ca.pem\n bind 1:2 ssl crt one.pem " \
	"ca-file x.pem "                                                                      \
	"ca-verify-file x.pem\n tcp-request connection reject unless { src -f a.lst }\n"      \
	" http-request deny if { path -M -f m.lst }\n http-request set-header X "             \
	"%[path,map_beg(c.map,no)]\n"                                                         \
	" errorfile 503 err.http\n"
#define PEM "-----BEGIN X-----\nA\n-----END X-----\n"

static void test_files(void **state)
{
	static const struct {
		struct plan_file files[4];
		const char *expected;
	} rows[] = {
		{{{"a.lst", "1.1.1.1\n", "# none\n\n 2.2.2.2\n3.3.3.0/24\r\n"}},
			"runtime\n- a.lst changed\n> prepare acl a.lst\n"
			"> add acl @@VERSION@ a.lst 2.2.2.2;add acl @@VERSION@ a.lst 3.3.3.0/24\n"
			"> commit acl @@VERSION@ a.lst\n"},
		{{{"a.lst", "1.1.1.1\n", ""}}, "runtime\n- a.lst changed\n> prepare acl a.lst\n> "
					       "commit acl @@VERSION@ a.lst\n"},
		{{{"a.lst", "1.1.1.1\n", "@VERSION@\n"}},
			"reload\n- a.lst changed: a line of it does not fit into a command\n"},
		{{{"a.lst", "1.1.1.1\n", NULL}}, "reload\n- a.lst changed\n"},
		{{{"m.lst", "a\n", "b\n"}}, "reload\n- m.lst changed\n"},
		{{{"c.map", "a b\n", "/c  d e \n"}},
			"runtime\n- c.map changed\n> prepare map c.map\n"
			"> add map @@VERSION@ c.map /c d\\ e\n> commit map @@VERSION@ c.map\n"},
		{{{"c.map", "a b\n", "/c\n"}},
			"reload\n- c.map changed: a line of it does not fit into a command\n"},
		{{{"x.pem", PEM, PEM PEM}}, "reload\n- x.pem changed\n"},
		{{{"one.pem", "digest", PEM}},
			"runtime\n- certificate one.pem replaced\n> set ssl cert one.pem <<\n"
			"> commit ssl cert one.pem\n"},
		{{{"one.pem", PEM, "\n\n"}},
			"reload\n- one.pem changed: it does not fit into a command\n"},
		{{{"ca.pem", PEM, PEM PEM}},
			"runtime\n- CA file ca.pem replaced\n> set ssl ca-file ca.pem <<\n"
			"> commit ssl ca-file ca.pem\n"},
		/* Nothing names it. */
		{{{"l.txt", "one.pem\n", "one.pem\n"}, {"stranger.pem", PEM, PEM PEM}}, "none\n"},
		/* A list that is not told could name it. */
		{{{"stranger.pem", PEM, PEM PEM}}, "reload\n- stranger.pem changed\n"},
		{{{"l.txt", "one.pem\ntwo.pem\n", "one.pem\ntwo.pem\n"}, {"two.pem", PEM, PEM PEM}},
			"runtime\n- certificate two.pem replaced\n> set ssl cert two.pem <<\n"
			"> commit ssl cert two.pem\n"},
		{{{"l.txt", "one.pem\n", "one.pem\ntwo.pem [alpn h2] b.c\n"},
			 {"two.pem", NULL, PEM}},
			"runtime\n- l.txt: two.pem added\n> new ssl cert two.pem\n> set ssl cert "
			"two.pem <<\n"
			"> commit ssl cert two.pem\n> add ssl crt-list l.txt <<\n"},
		{{{"l.txt", "one.pem\n", "one.pem\ntwo.pem\n"}},
			"reload\n- l.txt: two.pem added\n"},
		{{{"l.txt", "one.pem\ntwo.pem\n", "one.pem\n"}, {"two.pem", PEM, NULL}},
			"runtime\n- l.txt: two.pem removed\n> del ssl crt-list l.txt two.pem\n"
			"> del ssl cert two.pem\n"},
		/* The default certificate, and the order. */
		{{{"l.txt", "one.pem\ntwo.pem\n", "two.pem\n"}}, "reload\n- l.txt changed\n"},
		{{{"l.txt", "one.pem\ntwo.pem\nthree.pem\n", "one.pem\nthree.pem\ntwo.pem\n"}},
			"reload\n- l.txt: order changed\n"},
		{{{"l.txt", "one.pem\ntwo.pem\ntwo.pem a\n", "one.pem\n"}},
			"reload\n- l.txt changed\n"},
		{{{"l.txt", NULL, "one.pem\n"}}, "reload\n- l.txt changed\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		struct plan_input input = input_of(LISTS, LISTS);

		input.files = rows[i].files;
		while (input.n_files < ELEMENTSOF(rows[i].files) &&
			rows[i].files[input.n_files].name)
			input.n_files++;
		check_input(&input, rows[i].expected);
	}
}

static char *repeat(const char *text, size_t n)
{
	_cleanup_text_ struct text all = TEXT_INIT;
	char *result;

	for (size_t i = 0; i < n; i++)
		text_append(&all, text);
	assert_int_equal(text_finish(&all, &result, NULL), 0);
	return result;
}

static void check_sizes(const struct plan *plan, size_t limit)
{
	for (size_t i = 0; i < plan->n_steps; i++)
		assert_in_range(strlen(plan->steps[i].command), 1, limit);
}

/* A command with its payload has to fit into HAProxy's buffer. */
static void test_sizes(void **state)
{
	static const char small_buffer[] = "global\n tune.bufsize 4096\n" LISTS;
	_cleanup_free_ char *many = repeat("100.100.100.100\n", 5000), *large = repeat(PEM, 1000);
	struct plan_file file = {"a.lst", "1.1.1.1\n", many};
	struct plan_input input = input_of(LISTS, LISTS);
	struct plan plan = PLAN_INIT;
	size_t steps;

	(void)state;
	input.files = &file;
	input.n_files = 1;
	assert_int_equal(plan_make(&input, &plan, NULL), 0);
	assert_int_equal(plan.action, PLAN_RUNTIME);
	check_sizes(&plan, 16384);
	steps = plan.n_steps;
	assert_in_range(steps, 10, 20);
	plan_done(&plan);

	input.running = input.wanted = small_buffer;
	input.running_length = input.wanted_length = strlen(small_buffer);
	assert_int_equal(plan_make(&input, &plan, NULL), 0);
	check_sizes(&plan, 4096);
	assert_true(plan.n_steps > 3 * steps);
	plan_done(&plan);

	input = input_of(LISTS, LISTS);
	file = (struct plan_file){"ca.pem", PEM, large};
	input.files = &file;
	input.n_files = 1;
	check_input(&input, "reload\n- ca.pem changed: it does not fit into a command\n");
	/* From 2.7 on a CA file can be given in pieces. */
	input.version = v28;
	assert_int_equal(plan_make(&input, &plan, NULL), 0);
	assert_int_equal(plan.action, PLAN_RUNTIME);
	check_sizes(&plan, 16384);
	assert_string_equal(plan.steps[0].shown, "set ssl ca-file ca.pem <<");
	assert_string_equal(plan.steps[1].shown, "add ssl ca-file ca.pem <<");
	assert_string_equal(plan.steps[plan.n_steps - 1].command, "commit ssl ca-file ca.pem");
	assert_in_range(plan.n_steps, 4, 5);
	plan_done(&plan);
	/* 2.4 cannot exchange CA files at all. */
	file.after = PEM;
	file.before = "";
	input.version = v24;
	check_input(&input, "reload\n- ca.pem changed\n");
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
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_waits_for_a_reload),
		cmocka_unit_test(test_updates_turned_off),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_names_that_come_back),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_words_that_would_be_commands),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
