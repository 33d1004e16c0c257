/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

enum { DEADLINE_MS = 20000 };

#define RUN(result, timeout_ms, limit, ...) \
	process_run((const char *const[]){__VA_ARGS__, NULL}, NULL, timeout_ms, limit, result)

static void test_output_and_status(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;

	(void)state;
	assert_int_equal(
		RUN(&result, DEADLINE_MS, 100, "sh", "-c", "echo out; echo err >&2; exit 3"), 0);
	assert_string_equal(result.output, "out\nerr\n");
	assert_int_equal(result.length, 8);
	assert_int_equal(result.exit_status, 3);
	assert_int_equal(result.signal, 0);
	assert_false(result.timed_out);
}

static void test_no_output(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;

	(void)state;
	assert_int_equal(RUN(&result, DEADLINE_MS, 100, "true"), 0);
	assert_string_equal(result.output, "");
	assert_int_equal(result.exit_status, 0);
}

static void test_programs_that_cannot_be_run(void **state)
{
	struct process_result result = PROCESS_RESULT_INIT;

	(void)state;
	assert_int_equal(RUN(&result, DEADLINE_MS, 100, "/no/such/program"), -ENOENT);
	assert_int_equal(RUN(&result, DEADLINE_MS, 100, "/etc/passwd"), -EACCES);
	assert_int_equal(process_run((const char *const[]){"true", NULL}, "/no/such/folder",
				 DEADLINE_MS, 100, &result),
		-ENOENT);
	assert_null(result.output);
}

static void test_end_by_signal(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;

	(void)state;
	assert_int_equal(RUN(&result, DEADLINE_MS, 100, "sh", "-c", "kill -TERM $$"), 0);
	assert_int_equal(result.exit_status, -1);
	assert_int_equal(result.signal, SIGTERM);
	assert_false(result.timed_out);
}

static void test_timeout(void **state)
{
	static const char *const scripts[] = {
		"echo begun; exec sleep 1000", "echo begun; exec >&- 2>&-; exec sleep 1000"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
		_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
		int64_t started = process_now_ms();

		assert_int_equal(RUN(&result, 300, 100, "sh", "-c", scripts[i]), 0);
		assert_true(result.timed_out);
		assert_string_equal(result.output, "begun\n");
		assert_int_equal(result.signal, SIGKILL);
		assert_in_range(process_now_ms() - started, 290, DEADLINE_MS);
	}
}

/* What is over the limit is read and dropped: the program does not get stuck in a full pipe. */
/* In two steps: what is not waited for is killed and reaped. */
static void test_two_steps(void **state)
{
	const char *const greet[] = {"sh", "-c", "echo done; exit 4", NULL}, *const forever[] = {"sleep", "1000", NULL};
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	const struct process_options options = PROCESS_OPTIONS_INIT;
	struct process_job first = PROCESS_JOB_INIT, second = PROCESS_JOB_INIT;
	pid_t pid;

	(void)state;
	assert_int_equal(process_begin(greet, &options, DEADLINE_MS, &first), 0);
	assert_int_equal(process_begin(forever, &options, DEADLINE_MS, &second), 0);
	pid = second.pid;
	assert_int_equal(kill(pid, 0), 0);
	process_job_done(&second);
	process_job_done(&second);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(process_end(&first, 100, &result), 0);
	assert_int_equal(first.pid, 0);
	assert_string_equal(result.output, "done\n");
	assert_int_equal(result.exit_status, 4);
	assert_int_equal(process_begin((const char *const[]){"/no/such/program", NULL}, &options, DEADLINE_MS, &first), -ENOENT);
	assert_int_equal(first.pid, 0);
}

static void test_long_output(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;

	(void)state;
	assert_int_equal(RUN(&result, DEADLINE_MS, 1000, "head", "-c", "1000000", "/dev/zero"), 0);
	assert_int_equal(result.exit_status, 0);
	assert_int_equal(result.length, 1000);
	assert_int_equal(result.output[1000], '\0');
}

/* Signals as a program expects them, stdin empty, and no descriptor but the three. */
static void test_environment_of_a_program(void **state)
{
	static const char script[] = "pwd; cat; grep SigBlk /proc/self/status; kill -USR1 $$";
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT,
							     list = PROCESS_RESULT_INIT;
	_cleanup_close_ int open_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int high_fd = fcntl(open_fd, F_DUPFD_CLOEXEC, 543);
	sigset_t blocked, before;

	(void)state;
	assert_int_equal(high_fd, 543);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &blocked, &before);
	signal(SIGUSR1, SIG_IGN);
	assert_int_equal(process_run((const char *const[]){"sh", "-c", script, NULL}, "/usr",
				 DEADLINE_MS, 4096, &result),
		0);
	signal(SIGUSR1, SIG_DFL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_string_equal(result.output, "/usr\nSigBlk:\t0000000000000000\n");
	assert_int_equal(result.signal, SIGUSR1);
	assert_int_equal(RUN(&list, DEADLINE_MS, 4096, "ls", "/proc/self/fd"), 0);
	assert_non_null(text_after_prefix(list.output, "0\n1\n"));
	assert_null(strstr(list.output, "543"));
}

