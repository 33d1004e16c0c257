/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/systemd_unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/supervisor/environment.h"
#include "agent/supervisor/find.h"
#include "agent/supervisor/journal.h"

enum {
	START_TIMEOUT_MS =
		120 * 1000,          /* more than the unit's TimeoutStartSec= and TimeoutStopSec= */
	STOP_TIMEOUT_MS = 60 * 1000, /* more than its TimeoutStopSec=, twice: SIGTERM, SIGKILL */
};

#define TEMPLATE_FORMAT "amphora-haproxy@%s.service"

static int check_id(const char *lb_id, struct error *err)
{
	/* systemd.unit(5): anything else has to be escaped, and %i is also the name of a folder. */
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	if (!lb_id[0] || lb_id[0] == '.' || lb_id[strspn(lb_id, allowed)])
		return error_set(
			err, ERROR_INVALID, NULL, "\"%s\" cannot be the name of a unit", lb_id);
	return 0;
}

static int fill(struct systemd_unit *u, const struct supervisor_spec *spec, struct error *err)
{
	int r;

	r = master_init(&u->master, spec, err);
	if (r < 0)
		return r;
	if (asprintf(&u->name, TEMPLATE_FORMAT, spec->lb_id) < 0)
		u->name = NULL;
	if (asprintf(&u->environment, "%s/" ENVIRONMENT_FILE, spec->directory) < 0)
		u->environment = NULL;
	if (!u->name || !u->environment || bus_unit_path(u->name, &u->path) < 0)
		return error_set_errno(err, -ENOMEM, "%s", spec->lb_id);
	return 0;
}

int systemd_unit_init(struct systemd_unit *u, const struct supervisor_spec *spec, struct error *err)
{
	struct systemd_unit unit = {.master.pidfd = -1};
	int r;

	r = check_id(spec->lb_id, err);
	if (r == 0)
		r = fill(&unit, spec, err);
	if (r < 0) {
		systemd_unit_done(&unit);
		return r;
	}
	*u = unit;
	return 0;
}

void systemd_unit_done(struct systemd_unit *u)
{
	master_done(&u->master);
	free(u->name);
	free(u->path);
	free(u->environment);
	*u = (struct systemd_unit){.master.pidfd = -1};
}

void systemd_unit_mark(struct systemd_unit *u)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	u->since_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The process that the manager names, unless it has ended meanwhile. */
static void follow(struct systemd_unit *u, const struct bus_unit_state *state)
{
	if (state->main_pid != u->master.pid || !master_runs(&u->master)) {
		master_forget(&u->master);
		if (state->main_pid > 0 && process_open(state->main_pid, &u->master.pidfd) == 0)
			u->master.pid = state->main_pid;
	}
}

int systemd_unit_refresh(
	struct systemd_unit *u, struct sd_bus *bus, struct bus_unit_state *ret, struct error *err)
{
	int r = bus_read_state(bus, u->path, ret, err);

	if (r == 0)
		follow(u, ret);
	return r;
}

int systemd_unit_configure(const struct systemd_unit *u, struct error *err)
{
	return environment_write(u->environment, &u->master.spec, u->master.socket_argument, err);
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The unit file belongs to the operator. Where it does not say what we were told, HAProxy would run
 * something else, or elsewhere. */
static int check_setup(const struct systemd_unit *u, struct sd_bus *bus, struct error *err)
{
	_cleanup_(bus_unit_setup_done) struct bus_unit_setup setup = {0};
	const char *wanted = u->master.spec.network_namespace, *namespace;
	bool reads_ours = false;
	int r;

	r = bus_read_setup(bus, u->path, &setup, err);
	if (r < 0)
		return r;
	if (!streq(setup.load_state, "loaded"))
		return error_set(err, ERROR_INTERNAL, NULL,
			"%s cannot be started: its unit file is %s", u->name, setup.load_state);
	STRV_FOREACH (file, setup.environment_files)
		reads_ours = reads_ours || is_same_file(*file, u->environment);
	if (!reads_ours)
		return error_set(err, ERROR_INTERNAL, NULL,
			"%s does not have EnvironmentFile=%s: it needs a drop-in for this "
			"base_path",
			u->name, u->environment);
	/* It needs none: the environment file has HAProxy enter its namespace. */
	namespace = strrchr(setup.network_namespace, '/');
	namespace = namespace ? namespace + 1 : setup.network_namespace;
	if (namespace[0] && !streq(namespace, wanted ? wanted : ""))
		return error_set(err, ERROR_INTERNAL, NULL,
			"%s has NetworkNamespacePath=%s, the option network_namespace says \"%s\"",
			u->name, setup.network_namespace, wanted ? wanted : "");
	return 0;
}

/* A unit file of an older version knows nothing of namespaces. */
static int check_place(const struct systemd_unit *u, struct error *err)
{
	if (!master_is_elsewhere(&u->master))
		return 0;
	return error_set(err, ERROR_INTERNAL, NULL,
		"%s does not run HAProxy in the network namespace \"%s\": its ExecStart= needs $AMPHORA_ENTER", u->name,
		u->master.spec.network_namespace ? u->master.spec.network_namespace : "");
}

static int prepare_namespace(const struct systemd_unit *u, struct error *err)
{
	_cleanup_close_ int namespace_fd = -1;

	return u->master.spec.network_namespace
		? namespace_create(u->master.spec.network_namespace, &namespace_fd, err)
		: 0;
}

/* One that the direct supervisor had started, before this one was chosen. */
static int refuse_stranger(const struct systemd_unit *u, struct error *err)
{
	_cleanup_close_ int pidfd = -1;
	pid_t pid;

	if (find_master(u->master.spec.master_socket, 0, &pid, &pidfd) < 0)
		return 0;
	return error_set(err, ERROR_INTERNAL, NULL,
		"HAProxy of %s runs outside of systemd (process %d): it has to be stopped first",
		u->master.spec.lb_id, (int)pid);
}

static int run_stop(struct systemd_unit *u, struct sd_bus *bus, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *result = NULL;
	int r;

	r = bus_run_job(bus, "StopUnit", u->name, STOP_TIMEOUT_MS, &result, &problem);
	if (r == -ENOENT) /* the manager has forgotten it */
		return 0;
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, NULL, "%s", error_message(&problem));
	if (!streq(result, "done"))
		return error_set(
			err, ERROR_APPLY, NULL, "systemd: stopping %s: %s", u->name, result);
	bus_reset_failed(bus, u->name);
	return 0;
}

