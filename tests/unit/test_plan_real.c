/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Plans carried out on the real HAProxy: a process that was brought from one configuration to
 * another at run time must be like one that was started from the other.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/pki.h"
#include "tests/unit/real_haproxy.h"

#define HEAD                                                                                 \
	"global\n maxconn 200\ndefaults\n timeout connect 1s\n timeout client 5s\n timeout " \
	"server 5s\n"                                                                        \
	" default-server inter 20s fall 4\nfrontend f\n bind unix@f.sock\n maxconn 100\n "   \
	"default_backend b\n"

/* Each from the first text to the second, and back. */
static void test_both_ways(void **state)
{
	static const struct {
		const char *a, *b;
	} rows[] = {
		{" server s1 127.0.0.1:1 check weight 4\n",
			" server s1 127.0.0.1:1 check weight 9\n server s2 127.0.0.1:2\n"},
		{" server s1 127.0.0.1:1\n", " server s1 [::1]:2 weight 0\n"},
		{" server s1 127.0.0.1:1 disabled check\n", " server s1 127.0.0.2:1 check\n"},
		{" server s1 127.0.0.1:1 check port 80 addr 127.0.0.9\n",
			" server s1 127.0.0.1:1 check port 81 addr [::1]\n"},
		{" server s1 127.0.0.1:1 check\n", " server s1 127.0.0.1:1 check port 81\n"},
		{" server s1 127.0.0.1:1 maxconn 5\n",
			" server s1 127.0.0.1:1 maxconn 7\n server s2 ::1:7 backup\n"},
		{" server s1 127.0.0.1:1\n server s2 127.0.0.1:2 send-proxy\n",
			" server s1 127.0.0.1:1 send-proxy\n server s2 127.0.0.1:2\n"},
		{" server s1 127.0.0.1:1\n server s2 127.0.0.1:2 backup\n",
			" server s1 127.0.0.1:1\n server s2 127.0.0.1:2\n"},
		{" fullconn 9\n server s1 127.0.0.1:1\n", " fullconn 8\n"},
		{"", " server s1 127.0.0.1:1 check inter 5s rise 2 fall 3 send-proxy-v2 weight 7 "
		     "disabled\n"},
		{" default-server weight 7\n server s1 127.0.0.1:1\n",
			" server s1 127.0.0.1:1 weight 8\n"},
		{" balance source\n hash-type consistent\n server s1 127.0.0.1:1 id 5\n",
			" balance source\n hash-type consistent\n server s1 127.0.0.1:1 id 5 "
			"weight 3\n"
			" server s2 127.0.0.1:2 id 9\n"},
		{" balance leastconn\n server s1 127.0.0.1:1\n",
			" balance leastconn\n server s2 127.0.0.1:2 check\n"},
		{" balance source\n server s1 127.0.0.1:1\n server s2 127.0.0.1:1\n",
			" balance source\n server s2 127.0.0.3:1\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *a = format_text(HEAD "backend b\n%s", rows[i].a);
		_cleanup_free_ char *b = format_text(HEAD "backend b\n%s", rows[i].b);
		_cleanup_plan_ struct plan there = PLAN_INIT, back = PLAN_INIT;
		struct situation situation = {.running = a, .wanted = b};
		struct haproxy haproxy;

		make_folder(&haproxy);
		start(&haproxy, a);
		there = make_plan(&haproxy, &situation);
		if (there.action != PLAN_RUNTIME)
			fail_msg("%s\n%s\n%s", a, b, there.reasons[0]);
		apply(&haproxy, &there);
		check_state(&haproxy, b, there.leaving, there.n_leaving);
		compare_with_fresh(&haproxy, b, there.leaving, there.n_leaving);

		situation = (struct situation){.running = b,
			.wanted = a,
			.leaving = there.leaving,
			.n_leaving = there.n_leaving};
		back = make_plan(&haproxy, &situation);
		/* The one exception: a static algorithm takes no server back. */
		if (strstr(a, "balance source\n server")) {
			assert_int_equal(back.action, PLAN_RELOAD);
		} else {
			if (back.action != PLAN_RUNTIME)
				fail_msg("%s\n%s\n%s", b, a, back.reasons[0]);
			apply(&haproxy, &back);
			check_state(&haproxy, a, back.leaving, back.n_leaving);
			compare_with_fresh(&haproxy, a, back.leaving, back.n_leaving);
		}
		stop(&haproxy);
		remove_folder(&haproxy);
	}
}

static void test_limits(void **state)
{
	static const char lower[] =
		"global\n maxconn 100\nfrontend f\n bind unix@f.sock\n maxconn 60\n";
	static const char higher[] =
		"global\n maxconn 150\nfrontend f\n bind unix@f.sock\n maxconn 90\n";
	static const char too_high[] =
		"global\n maxconn 250\nfrontend f\n bind unix@f.sock\n maxconn 90\n";
	_cleanup_plan_ struct plan down = PLAN_INIT, up = PLAN_INIT, over = PLAN_INIT;
	_cleanup_free_ char *info = NULL;
	struct haproxy haproxy;

	(void)state;
	make_folder(&haproxy);
	start(&haproxy, "global\n maxconn 200\nfrontend f\n bind unix@f.sock\n maxconn 80\n");
	down = make_plan(&haproxy,
		&(struct situation){.running =
					    "global\n maxconn 200\nfrontend f\n bind unix@f.sock\n"
					    " maxconn 80\n",
			.wanted = lower,
			.hard_maxconn = 200});
	assert_int_equal(down.action, PLAN_RUNTIME);
	apply(&haproxy, &down);
	up = make_plan(&haproxy,
		&(struct situation){.running = lower, .wanted = higher, .hard_maxconn = 200});
	assert_int_equal(up.action, PLAN_RUNTIME);
	apply(&haproxy, &up);
	info = ask(&haproxy, "show info");
	assert_non_null(strstr(info, "\nMaxconn: 150\n"));
	assert_non_null(strstr(info, "\nHard_maxconn: 200\n"));
	over = make_plan(&haproxy,
		&(struct situation){.running = higher, .wanted = too_high, .hard_maxconn = 200});
	assert_int_equal(over.action, PLAN_RELOAD);
	stop(&haproxy);
	remove_folder(&haproxy);
}

/* Without the addresses in front. */
static char *entries(const struct haproxy *haproxy, const char *command)
{
	_cleanup_free_ char *reply = ask(haproxy, command);
	_cleanup_strv_ char **lines = NULL;
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	assert_int_equal(text_split(reply, '\n', &lines), 0);
	STRV_FOREACH (line, lines)
		text_printf(&text, "%s\n", strchr(*line, ' ') ? strchr(*line, ' ') + 1 : *line);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void test_lists(void **state)
{
	static const char config[] = "frontend f\n mode http\n bind unix@f.sock\n tcp-request "
				     "connection reject unless { src -f a.lst }\n"
				     " http-request deny if { path -m beg -i -f b.lst }\n"
				     " http-request set-header X %[path,map_beg(c.map,none)]\n";
	static const char many[] = "# comment\n\n10.0.0.0/8\n  2001:db8::/32\r\n";
	static const struct plan_file files[] = {
		{"a.lst", "10.0.0.1\n", NULL}, /* the content is made below */
		{"b.lst", "/a\n/b\n", "/c d\n/e;f\\g\n#x\n /<<\n"},
		{"c.map", "/a 1\n", "/a 2\n /b \t two words \n#/c 3\n"},
	};
	_cleanup_text_ struct text large = TEXT_INIT;
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *expected = NULL;
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct plan_file changed[3];
	struct haproxy haproxy;

	(void)state;
	memcpy(changed, files, sizeof(files));
	text_append(&large, many);
	for (int i = 0; i < 3000; i++)
		text_printf(&large, "172.%d.%d.0/24\n", 16 + i / 256, i % 256);
	changed[0].after = text_peek(&large);
	make_folder(&haproxy);
	for (size_t i = 0; i < ELEMENTSOF(changed); i++)
		write_file(&haproxy, changed[i].name, changed[i].before);
	start(&haproxy, config);
	plan = make_plan(&haproxy,
		&(struct situation){
			.running = config, .wanted = config, .files = changed, .n_files = 3});
	assert_int_equal(plan.action, PLAN_RUNTIME);
	apply(&haproxy, &plan);
	a = entries(&haproxy, "show acl a.lst");
	b = entries(&haproxy, "show acl b.lst");
	c = entries(&haproxy, "show map c.map");
	stop(&haproxy);

	for (size_t i = 0; i < ELEMENTSOF(changed); i++)
		write_file(&haproxy, changed[i].name, changed[i].after);
	start(&haproxy, config);
	expected = entries(&haproxy, "show acl a.lst");
	assert_string_equal(a, expected);
	free(expected);
	expected = entries(&haproxy, "show acl b.lst");
	assert_string_equal(b, expected);
	free(expected);
	expected = entries(&haproxy, "show map c.map");
	assert_string_equal(c, expected);
	stop(&haproxy);
	remove_folder(&haproxy);
}

static struct identity *make_identity(const char *name)
{
	return identity_new(&(struct identity_options){.name = name});
}

static void test_certificates(void **state)
{
	static const char config[] =
		"frontend f\n mode http\n bind unix@f.sock ssl crt-list list.txt ca-file ca.pem "
		"verify optional\n"
		" bind unix@g.sock ssl crt-list list.txt\n default_backend b\n"
		"backend b\n mode http\n server s1 127.0.0.1:1 ssl ca-file ca.pem\n";
	static const char after[] =
		"frontend f\n mode http\n bind unix@f.sock ssl crt-list list.txt ca-file ca.pem "
		"verify optional\n"
		" bind unix@g.sock ssl crt-list list.txt\n default_backend b\n"
		"backend b\n mode http\n server s1 127.0.0.1:1 ssl ca-file ca.pem\n"
		" server s2 127.0.0.1:2 ssl ca-file ca.pem check\n";
	static const char *const shown[] = {"show ssl cert", "show ssl cert one.pem",
		"show ssl cert three.pem", "show ssl ca-file ca.pem", "show ssl crt-list list.txt"};
	_cleanup_identity_ struct identity *one = make_identity("one.example"),
					   *two = make_identity("two.example"),
					   *new_one = make_identity("new.one.example"),
					   *three = make_identity("three.example");
	/* Blank lines in a file are no end of it. */
	_cleanup_free_ char *spaced =
		format_text("%s\n\n%s", three->certificate_pem, three->key_pem);
	const struct plan_file files[] = {
		{"list.txt", "# first\none.pem\ntwo.pem [alpn h2] two.example\n",
			"one.pem\nthree.pem [alpn http/1.1] three.example\n"},
		{"one.pem", one->pem, new_one->pem},
		{"two.pem", two->pem, NULL},
		{"three.pem", NULL, spaced},
		{"ca.pem", one->certificate_pem, two->certificate_pem},
		{"other.pem", two->pem, one->pem},
	};
	char *changed[ELEMENTSOF(shown)];
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct haproxy haproxy;

	(void)state;
	make_folder(&haproxy);
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (files[i].before)
			write_file(&haproxy, files[i].name, files[i].before);
	start(&haproxy, config);
	plan = make_plan(&haproxy, &(struct situation){.running = config,
					   .wanted = after,
					   .files = files,
					   .n_files = ELEMENTSOF(files)});
	if (plan.action != PLAN_RUNTIME)
		fail_msg("%s", plan.reasons[0]);
	for (size_t i = 0; i < plan.n_steps; i++)
		if (plan.steps[i].shown)
			assert_null(strstr(plan.steps[i].shown, "-----"));
		else
			assert_null(strstr(plan.steps[i].command, "-----"));
	apply(&haproxy, &plan);
	check_state(&haproxy, after, NULL, 0);
	for (size_t i = 0; i < ELEMENTSOF(shown); i++)
		changed[i] = ask(&haproxy, shown[i]);
	stop(&haproxy);

	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (files[i].after)
			write_file(&haproxy, files[i].name, files[i].after);
	start(&haproxy, after);
	for (size_t i = 0; i < ELEMENTSOF(shown); i++) {
		_cleanup_free_ char *expected = ask(&haproxy, shown[i]);

		assert_string_equal(changed[i], expected);
		free(changed[i]);
	}
	stop(&haproxy);
	remove_folder(&haproxy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_certificates),
	};

	if (!haproxy_is_there()) {
		printf("HAProxy 2.6 or later is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests_name("plan_real", tests, NULL, NULL);
}
