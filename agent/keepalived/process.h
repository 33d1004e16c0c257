/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One keepalived process and its children: found by its pid file, started in the foreground ("-n") in a session and a
 * network namespace of its own, told to reload (SIGHUP) or to end (SIGTERM).
 *
 * Source: keepalived(8).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/error.h"

struct keepalived_spec {
	const char *name;              /* "octavia-keepalived", "octavia-keepalivedlvs-<listener>": of its files and its unit */
	const char *command;           /* keepalived */
	const char *config;            /* -f; absolute */
	const char *pid_file;          /* -p */
	const char *vrrp_pid_file;     /* -r: keepalived's own place is one for the whole machine */
	const char *check_pid_file;    /* -c */
	const char *log_file;          /* direct: what it says */
	const char *environment_file;  /* systemd: what its unit reads */
	const char *network_namespace; /* NULL: ours */
	int64_t log_facility;          /* systemd: local0 to local7 */
};

/* The process of the pid file, if it is a keepalived with this configuration: the number may be another's by now. The
 * pidfd is the caller's. -ESRCH if there is none. */
int keepalived_process_find(const struct keepalived_spec *spec, pid_t *ret_pid, int *ret_pidfd);

/* Starts one, with its words in the log file. */
int keepalived_process_spawn(const struct keepalived_spec *spec, pid_t *ret_pid, int *ret_pidfd, struct error *err);

/* Waits until it takes signals and the children that its configuration asks for are at work: that of LVS ends all if
 * there is no IPVS. "child_pidfd" is that of one just spawned, -1: of another's making. -ESRCH if it ended, -ETIMEDOUT. */
int keepalived_process_wait_ready(const struct keepalived_spec *spec, int child_pidfd, int timeout_ms);

/* SIGHUP. The time of the check pid file is set to now: since then its members are those of the configuration. */
int keepalived_process_reload(const struct keepalived_spec *spec, int pidfd);

/* SIGTERM, for its last words on the wire, and SIGKILL; the pid files go. */
int keepalived_process_stop(const struct keepalived_spec *spec, int pidfd);
void keepalived_process_remove_files(const struct keepalived_spec *spec);

bool keepalived_process_has_ended(int pidfd);

/* Lets keepalived judge a configuration ("-t"), in the namespace where it would run. 0; -EINVAL with its words
 * (ERROR_INVALID); another errno if keepalived cannot be run. What it would warn of and do without, a pool that has no
 * members yet for instance, is logged and no reason to refuse: controllers send such configurations. */
int keepalived_process_test(const struct keepalived_spec *spec, const char *config, struct error *err);
