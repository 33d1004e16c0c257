/* SPDX-License-Identifier: Apache-2.0 */

/* What is quoted is read back as it was: by our reader and by HAProxy itself. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/cfg.h"
#include "agent/render/quote.h"

static const char *const hostile[] = {
	"",
	"plain-._~:/@,=+?&|",
	" ",
	"a b",
	"#",
	"a#b",
	"'",
	"''",
	"it's",
	"\"",
	"\\",
	"\\'",
	"'\\",
	"\\\\",
	"\\n",
	"\\x41",
	"$HOME",
	"${HOME}",
	"\"$HOME\"",
	"%[src]",
	"%",
	"(a)",
	"a,b",
	"{ a }",
	"!a",
	"*",
	"-f",
	"\xc3\xbc \xe2\x82\xac",
	"x' # 'y",
	"x'\\''y",
};

/* A small generator of its own, so that a failure can be repeated. */
static unsigned next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(*seed >> 33);
}

static void random_value(uint64_t *seed, char *ret, size_t size)
{
	/* Half of the characters are those that quoting is about. */
	static const char special[] = "'\"\\$#% {}()nrtx";
	size_t length = next_random(seed) % size;

	for (size_t i = 0; i < length; i++)
		ret[i] = next_random(seed) % 2 ? special[next_random(seed) % (sizeof(special) - 1)]
					       : (char)(' ' + next_random(seed) % 95);
	ret[length] = '\0';
}

static void assert_read_back(const char *value)
{
	_cleanup_free_ char *word = NULL, *text = NULL;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	assert_int_equal(quote_haproxy(value, &word), 0);
	assert_true(asprintf(&text, "global\nx %s", word) > 0);
	assert_int_equal(cfg_parse(text, strlen(text), &cfg, NULL), 0);
	assert_int_equal(cfg.n_sections, 1);
	assert_int_equal(cfg.sections[0].n_lines, 1);
	assert_int_equal(strv_length(cfg.sections[0].lines[0].words), 2);
	assert_string_equal(cfg.sections[0].lines[0].words[1], value);
}

static void test_read_back(void **state)
{
	uint64_t seed = 20260131;
	char value[40];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(hostile); i++)
		assert_read_back(hostile[i]);
	for (int i = 0; i < 20000; i++) {
		random_value(&seed, value, sizeof(value));
		assert_read_back(value);
	}
}

static void test_plain_values_stay(void **state)
{
	_cleanup_free_ char *word = NULL;

	(void)state;
	assert_int_equal(quote_haproxy("2001:db8::1", &word), 0);
	assert_string_equal(word, "2001:db8::1");
}

static void test_control_characters_are_refused(void **state)
{
	static const char *const values[] = {
		"\n", "a\nb", "\r", "\t", "\x01", "\x1b[0m", "\x7f", "a\xc2\x85"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(values); i++) {
		char *word = NULL;

		assert_int_equal(quote_haproxy(values[i], &word), -EINVAL);
		assert_int_equal(quote_haproxy_call("req.cook", values[i], &word), -EINVAL);
		assert_null(word);
	}
}

static char *config_of(const char *text, const char *folder)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/haproxy.cfg", folder) > 0);
	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, text, strlen(text), 0600), 0);
	return path;
}

/* "haproxy -c" on a text; exit status and words. */
static void ask_haproxy(const char *text, struct process_result *ret)
{
	char folder[] = "/tmp/test-quote-XXXXXX";
	_cleanup_free_ char *path = NULL;

	assert_non_null(mkdtemp(folder));
	path = config_of(text, folder);
	assert_int_equal(
		process_run((const char *const[]){DEFAULT_HAPROXY_CMD, "-c", "-f", path, NULL},
			NULL, 30000, 1 << 20, ret),
		0);
	fileio_remove_tree(AT_FDCWD, folder);
}

static bool haproxy_is_missing(void)
{
	return access(DEFAULT_HAPROXY_CMD, X_OK) < 0;
}

/* ".notice WORD" (configuration manual, 2.4 "Conditional blocks") makes HAProxy say what it read.
 */
