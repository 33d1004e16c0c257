/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All load balancers of this agent, by id, and the rules between them: no two listen on the same address and port, no two
 * have a listener or pool of the same id (heartbeats name those alone).
 */

#include "agent/instance/instance.h"

struct registry;

int registry_new(const struct instance_settings *settings, struct registry **ret, struct error *err);
/* Releases everything; HAProxy goes on. */
void registry_free(struct registry *registry);
DEFINE_CLEANUP(struct registry *, registry_free);

/* Opens what is stored and, with "converge", makes HAProxy run it. Trouble with one load balancer is logged and does not
 * stop the others. */
int registry_load(struct registry *registry, bool converge, struct error *err);

/* Creates or replaces. Takes its own reference of lb. */
int registry_apply(struct registry *registry, struct load_balancer *lb, const struct apply_options *options,
	struct apply_result *ret, struct error *err);

/* Makes a change (see instance_change()) to a load balancer that has a definition; with "create" also to one that has none
 * yet. */
int registry_change(struct registry *registry, const char *lb_id, bool create, instance_change_fn make, void *userdata,
	const struct apply_options *options, struct apply_result *ret, struct error *err);

/* Creates or replaces an uploaded configuration (see instance_upload()). ERROR_CONFLICT if the load balancer has a
 * definition. */
int registry_upload(struct registry *registry, const char *lb_id, const char *amphora_id, const char *text, size_t length,
	struct error *err);

/* Deletes an uploaded load balancer; one that is not there is no error. */
int registry_remove_upload(struct registry *registry, const char *lb_id, struct error *err);

/* ERROR_NOT_FOUND in Octavia's words. The reference is the caller's. */
int registry_get(struct registry *registry, const char *lb_id, struct instance **ret, struct error *err);

/* All that are stored or uploaded, in the order of ids; NULL-terminated array of references. */
int registry_list(struct registry *registry, struct instance ***ret);
void registry_list_free(struct instance **list);
DEFINE_CLEANUP(struct instance **, registry_list_free);

int registry_delete(struct registry *registry, const char *lb_id, int64_t if_match, struct error *err);

/* Tries again what failed when the agent started, and what instance_look_after() does. Blocks for as long as that takes. */
void registry_look_after(struct registry *registry);

/* Stops the HAProxy of every load balancer (amphorad --stop-all). Goes on after a failure and returns the first. */
int registry_stop_all(struct registry *registry, int graceful_ms, struct error *err);
