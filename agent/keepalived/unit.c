/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/unit.h"

#include <string.h>
#include <sys/stat.h>

#include "agent/base/text.h"
#include "agent/supervisor/environment.h"
#include "agent/supervisor/systemd_bus.h"

enum {
	CALL_TIMEOUT_MS = 10000,
	JOB_TIMEOUT_MS = 60000, /* more than the unit's TimeoutStopSec= and a start */
};

/* The unit splits the variable at blanks. */
static int append_options(struct text *text, const struct keepalived_spec *spec, struct error *err)
{
	_cleanup_free_ char *options = NULL;

	/* Blanks in a path would make two words of it. */
	if (strpbrk(spec->vrrp_pid_file, " \t\"'\\") || strpbrk(spec->check_pid_file, " \t\"'\\"))
		return error_set(err, ERROR_INVALID, NULL, "systemd cannot run keepalived in \"%s\"", spec->check_pid_file);
	if (asprintf(&options, "--log-facility=%lld -r %s -c %s", (long long)spec->log_facility, spec->vrrp_pid_file,
		    spec->check_pid_file) < 0) {
		options = NULL;
		return error_set_errno(err, -ENOMEM, "environment");
	}
	return environment_append(text, "AMPHORA_OPTIONS", options, err);
}

static int write_environment(const struct keepalived_spec *spec, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	int r;

	r = environment_check_command(spec->command, err);
	if (r == 0)
		r = environment_append(&text, "AMPHORA_KEEPALIVED", spec->command, err);
	if (r == 0)
		r = environment_append(&text, "AMPHORA_CONFIG", spec->config, err);
	if (r == 0)
		r = environment_append(&text, "AMPHORA_PID_FILE", spec->pid_file, err);
	if (r == 0)
		r = append_options(&text, spec, err);
	if (r == 0)
		r = environment_append_namespace(&text, spec->network_namespace, err);
	return r < 0 ? r : environment_store(spec->environment_file, &text, err);
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The unit file belongs to the operator: where it does not read ours, it would run something else. */
static int check_setup(struct sd_bus *bus, const char *path, const char *unit, const struct keepalived_spec *spec,
	struct error *err)
{
	_cleanup_(bus_unit_setup_done) struct bus_unit_setup setup = {0};
	int r;

	r = bus_read_setup(bus, path, &setup, err);
	if (r < 0)
		return r;
	if (!streq(setup.load_state, "loaded"))
		return error_set(err, ERROR_INTERNAL, NULL, "%s cannot be started: its unit file is %s", unit,
			setup.load_state);
	STRV_FOREACH(file, setup.environment_files)
		if (is_same_file(*file, spec->environment_file))
			return 0;
	return error_set(err, ERROR_INTERNAL, NULL, "%s does not have EnvironmentFile=%s: it needs a drop-in for this base_path",
		unit, spec->environment_file);
}

static int run_job(struct sd_bus *bus, const char *method, const char *unit, struct error *err)
{
	_cleanup_free_ char *result = NULL;
	int r;

	r = bus_run_job(bus, method, unit, JOB_TIMEOUT_MS, &result, err);
	if (r == 0 && !result)
		return error_set_errno(err, -ENOMEM, "systemd");
	if (r == 0 && !streq(result, "done"))
		return error_set(err, ERROR_APPLY, NULL, "systemd: %s of %s: %s", method, unit, result);
	return r;
}

int unit_start(const struct keepalived_spec *spec, const char *unit, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_bus_ struct sd_bus *bus = NULL;
	int r;

	r = write_environment(spec, err);
	if (r == 0)
		r = bus_open(CALL_TIMEOUT_MS, &bus, err);
	if (r < 0)
		return r;
	r = bus_unit_path(unit, &path);
	if (r < 0)
		return error_set_errno(err, r, "%s", unit);
	r = check_setup(bus, path, unit, spec, err);
	if (r < 0)
		return r;
	bus_reset_failed(bus, unit);
	r = run_job(bus, "RestartUnit", unit, err);
	return r < 0 ? r : bus_set_enabled(bus, unit, true, err);
}

int unit_stop(const char *unit, struct error *err)
{
	_cleanup_bus_ struct sd_bus *bus = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	r = bus_open(CALL_TIMEOUT_MS, &bus, err);
	if (r < 0)
		return r;
	r = run_job(bus, "StopUnit", unit, &problem);
	if (r < 0 && r != -ENOENT) {
		if (err)
			*err = problem;
		problem = ERROR_INIT;
		return r;
	}
	bus_reset_failed(bus, unit);
	return 0;
}

int unit_disable(const char *unit, struct error *err)
{
	_cleanup_bus_ struct sd_bus *bus = NULL;
	int r;

	r = bus_open(CALL_TIMEOUT_MS, &bus, err);
	return r < 0 ? r : bus_set_enabled(bus, unit, false, err);
}
