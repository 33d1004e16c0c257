/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/runtime_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

int setup(void **state)
{
	int r = fixture_setup(state);
	struct fixture *fixture = *state;

	fixture->settings.runtime_updates = true;
	return r;
}

bool has_server(struct fixture *fixture, const char *id)
{
	_cleanup_free_ char *servers = run_command(fixture, "show servers state");

	return strstr(servers, id) != NULL;
}

void upload(struct fixture *fixture, const char *format, ...)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	assert_true(vasprintf(&text, format, arguments) > 0);
	va_end(arguments);
	if (registry_upload(fixture->registry, LB_A, "amphora", text, strlen(text), &err) < 0)
		fail_msg("%s", error_message(&err));
}

void reload_upload(struct fixture *fixture, enum plan_action action)
{
	_cleanup_(control_result_done) struct control_result result = CONTROL_RESULT_INIT;
	_cleanup_instance_ struct instance *instance = get(fixture, LB_A);
	_cleanup_error_ struct error err = ERROR_INIT;

	if (instance_control(instance, INSTANCE_RELOAD, &result, &err) < 0)
		fail_msg("%s", error_message(&err));
	if (result.plan.action != action)
		fail_msg("%s instead of %s: %s", plan_action_name(result.plan.action), plan_action_name(action),
			result.plan.reasons && result.plan.reasons[0] ? result.plan.reasons[0] : "");
}
