/* SPDX-License-Identifier: Apache-2.0 */

/* The life of one load balancer. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "agent/base/log.h"
#include "tests/unit/certificates.h"
#include "tests/unit/instance_fixture.h"

static void test_create_change_and_nothing(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), other = free_port();
	struct pids first, second;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT,
						  later = STORED_DEFINITION_INIT;
	_cleanup_free_ char *trouble = NULL, *before = NULL, *after = NULL;

	apply(fixture, define(LB_A, "'name':'n','listeners':[" TCP_LISTENER "]", port), PLAN_START,
		1);
	assert_true(port_answers(port));
	assert_int_equal(fixture->reloads_announced, 0);
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, &trouble), 0);
	assert_null(trouble);
	assert_int_equal(stored.revision, 1);
	assert_string_equal(stored.created_at, stored.updated_at);
	first = pids_of(fixture, LB_A);
	before = snapshot(fixture, LB_A);
	assert_null(strstr(before, "staged"));

	apply(fixture, define(LB_A, "'name':'n','listeners':[" TCP_LISTENER "]", port), PLAN_NONE,
		1);
	assert_same_pids(first, pids_of(fixture, LB_A));
	after = snapshot(fixture, LB_A);
	assert_string_equal(before, after);

	apply(fixture,
		define(LB_A, "'name':'n','listeners':[" TCP_LISTENER "," TCP_LISTENER "]", port,
			other),
		PLAN_RELOAD, 2);
	assert_int_equal(fixture->reloads_announced, 1);
	assert_true(port_answers(port));
	assert_true(port_answers(other));
	second = pids_of(fixture, LB_A);
	assert_int_equal(first.master, second.master);
	assert_int_not_equal(first.worker, second.worker);
	assert_int_equal(instance_current(instance, &later, NULL), 0);
	assert_string_equal(later.created_at, stored.created_at);

	/* A name is stored and HAProxy has nothing to do with it. */
	apply(fixture,
		define(LB_A, "'name':'m','listeners':[" TCP_LISTENER "," TCP_LISTENER "]", port,
			other),
		PLAN_NONE, 3);
	assert_same_pids(second, pids_of(fixture, LB_A));
}

static void test_files_are_private(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *files = NULL;
	struct stat st;

	apply(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['127.0."
			"0.0/8']}]",
			free_port()),
		PLAN_START, 1);
	files = snapshot(fixture, LB_A);
	/* HAProxy writes its process id for everyone to read, within a folder that only we enter.
	 */
	for (const char *line = strstr(files, " ./"); line; line = strstr(line + 1, " ./"))
		assert_true(strncmp(line - 3, "600", 3) == 0 ||
			    text_after_prefix(line, " ./" LB_A ".pid"));
	instance = get(fixture, LB_A);
	assert_int_equal(stat(instance->directory, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(instance->stats_socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_list_files_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_free_ char *list = NULL, *changed = NULL;

	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/8']}]",
			port),
		PLAN_START, 1);
	list = file_of(fixture, LB_A, "lists/" LISTENER_ID ".allowed");
	assert_string_equal(list, "10.0.0.0/8\n");
	/* The text stays the same: the list alone makes it a reload. */
	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/9']}]",
			port),
		PLAN_RELOAD, 2);
	changed = file_of(fixture, LB_A, "lists/" LISTENER_ID ".allowed");
	assert_string_equal(changed, "10.0.0.0/9\n");
	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d}]",
			port),
		PLAN_RELOAD, 3);
	assert_null(file_of(fixture, LB_A, "lists/" LISTENER_ID ".allowed"));
}

