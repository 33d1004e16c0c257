/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/tables.h"

/* The shapes of HAProxy 2.6.12. */
#define STATE "1\n# be_id be_name srv_id srv_name srv_addr\n"
#define OLD STATE "3 b 11 s1 127.0.0.1 2 0\n3 b 12 s2 127.0.0.1 2 0\n4 other 11 s3 127.0.0.1 2 0\n\n"
#define NEW STATE "3 b 7 s2 127.0.0.1 2 0\n3 b 8 s3 127.0.0.1 2 0\n"
#define ENTRY(key, id) "0x5598ddb9a750: key=" key " use=0 exp=1798966 server_id=" id " server_key=-\n"

static void test_names(void **state)
{
	_cleanup_strv_ char **names = NULL;

	(void)state;
	assert_int_equal(tables_with_entries("# table: a:b, type: ipv6, size:10240, used:2\n"
					     "# table: empty, type: string, size:10240, used:0\n"
					     "# table: c;quit, type: string, size:10240, used:1\n"
					     "# table: short\n# table: d, type: ipv6, size:1, used:1",
				 &names),
		0);
	assert_int_equal(strv_length(names), 2);
	assert_string_equal(names[0], "a:b");
	assert_string_equal(names[1], "d");
}

static void check(const char *dump, const char *wanted, size_t wanted_entries)
{
	_cleanup_strv_ char **commands = NULL;
	size_t entries = 99;

	assert_int_equal(tables_commands("b", dump, OLD, NEW, &commands, &entries), 0);
	assert_int_equal(entries, wanted_entries);
	assert_non_null(commands);
	if (!wanted) {
		assert_null(commands[0]);
		return;
	}
	assert_string_equal(commands[0], wanted);
	assert_null(commands[1]);
}

static void test_entries_follow_their_servers(void **state)
{
	(void)state;
	check("# table: b, type: ipv6, size:10240, used:1\n" ENTRY("::1", "12") "\n",
		"set table b key ::1 data.server_id 7", 1);
	/* Its server is gone; a server of that number is another one. */
	check(ENTRY("::1", "11"), NULL, 0);
	check(ENTRY("::1", "7"), NULL, 0);
	check(ENTRY("::2", "12") ENTRY("::ffff:127.0.0.1", "12"),
		"set table b key ::2 data.server_id 7;set table b key ::ffff:127.0.0.1 data.server_id 7", 2);
	/* HAProxy 2.9 and later. */
	check("0x1: key=a use=0 exp=5 shard=0 server_id=12 server_key=s2\n", "set table b key a data.server_id 7", 1);
}

static void test_keys_that_are_no_words(void **state)
{
	static const char *const keys[] = {"a;quit", "a b", "a\\", "\"a\"", "'a'", "", "a\tb", "<<", "#"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
		char line[200];

		snprintf(line, sizeof(line), "0x1: key=%s use=0 exp=5 server_id=12 server_key=s2\n", keys[i]);
		check(line, NULL, 0);
	}
	check("", NULL, 0);
	check("garbage\n0x1: key=a\nserver_id=12 key=a use=0\n0x1: server_id=12 key=a use=0\n", NULL, 0);
	check("0x1: key=a use=0 server_id=123456789012345678901234567890\n", NULL, 0);
}

static void test_long_tables_are_cut_into_lines(void **state)
{
	_cleanup_text_ struct text dump = TEXT_INIT;
	_cleanup_strv_ char **commands = NULL;
	size_t entries = 0, total = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		text_printf(&dump, "0x1: key=2001:db8::%x use=0 exp=0 server_id=12 server_key=s2\n", i);
	assert_int_equal(tables_commands("b", text_peek(&dump), OLD, NEW, &commands, &entries), 0);
	assert_int_equal(entries, 10000);
	STRV_FOREACH(command, commands) {
		assert_true(strlen(*command) <= TABLES_LINE_LIMIT);
		total++;
		for (const char *p = *command; (p = strchr(p, ';')); p++)
			total++;
	}
	assert_int_equal(total, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_entries_follow_their_servers),
		cmocka_unit_test(test_keys_that_are_no_words),
		cmocka_unit_test(test_long_tables_are_cut_into_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
