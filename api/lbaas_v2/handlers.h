/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Handlers of the load-balancing API v2. What each route does stands in routes.c and amphorad(8); the
 * object model, field names and error bodies are those of the Octavia API v2.
 */

#include "agent/agent.h"
#include "agent/definition/tree.h"
#include "api/request.h"
#include "api/response.h"

/* objects.c: of every kind */
int lbaas_list_objects(const struct request *request, struct response *response, struct error *err);
int lbaas_get_object(const struct request *request, struct response *response, struct error *err);
int lbaas_create_object(const struct request *request, struct response *response, struct error *err);
int lbaas_update_object(const struct request *request, struct response *response, struct error *err);
int lbaas_delete_object(const struct request *request, struct response *response, struct error *err);
int lbaas_put_members(const struct request *request, struct response *response, struct error *err);
int lbaas_delete_load_balancer(const struct request *request, struct response *response, struct error *err);
int lbaas_failover(const struct request *request, struct response *response, struct error *err);

/* loadbalancers.c */
int lbaas_list_load_balancers(const struct request *request, struct response *response, struct error *err);
int lbaas_get_load_balancer(const struct request *request, struct response *response, struct error *err);
int lbaas_get_status(const struct request *request, struct response *response, struct error *err);
int lbaas_get_stats(const struct request *request, struct response *response, struct error *err);
int lbaas_get_listener_stats(const struct request *request, struct response *response, struct error *err);

/* definitions.c */
int lbaas_put_definition(const struct request *request, struct response *response, struct error *err);
int lbaas_get_definition(const struct request *request, struct response *response, struct error *err);
int lbaas_delete_definition(const struct request *request, struct response *response, struct error *err);
int lbaas_get_haproxy_cfg(const struct request *request, struct response *response, struct error *err);

/* revisions.c */
int lbaas_get_activity(const struct request *request, struct response *response, struct error *err);
int lbaas_list_revisions(const struct request *request, struct response *response, struct error *err);
int lbaas_get_revision(const struct request *request, struct response *response, struct error *err);
int lbaas_post_rollback(const struct request *request, struct response *response, struct error *err);

/* certificates.c */
int lbaas_list_certificates(const struct request *request, struct response *response, struct error *err);
int lbaas_put_certificate(const struct request *request, struct response *response, struct error *err);
int lbaas_get_certificate(const struct request *request, struct response *response, struct error *err);
int lbaas_delete_certificate(const struct request *request, struct response *response, struct error *err);

/* catalogue.c */
int lbaas_list_providers(const struct request *request, struct response *response, struct error *err);
int lbaas_list_flavor_capabilities(const struct request *request, struct response *response, struct error *err);
int lbaas_list_zone_capabilities(const struct request *request, struct response *response, struct error *err);
int lbaas_list_flavors(const struct request *request, struct response *response, struct error *err);
int lbaas_get_flavor(const struct request *request, struct response *response, struct error *err);
int lbaas_list_flavor_profiles(const struct request *request, struct response *response, struct error *err);
int lbaas_get_flavor_profile(const struct request *request, struct response *response, struct error *err);
int lbaas_list_zones(const struct request *request, struct response *response, struct error *err);
int lbaas_get_zone(const struct request *request, struct response *response, struct error *err);
int lbaas_list_zone_profiles(const struct request *request, struct response *response, struct error *err);
int lbaas_get_zone_profile(const struct request *request, struct response *response, struct error *err);
int lbaas_list_quotas(const struct request *request, struct response *response, struct error *err);
int lbaas_get_quota(const struct request *request, struct response *response, struct error *err);
int lbaas_refuse_change(const struct request *request, struct response *response, struct error *err);

/* amphorae.c */
int lbaas_list_amphorae(const struct request *request, struct response *response, struct error *err);
int lbaas_get_amphora(const struct request *request, struct response *response, struct error *err);
int lbaas_get_amphora_stats(const struct request *request, struct response *response, struct error *err);
int lbaas_refuse_amphora_change(const struct request *request, struct response *response, struct error *err);

/* Shared by them: the load balancer that the path names, as it is stored now. */
struct found_load_balancer {
	struct instance *instance;
	struct stored_definition stored;
};
int lbaas_find(const struct request *request, struct found_load_balancer *ret, struct error *err);
void lbaas_found_done(struct found_load_balancer *found);
/* Options of a change of the load balancer that the path names: dry_run of the query, If-Match. */
int lbaas_apply_options(const struct request *request, struct apply_options *ret, struct error *err);
/* If-Match of a change that cannot be tried, of that load balancer; -1: any revision. dry_run is refused, not made. */
int lbaas_if_match(const struct request *request, const char *lb_id, int64_t *ret, struct error *err);
/* The reply to a change: the whole document, what was done, ETag and Amphorad-Apply. */
int lbaas_answer_apply(
	const struct apply_result *result, bool dry_run, struct response *response, struct error *err);
#define _cleanup_found_ _cleanup_(lbaas_found_done)

/* The load balancer that has an object of that id (below "parent_id", if that is not NULL). ERROR_NOT_FOUND names the kind. */
int lbaas_find_owner(const struct request *request, enum tree_kind kind, const char *parent_id, const char *id,
	struct instance **ret, struct error *err);

/* Deletes the load balancer that the path names, at that revision (-1: at any), and answers. */
int lbaas_delete_whole(const struct request *request, int64_t if_match, struct response *response, struct error *err);

/* A time in Octavia's form; null for none. */
json_t *lbaas_time_json(int64_t time_s);
/* What was counted of a listener or of several, under an id or none. NULL without memory. */
struct listener_totals;
json_t *lbaas_totals_json(const struct listener_totals *totals, int64_t active, const char *id);
