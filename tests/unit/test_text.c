/* SPDX-License-Identifier: Apache-2.0 */

/* text.c, and error.c whose words it holds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/error.h"
#include "agent/base/text.h"

static void test_buffer(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_free_ char *result = NULL, *empty = NULL;
	size_t length = 7;

	(void)state;
	assert_string_equal(text_peek(&text), "");
	text_truncate(&text, 0);
	assert_int_equal(text_finish(&text, &empty, &length), 0);
	assert_string_equal(empty, "");
	assert_int_equal(length, 0);
	text_append(&text, "");
	text_append_bytes(&text, NULL, 0);
	text_append(&text, "ab");
	text_append_char(&text, 'c');
	text_append_bytes(&text, "\0d", 2);
	assert_int_equal(text.length, 5);
	assert_memory_equal(text_peek(&text), "abc\0d", 6);
	text_truncate(&text, 9);
	assert_int_equal(text.length, 5);
	text_truncate(&text, 2);
	text_printf(&text, "-%d", 7);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	assert_string_equal(result, "ab-7");
	assert_null(text.data);
}

/* Around the size of the buffer on the stack, and over it. */
static void test_printf_of_any_length(void **state)
{
	char value[1024];

	(void)state;
	for (size_t length = 250; length < 260; length++) {
		_cleanup_text_ struct text text = TEXT_INIT;

		memset(value, 'x', length);
		value[length] = '\0';
		text_printf(&text, "%s", value);
		text_printf(&text, "%s", value);
		assert_int_equal(text.length, 2 * length);
		assert_int_equal(strlen(text_peek(&text)), 2 * length);
	}
}

static void test_no_memory_is_remembered(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result = NULL;

	(void)state;
	text_append(&text, "a");
	text_append_bytes(&text, "", SIZE_MAX); /* overflows before anything is read */
	assert_true(text.failed);
	text_append(&text, "b");
	assert_string_equal(text_peek(&text), "a");
	assert_int_equal(text_finish(&text, &result, NULL), -ENOMEM);
	assert_null(result);
	text_append(&text, "c");
	assert_string_equal(text_peek(&text), "c");
}

static void test_integers(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t value;
	} rows[] = {
		{"0", 0, 0},
		{"-0", 0, 0},
		{"+7", 0, 7},
		{"007", 0, 7},
		{"9223372036854775807", 0, INT64_MAX},
		{"-9223372036854775808", 0, INT64_MIN},
		{"9223372036854775808", -ERANGE, 0},
		{"-9223372036854775809", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"+-1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"1.0", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		int64_t value = 42;

		assert_int_equal(text_to_int64(rows[i].text, &value), rows[i].r);
		assert_int_equal(value, rows[i].r == 0 ? rows[i].value : 42);
	}
}

static void test_booleans(void **state)
{
	bool value = false;

	(void)state;
	assert_int_equal(text_to_bool("Yes", &value), 0);
	assert_true(value);
	assert_int_equal(text_to_bool("OFF", &value), 0);
	assert_false(value);
	assert_int_equal(text_to_bool("", &value), -EINVAL);
	assert_int_equal(text_to_bool("true ", &value), -EINVAL);
	assert_int_equal(text_to_bool("2", &value), -EINVAL);
}

static void test_uuids(void **state)
{
	static const char *const bad[] = {"", "9f2c1d5e", "9F2C1D5E-0b7a-4a55-8a3e-3f0c6c1b2a10",
		"9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a1", "9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a100",
		"9f2c1d5e00b7a-4a55-8a3e-3f0c6c1b2a10", "9f2c1d5g-0b7a-4a55-8a3e-3f0c6c1b2a10",
		"../../../../../../../../../etc/passw", "{9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a1"};

	(void)state;
	assert_true(text_is_uuid("9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10"));
	assert_true(text_is_uuid("00000000-0000-0000-0000-000000000000"));
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_false(text_is_uuid(bad[i]));
}

static void test_control_characters(void **state)
{
	(void)state;
	assert_false(text_has_control("", 0));
	assert_false(text_has_control("a \xc3\xbc\xe2\x82\xac~", 8));
	assert_false(text_has_control("\xc2\xa0", 2)); /* U+00A0 */
	assert_true(text_has_control("\xc2\x80", 2));
	assert_true(text_has_control("\xc2\x9f", 2));
	assert_false(text_has_control("\xc2", 1)); /* cut short: nothing follows */
	for (char c = 1; c < 0x20; c++)
		assert_true(text_has_control((char[]){'a', c}, 2));
	assert_true(text_has_control("\x7f", 1));
	assert_true(text_has_control("a\0b", 3));
	assert_false(text_has_control("a\n", 1));
}

