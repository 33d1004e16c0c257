/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/process.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/supervisor/output.h"

enum {
	CONFIG_LIMIT = 16 * 1024 * 1024,
	COMMAND_LINE_MAX = 64 * 1024,
	READY_POLL_MS = 20,
	CHILDREN_MS = 3000,
	TERMINATE_MS = 10000,
	KILL_MS = 5000,
	TEST_TIMEOUT_MS = 30000,
	TEST_OUTPUT_MAX = 64 * 1024,
	/* lib/utils.h: KEEPALIVED_EXIT_CONFIG_TEST and KEEPALIVED_EXIT_CONFIG_TEST_SECURITY */
	EXIT_TEST = 5,
	EXIT_TEST_SECURITY = 6,
};

/* "-f CONFIG" among the arguments, which are NUL-separated (proc(5)). */
static bool runs_config(pid_t pid, const char *config)
{
	_cleanup_free_ char *line = NULL;
	bool after_f = false;
	char path[64];
	size_t length;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (fileio_read(AT_FDCWD, path, COMMAND_LINE_MAX, &line, &length) < 0)
		return false;
	for (const char *p = line; p < line + length; p += strlen(p) + 1) {
		if (after_f && streq(p, config))
			return true;
		after_f = streq(p, "-f");
	}
	return false;
}

bool keepalived_process_has_ended(int pidfd)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) != 0;
}

int keepalived_process_find(const struct keepalived_spec *spec, pid_t *ret_pid, int *ret_pidfd)
{
	_cleanup_close_ int pidfd = -1;
	pid_t pid = process_read_pid_file(spec->pid_file);

	/* Opened before the look and alive after it: the same process. */
	if (pid == 0 || process_open(pid, &pidfd) < 0 || !runs_config(pid, spec->config) ||
		keepalived_process_has_ended(pidfd))
		return -ESRCH;
	*ret_pid = pid;
	*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}

static int open_namespace(const struct keepalived_spec *spec, int *ret_fd, struct error *err)
{
	*ret_fd = -1;
	return spec->network_namespace ? namespace_open(spec->network_namespace, ret_fd, err) : 0;
}

/* It looks for this machine's full name before anything else (get_local_name(), for its default router_id). Where names are
 * not known to /etc/hosts and no name server answers, that takes twice five seconds a server: resolv.conf(5). */
static const char quick_resolver[] = "RES_OPTIONS=timeout:1 attempts:1";

int keepalived_process_spawn(const struct keepalived_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	const char *argv[] = {spec->command, "-n", "-l", "-G", "-f", spec->config, "-p", spec->pid_file,
		"-r", spec->vrrp_pid_file, "-c", spec->check_pid_file, NULL};
	_cleanup_close_ int output_fd = -1, namespace_fd = -1;
	struct process_options options = PROCESS_OPTIONS_INIT;
	int r;

	r = open_namespace(spec, &namespace_fd, err);
	if (r < 0)
		return r;
	options.namespace_fd = namespace_fd;
	options.variable = quick_resolver;
	r = output_create(spec->log_file, &output_fd);
	if (r < 0)
		return error_set_errno(err, r, "%s", spec->log_file);
	r = process_spawn_detached_with(argv, &options, output_fd, ret_pid, ret_pidfd);
	return r < 0 ? error_set_errno(err, r, "starting %s", spec->command) : 0;
}

/* Before, a SIGHUP would end it. It reads its signals from a descriptor (signalfd(2)), so they are blocked. */
static bool takes_reload(pid_t pid)
{
	_cleanup_free_ char *status = NULL;
	unsigned long long blocked;
	const char *line;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (fileio_read(AT_FDCWD, path, COMMAND_LINE_MAX, &status, NULL) < 0)
		return false;
	line = strstr(status, "\nSigBlk:");
	return line && sscanf(line, "\nSigBlk: %llx", &blocked) == 1 && (blocked >> (SIGHUP - 1) & 1);
}

/* Which children there have to be. */
static void read_expected(const struct keepalived_spec *spec, bool *ret_vrrp, bool *ret_lvs)
{
	_cleanup_free_ char *text = NULL;

	*ret_vrrp = *ret_lvs = false;
	if (fileio_read(AT_FDCWD, spec->config, CONFIG_LIMIT, &text, NULL) < 0)
		return;
	*ret_vrrp = strstr(text, "\nvrrp_instance ") || text_after_prefix(text, "vrrp_instance ");
	*ret_lvs = strstr(text, "real_server ") != NULL; /* a virtual server without any is passed over */
}

/* "file": below /proc/PID, NULL: nothing more than that it lives. */
static bool child_works(const char *pid_file, const char *file)
{
	pid_t pid = process_read_pid_file(pid_file);
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file ? file : "");
	return pid > 0 && access(path, F_OK) == 0;
}

