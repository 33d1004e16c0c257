/* SPDX-License-Identifier: Apache-2.0 */

/* What the planner decides of backends whose servers come and go. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/plans.h"
#include "tests/unit/servers.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backends),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_names_that_come_back),
	};

	return cmocka_run_group_tests_name("plan_pool", tests, NULL, NULL);
}
