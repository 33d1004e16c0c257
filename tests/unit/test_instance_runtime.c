/* SPDX-License-Identifier: Apache-2.0 */

/* Changes of a running HAProxy, with the real one: definitions, uploads, servers that leave, bursts. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/definition/limits.h"
#include "agent/instance/internal.h"
#include "tests/unit/instance_fixture.h"
#include "tests/unit/pki.h"
#include "tests/unit/quotes.h"

#define MEMBER_3 "eeeeeeee-0000-4000-8000-000000000003"
#define MEMBER(id, more) "{'id':'" id "','address':'127.0.0.1','protocol_port':%d" more "}"
#define POOL_OF(members)                                                                           \
	"'listeners':[{'id':'" LISTENER_ID                                                         \
	"','protocol':'TCP','protocol_port':%d,'default_pool_id':'" POOL_ID "'}],"               \
	"'pools':[{'id':'" POOL_ID                                                                 \
	"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN','members':[" members "]}]"

static int setup(void **state)
{
	int r = fixture_setup(state);
	struct fixture *fixture = *state;

	fixture->settings.runtime_updates = true;
	return r;
}

#define RUNTIME_TEST(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)

static bool has_server(struct fixture *fixture, const char *id)
{
	_cleanup_free_ char *servers = run_command(fixture, "show servers state");

	return strstr(servers, id) != NULL;
}

static size_t count_leaving(struct instance *instance)
{
	struct plan_leaving *leaving;
	size_t n;

	assert_int_equal(instance_leaving(instance, &leaving, &n), 0);
	plan_leaving_free(leaving, n);
	return n;
}

static int connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The other end of a connection through HAProxy. */
static int accept_within(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&poll_fd, 1, DEADLINE_MS), 1);
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static void assert_passes(int from, int to)
{
	struct pollfd poll_fd = {.fd = to, .events = POLLIN};
	char byte = 0;

	assert_int_equal(write(from, "x", 1), 1);
	assert_int_equal(poll(&poll_fd, 1, DEADLINE_MS), 1);
	assert_int_equal(read(to, &byte, 1), 1);
	assert_int_equal(byte, 'x');
}

static void test_members_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), first, second;
	_unused_ _cleanup_close_ int first_fd = listen_anywhere(&first), second_fd = listen_anywhere(&second);
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *config = NULL;
	struct pids pids;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, first), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, first, second),
		PLAN_RUNTIME, 2);
	assert_true(has_server(fixture, MEMBER_2));
	apply(fixture,
		define(LB_A, POOL_OF(MEMBER(MEMBER_1, ",'weight':7") "," MEMBER(MEMBER_2, "")), port, first, second),
		PLAN_RUNTIME, 3);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_2, "")), port, second), PLAN_RUNTIME, 4);
	instance = get(fixture, LB_A);
	instance_look_after(instance);
	assert_int_equal(count_leaving(instance), 0);
	assert_false(has_server(fixture, MEMBER_1));
	config = file_of(fixture, LB_A, "haproxy.cfg");
	assert_non_null(strstr(config, MEMBER_2));
	assert_null(strstr(config, MEMBER_1));
	assert_same_pids(pids, pids_of(fixture, LB_A));
	assert_int_equal(fixture->reloads_announced, 0);

	/* The next agent finds everything as it is stored. */
	instance_unref(TAKE_PTR(instance));
	restart_agent(fixture);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_2, "")), port, second), PLAN_NONE, 4);
}

static void test_option(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();

	fixture->settings.runtime_updates = false;
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, ",'weight':7")), port, 1), PLAN_RELOAD, 2);
}