/* Nothing is left running. "r": what failed, with its words in "err", or 0 if HAProxy has to say
 * it. */
static int give_up_start(struct systemd_unit *u, struct sd_bus *bus, int r, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *why = NULL, *messages = NULL;

	bus_read_result(bus, u->path, &why);
	if (run_stop(u, bus, &problem) < 0)
		log_lb(LOG_WARNING, u->master.spec.lb_id, "%s may go on starting: %s", u->name,
			error_message(&problem));
	if (r < 0)
		return r;
	if (systemd_unit_messages(u, &messages) < 0 || !messages[0])
		return error_set(err, ERROR_APPLY, NULL,
			"HAProxy did not start: %s (see journalctl -u %s)",
			why ? why : "unknown reason", u->name);
	return error_set(err, ERROR_APPLY, NULL, "HAProxy did not start:\n%s", messages);
}

int systemd_unit_start(struct systemd_unit *u, struct sd_bus *bus, struct error *err)
{
	_cleanup_free_ char *result = NULL;
	struct bus_unit_state state;
	int r;

	r = systemd_unit_configure(u, err);
	if (r == 0)
		r = prepare_namespace(u, err);
	if (r == 0)
		r = check_setup(u, bus, err);
	if (r == 0)
		r = refuse_stranger(u, err);
	if (r < 0)
		return r;
	systemd_unit_mark(u);
	/* Not StartUnit: systemd may have restarted it this very moment, with what stood there
	 * before. */
	r = bus_run_job(bus, "RestartUnit", u->name, START_TIMEOUT_MS, &result, err);
	if (r == 0)
		r = systemd_unit_refresh(u, bus, &state, err);
	if (r < 0 || !streq(result, "done") || !state.up || u->master.pid == 0)
		return give_up_start(u, bus, r, err);
	r = check_place(u, err);
	return r < 0 ? give_up_start(u, bus, r, err) : 0;
}

static void remove_files(const struct systemd_unit *u)
{
	const char *const files[] = {u->master.spec.pid_file, u->master.spec.master_socket};

	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		int r = fileio_unlink(AT_FDCWD, files[i]);

		if (r < 0)
			log_lb(LOG_WARNING, u->master.spec.lb_id, "%s: %s", files[i], strerror(-r));
	}
}

int systemd_unit_stop(
	struct systemd_unit *u, struct sd_bus *bus, int graceful_ms, struct error *err)
{
	struct bus_unit_state state;
	int r;

	r = systemd_unit_refresh(u, bus, &state, err);
	if (r < 0)
		return r;
	/* Its end makes systemd restart it after a moment: the job comes before that. */
	if (master_runs(&u->master))
		master_finish(&u->master, graceful_ms);
	r = run_stop(u, bus, err);
	if (r == 0)
		remove_files(u);
	return r;
}

int systemd_unit_disable(const struct systemd_unit *u, struct sd_bus *bus, struct error *err)
{
	int r;

	r = bus_set_enabled(bus, u->name, false, err);
	if (r < 0)
		return r;
	r = fileio_unlink(AT_FDCWD, u->environment);
	return r < 0 ? error_set_errno(err, r, "cannot remove %s", u->environment) : 0;
}

int systemd_unit_messages(const struct systemd_unit *u, char **ret_text)
{
	journal_sync();
	return journal_read(u->name, u->since_us, ret_text);
}
