/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/base/library.h"

/*
 * What happens with a library that is there, that is not, and that is too old. None of these is linked.
 */

#define SONAME "libsystemd.so.0"
#define FUNCTIONS(F) F(sd_booted) F(sd_notify)
LIBRARY_OF_FILE(present, SONAME, FUNCTIONS);

int of_the_next_version(void);

#define NO_FUNCTIONS(F)
#define NEW_FUNCTIONS(F) F(of_the_next_version)
LIBRARY_OF_FILE(missing, "libamphorad-has-no-such-one.so.0", NO_FUNCTIONS);
LIBRARY_OF_FILE(old, SONAME, NEW_FUNCTIONS);

static bool is_loaded(void)
{
	void *handle = dlopen(SONAME, RTLD_LAZY | RTLD_NOLOAD);

	if (handle)
		dlclose(handle);
	return handle;
}

static void test_use(void **state)
{
	(void)state;
	assert_false(is_loaded());
	for (int turn = 0; turn < 3; turn++) {
		assert_int_equal(library_use(&present, NULL), 0);
		assert_true(is_loaded());
		assert_int_equal(library_use(&present, NULL), 0);
		assert_int_equal(sym_sd_notify(1, "READY=1"), 0); /* no NOTIFY_SOCKET */
		library_release(&present);
		assert_true(is_loaded());
		assert_true(sym_sd_booted() >= 0);
		library_release(&present);
		assert_false(is_loaded());
	}
}

static void test_problems(void **state)
{
	_cleanup_error_ struct error problem = ERROR_INIT;

	(void)state;
	assert_int_equal(library_use(&missing, &problem), -EOPNOTSUPP);
	assert_int_equal(problem.code, ERROR_UNSUPPORTED);
	assert_non_null(strstr(problem.message, "libamphorad-has-no-such-one.so.0"));
	error_done(&problem);
	assert_int_equal(library_keep(&old, &problem), -EOPNOTSUPP);
	assert_non_null(strstr(problem.message, "of_the_next_version"));
	assert_false(is_loaded());
}

static void test_keep(void **state)
{
	(void)state;
	assert_int_equal(library_keep(&present, NULL), 0);
	assert_int_equal(library_keep(&present, NULL), 0);
	assert_int_equal(library_use(&present, NULL), 0);
	library_release(&present);
	assert_true(is_loaded());
	assert_true(sym_sd_booted() >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_keep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
