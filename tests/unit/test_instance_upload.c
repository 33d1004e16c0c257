/* SPDX-License-Identifier: Apache-2.0 */

/* Uploaded configurations and the HAProxy that runs: what is applied at run time, and what is reloaded. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/instance/internal.h"
#include "tests/unit/pki.h"
#include "tests/unit/quotes.h"
#include "tests/unit/runtime_fixture.h"

/* Uploads */

static void write_file(struct fixture *fixture, const char *name, const char *content)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", fixture->base, name) > 0);
	assert_int_equal(fileio_write(AT_FDCWD, path, content, strlen(content), 0600), 0);
}

static void test_upload_applies_the_difference(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_free_ char *weight = NULL, *again = NULL;
	struct pids pids;

	upload(fixture, UPLOADED, fixture->base, port, "", 1, 1);
	reload_upload(fixture, PLAN_START);
	pids = pids_of(fixture, LB_A);
	reload_upload(fixture, PLAN_NONE);
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 7);
	reload_upload(fixture, PLAN_RUNTIME);
	weight = run_command(fixture, "get weight b/s1");
	assert_non_null(strstr(weight, "7"));
	assert_same_pids(pids, pids_of(fixture, LB_A));

	/* What was told is known to the next agent. */
	upload(fixture, UPLOADED "    server s2 127.0.0.1:2\n", fixture->base, port, "", 1, 8);
	restart_agent(fixture);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	reload_upload(fixture, PLAN_RUNTIME);
	again = run_command(fixture, "get weight b/s1");
	assert_non_null(strstr(again, "8"));
	assert_true(has_server(fixture, "s2"));
	assert_same_pids(pids, pids_of(fixture, LB_A));
	upload(fixture, UPLOADED, fixture->base, port, " maxconn 100", 1, 8);
	reload_upload(fixture, PLAN_RELOAD);
	assert_int_equal(fixture->reloads_announced, 1);
	/* An agent that was killed in the middle of a reload: the next one does it again. */
	pids = pids_of(fixture, LB_A);
	remove_file_of(fixture, LB_A, "haproxy.cfg.running");
	restart_agent(fixture);
	assert_int_not_equal(pids_of(fixture, LB_A).worker, pids.worker);
}

#define OWN_REQUESTS "global\n    httpclient.ssl.verify required\n"

static void assert_verifies(struct fixture *fixture, bool verifies)
{
	_cleanup_free_ char *own = file_of(fixture, LB_A, "amphorad.cfg");

	assert_int_equal(strstr(own, "httpclient.ssl.verify none\n") == NULL, verifies);
}

/* CA certificates are read, and whom HAProxy asks is verified, where a configuration may make it send requests of its own;
 * also when HAProxy starts again after an upload that was refused, or not reloaded yet, or did not work. */
static void test_upload_and_requests_of_haproxy(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), taken_port, taken_fd = listen_anywhere(&taken_port);
	_cleanup_(control_result_done) struct control_result result = CONTROL_RESULT_INIT;
	_cleanup_instance_ struct instance *instance = NULL;

	if (!haproxy_version_at_least(&fixture->settings.version, 2, 6))
		skip();
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 1);
	assert_verifies(fixture, false);
	reload_upload(fixture, PLAN_START);
	upload(fixture, OWN_REQUESTS UPLOADED, fixture->base, port, "", 1, 1);
	assert_verifies(fixture, true);
	reload_upload(fixture, PLAN_RELOAD);
	assert_int_equal(registry_upload(fixture->registry, LB_A, "amphora", "nonsense\n", strlen("nonsense\n"), NULL),
		-EBADMSG);
	assert_verifies(fixture, true);
	upload(fixture, UPLOADED, fixture->base, taken_port, "", 1, 1);
	assert_verifies(fixture, true);
	instance = get(fixture, LB_A);
	assert_true(instance_control(instance, INSTANCE_RELOAD, &result, NULL) < 0);
	assert_verifies(fixture, true);
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 1);
	reload_upload(fixture, PLAN_RELOAD);
	assert_verifies(fixture, false);
	close(taken_fd);
}

