/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include <jansson.h>

#include "agent/base/json_write.h"

/* The same bytes as jansson's. */
static void assert_as_jansson(const char *string)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	json_t *json = json_string(string);
	char *expected = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	assert_non_null(expected);
	text_append(&text, "before ");
	json_write_string(&text, string);
	assert_false(text.failed);
	assert_string_equal(text_peek(&text) + strlen("before "), expected);
	free(expected);
	json_decref(json);
}

static void test_strings(void **state)
{
	static const char *const strings[] = {"", "UP", "no check", "4d1a6c3e-0e3b-4f0b-8a8e-5f3a4d1e9c11:x", "\"", "\\",
		"a\"b\\c/d", "\b\f\n\r\t", "\x01\x1f\x7f", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc2\x80",
		"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "ends in \xc3\xa4"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(strings); i++)
		assert_as_jansson(strings[i]);
}

static void test_every_character(void **state)
{
	(void)state;
	for (int c = 1; c < 0x80; c++)
		assert_as_jansson((const char[]){'x', (char)c, (char)c, 'y', '\0'});
	/* Beyond ASCII: two bytes, then three, in steps. */
	for (int c = 0x80; c < 0x800; c++)
		assert_as_jansson((const char[]){(char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)), '\0'});
	for (int c = 0x800; c < 0x10000; c += 61)
		if (c < 0xd800 || c > 0xdfff)
			assert_as_jansson((const char[]){(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 63)),
				(char)(0x80 | (c & 63)), '\0'});
}

/* What jansson refuses. */
static void test_no_utf8(void **state)
{
	static const struct {
		const char *string, *expected;
	} cases[] = {
		{"\xff", "\"?\""},
		{"a\xc3", "\"a?\""},
		{"\xc3(\xe2\x82", "\"?(??\""},
		{"\xed\xa0\x80", "\"???\""},
		{"\xc0\x80\n", "\"??\\n\""},
		{"\xf4\x90\x80\x80", "\"????\""},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_text_ struct text text = TEXT_INIT;

		assert_null(json_string(cases[i].string));
		json_write_string(&text, cases[i].string);
		assert_string_equal(text_peek(&text), cases[i].expected);
	}
}

static void test_integers(void **state)
{
	static const int64_t values[] = {0, 1, -1, 9, 10, 99, -100, 1234567890123, INT64_MAX, INT64_MIN};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(values); i++) {
		_cleanup_text_ struct text text = TEXT_INIT;
		json_t *json = json_integer(values[i]);
		char *expected = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

		assert_non_null(expected);
		json_write_integer(&text, values[i]);
		assert_string_equal(text_peek(&text), expected);
		free(expected);
		json_decref(json);
	}
}

static void test_trees(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	json_t *json = json_pack("{s:[f,i,s,n,b], s:{}}", "a", 1.1, 5, "\xc3\xa4\"", 1, "b");

	(void)state;
	assert_non_null(json);
	text_append(&text, "x=");
	json_write(&text, json);
	json_write(&text, json_object_get(json, "b"));
	json_decref(json);
	assert_string_equal(text_peek(&text), "x={\"a\":[1.1,5,\"\xc3\xa4\\\"\",null,true],\"b\":{}}{}");
	assert_false(text.failed);
	json_write(&text, NULL);
	assert_true(text.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_every_character),
		cmocka_unit_test(test_no_utf8),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_trees),
	};

	return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
