/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/state.h"

/* Recorded from HAProxy 2.6.12, after "set server p:l/same health down". */
#define HEAD                                                                                     \
	"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight "  \
	"srv_iweight "                                                                           \
	"srv_time_since_last_change srv_check_status srv_check_result srv_check_health "         \
	"srv_check_state srv_agent_state "                                                       \
	"bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port " \
	"srv_check_addr "                                                                        \
	"srv_agent_addr srv_agent_port\n"
#define SAME "2 p:l 1 same 127.0.0.1 0 0 1 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n"
#define CHANGED "2 p:l 2 changed 127.0.0.1 0 0 5 5 0 1 0 0 6 0 0 0 - 2 - 0 0 - - 0\n"
#define REMOVED "2 p:l 3 removed 127.0.0.1 2 0 1 1 0 1 0 2 6 0 0 0 - 3 - 0 0 - - 0\n"
#define OTHER "3 q:l 1 same 127.0.0.1 2 0 1 1 0 1 0 2 0 0 0 0 - 4 - 0 0 - - 0\n"
#define REPLY HEAD SAME CHANGED REMOVED OTHER "\n"

static const char running[] =
	"backend p:l\n  server same 127.0.0.1:1 weight 1 check\n  server changed 127.0.0.1:2 "
	"weight 5\n"
	"  server removed 127.0.0.1:3\nbackend q:l\n  server same 127.0.0.1:4\n";

static void check(const char *state_text, const char *wanted_text, const char *kept)
{
	_cleanup_cfg_ struct cfg old = CFG_INIT, new = CFG_INIT;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(cfg_parse(running, strlen(running), &old, NULL), 0);
	assert_int_equal(cfg_parse(wanted_text, strlen(wanted_text), &new, NULL), 0);
	assert_int_equal(state_filter(state_text, &old, &new, &text), 0);
	assert_string_equal(text, kept);
}

static void test_servers(void **state)
{
	(void)state;
	check(REPLY, running, HEAD SAME CHANGED REMOVED OTHER);
	/* Other lines of a section do not matter, the server's own do. */
	check(REPLY,
		"backend q:l\n  mode http\n  server same 127.0.0.1:4\nbackend p:l\n  server new "
		"127.0.0.1:9\n"
		"  server changed 127.0.0.1:2 weight 6\n  server   same 127.0.0.1:1 weight 1 check "
		"# x\n",
		HEAD SAME OTHER);
	/* A server of the same name in another backend is another server. */
	check(REPLY,
		"backend p:l\n  server same 127.0.0.1:4\nbackend r:l\n  server removed "
		"127.0.0.1:3\n",
		HEAD);
	check(REPLY, "", HEAD);
}

/* What the Runtime API did and the file does not say ends with the reload. */
static void test_servers_that_are_not_as_configured(void **state)
{
	static const struct {
		const char *line;
		bool kept;
	} rows[] = {
		{"2 p:l 1 same 127.0.0.1 2 0 1 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", true},
		{"2 p:l 1 same 127.0.0.1 2 1 1 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", false},
		{"2 p:l 1 same 127.0.0.1 2 8 1 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", false},
		/* "disabled" in the file. */
		{"2 p:l 1 same 127.0.0.1 2 4 1 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", true},
		{"2 p:l 1 same 127.0.0.1 2 0 9 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", false},
		/* It was weighed at run time, and the file says so now. */
		{"2 p:l 1 same 127.0.0.1 2 0 1 9 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", true},
		{"2 p:l 1 same 127.0.0.2 2 0 1 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", false},
		{"2 p:l 1 same 127.0.0.1 2 0 1 1 0 8 2 0 6 0 0 0 - 9 - 0 0 - - 0\n", false},
		{"2 p:l 1 same 127.0.0.1 2 x 1 1 0 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n", false},
		/* No weight in the file. */
		{"2 q:l 1 same 127.0.0.1 2 0 7 7 0 1 0 2 0 0 0 0 - 4 - 0 0 - - 0\n", true},
		{"2 q:l 1 same 127.0.0.1 2 0 7 1 0 1 0 2 0 0 0 0 - 4 - 0 0 - - 0\n", false},
	};
	static const struct {
		const char *server, *line;
		bool kept;
	} others[] = {
		{"server s [2001:db8::1]:80", "1 b 1 s 2001:0db8:0::1 2 0 1 1 0 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n", true},
		{"server s 2001:db8::1:80", "1 b 1 s 2001:db8::1 2 0 1 1 0 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n", true},
		{"server s 2001:db8::1:80", "1 b 1 s 2001:db8::2 2 0 1 1 0 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n", false},
		{"server s name.example:80", "1 b 1 s 192.0.2.7 2 0 1 1 0 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n", true},
		{"server s 192.0.2.7:80 agent-check", "1 b 1 s 192.0.2.7 2 0 5 1 0 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n", true},
		{"server s", "1 b 1 s - 2 0 1 1 0 1 0 2 0 0 0 0 - 0 - 0 0 - - 0\n", true},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		check(rows[i].line, running, rows[i].kept ? rows[i].line : "");
	for (size_t i = 0; i < ELEMENTSOF(others); i++) {
		_cleanup_free_ char *text = NULL, *kept = NULL;
		_cleanup_cfg_ struct cfg cfg = CFG_INIT;

		assert_true(asprintf(&text, "backend b\n  %s\n", others[i].server) > 0);
		assert_int_equal(cfg_parse(text, strlen(text), &cfg, NULL), 0);
		assert_int_equal(state_filter(others[i].line, &cfg, &cfg, &kept), 0);
		assert_string_equal(kept, others[i].kept ? others[i].line : "");
	}
}

static void test_replies(void **state)
{
	(void)state;
	check("", running, "");
	check("\n\n", running, "");
	check("1", running, "1\n");
	check(HEAD SAME, running, HEAD SAME);
	check("1\n2 p:l 1 same", running, "1\n2 p:l 1 same\n");
	check("1\n2 p:l 1 gone x\n", running, "1\n");
	check("1\n  2   p:l 1 same 127.0.0.1 0\r\n", running,
		"1\n  2   p:l 1 same 127.0.0.1 0\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_servers_that_are_not_as_configured),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