/* Its connections go on until they end by themselves, also over a restart of the agent; then it is deleted. */
static void test_server_leaves_when_its_connections_are_gone(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), first, second;
	_cleanup_close_ int first_fd = listen_anywhere(&first), second_fd = listen_anywhere(&second);
	_cleanup_close_ int client = -1, server = -1, other_client = -1, other_server = -1;
	_cleanup_instance_ struct instance *instance = NULL;
	int64_t deadline;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, first), PLAN_START, 1);
	client = connect_to(port);
	server = accept_within(first_fd);
	assert_passes(client, server);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_2, "")), port, second), PLAN_RUNTIME, 2);
	instance = get(fixture, LB_A);
	instance_look_after(instance);
	assert_int_equal(count_leaving(instance), 1);
	assert_passes(client, server);
	/* New connections have gone over. */
	other_client = connect_to(port);
	other_server = accept_within(second_fd);
	assert_passes(other_server, other_client);

	instance_unref(TAKE_PTR(instance));
	restart_agent(fixture);
	instance = get(fixture, LB_A);
	assert_int_equal(count_leaving(instance), 1);
	instance_look_after(instance);
	assert_true(has_server(fixture, MEMBER_1));
	assert_passes(server, client);

	close(TAKE_FD(client));
	close(TAKE_FD(server));
	deadline = process_now_ms() + DEADLINE_MS;
	while (count_leaving(instance) > 0 && process_now_ms() < deadline) {
		instance_look_after(instance);
		poll(NULL, 0, 10);
	}
	assert_int_equal(count_leaving(instance), 0);
	assert_false(has_server(fixture, MEMBER_1));
	assert_int_equal(fixture->reloads_announced, 0);
	assert_passes(other_client, other_server);
}

static void apply_with_reason(struct fixture *fixture, struct load_balancer *lb, const char *words)
{
	static const struct apply_options options = {.if_match = -1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (try_apply(fixture, lb, &options, &result, &err) < 0)
		fail_msg("%s", error_message(&err));
	assert_string_equal(plan_action_name(result.plan.action), "reload");
	assert_non_null(result.plan.reasons[0]);
	if (!strstr(result.plan.reasons[0], words))
		fail_msg("no \"%s\" in: %s", words, result.plan.reasons[0]);
}

/* Somebody else deletes a server with the Runtime API: the next change at run time notices and mends it. */
static void test_somebody_else_was_there(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_free_ char *maintenance = NULL, *deleted = NULL;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_START, 1);
	maintenance = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " state maint");
	deleted = run_command(fixture, "del server " BACKEND "/" MEMBER_1);
	assert_non_null(strstr(deleted, "deleted"));
	apply_with_reason(fixture,
		define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, ",'weight':5")), port, 1, 2), MEMBER_1);
	assert_true(has_server(fixture, MEMBER_1));
	assert_int_equal(fixture->reloads_announced, 1);
}

/* It is not carried over by what is carried over of health. */
static void test_somebody_else_disabled_a_server(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *maintenance = NULL, *weight = NULL, *servers = NULL, *weights = NULL;
	int port = free_port();

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_START, 1);
	maintenance = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " state maint");
	weight = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " weight 7");
	apply_with_reason(fixture,
		define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, ",'weight':5")), port, 1, 2), MEMBER_1);
	servers = run_command(fixture, "show stat " BACKEND " 4 -1");
	assert_null(strstr(servers, "MAINT"));
	weights = run_command(fixture, "get weight " BACKEND "/" MEMBER_1);
	assert_non_null(text_after_prefix(weights, "1 "));
}

/* What was made at run time is taken back when the reload that should mend it fails. */
static void test_reload_that_mends_nothing(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *maintenance = NULL, *deleted = NULL, *config = NULL, *before = NULL, *after = NULL;
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	static const struct apply_options options = {.if_match = -1};
	int port = free_port();

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_START, 1);
	before = file_of(fixture, LB_A, "haproxy.cfg");
	maintenance = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " state maint");
	deleted = run_command(fixture, "del server " BACKEND "/" MEMBER_1);
	assert_true(asprintf(&config, "%s/" LB_A "/haproxy.cfg", fixture->base) > 0);
	fixture->spoil = config;
	assert_int_equal(try_apply(fixture,
				 define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, ",'weight':5")), port,
					 1, 2),
				 &options, &result, &err),
		error_code_to_errno(ERROR_APPLY));
	assert_non_null(strstr(error_message(&err), "last good configuration again"));
	assert_true(has_server(fixture, MEMBER_1));
	after = file_of(fixture, LB_A, "haproxy.cfg");
	assert_string_equal(before, after);
	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "") "," MEMBER(MEMBER_2, "")), port, 1, 2), PLAN_NONE, 1);
}

/* The agent is gone after the steps and before the record: the next one makes sure. */
static void test_crash_among_the_steps(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *weight = NULL, *now = NULL;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	weight = run_command(fixture, "set server " BACKEND "/" MEMBER_1 " weight 9");
	remove_file_of(fixture, LB_A, "applied");
	restart_agent(fixture);
	assert_int_not_equal(pids_of(fixture, LB_A).worker, pids.worker);
	now = run_command(fixture, "get weight " BACKEND "/" MEMBER_1);
	assert_null(strstr(now, "9"));
}

