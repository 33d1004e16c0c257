/* SPDX-License-Identifier: Apache-2.0 */

/* Definitions on disk: revisions, and what a crash, a bad disk or a stranger can leave in the
 * folder. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/store.h"

#define LB_ID "11111111-2222-4333-8444-555555555555"

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000,
	.timeout_tcp_inspect_ms = 0};

struct fixture {
	char directory[64];
	int fd;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test-store-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	fixture->fd = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fixture->fd >= 0);
	log_set_level(LOG_CRIT); /* what is set aside is logged, and expected here */
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->fd);
	fileio_remove_tree(AT_FDCWD, fixture->directory);
	free(fixture);
	return 0;
}

static void write_named(int fd, int64_t revision, const char *name)
{
	_cleanup_stored_ struct stored_definition stored = {.revision = revision,
		.created_at = "2026-01-31T23:59:59",
		.updated_at = "2026-02-01T00:00:00"};
	_cleanup_free_ char *body = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_true(asprintf(&body, "{\"loadbalancer\":{\"name\":\"%s\"}}", name) > 0);
	assert_int_equal(
		definition_parse(LB_ID, body, strlen(body), &defaults, &stored.lb, NULL), 0);
	if (store_write(fd, &stored, &err) < 0)
		fail_msg("%s", error_message(&err));
}

static void write_revision(int fd, int64_t revision)
{
	char name[32];

	snprintf(name, sizeof(name), "revision %" PRId64, revision);
	write_named(fd, revision, name);
}

/* The current definition is this revision with this name. */
static void assert_current(int fd, int64_t revision, const char *name)
{
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (store_read_current(fd, LB_ID, &stored, &err) < 0)
		fail_msg("%s", error_message(&err));
	assert_int_equal(stored.revision, revision);
	assert_string_equal(stored.lb->name, name);
	assert_string_equal(stored.lb->id, LB_ID);
}

