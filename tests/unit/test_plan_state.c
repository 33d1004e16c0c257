/* SPDX-License-Identifier: Apache-2.0 */

/* What is wanted, held against what the running process says of its servers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/haproxy/plan.h"
#include "tests/unit/servers.h"

static const struct haproxy_version v26 = {2, 6, "2.6.12"}, v30 = {3, 0, "3.0.0"};

static const char pool[] =
	"backend b\n mode http\n server s1 1.1.1.1:1\n server s2 1.1.1.2:1 disabled\n";

static void check_compare(const char *wanted, const char *rows, const struct plan_leaving *leaving,
	size_t n_leaving, const char *expected)
{
	_cleanup_free_ char *servers = state_of(rows), *difference = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	int r = plan_compare_state(
		wanted, strlen(wanted), servers, NULL, leaving, n_leaving, &difference, &err);

	assert_int_equal(r, expected ? -EXDEV : 0);
	assert_string_equal(difference ? difference : "same", expected ? expected : "same");
}

/* Only what was asked for is missed. */
static void test_compare_some_pools(void **state)
{
	static const char two[] = "backend b\n mode http\n server s1 1.1.1.1:1\nbackend c\n mode http\n server s2 1.1.1.2:1\n";
	char *const b[] = {(char[]){"b"}, NULL}, *const c[] = {(char[]){"c"}, NULL}, *const none[] = {NULL};
	_cleanup_free_ char *servers = state_of("3 b 1 s1 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n"), *difference = NULL;

	(void)state;
	assert_int_equal(plan_compare_state(two, strlen(two), servers, b, NULL, 0, &difference, NULL), 0);
	assert_int_equal(plan_compare_state(two, strlen(two), servers, none, NULL, 0, &difference, NULL), 0);
	assert_int_equal(plan_compare_state(two, strlen(two), servers, c, NULL, 0, &difference, NULL), -EXDEV);
	assert_string_equal(difference, "server c/s2 is not there");
}

static void test_compare_state(void **state)
{
	static const struct {
		const char *server, *row, *expected;
	} rows[] = {
		{"s 1.1.1.1:1", "3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n", NULL},
		{"s 1.1.1.1:1", "", "server b/s is not there"},
		{"s 1.1.1.1:2", "3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			"server b/s is at 1.1.1.1 port 1, not 1.1.1.1 port 2"},
		{"s 1.1.1.1:1 weight 2",
			"3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			"server b/s has the weight 1, not 2"},
		{"s 1.1.1.1:1 disabled",
			"3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			"server b/s is not in maintenance"},
		/* "disabled" when HAProxy started, and ready since. */
		{"s 1.1.1.1:1", "3 b 1 s 1.1.1.1 2 4 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n", NULL},
		{"s 1.1.1.1:1", "3 b 1 s 1.1.1.1 2 5 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			"server b/s is in maintenance"},
		{"s 1.1.1.1:1", "3 b 1 s 1.1.1.1 2 8 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			"server b/s is drained"},
		{"s 1.1.1.1:1 id 4", "3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			"server b/s has the id 1, not 4"},
		{"s 1.1.1.1:1 ssl", "3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			"server b/s is spoken to without TLS"},
		{"s 1.1.1.1:1 check port 5 addr [::1]",
			"3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 5 ::1 - 0\n", NULL},
		{"s 1.1.1.1:1 check port 6",
			"3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 5 - - 0\n",
			"server b/s is checked at port 5, not 6"},
		{"s 1.1.1.1:1 check",
			"3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 1.1.1.2 - 0\n",
			"server b/s is checked at 1.1.1.2, not -"},
		/* Nothing can be said of what is not understood; agents change weights. */
		{"s 1.1.1.1:1 something new",
			"3 b 1 s 9.9.9.9 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n", NULL},
		{"s 1.1.1.1:1 agent-check",
			"3 b 1 s 1.1.1.1 2 8 3 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n", NULL},
		{"s name.example:1", "3 b 1 s 9.9.9.9 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n",
			NULL},
		{"s 1.1.1.1:1",
			"3 b 1 s 1.1.1.1 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n"
			"4 <HTTPCLIENT> 1 x 0.0.0.0 2 0 1 1 9 1 0 2 0 0 0 0 - 0 - 0 0 - - 0\n",
			NULL},
	};
	static const struct plan_leaving leaving[] = {{(char *)"b", (char *)"s3", NULL, false}};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *wanted = NULL;

		assert_true(asprintf(&wanted, "backend b\n server %s\n", rows[i].server) >= 0);
		check_compare(wanted, rows[i].row, NULL, 0, rows[i].expected);
	}
	check_compare(pool, UP("1") OUT("2"), NULL, 0, NULL);
	check_compare(pool, UP("1") OUT("2") OUT("3"), leaving, 1, NULL);
	check_compare(pool, UP("1") OUT("2") UP("3"), leaving, 1, "server b/s3 is there");
	check_compare(pool, UP("1") OUT("2") OUT("3"), NULL, 0, "server b/s3 is there");
	assert_int_equal(plan_compare_state(pool, strlen(pool), NULL, NULL, NULL, 0, NULL, NULL), 0);
}

static void test_find_leaving(void **state)
{
	static const struct {
		const struct haproxy_version *version;
		const char *rows;
		size_t n;
		bool keep;
	} rows[] = {
		{&v26, UP("1") OUT("2"), 0, false},
		{&v26, UP("1") OUT("2") OUT("3") UP("4"), 1, true},
		{&v30, UP("1") OUT("2") OUT("3"), 1, false},
	};
	static const char *const broken[] = {
		"", "Permission denied\n", "1\n2 3 4\n", "1\n# be_id be_name\n3 b\n"};
	struct plan_leaving *leaving = NULL;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *servers = state_of(rows[i].rows);

		assert_int_equal(plan_find_leaving(pool, strlen(pool), servers, rows[i].version,
					 &leaving, &n, NULL),
			0);
		assert_int_equal(n, rows[i].n);
		if (n > 0) {
			assert_string_equal(leaving[0].backend, "b");
			assert_string_equal(leaving[0].server, "s3");
			assert_int_equal(leaving[0].keep, rows[i].keep);
		}
		plan_leaving_free(leaving, n);
	}
	for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;

		assert_true(plan_find_leaving(
				    pool, strlen(pool), broken[i], &v26, &leaving, &n, &err) < 0);
		assert_non_null(strstr(error_message(&err), "show servers state"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare_some_pools),
		cmocka_unit_test(test_compare_state),
		cmocka_unit_test(test_find_leaving),
	};

	return cmocka_run_group_tests_name("plan_state", tests, NULL, NULL);
}