static struct plan_step step(const char *command, enum plan_expect expect, const char *expected)
{
	return (struct plan_step){.command = (char *)command, .expect = expect, .expected = expected};
}

static int carry_out(struct instance *instance, struct plan_step *steps, size_t n, struct error *err)
{
	char *pools[] = {(char[]){BACKEND}, NULL};
	const struct plan plan = {.action = PLAN_RUNTIME, .steps = steps, .n_steps = n, .pools = pools};
	const struct wanted wanted = {.text = instance->running, .length = instance->running_length};
	int r;

	LOCK_SCOPE(&instance->lock);
	r = instance_apply_at_runtime(instance, &plan, &wanted, err);
	return r;
}

static void test_answers_are_compared(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *list = NULL;
	struct plan_step good[] = {
		step("set server " BACKEND "/" MEMBER_1 " weight 1;set server " BACKEND "/" MEMBER_1 " weight 1",
			PLAN_EXPECT_NOTHING, NULL),
		step("get weight " BACKEND "/" MEMBER_1, PLAN_EXPECT_PREFIX, "1 (initial"),
		step("show info", PLAN_EXPECT_CONTAINS, "\nPid: "),
		step("prepare acl lists/" LISTENER_ID ".allowed", PLAN_EXPECT_VERSION, NULL),
		step("add acl @" PLAN_VERSION_MARK " lists/" LISTENER_ID ".allowed 10.1.0.0/16;add acl @" PLAN_VERSION_MARK
		     " lists/" LISTENER_ID ".allowed 10.2.0.0/16",
			PLAN_EXPECT_NOTHING, NULL),
		step("commit acl @" PLAN_VERSION_MARK " lists/" LISTENER_ID ".allowed", PLAN_EXPECT_NOTHING, NULL),
	};
	static const struct {
		const char *command;
		enum plan_expect expect;
		const char *expected, *words;
	} bad[] = {
		{"set server " BACKEND "/nobody weight 1", PLAN_EXPECT_NOTHING, NULL, "No such server"},
		{"get weight " BACKEND "/" MEMBER_1, PLAN_EXPECT_PREFIX, "2 (initial", "\"1 (initial"},
		{"show info", PLAN_EXPECT_CONTAINS, "nothing of that", "Name: HAProxy"},
		{"show info", PLAN_EXPECT_VERSION, NULL, "Name: HAProxy"},
		{"commit acl @" PLAN_VERSION_MARK " x", PLAN_EXPECT_NOTHING, NULL, "Invalid argument"},
		/* Every answer was as expected, and the result is not. */
		{"set server " BACKEND "/" MEMBER_1 " weight 77", PLAN_EXPECT_NOTHING, NULL, "read back: "},
	};

	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/8'],"
			"'default_pool':{'id':'" POOL_ID
			"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN','members':[" MEMBER(MEMBER_1, "") "]}}]",
			port, 1),
		PLAN_START, 1);
	instance = get(fixture, LB_A);
	if (carry_out(instance, good, ELEMENTSOF(good), &problem) < 0)
		fail_msg("%s", error_message(&problem));
	list = run_command(fixture, "show acl lists/" LISTENER_ID ".allowed");
	assert_non_null(strstr(list, "10.2.0.0/16"));
	assert_null(strstr(list, "10.0.0.0/8"));
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		struct plan_step steps[] = {step(bad[i].command, bad[i].expect, bad[i].expected)};
		_cleanup_error_ struct error err = ERROR_INIT;

		if (carry_out(instance, steps, 1, &err) == 0)
			fail_msg("\"%s\" went well", bad[i].command);
		if (!strstr(error_message(&err), bad[i].words))
			fail_msg("no \"%s\" in: %s", bad[i].words, error_message(&err));
	}
}

/* A key is in no message. */
static void test_secrets_are_not_told(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct plan_step steps[] = {{.command = (char *)"set ssl cert x <<\nSECRET\nSECRET",
		.shown = (char *)"set ssl cert x <<\n(a certificate)",
		.expect = PLAN_EXPECT_PREFIX,
		.expected = "Transaction created"}};

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), free_port(), 1), PLAN_START, 1);
	instance = get(fixture, LB_A);
	assert_true(carry_out(instance, steps, 1, &err) < 0);
	assert_null(strstr(error_message(&err), "SECRET"));
	assert_non_null(strstr(error_message(&err), "set ssl cert x"));
}

