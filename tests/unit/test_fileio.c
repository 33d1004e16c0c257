/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

struct fixture {
	char directory[64];
	int fd;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test-fileio-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	fixture->fd = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fixture->fd >= 0);
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

static bool exists(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_content(int fd, const char *name, const char *wanted)
{
	_cleanup_free_ char *data = NULL;
	size_t length;

	assert_int_equal(fileio_read(fd, name, 1 << 20, &data, &length), 0);
	assert_string_equal(data, wanted);
	assert_int_equal(length, strlen(wanted));
}

static void put(int fd, const char *name, const char *text)
{
	assert_int_equal(fileio_write_volatile(fd, name, text, strlen(text), 0600), 0);
}

static void test_write_and_read(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *path = NULL;
	struct stat st;
	mode_t mask = umask(0077);

	assert_int_equal(fileio_write(fixture->fd, "a", "one", 3, 0644), 0);
	umask(mask);
	assert_content(fixture->fd, "a", "one");
	assert_int_equal(fstatat(fixture->fd, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0644); /* whatever the umask */
	assert_int_equal(fileio_write(fixture->fd, "a", "", 0, 0600), 0);
	assert_content(fixture->fd, "a", "");
	assert_true(asprintf(&path, "%s/b", fixture->directory) > 0);
	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, "two", 3, 0600), 0);
	assert_content(fixture->fd, "b", "two");
	assert_int_equal(fileio_write(fixture->fd, "missing/c", "x", 1, 0600), -ENOENT);
	assert_int_equal(fileio_write(fixture->fd, "b/c", "x", 1, 0600), -ENOTDIR);
}

/* A write that fails leaves what was there, and nothing else. */
static void test_write_that_fails(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkdirat(fixture->fd, "folder", 0700), 0);
	assert_true(fileio_write(fixture->fd, "folder", "x", 1, 0600) < 0);
	assert_int_equal(unlinkat(fixture->fd, "folder", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(fixture->directory), 0); /* empty: no temporary file either */
}

