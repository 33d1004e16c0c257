/* SPDX-License-Identifier: Apache-2.0 */

/* What the planner decides of the files that a configuration names. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/plans.h"
#include "tests/unit/servers.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests_name("plan_file", tests, NULL, NULL);
}
