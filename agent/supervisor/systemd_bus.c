/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/systemd_bus.h"

#include <string.h>
#include <systemd/sd-bus.h>

#include "agent/base/library.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER SYSTEMD ".Manager"
#define UNIT SYSTEMD ".Unit"
#define SERVICE SYSTEMD ".Service"
#define NO_SUCH_UNIT SYSTEMD ".NoSuchUnit"

enum {
	/* The manager reads every unit file anew, on a machine that may be busy booting. */
	RELOAD_TIMEOUT_S = 90,
};

static const uint64_t usec_per_ms = 1000, usec_per_s = 1000000;

#define FUNCTIONS(F) \
	F(sd_bus_add_match) F(sd_bus_call) F(sd_bus_call_method) F(sd_bus_close_unref) \
	F(sd_bus_error_free) F(sd_bus_error_has_name) F(sd_bus_error_is_set) F(sd_bus_get_fd) \
	F(sd_bus_get_property) F(sd_bus_get_property_string) F(sd_bus_match_signal) \
	F(sd_bus_message_at_end) F(sd_bus_message_enter_container) \
	F(sd_bus_message_exit_container) F(sd_bus_message_get_path) \
	F(sd_bus_message_new_method_call) F(sd_bus_message_read) F(sd_bus_message_skip) \
	F(sd_bus_message_unref) F(sd_bus_open_system) F(sd_bus_path_encode) F(sd_bus_process) \
	F(sd_bus_set_method_call_timeout) F(sd_bus_slot_unref) F(sd_bus_wait)
LIBRARY_OF_FILE(systemd, "libsystemd.so.0", FUNCTIONS);

static void bus_error_done(sd_bus_error *why)
{
	sym_sd_bus_error_free(why);
}
DEFINE_CLEANUP(sd_bus_message *, sym_sd_bus_message_unref);
DEFINE_CLEANUP(sd_bus_slot *, sym_sd_bus_slot_unref);
#define _cleanup_bus_error_ _cleanup_(bus_error_done)
#define _cleanup_message_ _cleanup_(sym_sd_bus_message_unrefp)

static int failed(struct error *err, int r, const sd_bus_error *why, const char *what)
{
	if (sym_sd_bus_error_is_set(why) && why->message)
		error_set(err, ERROR_INTERNAL, NULL, "systemd: %s: %s", what, why->message);
	else
		error_set_errno(err, r, "systemd: %s", what);
	return r;
}

static int connect_bus(int timeout_ms, struct sd_bus **ret, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error why = SD_BUS_ERROR_NULL;
	_cleanup_bus_ sd_bus *bus = NULL;
	int r;

	r = sym_sd_bus_open_system(&bus);
	if (r >= 0)
		r = sym_sd_bus_set_method_call_timeout(bus, (uint64_t)timeout_ms * usec_per_ms);
	if (r < 0)
		return error_set_errno(err, r, "cannot connect to the system bus");
	/* Without a subscriber the manager sends no signals. */
	r = sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe", &why, NULL, "");
	if (r < 0)
		return failed(err, r, &why, "Subscribe");
	*ret = TAKE_PTR(bus);
	return 0;
}

/* What takes a connection finds the library loaded. */
int bus_open(int timeout_ms, struct sd_bus **ret, struct error *err)
{
	int r = library_keep(&systemd, err);

	return r < 0 ? r : connect_bus(timeout_ms, ret, err);
}

void bus_close(struct sd_bus *bus)
{
	if (bus)
		sym_sd_bus_close_unref(bus);
}

int bus_unit_path(const char *unit, char **ret_path)
{
	int r = library_keep(&systemd, NULL);

	return r < 0 ? r : sym_sd_bus_path_encode(MANAGER_PATH "/unit", unit, ret_path);
}

static int get_string(sd_bus *bus, const char *path, const char *interface, const char *property,
	char **ret, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error why = SD_BUS_ERROR_NULL;
	int r = sym_sd_bus_get_property_string(bus, SYSTEMD, path, interface, property, &why, ret);

	return r < 0 ? failed(err, r, &why, property) : 0;
}

/* The properties of a unit and of a service that make its state. */
struct properties {
	const char *active, *sub; /* the reply's */
	uint32_t job;             /* 0: none is queued or runs */
	uint32_t main_pid, restarts;
	uint64_t restart_us, started_us;
};

static int read_property(sd_bus_message *reply, const char *name, struct properties *p)
{
	const struct {
		const char *name, *type;
		void *ret;
	} wanted[] = {
		{"ActiveState", "s", &p->active},
		{"SubState", "s", &p->sub},
		{"MainPID", "u", &p->main_pid},
		{"NRestarts", "u", &p->restarts},
		{"RestartUSec", "t", &p->restart_us},
		{"ExecMainStartTimestampMonotonic", "t", &p->started_us},
	};

	if (streq(name, "Job"))
		return sym_sd_bus_message_read(reply, "v", "(uo)", &p->job, NULL);
	for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
		if (streq(name, wanted[i].name))
			return sym_sd_bus_message_read(reply, "v", wanted[i].type, wanted[i].ret);
	return sym_sd_bus_message_skip(reply, "v");
}

