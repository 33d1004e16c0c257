/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/find.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/cleanup.h"
#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

enum {
	COMMAND_LINE_MAX = 64 * 1024,
	EXEC_RETRIES = 250, /* an instant takes that long where many wait for a processor */
	EXEC_RETRY_MS = 2,
};

/* The argument of -S is "PATH" or "PATH,bind options". */
static bool is_master_socket(const char *argument, const char *master_socket)
{
	const char *rest = text_after_prefix(argument, master_socket);

	return rest && (rest[0] == '\0' || rest[0] == ',');
}

/* Command lines are NUL-separated (proc(5)). One that is empty belongs to a zombie, to a kernel
 * thread or, for an instant, to a process within execve(2): "ret_empty". */
static bool command_line_matches(pid_t pid, const char *master_socket, bool *ret_empty)
{
	_cleanup_free_ char *line = NULL;
	bool master_worker = false, ours = false, after_s = false;
	char path[64];
	size_t length = 0;

	*ret_empty = false;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (fileio_read(AT_FDCWD, path, COMMAND_LINE_MAX, &line, &length) < 0)
		return false;
	*ret_empty = length == 0;
	for (const char *p = line; p < line + length; p += strlen(p) + 1) {
		if (after_s)
			ours = ours || is_master_socket(p, master_socket);
		else
			master_worker = master_worker || streq(p, "-W");
		after_s = !after_s && streq(p, "-S");
	}
	return master_worker && ours;
}

/* The master runs as we do. A process that is not dumpable belongs to root in /proc (proc(5)). */
static bool is_ours_or_root(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return stat(path, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0);
}

static bool has_ended(int pidfd)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) != 0;
}

/*
 * Opens "pid" if it is a process of ours: 0, or -ESRCH if it is not. The pidfd is opened before the
 * look and the process still lives after it, so both are of the same process.
 */
static int open_ours(pid_t pid, const char *master_socket, bool leader, int retries, int *ret_pidfd)
{
	_cleanup_close_ int pidfd = -1;
	bool matches, empty;
	int r;

	r = process_open(pid, &pidfd);
	if (r < 0) /* -EINVAL, and -ENOENT from Linux 6.16 on: the number of a thread */
		return r == -EINVAL || r == -ENOENT ? -ESRCH : r;
	matches = command_line_matches(pid, master_socket, &empty);
	while (!matches && empty && retries-- > 0 && !has_ended(pidfd)) {
		poll(NULL, 0, EXEC_RETRY_MS);
		matches = command_line_matches(pid, master_socket, &empty);
	}
	if (!matches || (getsid(pid) == pid) != leader || (leader && !is_ours_or_root(pid)) ||
		has_ended(pidfd))
		return -ESRCH;
	*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}

static pid_t entry_pid(const struct dirent *entry)
{
	int64_t pid;

	if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		text_to_int64(entry->d_name, &pid) < 0 || pid > INT_MAX)
		return 0;
	return (pid_t)pid;
}

int find_master(const char *master_socket, pid_t hint, pid_t *ret_pid, int *ret_pidfd)
{
	_cleanup_closedir_ DIR *proc = NULL;
	int r;

	if (hint > 0) {
		r = open_ours(hint, master_socket, true, EXEC_RETRIES, ret_pidfd);
		if (r == 0)
			*ret_pid = hint;
		if (r != -ESRCH)
			return r;
	}
	proc = opendir("/proc");
	if (!proc)
		return -errno;
	for (struct dirent *entry = readdir(proc); entry; entry = readdir(proc)) {
		pid_t pid = entry_pid(entry);
		bool empty;

		if (pid == 0 || getsid(pid) != pid ||
			(!command_line_matches(pid, master_socket, &empty) && !empty))
			continue;
		r = open_ours(pid, master_socket, true, EXEC_RETRIES, ret_pidfd);
		if (r == 0)
			*ret_pid = pid;
		if (r != -ESRCH)
			return r;
	}
	return -ESRCH;
}

int find_and_kill_orphans(const char *master_socket)
{
	_cleanup_closedir_ DIR *proc = NULL;
	bool empty;
	int killed = 0;

	proc = opendir("/proc");
	if (!proc)
		return -errno;
	for (struct dirent *entry = readdir(proc); entry; entry = readdir(proc)) {
		_cleanup_close_ int pidfd = -1;
		pid_t pid = entry_pid(entry), session;

		if (pid == 0 || !command_line_matches(pid, master_socket, &empty))
			continue;
		session = getsid(pid);
		if (session <= 0 || session == pid ||
			command_line_matches(session, master_socket, &empty))
			continue;
		if (open_ours(pid, master_socket, false, 0, &pidfd) == 0 &&
			process_signal(pidfd, SIGKILL) == 0)
			killed++;
	}
	return killed;
}
