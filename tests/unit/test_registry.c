/* SPDX-License-Identifier: Apache-2.0 */

/* All load balancers of an agent: the rules between them, and who changes them at once. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/log.h"
#include "tests/unit/instance_fixture.h"

static void test_conflicts_between_load_balancers(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), other = free_port();
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	static const struct apply_options options = {.if_match = -1};

	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d}],"
			"'pools':[{'id':'" POOL_ID
			"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN'}]",
			port),
		PLAN_START, 1);
	assert_int_equal(try_apply(fixture,
				 define(LB_B, "'listeners':[" TCP_LISTENER "," TCP_LISTENER "]",
					 other, port),
				 &options, &result, &err),
		-EEXIST);
	assert_string_equal(err.pointer, "/loadbalancer/listeners/1/protocol_port");
	assert_non_null(strstr(error_message(&err), LB_A));
	assert_not_there(fixture, LB_B);
	apply_refused(fixture,
		define(LB_B, "'vip_address':'0.0.0.0','listeners':[" TCP_LISTENER "]", port),
		ERROR_CONFLICT, "is taken");
	apply_refused(fixture,
		define(LB_B,
			"'vip_address':'127.0.0.2','listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d}]",
			other),
		ERROR_CONFLICT, "by a listener of load balancer " LB_A);
	apply_refused(fixture,
		define(LB_B, "'pools':[{'id':'" POOL_ID
			     "','protocol':'TCP','lb_algorithm':'ROUND_ROBIN'}]"),
		ERROR_CONFLICT, "by a pool of load balancer " LB_A);
	apply(fixture,
		define(LB_B, "'vip_address':'127.0.0.2','listeners':[" TCP_LISTENER "]", port),
		PLAN_START, 1);
	assert_int_equal(registry_delete(fixture->registry, LB_B, -1, NULL), 0);
	apply_refused(fixture,
		define(LB_B, "'vip_address':'127.0.0.2','additional_vips':[{'ip_address':'127.0.0.1'}],"
			     "'listeners':[" TCP_LISTENER "]",
			port),
		ERROR_CONFLICT, "of 127.0.0.1 is taken by listener " LISTENER_ID);
	/* What is switched off listens nowhere. */
	apply(fixture, define(LB_B, "'admin_state_up':false,'listeners':[" TCP_LISTENER "]", port),
		PLAN_START, 1);
	apply(fixture,
		define(LB_B,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'admin_state_up':false}"
			"]",
			port),
		PLAN_NONE, 2);
	apply_refused(fixture, define(LB_B, "'listeners':[" TCP_LISTENER "]", port), ERROR_CONFLICT,
		"is taken by listener " LISTENER_ID);
}

/* HAProxy binds with SO_REUSEPORT: nothing but this check keeps two processes from sharing a port. */
static void test_statistics_pages_conflict(void **state)
{
	static const char pages[] = "'stats_page':{'address':'%s','port':%d,'uri':'/stats'}";
	struct fixture *fixture = *state;
	int port = free_port(), page = free_port();

	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID "','protocol':'TCP','protocol_port':%d}],"
			"'stats_page':{'port':%d,'uri':'/stats'}",
			port, page),
		PLAN_START, 1);
	apply_refused(fixture, define(LB_B, "'listeners':[" TCP_LISTENER "]", page), ERROR_CONFLICT,
		"of 127.0.0.1 is taken by the statistics page of load balancer " LB_A);
	apply_refused(fixture,
		define(LB_B, "'additional_vips':[{'ip_address':'127.0.0.2'}],'vip_address':'0.0.0.0',"
			     "'listeners':[" TCP_LISTENER "]",
			page),
		ERROR_CONFLICT, "is taken by the statistics page");
	apply_refused(fixture, define(LB_B, pages, "127.0.0.1", port), ERROR_CONFLICT,
		"of 127.0.0.1 is taken by listener " LISTENER_ID " of load balancer " LB_A);
	apply_refused(fixture, define(LB_B, pages, "0.0.0.0", page), ERROR_CONFLICT,
		"of 0.0.0.0 is taken by the statistics page of load balancer " LB_A);
	/* Elsewhere, or of one that is switched off. */
	apply(fixture, define(LB_B, pages, "127.0.0.2", page), PLAN_START, 1);
	apply(fixture, define(LB_B, "'admin_state_up':false,'stats_page':{'port':%d,'uri':'/stats'}", page),
		PLAN_RELOAD, 2);
}

static void test_list_and_stop_all(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), other = free_port();
	struct instance **list = NULL;
	struct pids a, b;

	apply(fixture, define(LB_B, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", other), PLAN_START, 1);
	a = pids_of(fixture, LB_A);
	b = pids_of(fixture, LB_B);
	assert_int_equal(registry_list(fixture->registry, &list), 0);
	assert_string_equal(list[0]->id, LB_A);
	assert_string_equal(list[1]->id, LB_B);
	assert_null(list[2]);
	registry_list_free(list);
	assert_int_equal(registry_stop_all(fixture->registry, 100, NULL), 0);
	wait_for_end(a.master);
	wait_for_end(b.master);
	restart_agent(fixture);
	assert_true(port_answers(port));
	assert_true(port_answers(other));
}

struct changer {
	struct fixture *fixture;
	pthread_t thread;
	int port;
	unsigned failed;
};

static void *change_often(void *userdata)
{
	struct changer *changer = userdata;

	for (int i = 0; i < 4; i++) {
		static const struct apply_options options = {.if_match = -1};
		_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;

		if (try_apply(changer->fixture,
			    define(LB_A, "'name':'%d','listeners':[" TCP_LISTENER "]", i,
				    changer->port),
			    &options, &result, NULL) < 0)
			changer->failed++;
		if (i == 1)
			registry_delete(changer->fixture->registry, LB_A, -1, NULL);
	}
	return NULL;
}

/* Changes and deletions from several threads take turns; the end is one of the definitions, whole.
 */
static void test_changes_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct changer changers[3] = {{0}};
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_free_ char *on_disk = NULL;

	for (size_t i = 0; i < ELEMENTSOF(changers); i++) {
		changers[i].fixture = fixture;
		changers[i].port = free_port();
		assert_int_equal(
			pthread_create(&changers[i].thread, NULL, change_often, &changers[i]), 0);
	}
	for (size_t i = 0; i < ELEMENTSOF(changers); i++) {
		pthread_join(changers[i].thread, NULL);
		assert_int_equal(changers[i].failed, 0);
	}
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, NULL), 0);
	assert_int_equal(render_haproxy(fixture->template, stored.lb, &fixture->settings.render,
				 &rendered, NULL),
		0);
	on_disk = file_of(fixture, LB_A, "haproxy.cfg");
	assert_string_equal(on_disk, rendered.text);
	assert_true(port_answers((int)stored.lb->listeners[0].protocol_port));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_conflicts_between_load_balancers),
		TEST(test_statistics_pages_conflict),
		TEST(test_list_and_stop_all),
		TEST(test_changes_at_once),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
