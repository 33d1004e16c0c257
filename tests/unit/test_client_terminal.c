/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <locale.h>

#include "api/client/terminal.h"

static const struct terminal ascii = {.utf8 = false};
static const struct terminal utf8 = {.utf8 = true};
static const struct terminal coloured = {.utf8 = true, .colour = true};

static void assert_appended(
	const struct terminal *terminal, const char *string, const char *expected)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	terminal_append(terminal, &out, COLOUR_PLAIN, string);
	assert_string_equal(text_peek(&out), expected);
}

static void shows_text(_unused_ void **state)
{
	assert_appended(&utf8, "web 1", "web 1");
	assert_appended(&utf8, "кластер 日本 🙂", "кластер 日本 🙂");
	assert_appended(&ascii, "né", "n?");
}

static void hides_control_characters(_unused_ void **state)
{
	assert_appended(&utf8, "a\033[31mb", "a?[31mb");
	assert_appended(&utf8, "a\nb\tc\rd\177e", "a?b?c?d?e");
	assert_appended(&utf8,
		"csi\xc2\x9b"
		"2J",
		"csi?2J");
	assert_appended(&utf8,
		"right\xe2\x80\xae"
		"left",
		"right?left");
	assert_appended(&utf8,
		"line\xe2\x80\xa8"
		"next",
		"line?next");
}

static void hides_what_is_not_utf8(_unused_ void **state)
{
	assert_appended(&utf8,
		"\x9b"
		"2J",
		"?2J");
	assert_appended(&utf8, "\xc0\x9b", "??");           /* overlong */
	assert_appended(&utf8, "\xed\xa0\x80", "???");      /* surrogate */
	assert_appended(&utf8, "\xf4\x90\x80\x80", "????"); /* beyond U+10FFFF */
	assert_appended(&utf8, "end\xe2\x80", "end??");
	assert_appended(&utf8, "\xff\xfe", "??");
}

static void keeps_lines_of_blocks(_unused_ void **state)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	terminal_append_lines(&utf8, &out, COLOUR_PLAIN, "> ", "one\n\n\ttwo\033c\nthree\n\n");
	assert_string_equal(text_peek(&out), "> one\n\n> \ttwo?c\n> three\n");
}

static void colours_only_if_wanted(_unused_ void **state)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	terminal_append(&coloured, &out, COLOUR_RED, "x");
	terminal_append(&coloured, &out, COLOUR_RED, "");
	terminal_append(&coloured, &out, COLOUR_PLAIN, "y");
	terminal_append(&utf8, &out, COLOUR_RED, "z");
	assert_string_equal(text_peek(&out), "\033[31mx\033[0myz");
}

static void escapes_json(_unused_ void **state)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	terminal_append_json(&out, "{\n  \"a\": \"\\u0007 \xc2\x9b \177 \xe2\x80\xae é\"\n}");
	assert_string_equal(
		text_peek(&out), "{\n  \"a\": \"\\u0007 \\u009b \\u007f \\u202e é\"\n}");
}

static void measures_columns(_unused_ void **state)
{
	assert_int_equal(terminal_width(&ascii, "né"), 2);
	assert_int_equal(terminal_width(&ascii, "a\033b"), 3);
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		skip();
	assert_int_equal(terminal_width(&utf8, "né"), 2);
	assert_int_equal(terminal_width(&utf8, "日本"), 4);
	assert_int_equal(terminal_width(&utf8, "e\xcc\x81"), 1); /* combining acute */
	setlocale(LC_CTYPE, "C");
}

static void obeys_the_environment(_unused_ void **state)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct terminal terminal;

	assert_true(fd >= 0);
	terminal_open(&terminal, fd, COLOUR_AUTO);
	assert_false(terminal.colour);
	assert_false(terminal.interactive);
	terminal_open(&terminal, fd, COLOUR_ALWAYS);
	assert_true(terminal.colour);
}

static void assert_human(uint64_t number, const char *count, const char *bytes)
{
	char text[HUMAN_SIZE];

	human_count(number, text);
	assert_string_equal(text, count);
	human_bytes(number, text);
	assert_string_equal(text, bytes);
}

static void writes_human_numbers(_unused_ void **state)
{
	assert_human(0, "0", "0 B");
	assert_human(999, "999", "999 B");
	assert_human(1000, "1.0k", "1000 B");
	assert_human(1024, "1.0k", "1.0 KiB");
	assert_human(999949, "999.9k", "976.5 KiB");
	assert_human(999950, "1.0M", "976.5 KiB");
	assert_human(1048575, "1.0M", "1.0 MiB");
	assert_human(UINT64_MAX, "18.4E", "16.0 EiB");
}

static void knows_statuses(_unused_ void **state)
{
	assert_int_equal(terminal_status_colour("ONLINE"), COLOUR_GREEN);
	assert_int_equal(terminal_status_colour("ERROR"), COLOUR_RED);
	assert_int_equal(terminal_status_colour("PENDING_UPDATE"), COLOUR_YELLOW);
	assert_int_equal(terminal_status_colour("whatever"), COLOUR_PLAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_text),
		cmocka_unit_test(hides_control_characters),
		cmocka_unit_test(hides_what_is_not_utf8),
		cmocka_unit_test(keeps_lines_of_blocks),
		cmocka_unit_test(colours_only_if_wanted),
		cmocka_unit_test(escapes_json),
		cmocka_unit_test(measures_columns),
		cmocka_unit_test(obeys_the_environment),
		cmocka_unit_test(writes_human_numbers),
		cmocka_unit_test(knows_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