/* Uploads */

static void write_file(struct fixture *fixture, const char *name, const char *content)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", fixture->base, name) > 0);
	assert_int_equal(fileio_write(AT_FDCWD, path, content, strlen(content), 0600), 0);
}

static void upload(struct fixture *fixture, const char *format, ...) _printf_(2, 3);

static void upload(struct fixture *fixture, const char *format, ...)
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

static void reload_upload(struct fixture *fixture, enum plan_action action)
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

#define UPLOADED                                                                                   \
	"global\n    stats socket %s/stats mode 0666 level user\n"                               \
	"defaults\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n"     \
	"frontend f\n    mode tcp\n    bind 127.0.0.1:%d%s\n    default_backend b\n"           \
	"backend b\n    mode tcp\n    balance roundrobin\n    server s1 127.0.0.1:%d weight %d\n"

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

/* Bursts */

enum { CHANGERS = 12 };

struct changer {
	struct fixture *fixture;
	instance_change_fn make;
	int number, port;
	pthread_t thread;
	struct apply_result result;
	struct error err;
	int r;
};

/* One member more; the third one has an address that no parser takes, and the fifth one breaks the configuration. */
static int add_member(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err)
{
	const struct changer *changer = userdata;
	json_auto_t *document = document_of(before, DEFINITION_WHOLE);
	json_t *member;

	member = json_pack("{s:s+, s:s, s:i, s:i}", "id", "eeeeeeee-0000-4000-8000-0000000001",
		(char[]){(char)('0' + changer->number / 10), (char)('0' + changer->number % 10), '\0'}, "address",
		changer->number == 3 ? "nowhere" : "127.0.0.1", "protocol_port", 1000 + changer->number, "weight", 1);
	json_array_append_new(
		json_object_get(json_array_get(json_object_get(json_object_get(document, "loadbalancer"), "pools"), 0),
			"members"),
		member);
	if (changer->number == 5) {
		json_t *listeners = json_object_get(json_object_get(document, "loadbalancer"), "listeners");

		json_object_set_new(json_array_get(listeners, 0), "protocol_port", json_integer(changer->port));
	}
	return definition_parse_json(LB_A, document, &(struct definition_defaults){0}, ret, err);
}

static void *change(void *userdata)
{
	static const struct apply_options options = {.if_match = -1};
	struct changer *changer = userdata;

	changer->r = registry_change(
		changer->fixture->registry, LB_A, false, changer->make, changer, &options, &changer->result, &changer->err);
	return NULL;
}

static size_t queued(struct instance *instance)
{
	size_t n = 0;

	LOCK_SCOPE(&instance->queue_lock);
	for (struct change *item = instance->queue; item; item = item->next)
		n++;
	return n;
}

static bool is_led(struct instance *instance)
{
	LOCK_SCOPE(&instance->queue_lock);
	return instance->led;
}

static void wait_for_queue(struct instance *instance, size_t n)
{
	int64_t deadline = process_now_ms() + DEADLINE_MS;

	while (queued(instance) < n && process_now_ms() < deadline)
		poll(NULL, 0, 1);
	assert_int_equal(queued(instance), n);
}

/* The first one leads alone and is held up; the others wait and are made together. */
static void burst(struct fixture *fixture, struct instance *instance, struct changer *changers, instance_change_fn make,
	int bad_port)
{
	pthread_mutex_lock(&instance->lock);
	for (int i = 0; i < CHANGERS; i++) {
		changers[i] = (struct changer){.fixture = fixture, .make = make, .number = i, .port = bad_port};
		assert_int_equal(pthread_create(&changers[i].thread, NULL, change, &changers[i]), 0);
		while (i == 0 && !is_led(instance))
			poll(NULL, 0, 1);
		wait_for_queue(instance, (size_t)i);
	}
	pthread_mutex_unlock(&instance->lock);
	for (int i = 0; i < CHANGERS; i++)
		pthread_join(changers[i].thread, NULL);
}

static void burst_done(struct changer *changers)
{
	for (int i = 0; i < CHANGERS; i++) {
		apply_result_done(&changers[i].result);
		error_done(&changers[i].err);
	}
}