static void test_limits_of_old_workers(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	static const struct apply_options dry = {.dry_run = true, .if_match = -1};
	static const struct {
		const char *fields;
		enum plan_action action;
		const char *stop;
	} rows[] = {
		{"", PLAN_START, "hard-stop-after 60s\n"},
		{",'hard_stop_after_s':120", PLAN_RELOAD, "hard-stop-after 120s\n"},
		/* Their number is the agent's matter. */
		{",'hard_stop_after_s':120,'max_old_workers':2", PLAN_NONE, "hard-stop-after 120s\n"},
		{"", PLAN_RELOAD, "hard-stop-after 60s\n"},
	};
	_cleanup_free_ char *before = NULL, *after = NULL;
	int port = free_port();

	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *own = NULL;

		apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]%s", port, rows[i].fields),
			rows[i].action, (int64_t)i + 1);
		own = file_of(fixture, LB_A, "amphorad.cfg");
		assert_non_null(strstr(own, rows[i].stop));
		/* One old worker alone is not ended because of reloads. */
		assert_non_null(strstr(own, "mworker-max-reloads 1000\n"));
		assert_int_equal(strstr(own, "httpclient.ssl.verify none\n") != NULL,
			haproxy_version_at_least(&fixture->settings.version, 2, 6));
	}
	before = file_of(fixture, LB_A, "amphorad.cfg");
	assert_int_equal(try_apply(fixture,
				 define(LB_A, "'listeners':[" TCP_LISTENER "],'hard_stop_after_s':77", port), &dry,
				 &result, NULL),
		0);
	assert_int_equal(result.plan.action, PLAN_RELOAD);
	after = file_of(fixture, LB_A, "amphorad.cfg");
	assert_string_equal(before, after);
}

static void assert_private(struct fixture *fixture, const char *name)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	assert_true(asprintf(&path, "%s/" LB_A "/%s", fixture->base, name) > 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, S_ISDIR(st.st_mode) ? 0700 : 0600);
}

static void test_certificates_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	struct test_certificates *certificates = test_certificates_new();
	_cleanup_free_ char *pem = NULL, *list = NULL;
	int port = free_port();

	fixture->settings.render.certificates = certificates->store;
	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID "','protocol':'TERMINATED_HTTPS','protocol_port':%d,"
			"'default_tls_container_ref':'web','sni_container_refs':['www']}]",
			port),
		PLAN_START, 1);
	assert_true(port_answers(port));
	list = file_of(fixture, LB_A, "lists/" LISTENER_ID ".crt-list");
	assert_string_equal(list, "certificates/web.pem\ncertificates/www.pem\n");
	pem = file_of(fixture, LB_A, "certificates/web.pem");
	assert_non_null(strstr(pem, "PRIVATE KEY"));
	assert_private(fixture, "certificates/web.pem");
	assert_private(fixture, "certificates");
	apply_refused(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID "','protocol':'TERMINATED_HTTPS','protocol_port':%d,"
			"'default_tls_container_ref':'none'}]",
			port),
		ERROR_INVALID, "none");
	apply(fixture,
		define(LB_A, "'listeners':[{'id':'" LISTENER_ID "','protocol':'TCP','protocol_port':%d}]", port),
		PLAN_RELOAD, 2);
	assert_null(file_of(fixture, LB_A, "certificates/web.pem"));
	assert_null(file_of(fixture, LB_A, "certificates/www.pem"));
	assert_null(file_of(fixture, LB_A, "lists/" LISTENER_ID ".crt-list"));
	fixture->settings.render.certificates = NULL;
	test_certificates_free(certificates);
}

static void test_stale_revision(void **state)
{
	struct fixture *fixture = *state;
	struct apply_options options = {.if_match = 1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT,
						   again = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	/* Nothing is at revision 1 yet, and the attempt leaves nothing behind. */
	assert_int_equal(
		try_apply(fixture, define(LB_A, "'listeners':[]"), &options, &result, &err),
		-ESTALE);
	assert_not_there(fixture, LB_A);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", free_port()), PLAN_START, 1);
	assert_int_equal(
		try_apply(fixture, define(LB_A, "'name':'x'"), &options, &result, &err), 0);
	assert_int_equal(result.revision, 2);
	assert_int_equal(
		try_apply(fixture, define(LB_A, "'name':'y'"), &options, &again, &err), -ESTALE);
	assert_int_equal(err.code, ERROR_STALE);
	assert_int_equal(registry_delete(fixture->registry, LB_A, 1, &err), -ESTALE);
	assert_int_equal(registry_delete(fixture->registry, LB_A, 2, &err), 0);
}

/* Its log, and the states that it gave away for the reload. */
static void empty_what_haproxy_writes(struct fixture *fixture)
{
	static const char *const names[] = {"haproxy.log", "servers-state"};

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_free_ char *path = NULL;

		assert_true(asprintf(&path, "%s/" LB_A "/%s", fixture->base, names[i]) > 0);
		assert_int_equal(truncate(path, 0), 0);
	}
}

