/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fileio.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#define TEMPORARY_PREFIX ".tmp-"

static int read_file(int dir_fd, const char *name, int flags, size_t limit, char **ret_data, size_t *ret_length)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *data = NULL;
	size_t length = 0, size;
	struct stat st;

	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((size_t)st.st_size > limit)
		return -EFBIG;

	/* Files of procfs have no size: read until the end in any case. */
	size = (size_t)st.st_size + 1 < 4096 ? 4096 : (size_t)st.st_size + 1;
	for (;;) {
		char *grown = realloc(data, size + 1);
		ssize_t n;

		if (!grown)
			return -ENOMEM;
		data = grown;
		n = read(fd, data + length, size - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
		if (length > limit)
			return -EFBIG;
		if (length == size)
			size *= 2;
	}
	data[length] = '\0';
	if (ret_length)
		*ret_length = length;
	*ret_data = TAKE_PTR(data);
	return 0;
}

int fileio_read(int dir_fd, const char *name, size_t limit, char **ret_data, size_t *ret_length)
{
	return read_file(dir_fd, name, 0, limit, ret_data, ret_length);
}

int fileio_read_own(int dir_fd, const char *name, size_t limit, char **ret_data, size_t *ret_length)
{
	return read_file(dir_fd, name, O_NOFOLLOW, limit, ret_data, ret_length);
}