static void test_burst(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ int64_t *revisions = NULL;
	struct changer changers[CHANGERS];
	struct pids pids;
	size_t n = 0;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	instance = get(fixture, LB_A);
	burst(fixture, instance, changers, add_member, port);
	for (int i = 0; i < CHANGERS; i++) {
		if (i == 3) { /* it failed alone, with words of its own */
			assert_int_equal(changers[i].r, error_code_to_errno(ERROR_INVALID));
			assert_non_null(strstr(changers[i].err.pointer, "address"));
			continue;
		}
		assert_int_equal(changers[i].r, 0);
		assert_int_equal(changers[i].result.revision, i < 3 ? i + 2 : i + 1);
		assert_string_equal(plan_action_name(changers[i].result.plan.action), "runtime");
		assert_non_null(changers[i].result.lb);
	}
	assert_int_equal(changers[1].result.lb->pools[0].n_members, 3);
	assert_int_equal(changers[CHANGERS - 1].result.lb->pools[0].n_members, CHANGERS);
	/* Those on the way are among the revisions. */
	assert_int_equal(store_revisions(instance->dir_fd, &revisions, &n), 0);
	assert_int_equal(n, LIMIT_REVISIONS);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(revisions[i], CHANGERS - (int64_t)i);
	instance_unref(TAKE_PTR(instance));
	restart_agent(fixture);
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, NULL), 0);
	assert_int_equal(stored.revision, CHANGERS);
	assert_int_equal(stored.lb->pools[0].n_members, CHANGERS);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	burst_done(changers);
}

/* By turns: another weight, another name, nothing at all. */
static int change_by_turns(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err)
{
	const struct changer *changer = userdata;
	json_auto_t *document = document_of(before, DEFINITION_WHOLE);
	json_t *pool, *member;

	pool = json_array_get(json_object_get(json_object_get(document, "loadbalancer"), "pools"), 0);
	member = json_array_get(json_object_get(pool, "members"), 0);
	if (changer->number % 3 == 0)
		json_object_set_new(member, "weight", json_integer(10 + changer->number));
	if (changer->number % 3 == 1)
		json_object_set_new(pool, "name", json_sprintf("pool-%d", changer->number));
	return definition_parse_json(LB_A, document, &(struct definition_defaults){0}, ret, err);
}

/* Who changed nothing of HAProxy is not told what others did. */
static void test_burst_with_idle_changes(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_instance_ struct instance *instance = NULL;
	struct changer changers[CHANGERS];
	struct change_counts counts;
	int64_t revision = 1;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), free_port(), 1), PLAN_START, 1);
	instance = get(fixture, LB_A);
	burst(fixture, instance, changers, change_by_turns, 0);
	for (int i = 0; i < CHANGERS; i++) {
		const struct apply_result *result = &changers[i].result;

		assert_int_equal(changers[i].r, 0);
		assert_string_equal(plan_action_name(result->plan.action), i % 3 == 0 ? "runtime" : "none");
		assert_int_equal(strv_length(result->plan.reasons) > 0, i % 3 == 0);
		revision += i % 3 == 2 ? 0 : 1;
		assert_int_equal(result->revision, revision);
	}
	instance_counts(instance, &counts);
	assert_int_equal(counts.made[PLAN_RUNTIME], CHANGERS / 3);
	assert_int_equal(counts.made[PLAN_NONE], 2 * CHANGERS / 3);
	burst_done(changers);
}

/* HAProxy cannot bind what one of them wants: the others are made nevertheless, in their order. */
static void test_burst_with_a_bad_change(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), taken;
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);
	_cleanup_instance_ struct instance *instance = NULL;
	struct changer changers[CHANGERS];
	int64_t revision = 1;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	instance = get(fixture, LB_A);
	burst(fixture, instance, changers, add_member, taken);
	for (int i = 0; i < CHANGERS; i++) {
		if (i == 3 || i == 5) {
			assert_int_equal(
				changers[i].r, error_code_to_errno(i == 3 ? ERROR_INVALID : ERROR_APPLY));
			continue;
		}
		assert_int_equal(changers[i].r, 0);
		assert_int_equal(changers[i].result.revision, ++revision);
	}
	assert_int_equal(changers[CHANGERS - 1].result.lb->pools[0].n_members, CHANGERS - 1);
	assert_true(port_answers(port));
	burst_done(changers);
}