/* HAProxy takes the configuration and cannot run it: all is as it was. */
static void test_change_that_cannot_be_run(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), taken, other = free_port();
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct pids pids;

	apply(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['127.0."
			"0.0/8']}]",
			port),
		PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	empty_what_haproxy_writes(fixture);
	before = snapshot(fixture, LB_A);
	apply_refused(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0."
			"0.0/8']},"
			"{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/8']}]",
			port, taken),
		ERROR_APPLY, "Address already in use");
	empty_what_haproxy_writes(fixture);
	after = snapshot(fixture, LB_A);
	assert_string_equal(before, after);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	assert_true(port_answers(port));
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, NULL), 0);
	assert_int_equal(stored.revision, 1);

	/* Neither the agent nor the master is confused by it. */
	apply(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['127.0."
			"0.0/8']}]",
			port),
		PLAN_NONE, 1);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "," TCP_LISTENER "]", port, other),
		PLAN_RELOAD, 2);
	assert_true(port_answers(other));
	assert_int_equal(pids_of(fixture, LB_A).master, pids.master);
}

static void test_creation_that_cannot_be_run(void **state)
{
	struct fixture *fixture = *state;
	int taken;
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);

	apply_refused(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", taken), ERROR_APPLY,
		"Address already in use");
	assert_not_there(fixture, LB_A);
	close(TAKE_FD(taken_fd));
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", taken), PLAN_START, 1);
}

static void test_dry_run(void **state)
{
	struct fixture *fixture = *state;
	static const struct apply_options options = {.dry_run = true, .if_match = -1};
	_cleanup_apply_result_ struct apply_result creation = APPLY_RESULT_INIT,
						   change = APPLY_RESULT_INIT;
	_cleanup_free_ char *before = NULL, *after = NULL;
	int port = free_port();
	struct pids pids;

	assert_int_equal(try_apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port),
				 &options, &creation, NULL),
		0);
	assert_true(creation.created);
	assert_int_equal(creation.plan.action, PLAN_START);
	assert_non_null(creation.verdict);
	assert_non_null(strstr(creation.rendered.text, "\nfrontend "));
	assert_not_there(fixture, LB_A);
	assert_false(port_answers(port));

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	before = snapshot(fixture, LB_A);
	assert_int_equal(
		try_apply(fixture,
			define(LB_A, "'listeners':[{'protocol':'HTTP','protocol_port':%d}]", port),
			&options, &change, NULL),
		0);
	assert_false(change.created);
	assert_int_equal(change.revision, 1);
	assert_int_equal(change.plan.action, PLAN_RELOAD);
	assert_int_equal(change.lb->listeners[0].protocol, LISTENER_HTTP);
	after = snapshot(fixture, LB_A);
	assert_string_equal(before, after);
	assert_same_pids(pids, pids_of(fixture, LB_A));
}

static void test_delete(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	instance = get(fixture, LB_A);
	assert_int_equal(registry_delete(fixture->registry, LB_A, -1, NULL), 0);
	assert_not_there(fixture, LB_A);
	assert_false(port_answers(port));
	wait_for_end(pids.worker);
	wait_for_end(pids.master);
	assert_int_equal(access(instance->stats_socket, F_OK), -1);
	assert_int_equal(access(instance->master_socket, F_OK), -1);
	assert_int_equal(registry_delete(fixture->registry, LB_A, -1, &err), -ENOENT);
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_string_equal(error_message(&err), "Load Balancer " LB_A " not found.");
	/* Whoever still holds it learns that it is gone. */
	assert_false(instance_is_stored(instance));
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_change_and_nothing),
		TEST(test_files_are_private),
		TEST(test_list_files_come_and_go),
		TEST(test_limits_of_old_workers),
		TEST(test_certificates_come_and_go),
		TEST(test_stale_revision),
		TEST(test_change_that_cannot_be_run),
		TEST(test_creation_that_cannot_be_run),
		TEST(test_dry_run),
		TEST(test_delete),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
