/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/base/fileio.h"
#include "agent/base/namespace.h"
#include "agent/base/text.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

extern char **environ;

enum { PROC_FILE_MAX = 64 * 1024 };

int64_t process_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void process_result_done(struct process_result *result)
{
	free(result->output);
	*result = PROCESS_RESULT_INIT;
}

int process_open(pid_t pid, int *ret_pidfd)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	*ret_pidfd = fd;
	return 0;
}

pid_t process_read_pid_file(const char *path)
{
	enum { LIMIT = 64 };
	_cleanup_free_ char *content = NULL;
	int64_t pid;

	if (fileio_read_own(AT_FDCWD, path, LIMIT, &content, NULL) < 0)
		return 0;
	content[strcspn(content, "\n")] = '\0';
	return text_to_int64(content, &pid) < 0 || pid <= 1 || pid > INT_MAX ? 0 : (pid_t)pid;
}

int process_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int process_wait_exit(int pidfd, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	int64_t deadline = process_now_ms() + timeout_ms;
	siginfo_t info;

	for (;;) {
		int64_t left = deadline - process_now_ms();
		int n = poll(&poll_fd, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && left <= 0)
			return -ETIMEDOUT;
	}
	/* ECHILD: it was adopted, not started by us; init reaps it. */
	waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
	return 0;
}

int process_start_time(pid_t pid, uint64_t *ret_ticks)
{
	_cleanup_free_ char *stat = NULL;
	char path[64];
	unsigned long long ticks;
	const char *after_name;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = fileio_read(AT_FDCWD, path, 65536, &stat, NULL);
	if (r < 0)
		return r;
	/* The name stands in parentheses and may hold anything; 19 fields lie between its end and ours. */
	after_name = strrchr(stat, ')');
	if (!after_name ||
		sscanf(after_name + 1,
			" %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
			&ticks) != 1)
		return -EBADMSG;
	*ret_ticks = ticks;
	return 0;
}

struct spawn {
	const char *const *argv;
	const char *directory, *variable;
	int input_fd; /* -1: /dev/null */
	int output_fd;
	bool new_session;
	pid_t pid; /* the result */
};

static int add_actions(posix_spawn_file_actions_t *actions, const struct spawn *spawn)
{
	int r;

	r = spawn->input_fd < 0
		? posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
		: posix_spawn_file_actions_adddup2(actions, spawn->input_fd, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, spawn->output_fd, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, spawn->output_fd, STDERR_FILENO);
	if (r == 0 && spawn->directory)
		r = posix_spawn_file_actions_addchdir_np(actions, spawn->directory);
	return r;
}

/* Ours without what has the name of "variable", and that. */
static int make_environment(const char *variable, const char ***ret)
{
	size_t length = strcspn(variable, "=") + 1, n = 0, count = 0;
	const char **made;

	while (environ[count])
		count++;
	made = calloc(count + 2, sizeof(*made));
	if (!made)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], variable, length) != 0)
			made[n++] = environ[i];
	made[n] = variable;
	*ret = made;
	return 0;
}

static int call_spawn(
	struct spawn *spawn, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes)
{
	_cleanup_free_ const char **own = NULL;
	int r;

	if (spawn->variable) {
		r = make_environment(spawn->variable, &own);
		if (r < 0)
			return -r;
	}
	return posix_spawnp(&spawn->pid, spawn->argv[0], actions, attributes, (char *const *)spawn->argv,
		own ? (char *const *)own : environ);
}

/* In the namespaces of the calling thread. */
static int run_spawn(void *userdata)
{
	struct spawn *spawn = userdata;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes,
		(short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
			(spawn->new_session ? POSIX_SPAWN_SETSID : 0)));
	r = add_actions(&actions, spawn);
	if (r == 0)
		r = call_spawn(spawn, &actions, &attributes);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int spawn_in(int namespace_fd, struct spawn *spawn)
{
	return namespace_fd < 0 ? run_spawn(spawn) : namespace_run(namespace_fd, run_spawn, spawn);
}

int process_spawn_detached_with(const char *const *argv, const struct process_options *options, int output_fd,
	pid_t *ret_pid, int *ret_pidfd)
{
	struct spawn spawn = {.argv = argv,
		.variable = options->variable,
		.input_fd = -1,
		.output_fd = output_fd,
		.new_session = true};
	int r;

	r = spawn_in(options->namespace_fd, &spawn);
	if (r < 0)
		return r;
	/* It cannot be reaped by anyone before we did, so the number is still its own. */
	r = process_open(spawn.pid, ret_pidfd);
	if (r < 0) {
		kill(spawn.pid, SIGKILL);
		waitpid(spawn.pid, NULL, 0);
		return r;
	}
	*ret_pid = spawn.pid;
	return 0;
}

int process_spawn_detached_in(
	int namespace_fd, const char *const *argv, int output_fd, pid_t *ret_pid, int *ret_pidfd)
{
	struct process_options options = PROCESS_OPTIONS_INIT;

	options.namespace_fd = namespace_fd;
	return process_spawn_detached_with(argv, &options, output_fd, ret_pid, ret_pidfd);
}