int fileio_write_all(int fd, const void *data, size_t length)
{
	const char *p = data;

	while (length > 0) {
		ssize_t n = write(fd, p, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

static int sync_dir(int dir_fd)
{
	_cleanup_close_ int fd = -1;

	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems refuse to sync folders; there is nothing to be done about it then. */
	if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
		return -errno;
	return 0;
}

int fileio_sync(int dir_fd, const char *name)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* The folder part of "name" is opened, so that the temporary file is beside its target. */
static int open_parent(int dir_fd, const char *name, int *ret_fd, const char **ret_base)
{
	const char *slash = strrchr(name, '/');
	_cleanup_free_ char *parent = NULL;
	int fd;

	parent = slash ? strndup(name, slash == name ? 1 : (size_t)(slash - name)) : strdup(".");
	if (!parent)
		return -ENOMEM;
	fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_base = slash ? slash + 1 : name;
	*ret_fd = fd;
	return 0;
}

static int open_temporary(
	int dir_fd, mode_t mode, const struct fileio_owner *owner, char *ret_name, size_t size, int *ret_fd)
{
	for (int attempt = 0; attempt < 16; attempt++) {
		unsigned long long number;
		int fd;

		if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
			return -errno;
		snprintf(ret_name, size, TEMPORARY_PREFIX "%016llx", number);
		fd = openat(dir_fd, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return -errno;
		/* In this order: a change of the owner takes setuid bits away (chown(2)). */
		if ((owner && fchown(fd, owner->uid, owner->gid) < 0) || fchmod(fd, mode) < 0) {
			int r = -errno;

			close(fd);
			unlinkat(dir_fd, ret_name, 0);
			return r;
		}
		*ret_fd = fd;
		return 0;
	}
	return -EEXIST;
}

static int write_replacing(int dir_fd, const char *name, const void *data, size_t length, mode_t mode,
	const struct fileio_owner *owner, bool durable)
{
	_cleanup_close_ int parent_fd = -1, fd = -1;
	char temporary[FILEIO_TEMPORARY_SIZE];
	const char *base;
	int r;

	r = open_parent(dir_fd, name, &parent_fd, &base);
	if (r < 0)
		return r;
	r = open_temporary(parent_fd, mode, owner, temporary, sizeof(temporary), &fd);
	if (r < 0)
		return r;

	r = fileio_write_all(fd, data, length);
	if (r == 0 && durable && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(parent_fd, temporary, parent_fd, base) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(parent_fd, temporary, 0);
		return r;
	}
	return durable ? sync_dir(parent_fd) : 0;
}

int fileio_write(int dir_fd, const char *name, const void *data, size_t length, mode_t mode)
{
	return write_replacing(dir_fd, name, data, length, mode, NULL, true);
}

int fileio_write_owned(
	int dir_fd, const char *name, const void *data, size_t length, mode_t mode, const struct fileio_owner *owner)
{
	return write_replacing(dir_fd, name, data, length, mode, owner, true);
}

int fileio_prepare(
	int dir_fd, const char *name, const void *data, size_t length, mode_t mode, bool durable, struct fileio_pending *ret)
{
	struct fileio_pending pending = {.dir_fd = dir_fd};
	_cleanup_close_ int fd = -1;
	int r;

	r = open_temporary(dir_fd, mode, NULL, pending.temporary, sizeof(pending.temporary), &fd);
	if (r < 0)
		return r;
	r = fileio_write_all(fd, data, length);
	if (r == 0 && durable && fsync(fd) < 0)
		r = -errno;
	if (r == 0) {
		pending.name = strdup(name);
		r = pending.name ? 0 : -ENOMEM;
	}
	if (r < 0) {
		unlinkat(dir_fd, pending.temporary, 0);
		return r;
	}
	*ret = pending;
	return 0;
}

int fileio_commit(struct fileio_pending *pending, bool durable)
{
	_cleanup_free_ char *name = TAKE_PTR(pending->name);

	if (renameat(pending->dir_fd, pending->temporary, pending->dir_fd, name) < 0) {
		int r = -errno;

		unlinkat(pending->dir_fd, pending->temporary, 0);
		return r;
	}
	return durable ? sync_dir(pending->dir_fd) : 0;
}

void fileio_pending_done(struct fileio_pending *pending)
{
	if (!pending->name)
		return;
	unlinkat(pending->dir_fd, pending->temporary, 0);
	free(TAKE_PTR(pending->name));
}

int fileio_write_volatile(int dir_fd, const char *name, const void *data, size_t length, mode_t mode)
{
	return write_replacing(dir_fd, name, data, length, mode, NULL, false);
}

int fileio_make_dir(int dir_fd, const char *name, mode_t mode)
{
	_cleanup_close_ int parent_fd = -1;
	const char *base;
	int r;

	r = open_parent(dir_fd, name, &parent_fd, &base);
	if (r < 0)
		return r;
	if (mkdirat(parent_fd, base, mode) < 0)
		return errno == EEXIST ? 0 : -errno;
	return sync_dir(parent_fd);
}

int fileio_make_dirs(const char *path, mode_t mode)
{
	_cleanup_free_ char *copy = NULL;

	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++) {
		if (*p != '/' || p == copy)
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

int fileio_open_dir(int dir_fd, const char *name, mode_t mode, int *ret_fd)
{
	int fd;

	if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static bool is_same(int fd, int other_fd)
{
	struct stat st, other;

	return fstat(fd, &st) == 0 && fstat(other_fd, &other) == 0 && st.st_dev == other.st_dev &&
	       st.st_ino == other.st_ino;
}

int fileio_rename(int old_dir_fd, const char *old_name, int new_dir_fd, const char *new_name)
{
	_cleanup_close_ int old_parent = -1, new_parent = -1;
	const char *old_base, *new_base;
	int r;

	r = open_parent(old_dir_fd, old_name, &old_parent, &old_base);
	if (r < 0)
		return r;
	r = open_parent(new_dir_fd, new_name, &new_parent, &new_base);
	if (r < 0)
		return r;
	if (renameat(old_parent, old_base, new_parent, new_base) < 0)
		return -errno;
	r = sync_dir(new_parent);
	return r < 0 || is_same(old_parent, new_parent) ? r : sync_dir(old_parent);
}

int fileio_unlink(int dir_fd, const char *name)
{
	_cleanup_close_ int parent_fd = -1;
	const char *base;
	int r;

	r = open_parent(dir_fd, name, &parent_fd, &base);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (unlinkat(parent_fd, base, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	return sync_dir(parent_fd);
}

int fileio_remove_tree(int dir_fd, const char *name)
{
	_cleanup_closedir_ DIR *dir = NULL;
	int fd, r = 0;

	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close_keep_errno(fd);
		return -errno;
	}
	for (struct dirent *entry = readdir(dir); entry && r == 0; entry = readdir(dir)) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = fileio_remove_tree(dirfd(dir), entry->d_name);
	}
	if (r < 0)
		return r;
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int fileio_remove_temporary(int dir_fd)
{
	_cleanup_closedir_ DIR *dir = NULL;
	int fd;

	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close_keep_errno(fd);
		return -errno;
	}
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0 &&
			unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}

int fileio_lock(int dir_fd, const char *name, int wait_ms, int *ret_fd)
{
	enum { STEP_MS = 10 };
	_cleanup_close_ int fd = -1;

	fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || wait_ms <= 0)
			return -errno;
		poll(NULL, 0, STEP_MS);
		wait_ms -= STEP_MS;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
