/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/cleanup.h"
#include "agent/supervisor/find.h"

/*
 * A master that is not there yet: within execve(2) the command line in /proc is empty for an instant. prctl(2),
 * PR_SET_MM_MAP, makes that instant as long as a test likes.
 */

#define SOCKET_FORMAT "/nonexistent/find-%d.sock"

enum { EMPTY_MS = 60 };

/* Fields 26, 27, 28 and 45 to 51 of proc_pid_stat(5). */
static bool read_map(struct prctl_mm_map *ret)
{
	_cleanup_close_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	char text[2048] = "", *word, *rest;
	unsigned long long fields[64] = {0};

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	word = strrchr(text, ')');
	if (!word)
		return false;
	rest = word + 1;
	for (int i = 3; i < 64 && (word = strsep(&rest, " \n"));)
		if (*word)
			fields[i++] = strtoull(word, NULL, 10);
	*ret = (struct prctl_mm_map){
		.start_code = fields[26],
		.end_code = fields[27],
		.start_stack = fields[28],
		.start_data = fields[45],
		.end_data = fields[46],
		.start_brk = fields[47],
		.brk = (uintptr_t)sbrk(0),
		.arg_start = fields[48],
		.arg_end = fields[49],
		.env_start = fields[50],
		.env_end = fields[51],
		.exe_fd = UINT32_MAX,
	};
	return true;
}

static bool set_arguments(struct prctl_mm_map *map, const char *start, size_t length)
{
	map->arg_start = (uintptr_t)start;
	map->arg_end = map->arg_start + length;
	return prctl(PR_SET_MM, PR_SET_MM_MAP, map, sizeof(*map), 0) == 0;
}

/* "ready" hears 'y' when the command line is empty, 'n' if that cannot be done here. */
static _Noreturn void be_a_master(const char *line, size_t length, int ready)
{
	struct prctl_mm_map map;
	bool done;

	setsid();
	done = read_map(&map) && set_arguments(&map, line, 0);
	if (write(ready, done ? "y" : "n", 1) != 1 || !done)
		_exit(1);
	usleep(EMPTY_MS * 1000);
	set_arguments(&map, line, length);
	for (;;)
		pause();
}

static void test_within_execve(void **state _unused_)
{
	char line[128] = "haproxy\0-W\0-S", socket[64], answer = 0;
	_cleanup_close_ int pidfd = -1;
	pid_t child, found = 0;
	size_t length;
	int pipe_fds[2], r = 0;

	snprintf(socket, sizeof(socket), SOCKET_FORMAT, (int)getpid());
	length = sizeof("haproxy\0-W\0-S");
	length += (size_t)snprintf(line + length, sizeof(line) - length, "%s,mode,600", socket) + 1;
	assert_int_equal(find_master(socket, 0, &found, &pidfd), -ESRCH);

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		be_a_master(line, length, pipe_fds[1]);
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &answer, 1), 1);
	close(pipe_fds[0]);
	if (answer == 'y')
		r = find_master(socket, 0, &found, &pidfd);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (answer != 'y') {
		print_message("this kernel has no PR_SET_MM_MAP\n");
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(found, child);
	/* Ended: it is nobody's, and nobody waits for it. */
	assert_int_equal(find_master(socket, child, &found, &pidfd), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_within_execve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
