/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

int namespace_check_name(const char *name, struct error *err)
{
	size_t length = strlen(name);

	if (length == 0 || length > NAME_MAX || strchr(name, '/') || streq(name, ".") || streq(name, "..") ||
		text_has_control(name, length))
		return error_set(err, ERROR_INVALID, NULL, "a network namespace's name is a file name, without '/'");
	return 0;
}

void namespace_path(const char *name, char ret[static NAMESPACE_PATH_SIZE])
{
	snprintf(ret, NAMESPACE_PATH_SIZE, NAMESPACE_DIR "/%s", name);
}

static bool is_namespace(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

/* 0 and *ret_fd -1: there is none, or only the file on which it would be mounted. */
static int open_path(const char *path, int *ret_fd)
{
	_cleanup_close_ int fd = -1;

	*ret_fd = -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (is_namespace(fd))
		*ret_fd = TAKE_FD(fd);
	return 0;
}

int namespace_open(const char *name, int *ret_fd, struct error *err)
{
	char path[NAMESPACE_PATH_SIZE];
	int fd, r;

	r = namespace_check_name(name, err);
	if (r < 0)
		return r;
	namespace_path(name, path);
	r = open_path(path, &fd);
	if (r < 0)
		return error_set_errno(err, r, "cannot open network namespace %s", name);
	if (fd < 0)
		return error_set(err, ERROR_NOT_FOUND, NULL, "there is no network namespace %s", name);
	*ret_fd = fd;
	return 0;
}

/* What is mounted below the folder is seen in the mount namespaces of other services, too (mount_namespaces(7)), as
 * ip-netns(8) wants to have it. */
static int share_folder(void)
{
	if (mount("", NAMESPACE_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL) /* EINVAL: it is no mount point yet */
		return -errno;
	if (mount(NAMESPACE_DIR, NAMESPACE_DIR, "none", MS_BIND | MS_REC, NULL) < 0 ||
		mount("", NAMESPACE_DIR, "none", MS_SHARED | MS_REC, NULL) < 0)
		return -errno;
	return 0;
}

static int raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	_cleanup_close_ int fd = -1;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* In a thread of its own, whose namespace goes with it unless it was mounted. */
static int make_namespace(void *userdata)
{
	const char *path = userdata;
	int r;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	r = raise_loopback();
	if (r < 0)
		return r;
	return mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) < 0 ? -errno : 0;
}

static int create_at(char *path)
{
	_cleanup_close_ int file_fd = -1;
	int r;

	r = share_folder();
	if (r < 0)
		return r;
	file_fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0);
	if (file_fd < 0)
		return -errno;
	r = namespace_run(-1, make_namespace, path);
	if (r < 0)
		unlink(path);
	return r;
}

int namespace_create(const char *name, int *ret_fd, struct error *err)
{
	char path[NAMESPACE_PATH_SIZE];
	_cleanup_close_ int lock_fd = -1;
	int fd = -1, r;

	r = namespace_check_name(name, err);
	if (r < 0)
		return r;
	namespace_path(name, path);
	r = open_path(path, &fd);
	if (r == 0 && fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	r = fileio_make_dirs(NAMESPACE_DIR, 0755);
	if (r == 0)
		lock_fd = open(NAMESPACE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The lock of ip-netns(8), which others who create this one hold, too. */
	if (r == 0 && (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0))
		r = -errno;
	if (r == 0)
		r = open_path(path, &fd);
	if (r == 0 && fd < 0) {
		r = create_at(path);
		if (r == 0)
			r = open_path(path, &fd);
	}
	if (r == -EPERM || r == -EACCES)
		return error_set(err, ERROR_FORBIDDEN, NULL,
			"cannot create network namespace %s: it takes root's rights (CAP_SYS_ADMIN)", name);
	if (r < 0)
		return error_set_errno(err, r, "cannot create network namespace %s", name);
	if (fd < 0)
		return error_set(err, ERROR_INTERNAL, NULL, "network namespace %s has gone again", name);
	*ret_fd = fd;
	return 0;
}

bool namespace_is_same(int a_fd, int b_fd)
{
	struct stat a, b;

	if ((a_fd < 0 ? stat("/proc/thread-self/ns/net", &a) : fstat(a_fd, &a)) < 0 ||
		(b_fd < 0 ? stat("/proc/thread-self/ns/net", &b) : fstat(b_fd, &b)) < 0)
		return false;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

struct call {
	int namespace_fd;
	namespace_function function;
	void *userdata;
	int result;
};

static void *run_call(void *argument)
{
	struct call *call = argument;

	if (call->namespace_fd >= 0 && setns(call->namespace_fd, CLONE_NEWNET) < 0)
		call->result = -errno;
	else
		call->result = call->function(call->userdata);
	return NULL;
}

/* All but those that the kernel raises for what a thread did wrong itself: blocked, they would end the process before a
 * handler (a sanitizer's) was asked. */
static void block_signals(sigset_t *ret_saved)
{
	static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
	sigset_t blocked;

	sigfillset(&blocked);
	for (size_t i = 0; i < ELEMENTSOF(own_faults); i++)
		sigdelset(&blocked, own_faults[i]);
	pthread_sigmask(SIG_BLOCK, &blocked, ret_saved);
}

int namespace_run(int namespace_fd, namespace_function function, void *userdata)
{
	struct call call = {namespace_fd, function, userdata, 0};
	sigset_t saved;
	pthread_t thread;
	int r;

	block_signals(&saved);
	r = pthread_create(&thread, NULL, run_call, &call);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (r != 0)
		return -r;
	pthread_join(thread, NULL);
	return call.result;
}

struct socket_call {
	int domain, type, protocol, fd;
};

static int open_socket(void *userdata)
{
	struct socket_call *call = userdata;

	call->fd = socket(call->domain, call->type | SOCK_CLOEXEC, call->protocol);
	return call->fd < 0 ? -errno : 0;
}

int namespace_socket(int namespace_fd, int domain, int type, int protocol, int *ret_fd)
{
	struct socket_call call = {domain, type, protocol, -1};
	int r = namespace_run(namespace_fd, open_socket, &call);

	if (r == 0)
		*ret_fd = call.fd;
	return r;
}
