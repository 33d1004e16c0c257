/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who keeps HAProxy running. One small table of operations, two makers: "direct" (direct.c:
 * amphorad starts master-worker HAProxy itself) and, where PID 1 is systemd, "systemd" (systemd.c:
 * the template unit amphora-haproxy@.service, which also starts HAProxy when the machine boots).
 *
 * In both, HAProxy outlives the agent: freeing a unit or the supervisor leaves it serving, and
 * supervisor_adopt() of the next agent finds it again. Operations act on processes only; whether a
 * reload gave a new worker is read from the master's CLI by the caller (instance.c).
 *
 * Operations may be called from any thread, one at a time per unit. supervisor_dispatch() is called
 * from the main thread whenever supervisor_fd() is readable; it reaps, restarts with back-off and
 * reports through "on_event".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/error.h"

enum supervisor_event {
	SUPERVISOR_EXITED,    /* HAProxy ended unasked; a restart is scheduled after delay_ms */
	SUPERVISOR_RESTARTED, /* started again; "pid" is the new master's */
	SUPERVISOR_FAILED,    /* it could not be run; next try after delay_ms */
};

struct supervisor_report {
	enum supervisor_event event;
	const char *lb_id;
	pid_t pid;
	int delay_ms;
	const char *messages; /* last lines that HAProxy wrote, or "" */
};

typedef void (*supervisor_callback)(void *userdata, const struct supervisor_report *report);

/* What to run for one load balancer. Strings are copied. */
struct supervisor_spec {
	const char *lb_id;
	const char *haproxy_cmd;
	const char *directory;  /* -C: relative names of a configuration are below it; absolute */
	const char *config;     /* first -f */
	const char *own_config; /* second -f: the agent's own */
	const char *master_socket;     /* -S */
	const char *pid_file;          /* -p: written by HAProxy, read when adopting */
	const char *log_file;          /* stdout and stderr; emptied at each start */
	const char *peer_name;         /* -L, or NULL */
	const char *network_namespace; /* name below /run/netns, or NULL or "": ours */
};

struct supervisor;
struct supervisor_unit;

struct supervisor_operations {
	const char *name;
	/* Creates the unit and adopts a HAProxy that already runs for it (same master socket), also
	 * where the pid file is stale or garbage. One that runs in another network namespace than
	 * it shall is stopped instead. */
	int (*adopt)(struct supervisor *s, const struct supervisor_spec *spec,
		struct supervisor_unit **ret, struct error *err);
	/* Takes the place of a restart that is pending. -EALREADY if it runs (reload it then).
	 * direct: returns as soon as the process runs; whether it liked its configuration is seen
	 * on the master's CLI, in messages() and in on_event. systemd: returns when HAProxy has
	 * told that it is ready, and has it started at boot from then on; if it does not get
	 * ready, nothing is left running, and the error is ERROR_APPLY with HAProxy's words. */
	int (*start)(struct supervisor_unit *u, struct error *err);
	/* Asks the master to reload (SIGUSR2); returns when the reload has begun, so that the
	 * master's CLI tells of this one. A master that is still busy with its start or with the
	 * reload before would not notice: it is waited for, up to 10 s, then -EBUSY. -ESRCH if it
	 * does not run, also while a restart is pending. */
	int (*reload)(struct supervisor_unit *u, struct error *err);
	/* SIGUSR1 (finish connections) for graceful_ms, then SIGTERM, then SIGKILL. Returns when it
	 * has ended. Whether it is started at boot stays as it is: see disable(). */
	int (*stop)(struct supervisor_unit *u, int graceful_ms, struct error *err);
	/* After stop(), when the load balancer is deleted: nothing starts it at boot any more, and
	 * what start() left in the folder for that is removed. direct: does nothing. */
	int (*disable)(struct supervisor_unit *u, struct error *err);
	/* The master's pid, 0 if it does not run. While a restart is pending that is 0, too:
	 * start() then starts at once. Never waits for another operation. */
	pid_t (*pid)(struct supervisor_unit *u);
	/* Times it was restarted unasked since adoption. Never waits for another operation. */
	unsigned (*restarts)(struct supervisor_unit *u);
	/* What HAProxy wrote since the last start or reload, at most the last 16 KiB. */
	int (*messages)(struct supervisor_unit *u, char **ret_text);
	/* Forgets the unit; HAProxy, if it runs, goes on. NULL is allowed. */
	void (*release)(struct supervisor_unit *u);
	int (*fd)(struct supervisor *s);
	void (*dispatch)(struct supervisor *s);
	void (*free)(struct supervisor *s);
};

/* Every implementation's struct begins with this. */
struct supervisor {
	const struct supervisor_operations *operations;
};
struct supervisor_unit {
	struct supervisor *supervisor;
};

int supervisor_direct_new(
	supervisor_callback on_event, void *userdata, struct supervisor **ret, struct error *err);

/* Needs the system bus. */
int supervisor_systemd_new(
	supervisor_callback on_event, void *userdata, struct supervisor **ret, struct error *err);
/* Is PID 1 systemd? Then "auto" means the one above. */
bool supervisor_systemd_is_running(void);
