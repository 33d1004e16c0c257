/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan.h"

#define BASE                                                                                      \
	"global\n  maxconn 10\ndefaults\n  retries 3\nfrontend f\n  bind 1:1\n  default_backend " \
	"b\n"                                                                                     \
	"backend b\n  mode tcp\n  server s1 1:1 weight 1\n  server s2 2:1 weight 1\n"

static char *reasons_of(const struct plan *plan)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	STRV_FOREACH (reason, plan->reasons)
		text_printf(&text, "%s\n", *reason);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static struct plan_input input_of(const char *running, const char *wanted)
{
	return (struct plan_input){
		.running = running,
		.running_length = running ? strlen(running) : 0,
		.wanted = wanted,
		.wanted_length = strlen(wanted),
	};
}

static void check(const char *running, const char *wanted, const char *const *files,
	enum plan_action action, const char *reasons)
{
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	_cleanup_free_ char *got = NULL;
	struct plan_file changed[4] = {0};
	struct plan_input input = input_of(running, wanted);

	for (; files && files[input.n_files]; input.n_files++)
		changed[input.n_files].name = files[input.n_files];
	input.files = changed;
	assert_int_equal(plan_make(&input, &plan, NULL), 0);
	got = reasons_of(&plan);
	assert_string_equal(got, reasons);
	assert_int_equal(plan.action, action);
}

static void test_actions(void **state)
{
	static const struct {
		const char *wanted;
		const char *reasons;
	} rows[] = {
		{BASE "  server s3 3:1\n", "backend b: server s3 added\n"},
		{"global\n  maxconn 10\ndefaults\n  retries 3\nfrontend f\n  bind 1:1\n  "
		 "default_backend b\n"
		 "backend b\n  mode tcp\n  server s2 2:1 weight 1\n",
			"backend b: server s1 removed\n"},
		{"global\n  maxconn 10\ndefaults\n  retries 3\nfrontend f\n  bind 1:1\n  "
		 "default_backend b\n"
		 "backend b\n  mode tcp\n  server s1 1:1 weight 2\n  server s2 2:1 weight 1\n",
			"backend b: server s1 changed\n"},
		{"global\n  maxconn 10\ndefaults\n  retries 3\nfrontend f\n  bind 1:1\n  "
		 "default_backend b\n"
		 "backend b\n  mode tcp\n  server s2 2:1 weight 1\n  server s1 1:1 weight 1\n",
			"backend b: order of servers changed\n"},
		{"global\n  maxconn 11\ndefaults\n  retries 3\nfrontend f\n  bind 1:2\n  "
		 "default_backend b\n"
		 "backend b\n  mode tcp\n  server s1 1:1 weight 1\n  server s2 2:1 weight 1\n",
			"global: \"maxconn\" changed\nfrontend f: \"bind\" changed\n"},
		{"global\n  maxconn 10\ndefaults\n  retries 3\nfrontend f\n  bind 1:1\n"
		 "backend b\n  mode tcp\n  server s1 1:1 weight 1\n  server s2 2:1 weight 1\n",
			"frontend f: \"default_backend\" changed\n"},
		{BASE "backend c\n", "backend c: added\n"},
		{"global\n  maxconn 10\ndefaults\n  retries 3\n",
			"frontend f: removed\nbackend b: removed\n"},
		{BASE "# only a comment\n", "only the layout of the configuration changed\n"},
		{"", "global : removed\ndefaults : removed\nfrontend f: removed\nbackend b: "
		     "removed\n"},
	};

	(void)state;
	check(BASE, BASE, NULL, PLAN_NONE, "");
	check(NULL, BASE, NULL, PLAN_START, "HAProxy does not run\n");
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		check(BASE, rows[i].wanted, NULL, PLAN_RELOAD, rows[i].reasons);
}

static void test_list_files(void **state)
{
	static const char *const files[] = {"lists/a", "lists/b", NULL}, *const none[] = {NULL};

	(void)state;
	check(BASE, BASE, files, PLAN_RELOAD, "lists/a changed\nlists/b changed\n");
	check(BASE, BASE, none, PLAN_NONE, "");
	check(NULL, BASE, files, PLAN_START,
		"HAProxy does not run\nlists/a changed\nlists/b changed\n");
	check(BASE, BASE "\n", files, PLAN_RELOAD,
		"only the layout of the configuration changed\nlists/a changed\nlists/b changed\n");
}

/* What runs is HAProxy's business; what is wanted has to be readable. */
static void test_texts_that_cannot_be_read(void **state)
{
	struct plan plan = PLAN_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct plan_input input = input_of(BASE, "global\n 'x");

	(void)state;
	check("'", BASE, NULL, PLAN_RELOAD, "the running configuration differs\n");
	assert_int_equal(plan_make(&input, &plan, &err), -EINVAL);
	assert_non_null(strstr(error_message(&err), "line 2"));
	assert_null(plan.reasons);
}

static char *with_servers(size_t n)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	text_append(&text, "backend b\n");
	for (size_t i = 0; i < n; i++)
		text_printf(&text, "server s%04zu 1:1\n", i);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void test_many_reasons(void **state)
{
	static const struct {
		size_t servers, reasons;
		const char *last;
	} rows[] = {
		{PLAN_MAX_REASONS - 1, PLAN_MAX_REASONS - 1, "backend b: server s0018 added"},
		{PLAN_MAX_REASONS, PLAN_MAX_REASONS, "and 1 more"},
		{5000, PLAN_MAX_REASONS, "and 4981 more"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *wanted = with_servers(rows[i].servers);
		_cleanup_plan_ struct plan plan = PLAN_INIT;
		struct plan_input input = input_of("backend b\n", wanted);

		assert_int_equal(plan_make(&input, &plan, NULL), 0);
		assert_int_equal(strv_length(plan.reasons), rows[i].reasons);
		assert_string_equal(plan.reasons[rows[i].reasons - 1], rows[i].last);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(plan_action_name(PLAN_NONE), "none");
	assert_string_equal(plan_action_name(PLAN_RELOAD), "reload");
	assert_string_equal(plan_action_name(PLAN_START), "start");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_list_files),
		cmocka_unit_test(test_texts_that_cannot_be_read),
		cmocka_unit_test(test_many_reasons),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
