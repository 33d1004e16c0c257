/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every keepalived of this amphora: one for VRRP, one for each UDP or SCTP listener (LVS). Their configurations are files
 * below base_path, as Octavia's own agent has them:
 *   vrrp/octavia-keepalived.conf, .pid; vrrp/check_script.sh, vrrp/check_scripts/
 *   lvs/octavia-keepalivedlvs-<listener>.conf, .pid, .vrrp.pid, .check.pid; lvs/check/udp_check.sh
 *
 * What was configured is started again with the agent, unless it was stopped on purpose: that holds until the machine
 * starts, as with a unit that is enabled; the marks are in run_dir.
 *
 * Any thread may call any function.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

/* Statistics sockets of the load balancers whose HAProxy is to be asked, but for "leaving" (may be NULL): NULL-terminated,
 * the caller frees. *ret_any: there are load balancers, "leaving" and stopped ones included. */
typedef int (*keepalived_list_sockets)(void *userdata, const char *leaving, char ***ret_sockets, bool *ret_any);

/* Outlives what it is given to; strings are absolute paths but for names. */
struct keepalived_settings {
	const char *base_path;
	const char *run_dir;
	const char *tools_dir; /* udp_check.sh is there */
	const char *command;
	const char *network_namespace; /* NULL: none */
	int64_t log_facility;
	bool systemd;        /* units of systemd, not processes of ours */
	bool active_standby; /* with a partner and VRRP */
	keepalived_list_sockets list_sockets;
	/* Called when an LVS listener was started or reloaded. May be NULL. */
	void (*after_start)(void *userdata, const char *listener_id);
	/* Called when one was removed. May be NULL. */
	void (*after_remove)(void *userdata, const char *listener_id);
	void *userdata;
};

enum keepalived_action {
	KEEPALIVED_START,
	KEEPALIVED_STOP,
	KEEPALIVED_RELOAD,
	_KEEPALIVED_ACTION_MAX,
};

struct keepalived;

/* Finds what is configured and what runs of it. */
int keepalived_new(const struct keepalived_settings *settings, struct keepalived **ret, struct error *err);
/* Starts what should run and does not, and begins to supervise. Trouble with one is logged. */
int keepalived_begin(struct keepalived *keepalived, struct error *err);
/* Every keepalived goes on. */
void keepalived_free(struct keepalived *keepalived);
DEFINE_CLEANUP(struct keepalived *, keepalived_free);
/* Stops all, and goes on after a failure. */
int keepalived_stop_all(struct keepalived *keepalived, struct error *err);

/* VRRP. A configuration that keepalived refuses is not taken: ERROR_INVALID with its words. Start and reload make this
 * namespace's kernel bind addresses that are the partner's now (ip_nonlocal_bind). "*ret_done" is what was really done. */
int keepalived_put_vrrp(struct keepalived *keepalived, const char *text, size_t length, struct error *err);
int keepalived_control_vrrp(struct keepalived *keepalived, enum keepalived_action action, enum keepalived_action *ret_done,
	struct error *err);
/* Not configured, or running. */
bool keepalived_vrrp_is_fine(struct keepalived *keepalived);

/* After a load balancer came, was told to start or stop, or went ("leaving" is stopped or deleted, else NULL): writes what
 * VRRP's checks ask. Does nothing where VRRP is not in use. */
int keepalived_update_checks(struct keepalived *keepalived, const char *leaving, struct error *err);

/* LVS listeners, by the listener's id (a UUID). VRRP's checks have to be updated after one came or went. */
int keepalived_put_lvs(struct keepalived *keepalived, const char *listener_id, const char *text, size_t length,
	struct error *err);
/* What keepalived says of a configuration that is not put. */
int keepalived_check_lvs(struct keepalived *keepalived, const char *listener_id, const char *text, size_t length,
	struct error *err);
/* The file. -ENOENT. */
int keepalived_read_lvs(struct keepalived *keepalived, const char *listener_id, char **ret_text, size_t *ret_length);
bool keepalived_has_lvs(struct keepalived *keepalived, const char *listener_id);
/* ERROR_NOT_FOUND for one that is not configured. A reload of a stopped one starts it. */
int keepalived_control_lvs(struct keepalived *keepalived, const char *listener_id, enum keepalived_action action,
	enum keepalived_action *ret_done, struct error *err);
/* Stops it and removes its files; fine if there is none. */
int keepalived_remove_lvs(struct keepalived *keepalived, const char *listener_id, struct error *err);

struct keepalived_listener {
	char id[37];
	char *config_file;    /* owned */
	char *check_pid_file; /* owned */
	bool runs;
	bool has_pid_file; /* not stopped since it was started */
};
/* All that are configured, in the order of their ids. */
int keepalived_list_lvs(struct keepalived *keepalived, struct keepalived_listener **ret, size_t *ret_n);
void keepalived_listeners_free(struct keepalived_listener *listeners, size_t n);
