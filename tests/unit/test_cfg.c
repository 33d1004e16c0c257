/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg.h"

static struct cfg parse_good(const char *text)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct cfg cfg = CFG_INIT;

	if (cfg_parse(text, strlen(text), &cfg, &err) != 0)
		fail_msg("%s\n%s", text, error_message(&err));
	return cfg;
}

/* The words of a line as HAProxy 2.6 reads them; it says so itself with ".notice WORD"
 * (test_quote.c). */
static void test_words(void **state)
{
	static const struct {
		const char *line;
		const char *words[6];
	} rows[] = {
		{"a b  c\td", {"a", "b", "c", "d"}},
		{"a\\ b c", {"a b", "c"}},
		{"a # b", {"a"}},
		{"a#b", {"a"}},
		{"a\\#b", {"a#b"}},
		{"a '#' \"#\"", {"a", "#", "#"}},
		{"a 'b c' \"d e\"", {"a", "b c", "d e"}},
		{"a 'b'\"c\"d", {"a", "bcd"}},
		{"a '' \"\"", {"a", "", ""}},
		{"a '\\' b", {"a", "\\", "b"}},
		{"a 'it'\\''s'", {"a", "it's"}},
		{"a \"b\\\"c\" '\"'", {"a", "b\"c", "\""}},
		{"a \"it's\"", {"a", "it's"}},
		{"a \\\\ \\n \\t \\r", {"a", "\\", "\n", "\t", "\r"}},
		{"a \"b\\ c\\'d\\#e\\$f\"", {"a", "b c'd#e$f"}},
		{"a \\$b '\\$b' \"\\n\"", {"a", "\\$b", "\\$b", "\n"}},
		{"a \\x41\"\\x2d\"'\\x41' \\x4 \\xg1", {"a", "A-\\x41", "\\x4", "\\xg1"}},
		{"a b\\", {"a", "b\\"}},
		{"a \\1", {"a", "\\1"}},
		{"a b\r", {"a", "b"}},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_cfg_ struct cfg cfg = CFG_INIT;

		assert_true(asprintf(&text, "global\n%s", rows[i].line) > 0);
		cfg = parse_good(text);
		assert_int_equal(cfg.n_sections, 1);
		assert_int_equal(cfg.sections[0].n_lines, 1);
		for (size_t j = 0; rows[i].words[j]; j++) {
			assert_non_null(cfg.sections[0].lines[0].words[j]);
			assert_string_equal(cfg.sections[0].lines[0].words[j], rows[i].words[j]);
		}
		assert_int_equal(strv_length(cfg.sections[0].lines[0].words),
			strv_length((char *const *)rows[i].words));
	}
}

static void test_sections(void **state)
{
	_cleanup_cfg_ struct cfg cfg = parse_good(
		"# comment\n\nglobal\n  maxconn 1\n\ndefaults\nfrontend f\r\n  bind :80\r\n"
		"  default_backend b\r\nbackend b\n\tserver s 1:1\n peers p\n");
	const struct cfg_section *frontend = cfg_find(&cfg, "frontend", "f");

	(void)state;
	assert_int_equal(cfg.n_sections, 5);
	assert_string_equal(cfg.sections[0].keyword, "global");
	assert_string_equal(cfg.sections[0].name, "");
	assert_int_equal(cfg.sections[1].n_lines, 0);
	assert_non_null(frontend);
	assert_int_equal(frontend->n_lines, 2);
	assert_int_equal(frontend->lines[0].number, 8);
	assert_string_equal(frontend->lines[1].words[1], "b");
	assert_null(cfg_find(&cfg, "frontend", "b"));
	assert_null(cfg_find(&cfg, "frontend", ""));
	assert_string_equal(cfg.sections[4].keyword, "peers");
}

/* Sections of servers that nobody asks about have no lines; everything else is as it is. */
static void test_pools(void **state)
{
	static const char text[] = "global\n\ta\nbackend one\n\tserver a 1\n\tserver 'b 2\n# global\nbackend two\n"
				   "\tserver c 3\n\"frontend\" three\n\tbind :1\n  listen four # x\n\tglobally d\n"
				   "backend\n\tserver e 5\nfront\\x65nd five\n\tbind :2\n";
	static const struct {
		const char *keyword, *name;
		size_t n_lines;
	} wanted[] = {{"global", "", 1}, {"backend", "one", 0}, {"backend", "two", 1}, {"frontend", "three", 1},
		{"listen", "four", 0}, {"backend", "", 0}, {"frontend", "five", 1}};
	char *const pools[] = {(char *)"two", NULL};
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	(void)state;
	assert_int_equal(cfg_parse(text, strlen(text), &cfg, NULL), -EINVAL);
	assert_int_equal(cfg_parse_pools(text, strlen(text), pools, &cfg, NULL), 0);
	assert_int_equal(cfg.n_sections, ELEMENTSOF(wanted));
	for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
		assert_string_equal(cfg.sections[i].keyword, wanted[i].keyword);
		assert_string_equal(cfg.sections[i].name, wanted[i].name);
		assert_int_equal(cfg.sections[i].n_lines, wanted[i].n_lines);
	}
	assert_string_equal(cfg.sections[2].lines[0].words[1], "c");
	assert_int_equal(cfg.sections[2].lines[0].number, 8);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{"maxconn 1\n", "line 1: \"maxconn\" is in no section"},
		{"\n# c\nbind :80\nglobal\n", "line 3: \"bind\" is in no section"},
		{"global\n  a 'b\n", "line 2: a quote is not closed"},
		{"global\n  a \"b\n  c\"\n", "line 2: a quote is not closed"},
		{"global\n  a \"b\\\"\n", "line 2: a quote is not closed"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		struct cfg cfg = CFG_INIT;

		assert_int_equal(
			cfg_parse(rows[i].text, strlen(rows[i].text), &cfg, &err), -EINVAL);
		assert_string_equal(error_message(&err), rows[i].words);
		assert_null(cfg.sections);
	}
}

