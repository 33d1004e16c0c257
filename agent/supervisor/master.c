/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/master.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/supervisor/find.h"
#include "agent/supervisor/output.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum {
	READY_TIMEOUT_MS = 10000, /* for HAProxy to read its configuration */
	RELOAD_BEGIN_MS = 500,    /* from the signal to the first step of the reload: below 1 ms */
	SIGNALS_POLL_MS = 1,
	TERMINATE_MS = 5000, /* from SIGTERM to SIGKILL */
	KILL_MS = 5000,
	STATUS_FILE_MAX = 64 * 1024,
};

static const size_t spec_strings[] = {
	offsetof(struct supervisor_spec, lb_id),
	offsetof(struct supervisor_spec, haproxy_cmd),
	offsetof(struct supervisor_spec, directory),
	offsetof(struct supervisor_spec, config),
	offsetof(struct supervisor_spec, own_config),
	offsetof(struct supervisor_spec, master_socket),
	offsetof(struct supervisor_spec, pid_file),
	offsetof(struct supervisor_spec, log_file),
	offsetof(struct supervisor_spec, peer_name),
	offsetof(struct supervisor_spec, network_namespace),
};

static int check_spec(const struct supervisor_spec *spec, struct error *err)
{
	const struct {
		const char *what, *path;
	} paths[] = {
		{"directory", spec->directory},
		{"configuration", spec->config},
		{"own configuration", spec->own_config},
		{"master socket", spec->master_socket},
		{"pid file", spec->pid_file},
		{"log file", spec->log_file},
	};

	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		if (paths[i].path[0] != '/')
			return error_set(err, ERROR_INVALID, NULL,
				"the path of the %s is not absolute: \"%s\"", paths[i].what,
				paths[i].path);
	/* A comma ends the path in the argument of -S. */
	if (strchr(spec->master_socket, ','))
		return error_set(err, ERROR_INVALID, NULL,
			"the path of the master socket has a comma in it: \"%s\"",
			spec->master_socket);
	return spec->network_namespace ? namespace_check_name(spec->network_namespace, err) : 0;
}

static int copy_spec(struct master *m, const struct supervisor_spec *spec)
{
	for (size_t i = 0; i < ELEMENTSOF(spec_strings); i++) {
		const char *string;
		char *copy;

		memcpy(&string, (const char *)spec + spec_strings[i], sizeof(string));
		if (!string)
			continue;
		copy = strdup(string);
		if (!copy)
			return -ENOMEM;
		memcpy((char *)&m->spec + spec_strings[i], &copy, sizeof(copy));
	}
	if (asprintf(&m->socket_argument, "%s,mode,600", spec->master_socket) < 0) {
		m->socket_argument = NULL;
		return -ENOMEM;
	}
	return 0;
}

int master_init(struct master *m, const struct supervisor_spec *spec, struct error *err)
{
	struct master master = {.pidfd = -1};
	struct supervisor_spec wanted = *spec;
	int r;

	if (wanted.network_namespace && !wanted.network_namespace[0])
		wanted.network_namespace = NULL;
	r = check_spec(&wanted, err);
	if (r < 0)
		return r;
	r = copy_spec(&master, &wanted);
	if (r < 0) {
		master_done(&master);
		return error_set_errno(err, r, "%s", spec->lb_id);
	}
	*m = master;
	return 0;
}

void master_done(struct master *m)
{
	if (m->pidfd >= 0)
		close(m->pidfd);
	for (size_t i = 0; i < ELEMENTSOF(spec_strings); i++) {
		char *string;

		memcpy(&string, (const char *)&m->spec + spec_strings[i], sizeof(string));
		free(string);
	}
	free(m->socket_argument);
	*m = (struct master){.pidfd = -1};
}

int master_find(struct master *m, struct error *err)
{
	pid_t hint = process_read_pid_file(m->spec.pid_file);
	int r;

	r = find_master(m->spec.master_socket, hint, &m->pid, &m->pidfd);
	if (r < 0 && r != -ESRCH)
		return error_set_errno(err, r, "looking for a HAProxy that runs already");
	return r;
}