static void wait_for_text(const char *path, const char *wanted)
{
	int64_t deadline = process_now_ms() + DEADLINE_MS;

	for (;;) {
		_cleanup_free_ char *text = NULL;

		if (fileio_read(AT_FDCWD, path, 4096, &text, NULL) == 0 && streq(text, wanted))
			return;
		if (process_now_ms() > deadline)
			fail_msg("%s: %s, not %s", path, text ? text : "missing", wanted);
		poll(NULL, 0, 10);
	}
}

static void test_detached(void **state)
{
	char path[] = "/tmp/test-process-XXXXXX";
	_cleanup_close_ int output_fd = mkostemp(path, O_CLOEXEC), pidfd = -1, other = -1;
	uint64_t ticks = 0, again = 0;
	pid_t pid = 0;

	(void)state;
	assert_true(output_fd >= 0);
	assert_int_equal(
		process_spawn_detached((const char *const[]){"sh", "-c",
					       "echo out; echo err >&2; exec sleep 1000", NULL},
			output_fd, &pid, &pidfd),
		0);
	assert_int_equal(getsid(pid), pid);
	assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	wait_for_text(path, "out\nerr\n");
	assert_int_equal(process_wait_exit(pidfd, 0), -ETIMEDOUT);
	assert_int_equal(process_wait_exit(pidfd, 50), -ETIMEDOUT);
	assert_int_equal(process_open(pid, &other), 0);
	assert_int_equal(process_start_time(pid, &ticks), 0);
	assert_int_equal(process_start_time(pid, &again), 0);
	assert_true(ticks > 0);
	assert_int_equal(ticks, again);
	assert_int_equal(process_signal(pidfd, SIGTERM), 0);
	assert_int_equal(process_wait_exit(pidfd, DEADLINE_MS), 0);
	/* Reaped: the number is free, and the pidfd still means the one that ended. */
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(process_signal(pidfd, SIGTERM), -ESRCH);
	assert_int_equal(process_signal(other, 0), -ESRCH);
	assert_int_equal(process_wait_exit(pidfd, 0), 0);
	unlink(path);
}

