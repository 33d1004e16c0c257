/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "api/client/textdiff.h"

static const struct terminal plain = {.utf8 = true};
static const struct terminal coloured = {.utf8 = true, .colour = true};

static char *difference(const char *old, const char *new, const struct terminal *terminal)
{
	_cleanup_textdiff_ struct textdiff *diff = NULL;
	struct text out = TEXT_INIT;
	char *string = NULL;

	assert_int_equal(textdiff_new(old, new, &diff), 0);
	textdiff_print(diff, "old", "new", terminal, &out);
	assert_int_equal(text_finish(&out, &string, NULL), 0);
	return string;
}

static void assert_difference(const char *old, const char *new, const char *expected)
{
	_cleanup_free_ char *string = difference(old, new, &plain);

	assert_string_equal(string, expected);
}

static void equal_texts_differ_in_nothing(_unused_ void **state)
{
	assert_difference("", "", "");
	assert_difference("a\nb\n", "a\nb\n", "");
	assert_difference("a\nb", "a\nb\n", "");
}

static void empty_sides(_unused_ void **state)
{
	assert_difference("", "a\nb\n", "--- old\n+++ new\n@@ -0,0 +1,2 @@\n+a\n+b\n");
	assert_difference("a\n", "", "--- old\n+++ new\n@@ -1 +0,0 @@\n-a\n");
	assert_difference("a\n", "\n", "--- old\n+++ new\n@@ -1 +1 @@\n-a\n+\n");
}

static void names_the_section(_unused_ void **state)
{
	assert_difference("backend x\n 1\n 2\n 3\n 4\n 5\n 6\n 7\n 8\n 9\n",
		"backend x\n 1\n 2\n 3\n 4\n five\n 6\n 7\n 8\n 9\n",
		"--- old\n+++ new\n@@ -3,7 +3,7 @@ backend x\n  2\n  3\n  4\n- 5\n+ five\n  6\n  "
		"7\n  8\n");
}

static void separates_distant_changes(_unused_ void **state)
{
	assert_difference("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
		"--- old\n+++ new\n"
		"@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n"
		"@@ -6,4 +6,4 @@ a\n 5\n 6\n 7\n-b\n+B\n");
	assert_difference("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
		"--- old\n+++ new\n"
		"@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

static void colours_and_safety(_unused_ void **state)
{
	_cleanup_free_ char *string = difference("a\n", "b\033c\n", &coloured);

	assert_string_equal(string, "\033[1m--- old\033[0m\n\033[1m+++ new\033[0m\n"
				    "\033[36m@@ -1 +1 @@\033[0m\n"
				    "\033[31m-a\033[0m\n\033[32m+b?c\033[0m\n");
}

enum { RANDOM_LINES = 14 };

/* Length of the longest common subsequence, the slow and certain way. */
static size_t common(const char *a, size_t n, const char *b, size_t m)
{
	size_t best[RANDOM_LINES + 1][RANDOM_LINES + 1] = {0};

	for (size_t i = 1; i <= n; i++)
		for (size_t j = 1; j <= m; j++) {
			size_t skip =
				best[i - 1][j] > best[i][j - 1] ? best[i - 1][j] : best[i][j - 1];

			best[i][j] = a[i - 1] == b[j - 1] ? best[i - 1][j - 1] + 1 : skip;
		}
	return best[n][m];
}

static size_t random_letters(char *ret)
{
	size_t n = (size_t)random() % (RANDOM_LINES + 1);

	for (size_t i = 0; i < n; i++)
		ret[i] = (char)('a' + random() % 3);
	return n;
}

static char *one_a_line(const char *letters, size_t n)
{
	char *text = calloc(2 * n + 1, 1);

	assert_non_null(text);
	for (size_t i = 0; i < n; i++) {
		text[2 * i] = letters[i];
		text[2 * i + 1] = '\n';
	}
	return text;
}

/* Applies the hunks to the old letters: a "patch" for lines of one letter. */
static size_t patch(const char *old, size_t n, const char *hunks, char *ret)
{
	size_t done = 0, made = 0;

	for (const char *line = hunks; *line; line = strchr(line, '\n') + 1) {
		unsigned start = 0, count = 1;

		if (text_after_prefix(line, "--- ") || text_after_prefix(line, "+++ "))
			continue;
		if (sscanf(line, "@@ -%u,%u", &start, &count) >= 1) {
			while (done + 1 < start + (count == 0))
				ret[made++] = old[done++];
		} else if (line[0] == '+') {
			ret[made++] = line[1];
		} else {
			assert_true(done < n);
			assert_int_equal(old[done], line[1]);
			if (line[0] == ' ')
				ret[made++] = old[done];
			done++;
		}
	}
	while (done < n)
		ret[made++] = old[done++];
	return made;
}

static void random_texts_patch_and_are_shortest(_unused_ void **state)
{
	srandom(7);
	for (int round = 0; round < 20000; round++) {
		char a[RANDOM_LINES], b[RANDOM_LINES], patched[2 * RANDOM_LINES];
		size_t n = random_letters(a), m = random_letters(b), kept = common(a, n, b, m);
		_cleanup_free_ char *old = one_a_line(a, n);
		_cleanup_free_ char *new = one_a_line(b, m);
		_cleanup_textdiff_ struct textdiff *diff = NULL;
		_cleanup_text_ struct text out = TEXT_INIT;

		assert_int_equal(textdiff_new(old, new, &diff), 0);
		assert_int_equal(textdiff_removed(diff), n - kept);
		assert_int_equal(textdiff_added(diff), m - kept);
		textdiff_print(diff, "o", "n", &plain, &out);
		assert_int_equal(patch(a, n, text_peek(&out), patched), m);
		assert_memory_equal(patched, b, m);
	}
}

static char *numbered_lines(unsigned n, unsigned step)
{
	struct text out = TEXT_INIT;
	char *string = NULL;

	for (unsigned i = 0; i < n; i++)
		text_printf(&out, "server %u\n", i * step);
	assert_int_equal(text_finish(&out, &string, NULL), 0);
	return string;
}

static void large_texts(_unused_ void **state)
{
	_cleanup_free_ char *old = numbered_lines(6000, 2);
	_cleanup_free_ char *new = numbered_lines(6000, 3);
	_cleanup_textdiff_ struct textdiff *diff = NULL;

	assert_int_equal(textdiff_new(old, new, &diff), 0);
	assert_int_equal(textdiff_removed(diff), 4000);
	assert_int_equal(textdiff_added(diff), 4000);
}

static void too_many_lines(_unused_ void **state)
{
	_cleanup_free_ char *old = malloc(TEXTDIFF_MAX_LINES + 2);
	struct textdiff *diff = NULL;

	assert_non_null(old);
	memset(old, '\n', TEXTDIFF_MAX_LINES + 1);
	old[TEXTDIFF_MAX_LINES + 1] = '\0';
	assert_int_equal(textdiff_new(old, "", &diff), -EFBIG);
	assert_null(diff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_texts_differ_in_nothing),
		cmocka_unit_test(empty_sides),
		cmocka_unit_test(names_the_section),
		cmocka_unit_test(separates_distant_changes),
		cmocka_unit_test(colours_and_safety),
		cmocka_unit_test(random_texts_patch_and_are_shortest),
		cmocka_unit_test(large_texts),
		cmocka_unit_test(too_many_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
