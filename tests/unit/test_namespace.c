/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/base/namespace.h"
#include "agent/base/text.h"

/* Where the namespaces are is a place of the whole machine: the test has mounts of its own. */
static bool privileged;

static int set_up(void **state)
{
	(void)state;
	privileged = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount("", "/", "none", MS_PRIVATE | MS_REC, NULL) == 0 && mount("tmpfs", "/run", "tmpfs", 0, NULL) == 0;
	return 0;
}

static void need_privileges(void)
{
	if (!privileged) {
		print_message("[  SKIPPED ] needs root and mounts of its own\n");
		skip();
	}
}

static void test_names(void **state)
{
	char long_name[300];

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(namespace_check_name("amphora-haproxy", NULL), 0);
	assert_int_equal(namespace_check_name("", NULL), -EINVAL);
	assert_int_equal(namespace_check_name(".", NULL), -EINVAL);
	assert_int_equal(namespace_check_name("..", NULL), -EINVAL);
	assert_int_equal(namespace_check_name("../../etc/passwd", NULL), -EINVAL);
	assert_int_equal(namespace_check_name("a\nb", NULL), -EINVAL);
	assert_int_equal(namespace_check_name(long_name, NULL), -EINVAL);
	long_name[255] = '\0';
	assert_int_equal(namespace_check_name(long_name, NULL), 0);
}

static int loopback_is_up(void *userdata)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)userdata;
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	close(fd);
	return request.ifr_flags & IFF_UP ? 1 : 0;
}

static void test_create(void **state)
{
	_cleanup_close_ int fd = -1, again_fd = -1, other_fd = -1;
	_cleanup_error_ struct error problem = ERROR_INIT;

	(void)state;
	need_privileges();
	assert_int_equal(namespace_open("one", &fd, &problem), -ENOENT);
	assert_int_equal(problem.code, ERROR_NOT_FOUND);
	assert_int_equal(fd, -1);
	assert_int_equal(namespace_create("one", &fd, &problem), 0);
	assert_int_equal(namespace_run(fd, loopback_is_up, NULL), 1);
	assert_int_equal(namespace_create("one", &again_fd, &problem), 0);
	assert_true(namespace_is_same(fd, again_fd));
	assert_int_equal(namespace_create("two", &other_fd, &problem), 0);
	assert_false(namespace_is_same(fd, other_fd));
	assert_false(namespace_is_same(-1, fd));
	assert_true(namespace_is_same(-1, -1));
	/* What stays is not held by our descriptors. */
	close(TAKE_FD(fd));
	assert_int_equal(namespace_open("one", &fd, &problem), 0);
	assert_true(namespace_is_same(fd, again_fd));
}

/* A crash between the creation of the file and the mount leaves a file that is no namespace. */
static void test_left_half_made(void **state)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_close_ int fd = -1;

	(void)state;
	need_privileges();
	mkdir(NAMESPACE_DIR, 0755);
	close(open(NAMESPACE_DIR "/half", O_CREAT | O_WRONLY, 0));
	assert_int_equal(namespace_open("half", &fd, &problem), -ENOENT);
	error_done(&problem);
	assert_int_equal(namespace_create("half", &fd, &problem), 0);
	assert_int_equal(namespace_run(fd, loopback_is_up, NULL), 1);
}

static int number_of_interfaces(void *userdata)
{
	struct if_nameindex *names = if_nameindex();
	int n = 0;

	(void)userdata;
	assert_non_null(names);
	while (names[n].if_index)
		n++;
	if_freenameindex(names);
	return n;
}

static void test_where_things_run(void **state)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_close_ int fd = -1, socket_fd = -1, before_fd = -1;
	struct ifreq request = {.ifr_ifindex = 1};

	(void)state;
	need_privileges();
	before_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(namespace_create("three", &fd, &problem), 0);
	assert_int_equal(namespace_run(fd, number_of_interfaces, NULL), 1);
	assert_int_equal(namespace_run(-1, number_of_interfaces, NULL), number_of_interfaces(NULL));
	assert_int_equal(namespace_socket(fd, AF_INET, SOCK_DGRAM, 0, &socket_fd), 0);
	assert_int_equal(ioctl(socket_fd, SIOCGIFNAME, &request), 0);
	assert_string_equal(request.ifr_name, "lo");
	request.ifr_ifindex = 2;
	assert_int_equal(ioctl(socket_fd, SIOCGIFNAME, &request), -1);
	assert_int_equal(errno, ENODEV);
	assert_true(fcntl(socket_fd, F_GETFD) & FD_CLOEXEC);
	/* We ourselves never left. */
	assert_true(namespace_is_same(-1, before_fd));
}

static int never(void *userdata)
{
	(void)userdata;
	return 0;
}

static void test_no_namespace(void **state)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(namespace_run(fd, never, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_left_half_made),
		cmocka_unit_test(test_where_things_run),
		cmocka_unit_test(test_no_namespace),
	};

	return cmocka_run_group_tests_name("namespace", tests, set_up, NULL);
}