static void test_empty(void **state)
{
	static const char *const texts[] = {"", "\n", "#", " \t\r\n # x", "\r"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		_cleanup_cfg_ struct cfg cfg = parse_good(texts[i]);

		assert_int_equal(cfg.n_sections, 0);
	}
}

/* The text need not end in a NUL, and nothing after its length is read. */
static void test_length(void **state)
{
	static const char text[] = {'g', 'l', 'o', 'b', 'a', 'l', '\n', 'a', ' ', '\\'};
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	(void)state;
	assert_int_equal(cfg_parse(text, sizeof(text), &cfg, NULL), 0);
	assert_string_equal(cfg.sections[0].lines[0].words[1], "\\");
}

static void test_lines_compared(void **state)
{
	_cleanup_cfg_ struct cfg cfg =
		parse_good("backend b\nserver a 1:1 weight 1\n  server  'a'   1:1 weight 1 # "
			   "x\nserver a 1:1 weight\n"
			   "server a 1:1 weight 2\nserver\nserver-template a 1 b\n");
	const struct cfg_line *lines = cfg.sections[0].lines;

	(void)state;
	assert_true(cfg_line_equal(&lines[0], &lines[1]));
	assert_false(cfg_line_equal(&lines[0], &lines[2]));
	assert_false(cfg_line_equal(&lines[2], &lines[0]));
	assert_false(cfg_line_equal(&lines[0], &lines[3]));
	assert_true(cfg_line_is_server(&lines[0]));
	assert_false(cfg_line_is_server(&lines[4]));
	assert_false(cfg_line_is_server(&lines[5]));
}

static int note_server(void *userdata, const char *name, const struct cfg_line *before,
	const struct cfg_line *after)
{
	struct text *text = userdata;

	text_printf(text, "%s%c%c ", name, before ? 'b' : '-', after ? 'a' : '-');
	assert_true(!before || streq(before->words[1], name));
	assert_true(!after || streq(after->words[1], name));
	return streq(name, "stop") ? -ECANCELED : 0;
}

static void test_servers_compared(void **state)
{
	_cleanup_cfg_ struct cfg cfg =
		parse_good("backend x\nserver c 1\nmode tcp\nserver a 1\nserver d 1\n"
			   "backend y\nserver b 1\nserver d 2\nserver a 1\n"
			   "backend z\nmode tcp\nbackend s\nserver a\nserver stop\nserver z\n");
	const struct {
		size_t before, after;
		const char *seen;
		int r;
	} rows[] = {
		{0, 1, "aba b-a cb- dba ", 0},
		{1, 0, "aba bb- c-a dba ", 0},
		{0, 2, "ab- cb- db- ", 0},
		{2, 0, "a-a c-a d-a ", 0},
		{2, 2, "", 0},
		{2, 3, "a-a stop-a ", -ECANCELED},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_text_ struct text seen = TEXT_INIT;

		assert_int_equal(cfg_compare_servers(&cfg.sections[rows[i].before],
					 &cfg.sections[rows[i].after], note_server, &seen),
			rows[i].r);
		assert_string_equal(text_peek(&seen), rows[i].seen);
	}
}

static void test_secrets(void **state)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{"", ""},
		{"global\n    maxconn 1\n", "global\n    maxconn 1\n"},
		{"userlist u\n", "userlist u\n"},
		{"# userlist\nuserlist u # x\n\n  user a password $6$x$y\n  # end\nlisten l\n    bind :1\n",
			"# userlist\nuserlist u # x\n\n    user a password ********\n  # end\nlisten l\n    bind :1\n"},
		{"userlist u\n group g users a\n user a insecure-password 'a b' groups g\n user b\n user c password \"x\"",
			"userlist u\n group g users a\n    user a insecure-password ******** groups g\n user b\n"
			"    user c password ********\n"},
		{"userlist u\n user 'a\"b' password x\nuserlist v\n user password password password\n",
			"userlist u\n    user 'a\"b' password ********\nuserlist v\n    user password password ********\n"},
		{"userlist u\n user it\\'s\\ \"\" password x\n user a\\nb password x\n user c password '' groups ''\n",
			"userlist u\n    user 'it'\\''s ' password ********\n    user ******** password ********\n"
			"    user c password ******** groups ''\n"},
		{"listen l\n user a password x\n", "listen l\n user a password x\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *text = strdup(rows[i].text);
		_cleanup_error_ struct error err = ERROR_INIT;
		size_t length = strlen(text);

		assert_int_equal(cfg_hide_secrets(&text, &length, &err), 0);
		assert_string_equal(text, rows[i].shown);
		assert_int_equal(length, strlen(text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_pools), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_lines_compared),
		cmocka_unit_test(test_servers_compared),
		cmocka_unit_test(test_secrets),
	};

	return cmocka_run_group_tests_name("cfg", tests, NULL, NULL);
}
