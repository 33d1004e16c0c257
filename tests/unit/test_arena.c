/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/arena.h"
#include "agent/base/cleanup.h"

/* None is moved or written over by those that follow. */
static void test_many(void **state)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const char *kept[5000];
	char string[16];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(string, sizeof(string), "%d", i);
		kept[i] = arena_string(&arena, string);
		assert_non_null(kept[i]);
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(string, sizeof(string), "%d", i);
		assert_string_equal(kept[i], string);
	}
}

/* Around the sizes of blocks, exactly as long as their content. */
static void test_lengths(void **state)
{
	static const size_t lengths[] = {0, 1, 254, 255, 256, 257, 511, 512, 32767, 32768, 32769, 100000, 1};
	_cleanup_arena_ struct arena arena = ARENA_INIT;
	const char *kept[ELEMENTSOF(lengths)];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
		_cleanup_free_ char *bytes = malloc(lengths[i] + 1);

		assert_non_null(bytes);
		memset(bytes, 'a' + (int)i, lengths[i] + 1);
		kept[i] = arena_copy(&arena, bytes, lengths[i]);
		assert_non_null(kept[i]);
	}
	for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
		assert_int_equal(strlen(kept[i]), lengths[i]);
		assert_int_equal(strspn(kept[i], (const char[]){(char)('a' + i), '\0'}), lengths[i]);
	}
	assert_null(arena_copy(&arena, "", SIZE_MAX));
}

static void test_join(void **state)
{
	_cleanup_arena_ struct arena into = ARENA_INIT, from = ARENA_INIT, empty = ARENA_INIT;
	const char *a = arena_string(&from, "a"), *b, *c;

	(void)state;
	arena_join(&into, &from);
	assert_null(from.blocks);
	b = arena_string(&from, "b");
	arena_join(&into, &from);
	arena_join(&into, &empty);
	c = arena_string(&into, "c");
	arena_done(&from);
	assert_string_equal(a, "a");
	assert_string_equal(b, "b");
	assert_string_equal(c, "c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_join),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