static void test_detached_that_cannot_be_run(void **state)
{
	pid_t pid = 7;
	int pidfd = -1;

	(void)state;
	assert_int_equal(process_spawn_detached((const char *const[]){"/no/such/program", NULL},
				 STDERR_FILENO, &pid, &pidfd),
		-ENOENT);
	assert_int_equal(pid, 7);
	assert_int_equal(pidfd, -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* Field 22 of proc(5), also when the name of the program looks like more fields. */
static void test_start_time(void **state)
{
	char directory[] = "/tmp/test-process-XXXXXX", path[64];
	_cleanup_close_ int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC), pidfd = -1;
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_free_ char *command = NULL;
	uint64_t ticks = 0;
	int64_t wanted = 0;
	pid_t pid = 0;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a) R 1 2 (b", directory);
	assert_int_equal(symlink("/bin/sleep", path), 0);
	assert_int_equal(process_spawn_detached(
				 (const char *const[]){path, "1000", NULL}, null_fd, &pid, &pidfd),
		0);
	assert_int_equal(process_start_time(pid, &ticks), 0);
	assert_true(
		asprintf(&command, "sed 's/.*) //' /proc/%d/stat | cut -d' ' -f20 | tr -d '\\n'",
			(int)pid) > 0);
	assert_int_equal(RUN(&result, DEADLINE_MS, 100, "sh", "-c", command), 0);
	assert_int_equal(text_to_int64(result.output, &wanted), 0);
	assert_int_equal(ticks, wanted);
	assert_int_equal(process_signal(pidfd, SIGKILL), 0);
	assert_int_equal(process_wait_exit(pidfd, DEADLINE_MS), 0);
	assert_int_equal(process_start_time(pid, &ticks), -ENOENT);
	fileio_remove_tree(AT_FDCWD, directory);
}

static void test_input(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	struct process_options options = PROCESS_OPTIONS_INIT;
	_cleanup_close_ int fd = memfd_create("input", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(fileio_write_all(fd, "some words", 10), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	options.input_fd = fd;
	options.directory = "/usr";
	assert_int_equal(process_run_with((const char *const[]){"sh", "-c", "cat; pwd", NULL}, &options, DEADLINE_MS, 100,
				 &result),
		0);
	assert_string_equal(result.output, "some words/usr\n");
}

/* What makes a namespace's name: the link's text. */
static int our_namespace(void *userdata)
{
	return readlink("/proc/thread-self/ns/net", userdata, 63) < 0 ? -errno : 0;
}

static void test_network_namespace(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	struct process_options options = PROCESS_OPTIONS_INIT;
	_cleanup_close_ int holder_fd = -1, null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC), pidfd = -1;
	_cleanup_close_ int namespace_fd = -1;
	char path[64], inside[64] = "", outside[64] = "", seen[64] = "";
	pid_t pid;

	(void)state;
	/* A program that lives in a namespace of its own for as long as its stdin is open. */
	if (process_spawn_detached((const char *const[]){"unshare", "-n", "sleep", "1000", NULL}, null_fd, &pid,
		    &holder_fd) < 0)
		skip();
	assert_int_equal(our_namespace(outside), 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	for (int64_t end = process_now_ms() + DEADLINE_MS; process_now_ms() < end; poll(NULL, 0, 5)) {
		memset(inside, 0, sizeof(inside));
		if (readlink(path, inside, sizeof(inside) - 1) < 0 || !streq(inside, outside))
			break;
	}
	if (!inside[0] || streq(inside, outside)) {
		process_signal(holder_fd, SIGKILL);
		process_wait_exit(holder_fd, DEADLINE_MS);
		print_message("[  SKIPPED ] network namespaces need root\n");
		skip();
	}
	namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
	options.namespace_fd = namespace_fd;
	assert_int_equal(process_run_with((const char *const[]){"readlink", "-n", "/proc/self/ns/net", NULL}, &options,
				 DEADLINE_MS, 100, &result),
		0);
	assert_string_equal(result.output, inside);
	assert_int_equal(process_spawn_detached_in(namespace_fd, (const char *const[]){"sleep", "1000", NULL}, null_fd,
				 &pid, &pidfd),
		0);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	assert_true(readlink(path, seen, sizeof(seen) - 1) > 0);
	assert_string_equal(seen, inside);
	/* A child of ours, whichever thread had started it. */
	assert_int_equal(process_signal(pidfd, SIGKILL), 0);
	assert_int_equal(process_wait_exit(pidfd, DEADLINE_MS), 0);
	assert_int_equal(waitpid(pid, NULL, 0), -1);
	memset(seen, 0, sizeof(seen));
	assert_int_equal(our_namespace(seen), 0);
	assert_string_equal(seen, outside);
	process_signal(holder_fd, SIGKILL);
	process_wait_exit(holder_fd, DEADLINE_MS);
	/* What is no namespace. */
	options.namespace_fd = null_fd;
	assert_int_equal(process_run_with((const char *const[]){"true", NULL}, &options, DEADLINE_MS, 100, &result),
		-EINVAL);
}

static void test_processes_that_do_not_exist(void **state)
{
	int pidfd = -1;

	(void)state;
	assert_int_equal(process_open(0x3fffffff, &pidfd), -ESRCH);
	assert_int_equal(process_open(-1, &pidfd), -EINVAL);
	assert_int_equal(pidfd, -1);
}

static void test_variable_for_the_program(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	struct process_options options = PROCESS_OPTIONS_INIT;

	(void)state;
	assert_int_equal(setenv("TEST_VARIABLE", "ours", 1), 0);
	options.variable = "TEST_VARIABLE=its own";
	assert_int_equal(process_run_with((const char *const[]){"sh", "-c", "printf '%s' \"$TEST_VARIABLE $HOME\"", NULL},
				 &options, DEADLINE_MS, 1000, &result),
		0);
	assert_true(text_after_prefix(result.output, "its own ") != NULL);
	/* The rest of the environment is there, and ours is as it was. */
	assert_string_equal(text_after_prefix(result.output, "its own "), getenv("HOME") ? getenv("HOME") : "");
	assert_string_equal(getenv("TEST_VARIABLE"), "ours");
}

static void test_pid_files(void **state)
{
	static const struct {
		const char *content;
		pid_t pid;
	} rows[] = {{"4711\n", 4711}, {"4711", 4711}, {"4711\n4712\n", 4711}, {"1\n", 0}, {"-4711\n", 0}, {"99999999999\n", 0},
		{"4711 x\n", 0}, {"", 0}};
	char directory[] = "/tmp/test-process-XXXXXX", path[64], link[64];

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/pid", directory);
	snprintf(link, sizeof(link), "%s/link", directory);
	assert_int_equal(process_read_pid_file(path), 0);
	assert_int_equal(symlink("pid", link), 0);
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		assert_int_equal(fileio_write_volatile(AT_FDCWD, path, rows[i].content, strlen(rows[i].content), 0600), 0);
		assert_int_equal(process_read_pid_file(path), rows[i].pid);
		assert_int_equal(process_read_pid_file(link), 0);
	}
	assert_int_equal(fileio_remove_tree(AT_FDCWD, directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_status),
		cmocka_unit_test(test_no_output),
		cmocka_unit_test(test_programs_that_cannot_be_run),
		cmocka_unit_test(test_end_by_signal),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_two_steps),
		cmocka_unit_test(test_long_output),
		cmocka_unit_test(test_environment_of_a_program),
		cmocka_unit_test(test_detached),
		cmocka_unit_test(test_detached_that_cannot_be_run),
		cmocka_unit_test(test_start_time),
		cmocka_unit_test(test_pid_files),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_network_namespace),
		cmocka_unit_test(test_variable_for_the_program),
		cmocka_unit_test(test_processes_that_do_not_exist),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
