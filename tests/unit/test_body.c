/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "api/body.h"

enum { MAX = 4 * 1024 * 1024 };

/* Appends "length" bytes of a pattern in pieces and returns the first failure. */
static int append_pattern(struct body *body, size_t length, size_t expected, struct error *err)
{
	char piece[1021];

	for (size_t done = 0; done < length;) {
		size_t n = length - done < sizeof(piece) ? length - done : sizeof(piece);
		int r;

		for (size_t i = 0; i < n; i++)
			piece[i] = (char)('a' + (done + i) % 23);
		r = body_append(body, piece, n, MAX, expected, err);
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

static void assert_pattern(struct body *body, size_t length)
{
	const char *data = NULL;

	assert_int_equal(body_finish(body, &data, NULL), 0);
	assert_int_equal(body->length, length);
	assert_int_equal(data[length], '\0');
	for (size_t i = 0; i < length; i++)
		if (data[i] != (char)('a' + i % 23))
			fail_msg("byte %zu", i);
}

static void test_sizes(void **state)
{
	static const size_t lengths[] = {
		0, 1, 4095, 4096, SPOOL_BYTES - 1, SPOOL_BYTES, SPOOL_BYTES + 1, 1024 * 1024, MAX};
	struct body_budget budget = {.max = 2 * SPOOL_BYTES, .spool_dir = "/tmp", .spool_max = MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int announced = 0; announced < 2; announced++) {
			struct body body = BODY_INIT(&budget);

			assert_int_equal(append_pattern(&body, lengths[i], announced ? lengths[i] : 0, NULL), 0);
			assert_pattern(&body, lengths[i]);
			assert_int_equal(body.spool_fd >= 0, lengths[i] > SPOOL_BYTES);
			/* What is in a file is not in memory. */
			if (lengths[i] > SPOOL_BYTES)
				assert_int_equal(atomic_load(&budget.used), 0);
			body_done(&body);
			assert_int_equal(atomic_load(&budget.used), 0);
			assert_int_equal(atomic_load(&budget.spooled), 0);
		}
}

static void test_limits(void **state)
{
	struct body_budget budget = {.max = 64 * 1024, .spool_dir = "/tmp", .spool_max = 1024 * 1024};
	_cleanup_(error_done) struct error err = ERROR_INIT;
	struct body body = BODY_INIT(&budget), other = BODY_INIT(&budget);

	(void)state;
	assert_true(append_pattern(&body, MAX + 1, MAX + 1, &err) < 0);
	assert_int_equal(err.code, ERROR_BUSY); /* the files' budget is smaller than the body's limit */
	body_done(&body);
	assert_true(append_pattern(&body, 65 * 1024, 0, &err) < 0);
	assert_int_equal(err.code, ERROR_BUSY); /* not announced: it was to stay in memory */
	body_done(&body);
	budget.spool_max = 2 * MAX;
	assert_true(append_pattern(&body, MAX + 1, MAX + 1, &err) < 0);
	assert_int_equal(err.code, ERROR_TOO_LARGE);
	assert_int_equal(append_pattern(&other, 1000 * 1000, 1000 * 1000, NULL), 0);
	assert_int_equal(body_check_budget(&budget, false, 1024 * 1024, NULL), 0);
	assert_true(body_check_budget(&budget, false, 2 * MAX, NULL) < 0);
	body_done(&body);
	body_done(&other);
	assert_int_equal(atomic_load(&budget.used), 0);
	assert_int_equal(atomic_load(&budget.spooled), 0);
}

static void test_no_file_can_be_made(void **state)
{
	struct body_budget budget = {.max = MAX, .spool_dir = "/nowhere/at/all", .spool_max = MAX};
	struct body body = BODY_INIT(&budget);

	(void)state;
	assert_int_equal(append_pattern(&body, 2 * SPOOL_BYTES, 0, NULL), 0);
	assert_int_equal(body.spool_fd, -1);
	assert_pattern(&body, 2 * SPOOL_BYTES);
	body_done(&body);
	assert_int_equal(atomic_load(&budget.used), 0);
}

/* A body with a key never reaches a file, whatever its size, and is counted as memory. */
static void test_secrets(void **state)
{
	struct body_budget budget = {.max = 2 * MAX, .spool_dir = "/tmp", .spool_max = MAX};
	struct body body = BODY_INIT(&budget);

	(void)state;
	body.secret = true;
	assert_int_equal(body_check_budget(&budget, true, 2 * MAX, NULL), 0);
	assert_true(body_check_budget(&budget, true, 2 * MAX + 1, NULL) < 0);
	assert_int_equal(append_pattern(&body, MAX, 0, NULL), 0);
	assert_pattern(&body, MAX);
	assert_int_equal(body.spool_fd, -1);
	assert_int_equal(budget.spooled, 0);
	assert_true(budget.used > MAX);
	body_done(&body);
	assert_int_equal(budget.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_file_can_be_made),
		cmocka_unit_test(test_secrets),
	};

	return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