static void test_haproxy_reads_the_same(void **state)
{
	enum { VALUES = 200 };
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_text_ struct text text = TEXT_INIT;
	char values[VALUES][40];
	uint64_t seed = 7;

	(void)state;
	if (haproxy_is_missing())
		skip();
	text_append(&text, "global\n");
	for (size_t i = 0; i < VALUES; i++) {
		_cleanup_free_ char *word = NULL;

		if (i < ELEMENTSOF(hostile))
			snprintf(values[i], sizeof(values[i]), "%s", hostile[i]);
		else
			random_value(&seed, values[i], sizeof(values[i]));
		assert_int_equal(quote_haproxy(values[i], &word), 0);
		text_printf(&text, ".notice %s\n", word);
	}
	ask_haproxy(text_peek(&text), &result);
	for (size_t i = 0; i < VALUES; i++) {
		_cleanup_free_ char *said = NULL;

		assert_true(asprintf(&said, "haproxy.cfg:%zu]: '%s'.\n", i + 2, values[i]) > 0);
		if (!strstr(result.output, said))
			fail_msg("no %s in %s", said, result.output);
	}
}

/* Whether ".notice" would take it: no bad escapes, unbalanced quotes or variables, and one word. */
static bool is_one_word(const char *line)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	return !strchr(line, '$') && !strstr(line, "\\x") &&
	       cfg_parse(line, strlen(line), &cfg, NULL) == 0 &&
	       strv_length(cfg.sections[0].lines[0].words) == 2;
}

/* Our reader takes any line apart as HAProxy does. */
static void test_reader_agrees_with_haproxy(void **state)
{
	enum { LINES = 300 };
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	uint64_t seed = 11;

	(void)state;
	if (haproxy_is_missing())
		skip();
	text_append(&text, "global\n");
	for (size_t i = 0; i < LINES; i++) {
		char value[24], line[64];

		do {
			random_value(&seed, value, sizeof(value));
			snprintf(line, sizeof(line), "global\n.notice w%s", value);
		} while (!is_one_word(line));
		text_printf(&text, "%s\n", line + strlen("global\n"));
	}
	ask_haproxy(text_peek(&text), &result);
	assert_int_equal(cfg_parse(text_peek(&text), text.length, &cfg, NULL), 0);
	assert_int_equal(cfg.sections[0].n_lines, LINES);
	for (size_t i = 0; i < LINES; i++) {
		_cleanup_free_ char *said = NULL;

		assert_true(asprintf(&said, "haproxy.cfg:%zu]: '%s'.\n",
				    cfg.sections[0].lines[i].number,
				    cfg.sections[0].lines[i].words[1]) > 0);
		if (!strstr(result.output, said))
			fail_msg("no %s in %s of\n%s", said, result.output, text_peek(&text));
	}
}

static void test_calls(void **state)
{
	static const struct {
		const char *argument, *word; /* NULL: refused */
	} rows[] = {
		{"JSESSIONID", "req.cook(JSESSIONID)"},
		{"a.b-c_d", "req.cook(a.b-c_d)"},
		{"a|b", "'req.cook(\"a|b\")'"},
		{"$x%", "'req.cook(\"$x%\")'"},
		{"it's", "'req.cook(\"it'\\''s\")'"},
		{"a\"b", NULL},
		{"a\\b", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *word = NULL;

		assert_int_equal(quote_haproxy_call("req.cook", rows[i].argument, &word),
			rows[i].word ? 0 : -EINVAL);
		if (rows[i].word)
			assert_string_equal(word, rows[i].word);
	}
}

/* Every cookie name that the API takes (RFC 6265 token) is a good argument for HAProxy. */
static void test_haproxy_takes_every_cookie_name(void **state)
{
	static const char tokens[] = "!#$%&'*+-.^_`|~09azAZ";
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_text_ struct text text = TEXT_INIT;

	(void)state;
	if (haproxy_is_missing())
		skip();
	text_append(&text, "defaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout "
			   "connect 1s\nbackend b\n"
			   " stick-table type string len 64 size 10k\n");
	for (size_t i = 0; i <= strlen(tokens); i++) {
		_cleanup_free_ char *request = NULL, *response = NULL;
		char name[2] = {tokens[i], '\0'};
		const char *cookie = i < strlen(tokens) ? name : tokens;

		assert_int_equal(quote_haproxy_call("req.cook", cookie, &request), 0);
		assert_int_equal(quote_haproxy_call("res.cook", cookie, &response), 0);
		text_printf(
			&text, " stick store-response %s\n stick match %s\n", response, request);
	}
	ask_haproxy(text_peek(&text), &result);
	if (strstr(result.output, "[ALERT]") || strstr(result.output, "[WARNING]"))
		fail_msg("%s", result.output);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_plain_values_stay),
		cmocka_unit_test(test_control_characters_are_refused),
		cmocka_unit_test(test_haproxy_reads_the_same),
		cmocka_unit_test(test_reader_agrees_with_haproxy),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_haproxy_takes_every_cookie_name),
	};

	return cmocka_run_group_tests_name("quote", tests, NULL, NULL);
}
