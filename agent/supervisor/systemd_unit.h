/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One instance of amphora-haproxy@.service and its main process: what master.h is for HAProxy that
 * we start ourselves.
 *
 * No locks, no event loop: systemd.c has them. A struct systemd_unit belongs to one thread at a
 * time.
 */

#include <stdint.h>

#include "agent/base/error.h"
#include "agent/supervisor/master.h"
#include "agent/supervisor/supervisor.h"
#include "agent/supervisor/systemd_bus.h"

struct systemd_unit {
	struct master master; /* pid and pidfd: the main process when we last looked */
	char *name, *path;    /* in the manager */
	char *environment;    /* file */
	uint64_t since_us;    /* the last operation, CLOCK_MONOTONIC: its messages begin here */
};

int systemd_unit_init(
	struct systemd_unit *u, const struct supervisor_spec *spec, struct error *err);
/* Frees and closes; the process goes on. */
void systemd_unit_done(struct systemd_unit *u);

/* Asks the manager for the unit's state, and follows its main process. */
int systemd_unit_refresh(
	struct systemd_unit *u, struct sd_bus *bus, struct bus_unit_state *ret, struct error *err);

/* From the next start on, whoever's that is, it is what the spec says. */
int systemd_unit_configure(const struct systemd_unit *u, struct error *err);

/* Starts it, or restarts it if it runs. 0 when HAProxy is ready; if it does not get ready, nothing
 * is left running and the error is ERROR_APPLY with its words. */
int systemd_unit_start(struct systemd_unit *u, struct sd_bus *bus, struct error *err);

/* SIGUSR1 and up to graceful_ms before systemd stops it. Fine if it does not run. */
int systemd_unit_stop(
	struct systemd_unit *u, struct sd_bus *bus, int graceful_ms, struct error *err);

/* Not started at boot any more. */
int systemd_unit_disable(const struct systemd_unit *u, struct sd_bus *bus, struct error *err);

/* What it wrote since the last operation. */
int systemd_unit_messages(const struct systemd_unit *u, char **ret_text);

/* Operations begin with this. */
void systemd_unit_mark(struct systemd_unit *u);
