/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What we ask of systemd's manager on the system bus.
 *
 * A connection belongs to one thread at a time.
 *
 * Source: org.freedesktop.systemd1(5).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/error.h"

struct sd_bus;

/* "timeout_ms" is that of each call. Free with bus_close(). */
int bus_open(int timeout_ms, struct sd_bus **ret, struct error *err);
void bus_close(struct sd_bus *bus);
DEFINE_CLEANUP(struct sd_bus *, bus_close);
#define _cleanup_bus_ _cleanup_(bus_closep)

/* The object path of a unit. */
int bus_unit_path(const char *unit, char **ret_path);

struct bus_unit_state {
	pid_t main_pid;    /* 0: none */
	unsigned restarts; /* automatic ones since it was started by someone */
	bool up;           /* active, or reloading */
	bool ended;        /* inactive or failed: systemd does nothing about it */
	bool waits;        /* for the time of the next try: none has begun, nor is one queued */
	int restart_delay_ms;
	uint64_t started_us; /* of the last main process, CLOCK_MONOTONIC; 0: none yet */
};

/* "ret" is what systemd knows at this moment. */
int bus_read_state(
	struct sd_bus *bus, const char *path, struct bus_unit_state *ret, struct error *err);

/* How the unit is set up. Free with bus_unit_setup_done(). */
struct bus_unit_setup {
	char *load_state;         /* "loaded", "not-found", … */
	char **environment_files; /* EnvironmentFile= */
	char *network_namespace;  /* NetworkNamespacePath=, "" if none */
};
int bus_read_setup(
	struct sd_bus *bus, const char *path, struct bus_unit_setup *ret, struct error *err);
void bus_unit_setup_done(struct bus_unit_setup *setup);

/* How the last run ended: "success", "exit-code", "timeout", … (Result of the service). */
int bus_read_result(struct sd_bus *bus, const char *path, char **ret);

/* Has the manager do "method" (RestartUnit, StopUnit) and waits for the end of the job, whose
 * result
 * ("done", "failed", "timeout", …) it gives: org.freedesktop.systemd1(5), JobRemoved. -ETIMEDOUT.
 * -ENOENT: the unit is not loaded. */
int bus_run_job(struct sd_bus *bus, const char *method, const char *unit, int timeout_ms,
	char **ret_result, struct error *err);

/* Has it started at boot, or not any more. */
int bus_set_enabled(struct sd_bus *bus, const char *unit, bool enabled, struct error *err);

/* Lets the manager forget how the unit ended. */
void bus_reset_failed(struct sd_bus *bus, const char *unit);

/* Calls "on_change" with the object path of a service whenever its state may have changed, out of
 * bus_process(). */
typedef void (*bus_on_change)(void *userdata, const char *path);
struct bus_watch {
	bus_on_change on_change;
	void *userdata;
};
/* "watch" has to live as long as the connection. */
int bus_watch_services(struct sd_bus *bus, struct bus_watch *watch, struct error *err);
int bus_fd(struct sd_bus *bus);
/* Handles all that was received. A negative errno: the connection is of no use any more. */
int bus_process(struct sd_bus *bus);
