/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/supervisor/output.h"

struct fixture {
	char directory[128];
	char path[160];
};

static int setup(void **state)
{
	const char *base = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->directory, sizeof(f->directory), "%s/output-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/log", f->directory);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fileio_remove_tree(AT_FDCWD, f->directory), 0);
	free(f);
	return 0;
}

static void append(const struct fixture *f, const char *data, size_t length)
{
	_cleanup_close_ int fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fileio_write_all(fd, data, length), 0);
}

static void assert_tail(const struct fixture *f, off_t since, const char *expected)
{
	_cleanup_free_ char *text = NULL;

	assert_int_equal(output_tail(f->path, since, &text), 0);
	assert_string_equal(text, expected);
}

static void test_create(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int fd = -1;

	append(f, "old\n", 4);
	assert_int_equal(output_create(f->path, &fd), 0);
	assert_int_equal(output_size(f->path), 0);
	assert_int_equal(fileio_write_all(fd, "new\n", 4), 0);
	/* Whoever cuts the file does not leave a hole: the next line goes to its new end. */
	assert_int_equal(truncate(f->path, 0), 0);
	assert_int_equal(fileio_write_all(fd, "newer\n", 6), 0);
	close(fd);
	assert_tail(f, 0, "newer\n");

	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(output_create(f->path, &fd), 0);
	close(fd);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_create_refuses_other_files(void **state)
{
	struct fixture *f = *state;
	int fd = -1;

	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_true(output_create(f->path, &fd) < 0);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(symlink("/dev/null", f->path), 0);
	assert_int_equal(output_create(f->path, &fd), -ELOOP);
	assert_int_equal(fd, -1);
}

static void test_tail(void **state)
{
	struct fixture *f = *state;

	assert_tail(f, 0, "");
	append(f, "one\ntwo\n", 8);
	assert_tail(f, 0, "one\ntwo\n");
	assert_tail(f, 4, "two\n");
	assert_tail(f, 8, "");
	assert_tail(f, 9, "one\ntwo\n");
	assert_tail(f, -1, "one\ntwo\n");
}

static void test_tail_is_short(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	char line[32];

	for (int i = 0; i < 2000; i++) {
		snprintf(line, sizeof(line), "line number %d\n", i);
		append(f, line, strlen(line));
	}
	assert_int_equal(output_tail(f->path, 0, &text), 0);
	assert_true(strlen(text) <= OUTPUT_TAIL_MAX);
	assert_true(strlen(text) > OUTPUT_TAIL_MAX - 32);
	assert_non_null(text_after_prefix(text, "line number "));
	assert_non_null(strstr(text, "line number 1999\n"));
}

static void test_tail_is_harmless(void **state)
{
	static const struct {
		const char *written, *read;
	} cases[] = {
		{"a\tb\x1b[31m\r\n", "a\tb?[31m?\n"},
		{"\x7f", "?"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xc2\x9b", "??"},           /* a control character of C1 */
		{"\xc0\xaf", "??"},           /* overlong */
		{"\xe0\x80\xaf", "???"},      /* overlong */
		{"\xed\xa0\x80", "???"},      /* surrogate */
		{"\xf4\x90\x80\x80", "????"}, /* beyond U+10FFFF */
		{"\xe2\x82", "??"},           /* cut short */
		{"\xe2\x82x", "??x"},
		{"\xff\xfe", "??"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		append(f, cases[i].written, strlen(cases[i].written));
		assert_tail(f, 0, cases[i].read);
		assert_int_equal(truncate(f->path, 0), 0);
	}
	append(f, "a\0b", 3);
	assert_tail(f, 0, "a?b");
}

static void test_trim(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *big = NULL;
	off_t since = 10;
	size_t length = OUTPUT_FILE_MAX + 1;

	assert_int_equal(output_trim(f->path, &since), 0); /* no file */
	append(f, "short\n", 6);
	assert_int_equal(output_trim(f->path, &since), 0);
	assert_int_equal(output_size(f->path), 6);
	assert_int_equal(since, 10);

	big = malloc(length);
	assert_non_null(big);
	memset(big, 'x', length);
	append(f, big, length);
	append(f, "\nlast\n", 6);
	since = output_size(f->path) - 5;
	assert_int_equal(output_trim(f->path, &since), 0);
	assert_int_equal(output_size(f->path), OUTPUT_TAIL_MAX);
	assert_tail(f, since, "last\n");

	append(f, big, length);
	since = 3;
	assert_int_equal(output_trim(f->path, &since), 0);
	assert_int_equal(since, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_refuses_other_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail_is_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail_is_harmless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trim, setup, teardown),
	};

	return cmocka_run_group_tests_name("supervisor output", tests, NULL, NULL);
}