static bool exists(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put_file(int fd, const char *name, const char *text)
{
	assert_int_equal(fileio_write_volatile(fd, name, text, strlen(text), 0600), 0);
}

static void test_nothing_stored(void **state)
{
	struct fixture *fixture = *state;
	struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ int64_t *revisions = NULL;
	size_t n = 7;

	assert_int_equal(store_revisions(fixture->fd, &revisions, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(store_read_current(fixture->fd, LB_ID, &stored, &err), -ENOENT);
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_null(stored.lb);
	/* The folder alone is the mark of a creation that is under way. */
	assert_int_equal(mkdirat(fixture->fd, "definition", 0700), 0);
	assert_int_equal(store_read_current(fixture->fd, LB_ID, &stored, NULL), -ENOENT);
}

static void test_what_is_written_is_read(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	struct stat st;

	write_named(fixture->fd, 1, "first");
	write_named(fixture->fd, 2, "second \xc3\xbc");
	assert_int_equal(store_read_current(fixture->fd, LB_ID, &stored, NULL), 0);
	assert_int_equal(stored.revision, 2);
	assert_string_equal(stored.created_at, "2026-01-31T23:59:59");
	assert_string_equal(stored.updated_at, "2026-02-01T00:00:00");
	assert_string_equal(stored.lb->name, "second \xc3\xbc");
	assert_int_equal(stored.lb->references, 1);
	assert_int_equal(fstatat(fixture->fd, "definition/0000000002.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(fixture->fd, "definition", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_last_revisions_are_kept(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ int64_t *revisions = NULL;
	size_t n = 0;

	for (int64_t revision = 1; revision <= 13; revision++)
		write_revision(fixture->fd, revision);
	assert_int_equal(store_revisions(fixture->fd, &revisions, &n), 0);
	assert_int_equal(n, LIMIT_REVISIONS);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(revisions[i], 13 - (int64_t)i);
	assert_current(fixture->fd, 13, "revision 13");
}

static void test_broken_files_are_set_aside(void **state)
{
	static const char *const contents[] = {
		"",
		"\0\0\0\0",
		"{\"format\":1,",
		"[]",
		"{\"format\":2,\"revision\":3,\"created_at\":\"2026-01-31T23:59:59\",\"updated_"
		"at\":\"2026-01-31T23:59:59\","
		"\"definition\":{\"loadbalancer\":{}}}",
		"{\"format\":1,\"revision\":2,\"created_at\":\"2026-01-31T23:59:59\",\"updated_"
		"at\":\"2026-01-31T23:59:59\","
		"\"definition\":{\"loadbalancer\":{}}}",
		"{\"format\":1,\"revision\":3,\"created_at\":\"2026-01-31T23:59:59\",\"updated_"
		"at\":\"yesterday\","
		"\"definition\":{\"loadbalancer\":{}}}",
		"{\"format\":1,\"revision\":3,\"created_at\":\"2026-01-31T23:59:59\",\"updated_"
		"at\":\"2026-01-31T23:59:59\"}",
		"{\"format\":1,\"revision\":3,\"created_at\":\"2026-01-31T23:59:59\",\"updated_"
		"at\":\"2026-01-31T23:59:59\","
		"\"definition\":\"x\"}",
		"{\"format\":1,\"revision\":3,\"created_at\":\"2026-01-31T23:59:59\",\"updated_"
		"at\":\"2026-01-31T23:59:59\","
		"\"definition\":{\"loadbalancer\":{\"field_of_a_later_version\":1}}}",
	};
	struct fixture *fixture = *state;

	write_revision(fixture->fd, 1);
	write_revision(fixture->fd, 2);
	for (size_t i = 0; i < ELEMENTSOF(contents); i++) {
		_cleanup_free_ char *aside = NULL;

		put_file(fixture->fd, "definition/0000000003.json", contents[i]);
		assert_current(fixture->fd, 2, "revision 2");
		assert_false(exists(fixture->fd, "definition/0000000003.json"));
		assert_int_equal(fileio_read(fixture->fd, "definition/0000000003.json.corrupt",
					 4096, &aside, NULL),
			0);
		assert_string_equal(aside, contents[i]);
	}
	/* The number of a revision that was set aside is free again. */
	write_revision(fixture->fd, 3);
	assert_current(fixture->fd, 3, "revision 3");
}

static void test_folder_in_place_of_a_revision(void **state)
{
	struct fixture *fixture = *state;

	write_revision(fixture->fd, 1);
	assert_int_equal(mkdirat(fixture->fd, "definition/0000000002.json", 0700), 0);
	assert_current(fixture->fd, 1, "revision 1");
	assert_true(exists(fixture->fd, "definition/0000000002.json.corrupt"));
}

/* "Nothing can be read" is not "nothing is there": the caller removes a load balancer that has
 * nothing stored. */
static void test_all_broken_is_not_absent(void **state)
{
	struct fixture *fixture = *state;

	write_revision(fixture->fd, 1);
	write_revision(fixture->fd, 2);
	put_file(fixture->fd, "definition/0000000001.json", "x");
	put_file(fixture->fd, "definition/0000000002.json", "y");
	for (int start = 0; start < 2; start++) {
		struct stored_definition stored = STORED_DEFINITION_INIT;
		_cleanup_error_ struct error err = ERROR_INIT;

		assert_int_equal(store_read_current(fixture->fd, LB_ID, &stored, &err), -EBADMSG);
		assert_int_equal(err.code, ERROR_INTERNAL);
		assert_null(stored.lb);
		assert_true(exists(fixture->fd, "definition/0000000001.json.corrupt"));
		assert_true(exists(fixture->fd, "definition/0000000002.json.corrupt"));
	}
	write_revision(fixture->fd, 1);
	assert_current(fixture->fd, 1, "revision 1");
}

/* A lack of descriptors says nothing about the file. */
static void test_lack_of_descriptors_breaks_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct rlimit limit, few;
	bool failed = false;
	int r = -1, free_fd = dup(fixture->fd);

	assert_true(free_fd >= 0);
	close(free_fd);
	write_revision(fixture->fd, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	for (few.rlim_cur = (rlim_t)free_fd; r < 0 && few.rlim_cur < (rlim_t)free_fd + 8;
		few.rlim_cur++) {
		_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
		_cleanup_error_ struct error err = ERROR_INIT;

		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		r = store_read_current(fixture->fd, LB_ID, &stored, &err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		failed |= r == -EMFILE;
		if (r != 0)
			assert_int_equal(r, -EMFILE);
	}
	assert_true(failed);
	assert_int_equal(r, 0);
	assert_current(fixture->fd, 1, "revision 1");
}

static void test_files_of_others(void **state)
{
	static const char *const names[] = {
		"definition/1.json",
		"definition/00000000001.json",
		"definition/+000000009.json",
		"definition/-000000009.json",
		"definition/ 000000009.json",
		"definition/0000000000.json",
		"definition/000000000x.json",
		"definition/0000000009.json~",
		"definition/0000000009.txtx",
		"definition/README",
	};
	struct fixture *fixture = *state;
	_cleanup_free_ int64_t *revisions = NULL;
	size_t n = 0;

	write_revision(fixture->fd, 1);
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		put_file(fixture->fd, names[i], "not ours");
	assert_int_equal(store_revisions(fixture->fd, &revisions, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(revisions[0], 1);
	assert_current(fixture->fd, 1, "revision 1");
	for (int64_t revision = 2; revision <= 12; revision++)
		write_revision(fixture->fd, revision);
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		assert_true(exists(fixture->fd, names[i]));
}

static void test_interrupted_write(void **state)
{
	struct fixture *fixture = *state;

	write_revision(fixture->fd, 1);
	put_file(fixture->fd, "definition/half", "{\"format\":1");
	assert_int_equal(renameat(fixture->fd, "definition/half", fixture->fd,
				 "definition/.tmp-0123456789abcdef"),
		0);
	assert_current(fixture->fd, 1, "revision 1");
	assert_false(exists(fixture->fd, "definition/.tmp-0123456789abcdef"));
}

/* The folder is never followed to another place. */
static void test_folder_is_a_link(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;

	assert_int_equal(mkdirat(fixture->fd, "elsewhere", 0700), 0);
	assert_int_equal(symlinkat("elsewhere", fixture->fd, "definition"), 0);
	assert_true(store_read_current(fixture->fd, LB_ID, &stored, NULL) < 0);
	assert_int_equal(
		definition_parse(LB_ID, "{\"loadbalancer\":{}}", 19, &defaults, &stored.lb, NULL),
		0);
	stored.revision = 1;
	assert_true(store_write(fixture->fd, &stored, NULL) < 0);
	assert_false(exists(fixture->fd, "elsewhere/0000000001.json"));
}

/* With every field written, a definition is some times as long as its document: what was taken must
 * be read again. */
static void test_text_longer_than_a_body_may_be(void **state)
{
	enum { POOLS = 13, MEMBERS = LIMIT_MEMBERS_PER_POOL };
	struct fixture *fixture = *state;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT,
						  again = STORED_DEFINITION_INIT;
	_cleanup_text_ struct text body = TEXT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct stat st;

	text_append(&body, "{\"loadbalancer\":{\"pools\":[");
	for (int i = 0; i < POOLS; i++) {
		text_printf(&body,
			"%s{\"name\":\"%d\",\"protocol\":\"TCP\",\"lb_algorithm\":\"ROUND_ROBIN\","
			"\"members\":[",
			i ? "," : "", i);
		for (int j = 0; j < MEMBERS; j++)
			text_printf(&body, "%s{\"address\":\"::1\",\"protocol_port\":%d}",
				j ? "," : "", j + 1);
		text_append(&body, "]}");
	}
	text_append(&body, "]}}");
	assert_true(body.length < LIMIT_BODY_BYTES);
	stored.revision = 1;
	store_now(stored.created_at);
	store_now(stored.updated_at);
	assert_int_equal(
		definition_parse(LB_ID, text_peek(&body), body.length, &defaults, &stored.lb, NULL),
		0);
	assert_int_equal(store_write(fixture->fd, &stored, NULL), 0);
	assert_int_equal(fstatat(fixture->fd, "definition/0000000001.json", &st, 0), 0);
	assert_true(st.st_size > LIMIT_BODY_BYTES);
	if (store_read_current(fixture->fd, LB_ID, &again, &err) < 0)
		fail_msg("%s", error_message(&err));
	assert_int_equal(again.lb->pools[POOLS - 1].n_members, MEMBERS);
}

static void test_time(void **state)
{
	char now[STORE_TIME_SIZE];
	int year, month, day, hour, minute, second, end = 0;

	(void)state;
	store_now(now);
	assert_int_equal(sscanf(now, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour,
				 &minute, &second, &end),
		6);
	assert_int_equal(end, STORE_TIME_SIZE - 1);
	assert_true(year >= 2020);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_written_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_revisions_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_files_are_set_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_folder_in_place_of_a_revision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_broken_is_not_absent, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_lack_of_descriptors_breaks_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupted_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folder_is_a_link, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_text_longer_than_a_body_may_be, setup, teardown),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
