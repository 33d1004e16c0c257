/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/definition/unique.h"

static const struct location root = {NULL, "loadbalancer", 0}, list = {&root, "a/b~c", 0};

/* Each key is taken once, and its first place is known, however many there are. */
static void test_many(void **state)
{
	enum { N = 20000 };
	_cleanup_unique_ struct unique unique = UNIQUE_INIT;
	char key[64], place[64];

	(void)state;
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < N; i++) {
			struct location where = {&list, NULL, i}, field = {&where, "name", 0};
			_cleanup_free_ char *first = NULL;

			snprintf(key, sizeof(key), "%*zu", (int)(i % 40), i);
			if (round == 0) {
				assert_int_equal(unique_add(&unique, key, &field, &first), 0);
				assert_null(first);
				continue;
			}
			assert_int_equal(unique_add(&unique, key, &root, &first), -EEXIST);
			snprintf(place, sizeof(place), "/loadbalancer/a~1b~0c/%zu/name", i);
			assert_string_equal(first, place);
		}
}

/* Keys that are each other's beginning, or differ in bytes that are NUL where one of them has ended, are others. */
static void test_alike(void **state)
{
	static const char *const keys[] = {"", "\x01", "a", "aa", "aaaaaaaa", "aaaaaaaaa", "aaaaaaa", "aaaa", "aaaab", "A"};
	_cleanup_unique_ struct unique unique = UNIQUE_INIT;
	_cleanup_free_ char *first = NULL;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(keys); i++)
		assert_int_equal(unique_add(&unique, keys[i], &root, &first), 0);
	assert_int_equal(unique_add(&unique, "aaaaaaaa", &list, &first), -EEXIST);
	assert_string_equal(first, "/loadbalancer");
}

static void test_no_place(void **state)
{
	_cleanup_unique_ struct unique unique = UNIQUE_INIT;
	_cleanup_free_ char *first = NULL;

	(void)state;
	assert_int_equal(unique_add(&unique, "k", NULL, &first), 0);
	assert_int_equal(unique_add(&unique, "k", NULL, &first), -EEXIST);
	assert_string_equal(first, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many), cmocka_unit_test(test_alike), cmocka_unit_test(test_no_place)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
