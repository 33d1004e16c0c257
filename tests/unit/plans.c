/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/plans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/servers.h"

const struct haproxy_version v24 = {2, 4, "2.4.0"}, v25 = {2, 5, "2.5.0"},
				    v26 = {2, 6, "2.6.12"}, v28 = {2, 8, "2.8.1"},
				    v30 = {3, 0, "3.0.0"}, v32 = {3, 2, "3.2.1"},
				    v33 = {3, 3, "3.3.0"}, v34 = {3, 4, "3.4.0"};

struct plan_input input_of(const char *running, const char *wanted)
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

void check_input(const struct plan_input *input, const char *expected)
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

void check(const char *running, const char *wanted, const char *expected)
{
	struct plan_input input = input_of(running, wanted);

	check_input(&input, expected);
}

void check_after(const struct haproxy_version *version, const char *head,
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