static int read_properties(sd_bus_message *reply, struct properties *ret)
{
	const char *name;
	int r;

	r = sym_sd_bus_message_enter_container(reply, 'a', "{sv}");
	while (r >= 0 && (r = sym_sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
		r = sym_sd_bus_message_read(reply, "s", &name);
		if (r >= 0)
			r = read_property(reply, name, ret);
		if (r >= 0)
			r = sym_sd_bus_message_exit_container(reply);
	}
	return r;
}

/* In one call, whose reply is of one moment: a number of restarts that is newer than the process
 * next to it looks like a restart that failed. No interface means those of all. */
int bus_read_state(
	struct sd_bus *bus, const char *path, struct bus_unit_state *ret, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error why = SD_BUS_ERROR_NULL;
	_cleanup_message_ sd_bus_message *reply = NULL;
	struct properties p = {0};
	int r;

	r = sym_sd_bus_call_method(bus, SYSTEMD, path, "org.freedesktop.DBus.Properties", "GetAll",
		&why, &reply, "s", "");
	if (r >= 0)
		r = read_properties(reply, &p);
	if (r >= 0 && (!p.active || !p.sub))
		r = -EBADMSG;
	if (r < 0)
		return failed(err, r, &why, "the state of the unit");
	*ret = (struct bus_unit_state){
		.main_pid = (pid_t)p.main_pid,
		.restarts = p.restarts,
		.up = streq(p.active, "active") || streq(p.active, "reloading"),
		.ended = streq(p.active, "inactive") || streq(p.active, "failed"),
		.waits = streq(p.sub, "auto-restart") && p.job == 0,
		.restart_delay_ms = p.restart_us / usec_per_ms > INT32_MAX
					    ? INT32_MAX
					    : (int)(p.restart_us / usec_per_ms),
		.started_us = p.started_us,
	};
	return 0;
}

/* An array of (path, whether it may be missing). */
static int get_environment_files(sd_bus *bus, const char *path, char ***ret, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error why = SD_BUS_ERROR_NULL;
	_cleanup_message_ sd_bus_message *reply = NULL;
	_cleanup_strv_ char **files = NULL;
	const char *file;
	size_t n = 0;
	int r;

	r = sym_sd_bus_get_property(
		bus, SYSTEMD, path, SERVICE, "EnvironmentFiles", &why, &reply, "a(sb)");
	if (r < 0)
		return failed(err, r, &why, "EnvironmentFiles");
	r = sym_sd_bus_message_enter_container(reply, 'a', "(sb)");
	while (r >= 0 && (r = sym_sd_bus_message_read(reply, "(sb)", &file, NULL)) > 0) {
		if (strv_push(&files, &n, strdup(file)) < 0)
			return error_set_errno(err, -ENOMEM, "systemd");
	}
	if (r < 0)
		return failed(err, r, NULL, "EnvironmentFiles");
	*ret = TAKE_PTR(files);
	return 0;
}

int bus_read_setup(
	struct sd_bus *bus, const char *path, struct bus_unit_setup *ret, struct error *err)
{
	struct bus_unit_setup setup = {0};
	int r;

	r = get_string(bus, path, UNIT, "LoadState", &setup.load_state, err);
	if (r == 0)
		r = get_environment_files(bus, path, &setup.environment_files, err);
	if (r == 0)
		r = get_string(
			bus, path, SERVICE, "NetworkNamespacePath", &setup.network_namespace, err);
	if (r < 0) {
		bus_unit_setup_done(&setup);
		return r;
	}
	*ret = setup;
	return 0;
}

void bus_unit_setup_done(struct bus_unit_setup *setup)
{
	free(setup->load_state);
	strv_free(setup->environment_files);
	free(setup->network_namespace);
	*setup = (struct bus_unit_setup){0};
}

int bus_read_result(struct sd_bus *bus, const char *path, char **ret)
{
	return get_string(bus, path, SERVICE, "Result", ret, NULL);
}

struct job {
	const char *path; /* NULL: none yet */
	char *result;     /* NULL: it goes on */
};

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	struct job *job = userdata;
	const char *path, *result;

	(void)ret_error;
	if (sym_sd_bus_message_read(message, "uoss", NULL, &path, NULL, &result) < 0)
		return 0;
	if (job->path && !job->result && streq(job->path, path))
		job->result = strdup(result);
	return 0;
}

/* Signals that arrive with the reply of the call that makes the job wait in the connection until
 * here: none is missed. */
static int wait_for_job(sd_bus *bus, struct job *job, int timeout_ms)
{
	int64_t deadline = process_now_ms() + timeout_ms;

	while (!job->result) {
		int64_t left = deadline - process_now_ms();
		int r;

		if (left <= 0)
			return -ETIMEDOUT;
		r = sym_sd_bus_process(bus, NULL);
		if (r == 0)
			r = sym_sd_bus_wait(bus, (uint64_t)left * usec_per_ms);
		if (r < 0 && r != -EINTR)
			return r;
	}
	return 0;
}

