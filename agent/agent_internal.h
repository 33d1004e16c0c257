/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between the parts of the agent: agent.c (its life), agent_config.c (its configuration files, and those read again),
 * agent_open.c (what it is put together from), agent_events.c (what its parts tell it), agent_stop.c (--stop-all).
 */

#include "agent/agent.h"
#include "agent/base/process.h"

#define AGENT_LOCK_FILE ".amphorad.lock" /* in base_path */

/* agent.c. Takes the configuration, also when there is no memory and NULL is returned. */
struct agent *agent_allocate(struct config *config);

/* agent_config.c. Refer to "config". */
struct health_options agent_health_options(struct agent *agent, const struct config *config);

/* agent_open.c, in the order of a start. */
int agent_open_folders(struct agent *agent, struct error *err);
/* One agent a base_path: ERROR_CONFLICT if another one has it. The file also names our process, for --stop-all. */
int agent_take_lock(struct agent *agent, struct error *err);
int agent_load_templates(struct agent *agent, struct error *err);
/* Before the first HAProxy, which has to find its interfaces; network_prepared() before it, too. */
int agent_open_network(struct agent *agent, struct error *err);
int agent_open_supervisor(struct agent *agent, struct error *err);
/* Of the configuration and what has been opened; agent_open_haproxy() does it itself. */
void agent_fill_settings(struct agent *agent);
/* The supervisor, the certificates and the registry, which is not loaded yet. "version" is a haproxy_begin_version(). */
int agent_open_haproxy(struct agent *agent, struct process_job *version, struct error *err);
int agent_open_keepalived(struct agent *agent, struct error *err);

/* agent_events.c. "userdata" is the struct agent. */
void agent_on_haproxy_event(void *userdata, const struct supervisor_report *report);
/* A look at the workers' counters, right before one is replaced and right after. */
void agent_read_counters(void *userdata, const char *lb_id, const char *stats_socket, const char *master_socket);
/* Announce the VIPs of a load balancer's HAProxy configuration, of a listener of UDP or SCTP. */
void agent_advertise_vips(void *userdata, const char *lb_id, const char *text, size_t length);
void agent_advertise_lvs_vips(void *userdata, const char *listener_id);