static void kill_orphans(const struct master *m)
{
	int n = find_and_kill_orphans(m->spec.master_socket);

	if (n > 0)
		log_lb(LOG_WARNING, m->spec.lb_id, "killed HAProxy workers without a master: %d",
			n);
	else if (n < 0)
		log_lb(LOG_WARNING, m->spec.lb_id, "looking for workers without a master: %s",
			strerror(-n));
}

int master_spawn(struct master *m, struct error *err)
{
	const struct supervisor_spec *spec = &m->spec;
	const char *argv[] = {spec->haproxy_cmd, "-W", "-db", "-C", spec->directory, "-S",
		m->socket_argument, "-p", spec->pid_file, "-f", spec->config, "-f",
		spec->own_config, spec->peer_name ? "-L" : NULL, spec->peer_name, NULL};
	_cleanup_close_ int output_fd = -1, namespace_fd = -1;
	int r;

	/* Opened anew each time: it may have been deleted and created again. */
	if (spec->network_namespace) {
		r = namespace_create(spec->network_namespace, &namespace_fd, err);
		if (r < 0)
			return r;
	}
	kill_orphans(m);
	r = output_create(spec->log_file, &output_fd);
	if (r < 0)
		return error_set_errno(err, r, "%s", spec->log_file);
	m->output_since = 0;
	r = process_spawn_detached_in(namespace_fd, argv, output_fd, &m->pid, &m->pidfd);
	if (r < 0)
		return error_set_errno(err, r, "starting %s", spec->haproxy_cmd);
	return 0;
}

bool master_runs(const struct master *m)
{
	struct pollfd poll_fd = {.fd = m->pidfd, .events = POLLIN};

	return m->pidfd >= 0 && poll(&poll_fd, 1, 0) <= 0;
}

bool master_is_elsewhere(const struct master *m)
{
	_cleanup_close_ int its_fd = -1, wanted_fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)m->pid);
	its_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (its_fd < 0 || !master_runs(m))
		return false;
	if (m->spec.network_namespace && namespace_open(m->spec.network_namespace, &wanted_fd, NULL) < 0)
		return true;
	return !namespace_is_same(its_fd, wanted_fd);
}

void master_describe_end(const struct master *m, char *ret_words, size_t size)
{
	siginfo_t info = {0};

	/* An adopted one is nobody's child here: ECHILD. */
	if (waitid((idtype_t)P_PIDFD, (id_t)m->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		info.si_pid == 0)
		snprintf(ret_words, size, "ended");
	else if (info.si_code == CLD_EXITED)
		snprintf(ret_words, size, "exited with status %d", info.si_status);
	else
		snprintf(ret_words, size, "was killed by signal %d (%s)", info.si_status,
			strsignal(info.si_status));
}

void master_forget(struct master *m)
{
	if (m->pidfd >= 0) {
		process_wait_exit(m->pidfd, 0);
		close(TAKE_FD(m->pidfd));
	}
	m->pid = 0;
}

static bool signal_set_has(const char *status, const char *name, int signal)
{
	const char *line = strstr(status, name);
	uint64_t set;

	return line && sscanf(line + strlen(name), "%" SCNx64, &set) == 1 &&
	       (set >> (signal - 1) & 1);
}

enum signal_state {
	SIGNALS_ENDED,   /* the process has */
	SIGNALS_DEAF,    /* SIGUSR2 would kill it or be lost */
	SIGNALS_BLOCKED, /* it handles one at this moment, or could not be looked at */
	SIGNALS_READY,
};

/*
 * What would SIGUSR2 do? It is taken only once HAProxy has reached its loop. Before, it would kill
 * HAProxy or be lost: HAProxy ignores it while it reads its configuration, which throws away even
 * one that the blocking around executing itself anew had kept (haproxy.c: main(),
 * mworker_reexec()). It does so at every reload, and after a start.
 */
static enum signal_state signal_state(const struct master *m)
{
	_cleanup_free_ char *status = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)m->pid);
	if (!master_runs(m))
		return SIGNALS_ENDED;
	if (fileio_read(AT_FDCWD, path, STATUS_FILE_MAX, &status, NULL) < 0)
		return SIGNALS_BLOCKED;
	if (!signal_set_has(status, "\nSigCgt:", SIGUSR2))
		return SIGNALS_DEAF;
	return signal_set_has(status, "\nSigBlk:", SIGUSR2) ? SIGNALS_BLOCKED : SIGNALS_READY;
}

