/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/keepalived/check_script.h"

struct place {
	char directory[64];
	char vrrp[128], lvs[128];
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	snprintf(place->directory, sizeof(place->directory), "/tmp/amphorad check-XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	/* Quotes and blanks are an operator's right. */
	snprintf(place->vrrp, sizeof(place->vrrp), "%s/it's vrrp", place->directory);
	snprintf(place->lvs, sizeof(place->lvs), "%s/lvs", place->directory);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	fileio_remove_tree(AT_FDCWD, place->directory);
	free(place);
	return 0;
}

static int run(const char *vrrp_dir)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	char script[192];
	const char *argv[] = {script, NULL};

	snprintf(script, sizeof(script), "%s/check_script.sh", vrrp_dir);
	assert_int_equal(process_run(argv, NULL, 10000, 65536, &result), 0);
	return result.exit_status;
}

static void check_content(const char *vrrp_dir, const char *wanted)
{
	_cleanup_free_ char *text = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/check_scripts/haproxy_check_script.sh", vrrp_dir);
	if (!wanted) {
		assert_int_equal(fileio_read(AT_FDCWD, path, 4096, &text, NULL), -ENOENT);
		return;
	}
	assert_int_equal(fileio_read(AT_FDCWD, path, 4096, &text, NULL), 0);
	assert_string_equal(text, wanted);
}

static void test_haproxy(void **state)
{
	const struct place *place = *state;
	char first[] = "/var/lib/octavia/a.sock", second[] = "/b c's.sock";
	char *sockets[] = {first, second, NULL}, *none[] = {NULL};

	assert_false(check_script_is_installed(place->vrrp));
	assert_int_equal(check_script_install(place->vrrp, NULL), 0);
	assert_true(check_script_is_installed(place->vrrp));
	/* Nothing to check: good. */
	assert_int_equal(run(place->vrrp), 0);
	/* No load balancer: somebody else should have the VIP. */
	assert_int_equal(check_script_write_haproxy(place->vrrp, none, false, false, NULL), 0);
	check_content(place->vrrp, "exit 1");
	assert_int_equal(run(place->vrrp), 1);
	assert_int_equal(check_script_write_haproxy(place->vrrp, none, false, true, NULL), 0);
	check_content(place->vrrp, NULL);
	assert_int_equal(run(place->vrrp), 0);
	assert_int_equal(check_script_write_haproxy(place->vrrp, none, false, true, NULL), 0);
	assert_int_equal(check_script_write_haproxy(place->vrrp, sockets, true, true, NULL), 0);
	check_content(place->vrrp, "haproxy-vrrp-check /var/lib/octavia/a.sock '/b c'\\''s.sock'; exit $?");
	assert_int_equal(check_script_write_haproxy(place->vrrp, none, true, false, NULL), 0);
	check_content(place->vrrp, "haproxy-vrrp-check; exit $?");
}

static void write_pid(const struct place *place, const char *name, long pid)
{
	char path[256], text[32];

	snprintf(path, sizeof(path), "%s/%s", place->lvs, name);
	snprintf(text, sizeof(text), "%ld\n", pid);
	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

static void test_lvs(void **state)
{
	const struct place *place = *state;

	assert_int_equal(check_script_install(place->vrrp, NULL), 0);
	assert_int_equal(check_script_write_haproxy(place->vrrp, (char *[]){NULL}, false, true, NULL), 0);
	assert_int_equal(check_script_write_lvs(place->vrrp, place->lvs, NULL), 0);
	assert_int_equal(run(place->vrrp), 0);
	assert_int_equal(mkdir(place->lvs, 0755), 0);
	write_pid(place, "octavia-keepalivedlvs-1.pid", getpid());
	write_pid(place, "octavia-keepalivedlvs-1.check.pid", 999999999);
	assert_int_equal(run(place->vrrp), 0);
	write_pid(place, "octavia-keepalivedlvs-2.pid", 999999999);
	assert_int_equal(run(place->vrrp), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_haproxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lvs, setup, teardown),
	};

	return cmocka_run_group_tests_name("check_script", tests, NULL, NULL);
}
