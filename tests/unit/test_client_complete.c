/* SPDX-License-Identifier: Apache-2.0 */

/* What may stand at the end of a command line, by the real tables. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "api/client/commands.h"
#include "api/client/complete.h"

enum { MAX_WORDS = 12 };

/* The words of a line that is separated by single blanks; "" after a blank at the end. */
static void find(const char *line, struct options *options, struct completion *ret, char *buffer, size_t size)
{
	char *words[MAX_WORDS + 1] = {0};
	size_t n = 0;

	assert_true(strlen(line) < size);
	memcpy(buffer, line, strlen(line) + 1);
	words[n++] = buffer;
	for (char *c = buffer; *c; c++)
		if (*c == ' ') {
			*c = '\0';
			assert_true(n < MAX_WORDS);
			words[n++] = c + 1;
		}
	assert_int_equal(completion_find(client_commands, client_options, words, n, options, ret), 0);
}

static void assert_words(const char *line, const char *wanted)
{
	_cleanup_completion_ struct completion completion = COMPLETION_INIT;
	_cleanup_text_ struct text words = TEXT_INIT;
	struct options options = {0};
	char buffer[256];

	find(line, &options, &completion, buffer, sizeof(buffer));
	STRV_FOREACH (word, completion.words)
		text_printf(&words, "%s%s", words.length ? " " : "", *word);
	if (!streq(text_peek(&words), wanted))
		fail_msg("\"%s\": \"%s\" instead of \"%s\"", line, text_peek(&words), wanted);
}

static void assert_kind(const char *line, enum completion_kind kind, const char *typed, const char *of)
{
	_cleanup_completion_ struct completion completion = COMPLETION_INIT;
	struct options options = {0};
	char buffer[256];

	find(line, &options, &completion, buffer, sizeof(buffer));
	if (completion.kind != kind)
		fail_msg("\"%s\": kind %d instead of %d", line, (int)completion.kind, (int)kind);
	assert_string_equal(completion.typed, typed);
	if (of)
		assert_string_equal(completion.of, of);
}

static void words_of_the_tables(_unused_ void **state)
{
	assert_words("mem", "member");
	assert_words("re", "revisions");
	assert_words("compl", "");
	assert_words("nonsense ", "");
	assert_words("member ", "list add remove drain enable weight");
	assert_words("-q --color never member e", "enable");
	assert_words("member nonsense ", "");
	assert_words("--col", "--color=");
	assert_words("--qu", "--quiet");
	assert_words("watch --co", "--count= --color=");
	assert_words("member add --we", "--weight=");
	assert_words("member drain --ti", "--timeout=");
	assert_words("list --wait", "");
	assert_words("--color=a", "auto always");
	assert_words("--color ", "auto always never");
	assert_words("-o ", "text json");
	assert_words("proxy-protocol on ", "pool listener");
	assert_words("proxy-protocol on pool web v", "v1 v2");
	assert_words("proxy-protocol off pool web ", "");
	assert_words("version ", "");
	assert_words("list -- --qu", "");
	assert_words("-", "--socket= --url= --cert= --key= --cacert= --timeout= --json --output= --color= --quiet --help "
			  "--version");
}

static void names_to_ask_for(_unused_ void **state)
{
	assert_kind("show ", COMPLETION_LOADBALANCERS, "", NULL);
	assert_kind("delete a b c w", COMPLETION_LOADBALANCERS, "w", NULL);
	assert_kind("status a ", COMPLETION_NOTHING, "", NULL);
	assert_kind("rollback web ", COMPLETION_REVISIONS, "", "web");
	assert_kind("revisions web 1 ", COMPLETION_REVISIONS, "", "web");
	assert_kind("member drain ", COMPLETION_POOLS, "", NULL);
	assert_kind("member drain -l web app a b", COMPLETION_MEMBERS, "b", "app");
	assert_kind("member weight app a b ", COMPLETION_MEMBERS, "", "app");
	assert_kind("member add app ", COMPLETION_NOTHING, "", NULL);
	assert_kind("member add --loadbalancer=we", COMPLETION_LOADBALANCERS, "we", NULL);
	assert_kind("member add -l ", COMPLETION_LOADBALANCERS, "", NULL);
	assert_kind("proxy-protocol on pool ", COMPLETION_POOLS, "", NULL);
	assert_kind("proxy-protocol off listener ", COMPLETION_LISTENERS, "", NULL);
	assert_kind("certificate remove a b ", COMPLETION_CERTIFICATES, "", NULL);
	assert_kind("certificate add www ", COMPLETION_FILES, "", NULL);
	assert_kind("apply ", COMPLETION_FILES, "", NULL);
	assert_kind("--socket=/r", COMPLETION_FILES, "/r", NULL);
	assert_kind("-s ", COMPLETION_FILES, "", NULL);
	assert_kind("-qs /x show ", COMPLETION_LOADBALANCERS, "", NULL);
	assert_kind("-t ", COMPLETION_NOTHING, "", NULL);
	assert_kind("show -- -x", COMPLETION_LOADBALANCERS, "-x", NULL);
}

static void finished_options_count(_unused_ void **state)
{
	static const char *const lines[] = {"--socket=/x --cert=/c show w", "-s /x show --cert /c w", "-qs/x show --cert=/c "};

	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		_cleanup_completion_ struct completion completion = COMPLETION_INIT;
		struct options options = {0};
		char buffer[256];

		find(lines[i], &options, &completion, buffer, sizeof(buffer));
		assert_string_equal(options.socket_path, "/x");
		assert_string_equal(options.certificate, "/c");
	}
}

static void strange_lines_do_no_harm(_unused_ void **state)
{
	static const char *const lines[] = {"", " ", "-", "--", "-- ", "--=", "--= ", "-Z", "-Z ", "--nonsense=x", "--timeout=x ",
		"member  ", "-- -- member", "=", "--socket", "-s", "-qqqq ", "show x y z "};

	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		_cleanup_completion_ struct completion completion = COMPLETION_INIT;
		struct options options = {0};
		char buffer[256];

		find(lines[i], &options, &completion, buffer, sizeof(buffer));
	}
}

static void words_as_they_are_typed(_unused_ void **state)
{
	static const struct {
		const char *typed, *meant;
	} words[] = {
		{"", ""},
		{"plain", "plain"},
		{"a\\ b", "a b"},
		{"'a b'", "a b"},
		{"'a b", "a b"},
		{"\"a'b", "a'b"},
		{"'a\"b\\", "a\"b\\"},
		{"\"a\\\"b\"c", "a\"bc"},
		{"a\\", "a\\"},
	};

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		_cleanup_free_ char *meant = completion_unquote(words[i].typed);

		assert_non_null(meant);
		assert_string_equal(meant, words[i].meant);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_of_the_tables),
		cmocka_unit_test(names_to_ask_for),
		cmocka_unit_test(finished_options_count),
		cmocka_unit_test(strange_lines_do_no_harm),
		cmocka_unit_test(words_as_they_are_typed),
	};

	return cmocka_run_group_tests_name("client_complete", tests, NULL, NULL);
}