static void test_words_of_own_requests(void **state)
{
	static const struct {
		const char *config;
		bool uses;
	} cases[] = {
		{"", false},
		{"global\n    daemon\n", false},
		{"global\n    lua-load /x.lua\n", true},
		{"global\n    lua-load-per-thread /x.lua\n", true},
		{"global\nhttpclient.ssl.verify required\n", true},
		{"acme x\n", true},
		{"global\n\nacme\tx\n", true},
		{"\"acme\" x", true},
		{"backend acme.example\n", false},
		{"    server acme1 192.0.2.1:80 sni str(www.acme.example)\n", false},
		{"lua-", false},
		{"acme", true},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		if (instance_uses_http_client(cases[i].config, strlen(cases[i].config)) != cases[i].uses)
			fail_msg("%s", cases[i].config);
	/* Also behind a NUL byte. */
	assert_true(instance_uses_http_client("a\0lua-load b", 12));
}

/* HAProxy was started again by its supervisor: it runs what was on disk then, whatever it was told. */
static void test_upload_and_another_worker(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	int64_t deadline = process_now_ms() + DEADLINE_MS;
	struct pids pids;

	upload(fixture, UPLOADED, fixture->base, port, "", 1, 1);
	reload_upload(fixture, PLAN_START);
	pids = pids_of(fixture, LB_A);
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 7);
	kill(pids.worker, SIGKILL);
	while (pids_of(fixture, LB_A).worker == pids.worker && process_now_ms() < deadline)
		poll(NULL, 0, 10);
	assert_int_not_equal(pids_of(fixture, LB_A).worker, pids.worker);
	reload_upload(fixture, PLAN_RELOAD);
}

static void test_upload_that_cannot_be_run(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), taken;
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);
	_cleanup_(control_result_done) struct control_result result = CONTROL_RESULT_INIT;
	_cleanup_free_ char *before = NULL, *after = NULL, *refused = NULL;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	upload(fixture, UPLOADED, fixture->base, port, "", 1, 1);
	reload_upload(fixture, PLAN_START);
	before = file_of(fixture, LB_A, "haproxy.cfg");
	upload(fixture, UPLOADED, fixture->base, taken, "", 1, 1);
	instance = get(fixture, LB_A);
	assert_true(instance_control(instance, INSTANCE_RELOAD, &result, &err) < 0);
	assert_non_null(strstr(error_message(&err), "Address already in use"));
	assert_non_null(strstr(error_message(&err), "last good configuration is in force again"));
	after = file_of(fixture, LB_A, "haproxy.cfg");
	assert_string_equal(before, after);
	refused = file_of(fixture, LB_A, "haproxy.cfg.new-failed");
	assert_non_null(refused);
	assert_true(port_answers(port));
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 3);
	reload_upload(fixture, PLAN_RUNTIME);
}

static char *bundle(const char *name)
{
	_cleanup_identity_ struct identity *identity = identity_new(&(struct identity_options){.name = name});

	return strdup(identity->pem);
}

static void test_upload_certificates(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *first = bundle("first"), *second = bundle("second"), *third = bundle("third"), *ssl = NULL,
			    *list = NULL, *record = NULL, *config = NULL;
	_cleanup_free_ char *shown = NULL, *lists = NULL;
	int port = free_port();
	struct pids pids;

	assert_true(asprintf(&ssl, " ssl crt-list %s/list.txt", fixture->base) > 0);
	assert_true(asprintf(&list, "%s/a.pem\n%s/b.pem\n", fixture->base, fixture->base) > 0);
	write_file(fixture, "a.pem", first);
	write_file(fixture, "b.pem", second);
	write_file(fixture, "list.txt", list);
	upload(fixture, UPLOADED, fixture->base, port, ssl, 1, 1);
	reload_upload(fixture, PLAN_START);
	pids = pids_of(fixture, LB_A);
	reload_upload(fixture, PLAN_NONE);

	write_file(fixture, "a.pem", third);
	reload_upload(fixture, PLAN_RUNTIME);
	assert_true(asprintf(&config, "show ssl cert %s/a.pem", fixture->base) > 0);
	shown = run_command(fixture, config);
	assert_non_null(strstr(shown, "CN=third"));
	assert_same_pids(pids, pids_of(fixture, LB_A));
	/* Neither the record nor anything else has a key in it. */
	record = snapshot(fixture, LB_A);
	assert_null(strstr(record, "PRIVATE"));
	reload_upload(fixture, PLAN_NONE);

	/* One less in the list. */
	strchr(list, '\n')[1] = '\0';
	write_file(fixture, "list.txt", list);
	restart_agent(fixture);
	reload_upload(fixture, PLAN_RUNTIME);
	assert_true(asprintf(&lists, "show ssl crt-list %s/list.txt", fixture->base) > 0);
	free(shown);
	shown = run_command(fixture, lists);
	assert_null(strstr(shown, "b.pem"));
	assert_same_pids(pids, pids_of(fixture, LB_A));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNTIME_TEST(test_upload_applies_the_difference),
		RUNTIME_TEST(test_upload_and_another_worker),
		RUNTIME_TEST(test_upload_and_requests_of_haproxy),
		cmocka_unit_test(test_words_of_own_requests),
		RUNTIME_TEST(test_upload_that_cannot_be_run),
		RUNTIME_TEST(test_upload_certificates),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("instance_upload", tests, NULL, NULL);
}