int bus_run_job(struct sd_bus *bus, const char *method, const char *unit, int timeout_ms,
	char **ret_result, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error why = SD_BUS_ERROR_NULL;
	_cleanup_(sym_sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
	_cleanup_message_ sd_bus_message *reply = NULL;
	struct job job = {0};
	int r;

	r = sym_sd_bus_match_signal(
		bus, &slot, SYSTEMD, MANAGER_PATH, MANAGER, "JobRemoved", on_job_removed, &job);
	if (r < 0)
		return failed(err, r, NULL, "JobRemoved");
	r = sym_sd_bus_call_method(
		bus, SYSTEMD, MANAGER_PATH, MANAGER, method, &why, &reply, "ss", unit, "replace");
	if (r < 0 && sym_sd_bus_error_has_name(&why, NO_SUCH_UNIT))
		r = -ENOENT;
	if (r < 0)
		return failed(err, r, &why, method);
	r = sym_sd_bus_message_read(reply, "o", &job.path);
	if (r >= 0)
		r = wait_for_job(bus, &job, timeout_ms);
	if (r < 0) {
		free(job.result);
		return failed(err, r, NULL, method);
	}
	*ret_result = job.result;
	return 0;
}

static int reload_manager(sd_bus *bus, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error why = SD_BUS_ERROR_NULL;
	_cleanup_message_ sd_bus_message *request = NULL;
	int r;

	r = sym_sd_bus_message_new_method_call(bus, &request, SYSTEMD, MANAGER_PATH, MANAGER, "Reload");
	if (r >= 0)
		r = sym_sd_bus_call(bus, request, RELOAD_TIMEOUT_S * usec_per_s, &why, NULL);
	return r < 0 ? failed(err, r, &why, "Reload") : 0;
}

/* The reply names the links that were made or removed: an array of (type, link, target). */
static int has_changes(sd_bus_message *reply)
{
	int r = sym_sd_bus_message_enter_container(reply, 'a', "(sss)");

	if (r < 0)
		return r;
	r = sym_sd_bus_message_at_end(reply, false);
	return r < 0 ? r : r == 0;
}

int bus_set_enabled(struct sd_bus *bus, const char *unit, bool enabled, struct error *err)
{
	const char *method = enabled ? "EnableUnitFiles" : "DisableUnitFiles";
	_cleanup_bus_error_ sd_bus_error why = SD_BUS_ERROR_NULL;
	_cleanup_message_ sd_bus_message *reply = NULL;
	const int for_this_boot_only = 0, force = 0;
	int r;

	if (enabled)
		r = sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, method, &why, &reply,
			"asbb", 1, unit, for_this_boot_only, force);
	else
		r = sym_sd_bus_call_method(bus, SYSTEMD, MANAGER_PATH, MANAGER, method, &why, &reply,
			"asb", 1, unit, for_this_boot_only);
	if (r < 0 && !enabled && (r == -ENOENT || sym_sd_bus_error_has_name(&why, NO_SUCH_UNIT)))
		return 0; /* without a unit file nothing is started */
	if (r < 0)
		return failed(err, r, &why, method);
	if (enabled) /* carries_install_info */
		r = sym_sd_bus_message_skip(reply, "b");
	if (r >= 0)
		r = has_changes(reply);
	if (r < 0)
		return failed(err, r, NULL, method);
	/* As systemctl does: until then the manager works with the links that it had read. */
	return r > 0 ? reload_manager(bus, err) : 0;
}

void bus_reset_failed(struct sd_bus *bus, const char *unit)
{
	/* Fails if the manager has forgotten the unit already. */
	sym_sd_bus_call_method(
		bus, SYSTEMD, MANAGER_PATH, MANAGER, "ResetFailedUnit", NULL, NULL, "s", unit);
}

static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	const struct bus_watch *watch = userdata;
	const char *path = sym_sd_bus_message_get_path(message);

	(void)ret_error;
	if (path)
		watch->on_change(watch->userdata, path);
	return 0;
}

int bus_watch_services(struct sd_bus *bus, struct bus_watch *watch, struct error *err)
{
	int r;

	r = sym_sd_bus_add_match(bus, NULL,
		"type='signal',sender='" SYSTEMD "',path_namespace='" MANAGER_PATH "/unit',"
		"interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0="
		"'" SERVICE "'",
		on_properties_changed, watch);
	return r < 0 ? failed(err, r, NULL, "PropertiesChanged") : 0;
}

int bus_fd(struct sd_bus *bus)
{
	return sym_sd_bus_get_fd(bus);
}

int bus_process(struct sd_bus *bus)
{
	int r;

	do
		r = sym_sd_bus_process(bus, NULL);
	while (r > 0);
	return r;
}