/* Nothing shows before the commit, and nothing is left of one that never comes, or fails. */
static void test_write_in_two_steps(void **state)
{
	struct fixture *fixture = *state;
	struct fileio_pending pending = FILEIO_PENDING_INIT;
	struct stat st;

	put(fixture->fd, "a", "old");
	assert_int_equal(fileio_prepare(fixture->fd, "a", "new", 3, 0640, true, &pending), 0);
	assert_content(fixture->fd, "a", "old");
	assert_content(fixture->fd, pending.temporary, "new");
	assert_int_equal(fileio_commit(&pending, true), 0);
	assert_content(fixture->fd, "a", "new");
	assert_int_equal(fstatat(fixture->fd, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	fileio_pending_done(&pending);
	assert_content(fixture->fd, "a", "new");

	assert_int_equal(fileio_prepare(fixture->fd, "a", "never", 5, 0600, true, &pending), 0);
	fileio_pending_done(&pending);
	assert_content(fixture->fd, "a", "new");
	assert_false(exists(fixture->fd, pending.temporary));

	assert_int_equal(mkdirat(fixture->fd, "folder", 0700), 0);
	assert_int_equal(fileio_prepare(fixture->fd, "folder", "x", 1, 0600, false, &pending), 0);
	assert_int_equal(fileio_commit(&pending, false), -EISDIR);
	assert_false(exists(fixture->fd, pending.temporary));
	assert_null(pending.name);
}

static void test_limits_of_reading(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *data = NULL, *proc = NULL, *big = calloc(1, 100000), *all = NULL;
	size_t length = 0;

	put(fixture->fd, "a", "12345");
	assert_int_equal(fileio_read(fixture->fd, "a", 4, &data, NULL), -EFBIG);
	assert_null(data);
	assert_int_equal(fileio_read(fixture->fd, "a", 5, &data, NULL), 0);
	assert_int_equal(fileio_read(fixture->fd, "none", 5, &data, NULL), -ENOENT);
	assert_int_equal(fileio_read(AT_FDCWD, fixture->directory, 5, &data, NULL), -EINVAL);
	assert_int_equal(mkfifoat(fixture->fd, "fifo", 0600), 0);
	assert_int_equal(fileio_read(fixture->fd, "fifo", 5, &data, NULL), -EINVAL);
	assert_int_equal(fileio_read(AT_FDCWD, "/dev/zero", 5, &data, NULL), -EINVAL);
	/* Files of procfs have no size. */
	assert_int_equal(fileio_read(AT_FDCWD, "/proc/self/maps", 1 << 24, &proc, &length), 0);
	assert_true(length > 0);
	assert_int_equal(fileio_read(AT_FDCWD, "/proc/self/maps", length / 2, &data, NULL), -EFBIG);
	memset(big, 'x', 100000 - 1);
	put(fixture->fd, "big", big);
	assert_int_equal(fileio_read(fixture->fd, "big", 100000 - 1, &all, &length), 0);
	assert_string_equal(all, big);
}

static void test_links(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *data = NULL;
	struct stat st;
	int fd = -1;

	put(fixture->fd, "target", "old");
	assert_int_equal(symlinkat("target", fixture->fd, "link"), 0);
	assert_content(fixture->fd, "link", "old");
	assert_int_equal(fileio_read_own(fixture->fd, "link", 10, &data, NULL), -ELOOP);
	/* A write replaces the link and does not go through it. */
	assert_int_equal(fileio_write(fixture->fd, "link", "new", 3, 0600), 0);
	assert_content(fixture->fd, "target", "old");
	assert_int_equal(fstatat(fixture->fd, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));

	assert_int_equal(mkdirat(fixture->fd, "folder", 0700), 0);
	put(fixture->fd, "folder/kept", "x");
	assert_int_equal(symlinkat("folder", fixture->fd, "way"), 0);
	assert_int_equal(fileio_open_dir(fixture->fd, "way", 0700, &fd), -ENOTDIR);
	assert_int_equal(fileio_remove_tree(fixture->fd, "way"), 0);
	assert_false(exists(fixture->fd, "way"));
	assert_true(exists(fixture->fd, "folder/kept"));
	assert_int_equal(symlinkat("target", fixture->fd, "lock"), 0);
	assert_int_equal(fileio_lock(fixture->fd, "lock", 0, &fd), -ELOOP);
	assert_int_equal(fd, -1);
}

static void test_remove_tree(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *deep = NULL;

	assert_true(asprintf(&deep, "%s/a/b/c/d", fixture->directory) > 0);
	assert_int_equal(fileio_make_dirs(deep, 0700), 0);
	for (int i = 0; i < 300; i++) {
		char name[32];

		snprintf(name, sizeof(name), "a/b/c/%d", i);
		put(fixture->fd, name, "x");
	}
	assert_int_equal(symlinkat("/", fixture->fd, "a/b/root"), 0);
	assert_int_equal(fileio_remove_tree(fixture->fd, "a"), 0);
	assert_false(exists(fixture->fd, "a"));
	assert_int_equal(fileio_remove_tree(fixture->fd, "a"), 0);
	put(fixture->fd, "file", "x");
	assert_int_equal(fileio_remove_tree(fixture->fd, "file"), 0);
	assert_false(exists(fixture->fd, "file"));
}

static void test_make_dirs(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *path = NULL, *below_file = NULL;
	struct stat st;
	int fd = -1;

	assert_true(asprintf(&path, "%s//x/y/", fixture->directory) > 0);
	assert_int_equal(fileio_make_dirs(path, 0750), 0);
	assert_int_equal(fileio_make_dirs(path, 0700), 0);
	assert_int_equal(fstatat(fixture->fd, "x/y", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
	assert_int_equal(fileio_make_dirs("/", 0700), 0);
	assert_true(fileio_make_dirs("", 0700) < 0);
	put(fixture->fd, "file", "x");
	assert_true(asprintf(&below_file, "%s/file/z", fixture->directory) > 0);
	assert_int_equal(fileio_make_dirs(below_file, 0700), -ENOTDIR);

	assert_int_equal(fileio_make_dir(fixture->fd, "one", 0700), 0);
	assert_int_equal(fileio_make_dir(fixture->fd, "one", 0750), 0);
	assert_int_equal(fstatat(fixture->fd, "one", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(fileio_make_dir(fixture->fd, "none/two", 0700), -ENOENT);
	assert_int_equal(fileio_open_dir(fixture->fd, "one", 0700, &fd), 0);
	close(fd);
	assert_int_equal(fileio_open_dir(fixture->fd, "file", 0700, &fd), -ENOTDIR);
}

static void test_rename_and_unlink(void **state)
{
	struct fixture *fixture = *state;

	put(fixture->fd, "a", "a");
	put(fixture->fd, "b", "b");
	assert_int_equal(mkdirat(fixture->fd, "f", 0700), 0);
	assert_int_equal(fileio_rename(fixture->fd, "a", fixture->fd, "f/c"), 0);
	assert_content(fixture->fd, "f/c", "a");
	assert_int_equal(fileio_rename(fixture->fd, "b", fixture->fd, "f/c"), 0);
	assert_content(fixture->fd, "f/c", "b");
	assert_int_equal(fileio_rename(fixture->fd, "b", fixture->fd, "d"), -ENOENT);
	assert_int_equal(fileio_rename(fixture->fd, "f/c", fixture->fd, "f/e"), 0);
	assert_int_equal(fileio_rename(fixture->fd, "f/e", fixture->fd, "f/c"), 0);
	assert_int_equal(fileio_sync(fixture->fd, "f/c"), 0);
	assert_int_equal(fileio_sync(fixture->fd, "f/e"), -ENOENT);
	assert_int_equal(fileio_unlink(fixture->fd, "f/c"), 0);
	assert_int_equal(fileio_unlink(fixture->fd, "f/c"), 0);
	assert_int_equal(fileio_unlink(fixture->fd, "none/c"), 0);
	assert_true(fileio_unlink(fixture->fd, "f") < 0);
}

static void test_leftovers(void **state)
{
	struct fixture *fixture = *state;

	put(fixture->fd, "keep", "x");
	put(fixture->fd, ".tmp", "x");
	put(fixture->fd, ".tmp-0000000000000001", "x");
	put(fixture->fd, ".tmp-2", "x");
	assert_int_equal(fileio_remove_temporary(fixture->fd), 0);
	assert_true(exists(fixture->fd, "keep"));
	assert_true(exists(fixture->fd, ".tmp"));
	assert_false(exists(fixture->fd, ".tmp-0000000000000001"));
	assert_false(exists(fixture->fd, ".tmp-2"));
}

static void test_lock(void **state)
{
	struct fixture *fixture = *state;
	int first = -1, second = -1;
	int pipe_fds[2];
	struct stat st;
	char byte = 0;
	pid_t child;

	assert_int_equal(fileio_lock(fixture->fd, "lock", 0, &first), 0);
	assert_int_equal(fstat(first, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fileio_lock(fixture->fd, "lock", 0, &second), -EWOULDBLOCK);
	/* Somebody who has let go of it before the wait is over. */
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(pipe_fds[1]);
		_exit(read(pipe_fds[0], &byte, 1) == 1 ? poll(NULL, 0, 50) : 1);
	}
	close(TAKE_FD(first));
	assert_int_equal(fileio_lock(fixture->fd, "lock", 0, &first), -EWOULDBLOCK);
	assert_int_equal(write(pipe_fds[1], &byte, 1), 1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	assert_int_equal(fileio_lock(fixture->fd, "lock", 10000, &first), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(second, -1);
	close(first);
	assert_int_equal(fileio_lock(fixture->fd, "lock", 0, &second), 0);
	close(second);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_write_and_read),
		TEST(test_write_that_fails),
		TEST(test_write_in_two_steps), TEST(test_limits_of_reading),
		TEST(test_links),
		TEST(test_remove_tree),
		TEST(test_make_dirs),
		TEST(test_rename_and_unlink),
		TEST(test_leftovers),
		TEST(test_lock),
	};

	return cmocka_run_group_tests_name("fileio", tests, NULL, NULL);
}