static void test_printable(void **state)
{
	static const char *const rows[][2] = {
		{"", ""},
		{"a ~", "a ~"},
		{"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xc2\xa0"},
		{"a\n\x1b[31m\x7f", "a??[31m?"},
		{"a\xc2\x9b\x33m", "a??3m"},
		{"\xff\xfe\x80", "???"},
		{"\xc3(\xe2\x82", "?(??"}, /* cut short, also by what follows */
		{"\xed\xa0\x80\xc0\x8a", "?????"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *text = strdup(rows[i][0]);

		assert_non_null(text);
		text_make_printable(text);
		assert_string_equal(text, rows[i][1]);
	}
}

static void test_split(void **state)
{
	static const struct {
		const char *text;
		const char *parts[4];
	} rows[] = {
		{"", {NULL}},
		{",", {NULL}},
		{" , ,", {NULL}},
		{"a", {"a"}},
		{" a ,b,, c d ", {"a", "b", "c d"}},
		{",a,", {"a"}},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_strv_ char **parts = NULL;
		size_t n = 0;

		assert_int_equal(text_split(rows[i].text, ',', &parts), 0);
		STRV_FOREACH (part, parts) {
			assert_non_null(rows[i].parts[n]);
			assert_string_equal(*part, rows[i].parts[n++]);
		}
		assert_null(rows[i].parts[n]);
		assert_int_equal(strv_length(parts), n);
	}
}

static void test_small_things(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x9f, 0xff};
	char hex[7];

	(void)state;
	text_hex(bytes, sizeof(bytes), hex);
	assert_string_equal(hex, "009fff");
	assert_string_equal(text_after_prefix("abc", "ab"), "c");
	assert_string_equal(text_after_prefix("abc", ""), "abc");
	assert_null(text_after_prefix("a", "ab"));
	assert_true(streq_null(NULL, NULL));
	assert_false(streq_null("a", NULL));
	assert_true(streq_null("a", "a"));
	assert_int_equal(strv_length(NULL), 0);
	strv_free(NULL);
}

static void test_push(void **state)
{
	_cleanup_strv_ char **strings = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(strv_push(&strings, &n, NULL), -ENOMEM);
	assert_null(strings);
	assert_int_equal(strv_push(&strings, &n, strdup("a")), 0);
	assert_int_equal(strv_push(&strings, &n, strdup("b")), 0);
	assert_int_equal(strv_push(&strings, &n, NULL), -ENOMEM);
	assert_int_equal(n, 2);
	assert_int_equal(strv_length(strings), 2);
	assert_string_equal(strings[0], "a");
	assert_string_equal(strings[1], "b");
}

static void test_errors(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(&err, ERROR_CONFLICT, "/a", "%s is taken", "80"), -EEXIST);
	assert_string_equal(err.pointer, "/a");
	assert_string_equal(error_message(&err), "80 is taken");
	assert_int_equal(error_wrap(&err, -EEXIST, "lb %d", 1), -EEXIST);
	assert_string_equal(error_message(&err), "lb 1: 80 is taken");
	assert_string_equal(err.pointer, "/a");
	/* Its own words may be part of the next ones. */
	assert_int_equal(
		error_set(&err, ERROR_APPLY, err.pointer, "again: %s", error_message(&err)),
		-ECHILD);
	assert_string_equal(error_message(&err), "again: lb 1: 80 is taken");
	assert_string_equal(err.pointer, "/a");
	assert_int_equal(error_set_errno(&err, -ENOSPC, "writing %s", "x"), -ENOSPC);
	assert_int_equal(err.code, ERROR_INTERNAL);
	assert_null(err.pointer);
	assert_string_equal(error_message(&err), "writing x: No space left on device");
}

static void test_errors_that_nobody_reads(void **state)
{
	struct error none = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(NULL, ERROR_NOT_FOUND, "/a", "x"), -ENOENT);
	assert_int_equal(error_set_errno(NULL, -EIO, "x"), -EIO);
	assert_int_equal(error_wrap(NULL, -EIO, "x"), -EIO);
	assert_int_equal(error_wrap(&none, -EIO, "x"), -EIO);
	assert_null(none.message);
	assert_true(strlen(error_message(NULL)) > 0);
	error_done(NULL);
	error_done(&none);
}

/* Callers tell kinds apart by the errno. */
static void test_codes_differ(void **state)
{
	(void)state;
	for (int a = 0; a < _ERROR_CODE_MAX; a++) {
		assert_true(error_code_to_errno((enum error_code)a) < 0);
		for (int b = 0; b < a; b++)
			assert_int_not_equal(error_code_to_errno((enum error_code)a),
				error_code_to_errno((enum error_code)b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_printf_of_any_length),
		cmocka_unit_test(test_no_memory_is_remembered),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_uuids),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_small_things),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errors_that_nobody_reads),
		cmocka_unit_test(test_codes_differ),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