int keepalived_process_wait_ready(const struct keepalived_spec *spec, int child_pidfd, int timeout_ms)
{
	int64_t deadline = process_now_ms() + timeout_ms, children_by = 0;
	_cleanup_close_ int pidfd = -1;
	bool vrrp, lvs;
	pid_t pid = 0;

	read_expected(spec, &vrrp, &lvs);
	for (;;) {
		if ((pidfd >= 0 && keepalived_process_has_ended(pidfd)) ||
			(child_pidfd >= 0 && keepalived_process_has_ended(child_pidfd)))
			return -ESRCH;
		if (pidfd < 0)
			keepalived_process_find(spec, &pid, &pidfd);
		if (pidfd >= 0 && takes_reload(pid)) {
			/* The file is there when IPVS is. */
			if ((!vrrp || child_works(spec->vrrp_pid_file, NULL)) &&
				(!lvs || child_works(spec->check_pid_file, "net/ip_vs")))
				return 0;
			/* It may have found nothing to do for them. */
			if (children_by == 0)
				children_by = process_now_ms() + CHILDREN_MS;
			if (process_now_ms() >= children_by)
				return 0;
		}
		if (process_now_ms() >= deadline)
			return -ETIMEDOUT;
		poll(NULL, 0, READY_POLL_MS);
	}
}

int keepalived_process_reload(const struct keepalived_spec *spec, int pidfd)
{
	int r = process_signal(pidfd, SIGHUP);

	if (r == 0 && utimensat(AT_FDCWD, spec->check_pid_file, NULL, AT_SYMLINK_NOFOLLOW) < 0 &&
		errno != ENOENT)
		log_warning("%s: %m", spec->check_pid_file);
	return r;
}

void keepalived_process_remove_files(const struct keepalived_spec *spec)
{
	const char *const files[] = {spec->pid_file, spec->vrrp_pid_file, spec->check_pid_file};

	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (unlink(files[i]) < 0 && errno != ENOENT)
			log_warning("%s: %m", files[i]);
}

int keepalived_process_stop(const struct keepalived_spec *spec, int pidfd)
{
	int r = process_signal(pidfd, SIGTERM);

	if (r == 0)
		r = process_wait_exit(pidfd, TERMINATE_MS);
	if (r == -ETIMEDOUT) {
		process_signal(pidfd, SIGKILL);
		r = process_wait_exit(pidfd, KILL_MS);
	}
	if (r < 0 && r != -ESRCH)
		return r;
	keepalived_process_remove_files(spec);
	return 0;
}

/* keepalived has one exit status for all that it does not like, and goes on without most of it: a pool that has no members
 * yet, weights of 0. What it did not understand is another matter. */
static bool is_mistake(const char *line, size_t length)
{
	static const char *const words[] = {"nknown", "nmatched", "nexpected", "nvalid", "missing", "on-existent"};

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		if (memmem(line, length, words[i], strlen(words[i])))
			return true;
	return false;
}

static bool has_mistakes(const char *output)
{
	size_t length;

	for (; *output; output += length + (output[length] == '\n')) {
		length = strcspn(output, "\n");
		if (is_mistake(output, length))
			return true;
	}
	return false;
}

static void log_lines(const struct keepalived_spec *spec, const char *output)
{
	static const char usual[] = "SECURITY VIOLATION"; /* scripts without "script_security": all of Octavia's */
	size_t length;

	for (; *output; output += length + (output[length] == '\n')) {
		length = strcspn(output, "\n");
		if (length > 0 && !memmem(output, length, usual, strlen(usual)))
			log_warning("%s: %.*s", spec->name, (int)length, output);
	}
}

int keepalived_process_test(const struct keepalived_spec *spec, const char *config, struct error *err)
{
	const char *argv[] = {spec->command, "-t", "-f", config, NULL};
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	struct process_options options = PROCESS_OPTIONS_INIT;
	_cleanup_close_ int namespace_fd = -1;
	int r;

	r = open_namespace(spec, &namespace_fd, err);
	if (r < 0)
		return r;
	options.namespace_fd = namespace_fd;
	options.variable = quick_resolver;
	r = process_run_with(argv, &options, TEST_TIMEOUT_MS, TEST_OUTPUT_MAX, &result);
	if (r == -ENOENT)
		return error_set(err, ERROR_UNSUPPORTED, NULL, "%s is missing: without keepalived this cannot be served",
			spec->command);
	if (r < 0)
		return error_set_errno(err, r, "running %s", spec->command);
	output_make_harmless(result.output, result.length);
	if (result.exit_status == 0 || result.exit_status == EXIT_TEST_SECURITY ||
		(result.exit_status == EXIT_TEST && !has_mistakes(result.output))) {
		log_lines(spec, result.output);
		return 0;
	}
	return error_set(err, ERROR_INVALID, NULL, "%s",
		result.timed_out   ? "keepalived does not come to an end with it"
		: result.output[0] ? result.output
				   : "keepalived refuses it");
}