int process_spawn_detached(const char *const *argv, int output_fd, pid_t *ret_pid, int *ret_pidfd)
{
	return process_spawn_detached_in(-1, argv, output_fd, ret_pid, ret_pidfd);
}

/* Reads what the program writes until it closes its output or the deadline passes. */
static int collect_output(int fd, int64_t deadline, size_t max_output, struct text *output)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	for (;;) {
		int64_t left = deadline - process_now_ms();
		char buffer[4096];
		ssize_t n;
		int ready;

		if (left <= 0)
			return -ETIMEDOUT;
		ready = poll(&poll_fd, 1, (int)left);
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready <= 0)
			continue;
		n = read(fd, buffer, sizeof(buffer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (output->length + (size_t)n > max_output)
			n = (ssize_t)(max_output - output->length);
		text_append_bytes(output, buffer, (size_t)n);
	}
}

int process_begin(
	const char *const *argv, const struct process_options *options, int timeout_ms, struct process_job *ret)
{
	struct spawn spawn = {.argv = argv,
		.directory = options->directory,
		.variable = options->variable,
		.input_fd = options->input_fd};
	_cleanup_close_ int read_fd = -1, write_fd = -1;
	int64_t deadline_ms = process_now_ms() + timeout_ms;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	read_fd = pipe_fds[0];
	write_fd = pipe_fds[1];
	spawn.output_fd = write_fd;
	r = spawn_in(options->namespace_fd, &spawn);
	if (r < 0)
		return r;
	*ret = (struct process_job){.pid = spawn.pid, .output_fd = TAKE_FD(read_fd), .deadline_ms = deadline_ms};
	return 0;
}

static int wait_until(pid_t pid, int64_t deadline_ms)
{
	struct pollfd poll_fd = {.events = POLLIN};
	_cleanup_close_ int pidfd = -1;
	int64_t left;
	int r;

	r = process_open(pid, &pidfd);
	if (r < 0)
		return r;
	poll_fd.fd = pidfd;
	left = deadline_ms - process_now_ms();
	return poll(&poll_fd, 1, left > 0 ? (int)left : 0) <= 0 ? -ETIMEDOUT : 0;
}

static int reap(struct process_job *job)
{
	int status = 0;

	close_keep_errno(job->output_fd);
	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	*job = PROCESS_JOB_INIT;
	return status;
}

int process_end(struct process_job *job, size_t max_output, struct process_result *ret)
{
	struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_text_ struct text output = TEXT_INIT;
	int status, r;

	r = collect_output(job->output_fd, job->deadline_ms, max_output, &output);
	if (r == 0)
		r = wait_until(job->pid, job->deadline_ms);
	if (r < 0)
		kill(job->pid, SIGKILL); /* our child, not reaped yet: the number is its own */
	status = reap(job);
	if (r < 0 && r != -ETIMEDOUT)
		return r;

	result.timed_out = r == -ETIMEDOUT;
	result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	r = text_finish(&output, &result.output, &result.length);
	if (r < 0)
		return r;
	*ret = result;
	return 0;
}

void process_job_done(struct process_job *job)
{
	if (job->pid == 0)
		return;
	kill(job->pid, SIGKILL);
	reap(job);
}

int process_run_with(const char *const *argv, const struct process_options *options, int timeout_ms,
	size_t max_output, struct process_result *ret)
{
	struct process_job job;
	int r;

	r = process_begin(argv, options, timeout_ms, &job);
	return r < 0 ? r : process_end(&job, max_output, ret);
}

int process_run(const char *const *argv, const char *directory, int timeout_ms, size_t max_output,
	struct process_result *ret)
{
	struct process_options options = PROCESS_OPTIONS_INIT;

	options.directory = directory;
	return process_run_with(argv, &options, timeout_ms, max_output, ret);
}

/* The first number behind a name in a text. */
static bool find_number(const char *text, const char *name, uint64_t *ret)
{
	const char *line = strstr(text, name);

	return line && sscanf(line + strlen(name), "%" SCNu64, ret) == 1;
}

int process_memory(pid_t pid, uint64_t *ret_bytes)
{
	_cleanup_free_ char *rollup = NULL, *statm = NULL;
	uint64_t kilobytes, pages;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	if (fileio_read(AT_FDCWD, path, PROC_FILE_MAX, &rollup, NULL) == 0 &&
		find_number(rollup, "\nPss:", &kilobytes)) {
		*ret_bytes = kilobytes * 1024;
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (fileio_read(AT_FDCWD, path, PROC_FILE_MAX, &statm, NULL) < 0 || !find_number(statm, " ", &pages))
		return -ESRCH;
	*ret_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

int process_parent(pid_t pid, pid_t *ret_parent)
{
	_cleanup_free_ char *status = NULL;
	uint64_t parent;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (fileio_read(AT_FDCWD, path, PROC_FILE_MAX, &status, NULL) < 0 || !find_number(status, "\nPPid:", &parent) ||
		parent > INT_MAX)
		return -ESRCH;
	*ret_parent = (pid_t)parent;
	return 0;
}
