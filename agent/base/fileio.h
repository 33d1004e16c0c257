/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files that survive a crash.
 *
 * Every write is: temporary file in the same folder, fsync, rename over the name, fsync of the folder. A reader, or
 * the next start after a power cut at any instant, sees the old content or the new one, whole. All functions take a
 * folder descriptor (AT_FDCWD is allowed) and a name, and never follow a symbolic link in the last component
 * for writing. Names that start with ".tmp-" are ours; leftovers are removed by fileio_remove_temporary().
 */

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "agent/base/cleanup.h"

enum { FILEIO_TEMPORARY_SIZE = 32 };

/* Reads a whole regular file of at most "limit" bytes (-EFBIG over it). NUL-terminated; the caller frees. */
int fileio_read(int dir_fd, const char *name, size_t limit, char **ret_data, size_t *ret_length);

/* The same of a file that only we write: a symbolic link in its place is -ELOOP. */
int fileio_read_own(int dir_fd, const char *name, size_t limit, char **ret_data, size_t *ret_length);

/* Replaces or creates "name" atomically and durably. */
int fileio_write(int dir_fd, const char *name, const void *data, size_t length, mode_t mode);

/* The same for an owner; (uid_t)-1 and (gid_t)-1 are those of this process. No reader sees it with another. */
struct fileio_owner {
	uid_t uid;
	gid_t gid;
};
int fileio_write_owned(
	int dir_fd, const char *name, const void *data, size_t length, mode_t mode, const struct fileio_owner *owner);

/* The same without the fsyncs: atomic for readers, may be lost by a power cut (counters, caches). */
int fileio_write_volatile(int dir_fd, const char *name, const void *data, size_t length, mode_t mode);

/* Makes the content of a file durable that was written without (not its name: fileio_rename() does). */
int fileio_sync(int dir_fd, const char *name);

/* The same as fileio_write() or fileio_write_volatile() in two steps: a file that is whole (and, if "durable", on disk), and not in
 * its place yet. Its folder must stay open. */
struct fileio_pending {
	int dir_fd;
	char *name; /* NULL: there is none */
	char temporary[FILEIO_TEMPORARY_SIZE];
};
#define FILEIO_PENDING_INIT ((struct fileio_pending){.dir_fd = -1})
int fileio_prepare(
	int dir_fd, const char *name, const void *data, size_t length, mode_t mode, bool durable, struct fileio_pending *ret);
/* Not "durable": after a power cut the old one may be there again. Nothing is left of what was pending, in any case. */
int fileio_commit(struct fileio_pending *pending, bool durable);
void fileio_pending_done(struct fileio_pending *pending);

/* mkdir(2) of one folder, durable. 0 if something of that name is there. */
int fileio_make_dir(int dir_fd, const char *name, mode_t mode);

/* mkdir -p of "path" with "mode" for what is missing. */
int fileio_make_dirs(const char *path, mode_t mode);

/* Creates the folder "name" if it is missing and opens it (O_DIRECTORY | O_NOFOLLOW). */
int fileio_open_dir(int dir_fd, const char *name, mode_t mode, int *ret_fd);

/* Renames within or across folders and makes it durable. */
int fileio_rename(int old_dir_fd, const char *old_name, int new_dir_fd, const char *new_name);

/* Removes a file and makes that durable. 0 if it is not there. */
int fileio_unlink(int dir_fd, const char *name);

/* Removes a folder and all below it, without following links. 0 if it is not there. */
int fileio_remove_tree(int dir_fd, const char *name);

/* Removes what an interrupted fileio_write() left in the folder. */
int fileio_remove_temporary(int dir_fd);

/* Takes an exclusive lock on a file, created 0600 if missing; -EWOULDBLOCK if another process still holds it after "wait_ms".
 * The lock is held as long as the descriptor is open. */
int fileio_lock(int dir_fd, const char *name, int wait_ms, int *ret_fd);

/* write(2) until all is written. */
int fileio_write_all(int fd, const void *data, size_t length);

static inline void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)