static void *reload_once(void *userdata)
{
	struct changer *changer = userdata;
	_cleanup_(control_result_done) struct control_result result = CONTROL_RESULT_INIT;
	_cleanup_instance_ struct instance *instance = get(changer->fixture, LB_A);

	changer->r = instance_control(instance, INSTANCE_RELOAD, &result, &changer->err);
	changer->number = (int)result.plan.action;
	return NULL;
}

static void test_reloads_that_wait_are_one(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_instance_ struct instance *instance = NULL;
	struct changer changers[4];

	fixture->settings.runtime_updates = false;
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 1);
	reload_upload(fixture, PLAN_START);
	instance = get(fixture, LB_A);
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 2);
	pthread_mutex_lock(&instance->lock);
	for (int i = 0; i < (int)ELEMENTSOF(changers); i++) {
		changers[i] = (struct changer){.fixture = fixture};
		assert_int_equal(pthread_create(&changers[i].thread, NULL, reload_once, &changers[i]), 0);
		while (i == 0 && !is_led(instance))
			poll(NULL, 0, 1);
		wait_for_queue(instance, (size_t)i);
	}
	pthread_mutex_unlock(&instance->lock);
	for (size_t i = 0; i < ELEMENTSOF(changers); i++) {
		pthread_join(changers[i].thread, NULL);
		assert_int_equal(changers[i].r, 0);
		/* The first one reloaded; there was nothing left for the others. */
		assert_int_equal(changers[i].number, i == 0 ? PLAN_RELOAD : PLAN_NONE);
	}
	assert_int_equal(fixture->reloads_announced, 1);
}

/* Of more old workers than there may be the oldest one goes. */
static void test_old_workers_are_bounded(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), backend, clients[4];
	_cleanup_close_ int backend_fd = listen_anywhere(&backend);
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ struct worker_figures *workers = NULL;
	int64_t deadline = process_now_ms() + DEADLINE_MS;
	size_t n = 0;

	fixture->settings.runtime_updates = false;
	fixture->settings.max_old_workers = 2;
	for (int i = 0; i < (int)ELEMENTSOF(clients); i++) {
		apply(fixture, define(LB_A, "'name':'%d'," POOL_OF(MEMBER(MEMBER_1, ",'weight':%d")), i, port, backend, i + 1),
			i == 0 ? PLAN_START : PLAN_RELOAD, i + 1);
		clients[i] = connect_to(port);
		accept_within(backend_fd);
	}
	instance = get(fixture, LB_A);
	do {
		free(TAKE_PTR(workers));
		instance_look_after(instance);
		if (instance_workers(instance, &workers, &n, NULL) < 0)
			n = 0;
		poll(NULL, 0, 10);
	} while (n != 3 && process_now_ms() < deadline);
	assert_int_equal(n, 3);
	assert_false(workers[0].old);
	assert_true(workers[1].old && workers[2].old);
	for (size_t i = 0; i < n; i++)
		assert_true(workers[i].memory_bytes > 1024 * 1024);
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		close(clients[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNTIME_TEST(test_members_come_and_go),
		RUNTIME_TEST(test_option),
		RUNTIME_TEST(test_server_leaves_when_its_connections_are_gone),
		RUNTIME_TEST(test_somebody_else_was_there),
		RUNTIME_TEST(test_somebody_else_disabled_a_server),
		RUNTIME_TEST(test_reload_that_mends_nothing),
		RUNTIME_TEST(test_crash_among_the_steps),
		RUNTIME_TEST(test_answers_are_compared),
		RUNTIME_TEST(test_secrets_are_not_told),
		RUNTIME_TEST(test_upload_applies_the_difference),
		RUNTIME_TEST(test_upload_and_another_worker),
		RUNTIME_TEST(test_upload_and_requests_of_haproxy),
		cmocka_unit_test(test_words_of_own_requests),
		RUNTIME_TEST(test_upload_that_cannot_be_run),
		RUNTIME_TEST(test_upload_certificates),
		RUNTIME_TEST(test_burst),
		RUNTIME_TEST(test_burst_with_idle_changes),
		RUNTIME_TEST(test_burst_with_a_bad_change),
		RUNTIME_TEST(test_reloads_that_wait_are_one),
		RUNTIME_TEST(test_old_workers_are_bounded),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("instance_runtime", tests, NULL, NULL);
}
