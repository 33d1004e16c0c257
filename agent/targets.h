/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who is asked how he is: by the health thread, and by VRRP's check scripts. "userdata" is the struct agent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct agent;
struct error;
struct health_snapshot;
struct health_target;
struct instance;
struct load_balancer;
struct pool;

/* health_list_targets: every HAProxy that should run, and every LVS listener whose keepalived runs. */
int targets_list(void *userdata, struct health_target **ret, size_t *ret_n);

/* Whether controllers may hear of us: not while VRRP is configured and does not run, because the partner has the VIP then
 * (octavia/amphorae/backends/health_daemon/health_daemon.py, run_sender()). */
bool targets_may_send(void *userdata);

/* keepalived_list_sockets: the statistics sockets of all load balancers but one. */
int targets_list_sockets(void *userdata, const char *leaving, char ***ret_sockets, bool *ret_any);

/* What HAProxy and, for its listeners of UDP and SCTP, IPVS say of one load balancer; see health_snapshot(). */
int targets_snapshot(const struct agent *agent, struct instance *instance, int64_t max_age_ms,
	struct health_snapshot **ret, struct error *err);

/* The same of one pool in this moment, after a change that no other worker came with: NULL if HAProxy has nothing of the pool.
 * Not for pools of UDP and SCTP. */
int targets_pool_snapshot(struct instance *instance, const struct load_balancer *lb, const struct pool *pool,
	struct health_snapshot **ret, struct error *err);

/* What goes on in it now (health/activity.h), asked in this moment. A HAProxy or IPVS that does not answer is no error. */
int targets_activity(const struct agent *agent, struct instance *instance, json_t **ret, struct error *err);

/* What was counted of an LVS listener that is gone is forgotten. */
void targets_forget_lvs(void *userdata, const char *listener_id);