/* 0, -ETIMEDOUT, or -ESRCH if it ended. */
static int wait_signal_state(const struct master *m, enum signal_state wanted, int timeout_ms)
{
	int64_t deadline = process_now_ms() + timeout_ms;

	for (;;) {
		enum signal_state state = signal_state(m);

		if (state == SIGNALS_ENDED)
			return -ESRCH;
		if (state == wanted)
			return 0;
		if (process_now_ms() >= deadline)
			return -ETIMEDOUT;
		poll(NULL, 0, SIGNALS_POLL_MS);
	}
}

int master_reload(struct master *m, struct error *err)
{
	int r;

	r = wait_signal_state(m, SIGNALS_READY, READY_TIMEOUT_MS);
	if (r == -ETIMEDOUT)
		return error_set(err, ERROR_BUSY, NULL,
			"HAProxy is busy reading its configuration and cannot reload yet");
	if (r < 0)
		return error_set_errno(err, r, "HAProxy of %s cannot reload", m->spec.lb_id);

	r = output_trim(m->spec.log_file, &m->output_since);
	if (r < 0)
		log_lb(LOG_WARNING, m->spec.lb_id, "%s: %s", m->spec.log_file, strerror(-r));
	m->output_since = output_size(m->spec.log_file);
	r = process_signal(m->pidfd, SIGUSR2);
	if (r < 0)
		return error_set_errno(err, r, "asking HAProxy to reload");
	/* Whoever asks the master's CLI from now on is not answered by the one before the reload. A
	 * HAProxy that was quicker than our look at it is as good as one that we saw. */
	wait_signal_state(m, SIGNALS_DEAF, RELOAD_BEGIN_MS);
	return 0;
}

static int signal_and_wait(const struct master *m, int signal, int timeout_ms)
{
	int r = process_signal(m->pidfd, signal);

	if (r < 0 && r != -ESRCH)
		return r;
	return process_wait_exit(m->pidfd, timeout_ms);
}

int master_finish(const struct master *m, int graceful_ms)
{
	if (graceful_ms <= 0)
		return -ETIMEDOUT;
	wait_signal_state(m, SIGNALS_READY,
		graceful_ms < READY_TIMEOUT_MS ? graceful_ms : READY_TIMEOUT_MS);
	return signal_and_wait(m, SIGUSR1, graceful_ms);
}

static int end_process(const struct master *m, int graceful_ms)
{
	int r = master_finish(m, graceful_ms);

	if (r == -ETIMEDOUT)
		r = signal_and_wait(m, SIGTERM, TERMINATE_MS);
	if (r == -ETIMEDOUT)
		r = signal_and_wait(m, SIGKILL, KILL_MS);
	return r;
}

int master_stop(struct master *m, int graceful_ms, struct error *err)
{
	const char *const files[] = {m->spec.pid_file, m->spec.master_socket};
	int r;

	if (m->pidfd >= 0) {
		r = end_process(m, graceful_ms);
		if (r < 0)
			return error_set_errno(err, r, "stopping HAProxy, process %d", (int)m->pid);
		master_forget(m);
	}
	kill_orphans(m);
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		r = fileio_unlink(AT_FDCWD, files[i]);
		if (r < 0)
			log_lb(LOG_WARNING, m->spec.lb_id, "%s: %s", files[i], strerror(-r));
	}
	return 0;
}
