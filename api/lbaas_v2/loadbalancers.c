/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/listeners.h"
#include "agent/health/status.h"
#include "agent/health/uploaded.h"
#include "agent/targets.h"
#include "api/lbaas_v2/listing.h"
#include "api/lbaas_v2/resources.h"

/* Reading: the resource, its status tree and its statistics. */

static json_t *id_object(const char *id)
{
	return json_pack("{s:s}", "id", id);
}

/* Frontends and backends as lists of ids. A pool behind several listeners has a backend for each. */
static int put_uploaded_children(json_t *lb, const struct health_snapshot *snapshot)
{
	json_auto_t *listeners = json_array(), *pools = json_array(), *seen = json_object();

	for (size_t i = 0; i < snapshot->n_listeners; i++)
		if (json_array_append_new(listeners, id_object(snapshot->listeners[i].id)) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		_cleanup_free_ char *id = strndup(snapshot->pools[i].key, strcspn(snapshot->pools[i].key, ":"));

		if (!id)
			return -ENOMEM;
		if (json_object_get(seen, id))
			continue;
		if (json_object_set_new(seen, id, json_true()) < 0 || json_array_append_new(pools, id_object(id)) < 0)
			return -ENOMEM;
	}
	return json_object_set(lb, "listeners", listeners) < 0 || json_object_set(lb, "pools", pools) < 0 ? -ENOMEM : 0;
}

/* NULL if the configuration does not tell. */
static char *uploaded_vip(struct instance *instance)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	_cleanup_free_ char *text = NULL;
	char *vip = NULL;
	size_t length;

	if (instance_read_config(instance, &text, &length, NULL) == 0 && cfg_parse(text, length, &cfg, NULL) == 0)
		cfg_vip_address(&cfg, &vip);
	return vip;
}

/* What is known of a load balancer whose configuration a controller uploaded. It can be read here, not changed. */
static int uploaded_resource(const struct request *request, struct instance *instance, json_t **ret, struct error *err)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	_cleanup_free_ char *trouble = NULL, *vip = NULL;
	json_auto_t *lb = NULL;
	int r;

	r = snapshot_for(request, instance, SNAPSHOT_MAX_AGE_MS, &snapshot, err);
	if (r < 0)
		return r;
	trouble = instance_trouble(instance);
	vip = uploaded_vip(instance);
	lb = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s?, s:s, s:s*}", "id", instance->id, "name", "",
		"description", "the configuration is uploaded by a controller", "provider", "octavia",
		"admin_state_up", 1, "owner", "controller", "vip_address", vip, "provisioning_status",
		trouble ? "ERROR" : "ACTIVE", "trouble", trouble);
	if (!lb || put_uploaded_children(lb, snapshot) < 0 ||
		json_object_set_new(lb, "operating_status",
			json_string(operating_status_name(uploaded_status(snapshot)))) < 0)
		return error_set_errno(err, -ENOMEM, "load balancer");
	*ret = TAKE_PTR(lb);
	return 0;
}

/* -ENOENT: it was deleted meanwhile. */
static int any_resource(const struct request *request, struct instance *instance, json_t **ret, struct error *err)
{
	_cleanup_scene_ struct scene scene = SCENE_INIT;
	struct tree_path path;
	int r;

	if (instance->owner == OWNER_CONTROLLER)
		return uploaded_resource(request, instance, ret, err);
	r = scene_open(request, instance, true, &scene, err);
	if (r < 0)
		return r;
	tree_find(scene.stored.lb, TREE_LOAD_BALANCER, NULL, instance->id, &path);
	r = resource_of(&scene, &path, false, ret);
	return r < 0 ? error_set_errno(err, r, "load balancer") : 0;
}

int lbaas_list_load_balancers(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	json_auto_t *list = json_array();
	int r;

	if (registry_list(request->agent->registry, &instances) < 0)
		return error_set_errno(err, -ENOMEM, "load balancers");
	for (struct instance **instance = instances; *instance; instance++) {
		json_t *lb = NULL;

		r = any_resource(request, *instance, &lb, err);
		if (r == -ENOENT) {
			error_done(err);
			continue;
		}
		if (r < 0)
			return r;
		if (json_array_append_new(list, lb) < 0)
			return error_set_errno(err, -ENOMEM, "load balancers");
	}
	return listing_answer(request, "loadbalancers", TAKE_PTR(list), response, err);
}

int lbaas_get_load_balancer(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	json_t *lb = NULL;
	int r;

	r = registry_get(request->agent->registry, request->parameters[0], &instance, err);
	if (r == 0)
		r = any_resource(request, instance, &lb, err);
	return r < 0 ? r : listing_answer_one(request, "loadbalancer", lb, response, err);
}

/* Beside Octavia's tree: the processes. NULL while HAProxy does not answer. */
static json_t *haproxy_json(struct instance *instance)
{
	_cleanup_free_ struct worker_figures *workers = NULL;
	struct plan_leaving *leaving;
	json_t *list, *haproxy;
	size_t n, n_leaving, n_old = 0;

	if (instance_workers(instance, &workers, &n, NULL) < 0 || instance_leaving(instance, &leaving, &n_leaving) < 0)
		return NULL;
	plan_leaving_free(leaving, n_leaving);
	list = json_array();
	for (size_t i = 0; i < n; i++) {
		n_old += workers[i].old;
		json_array_append_new(list,
			json_pack("{s:i, s:b, s:I, s:I, s:I}", "pid", (int)workers[i].pid, "old", (int)workers[i].old,
				"uptime_s", (json_int_t)workers[i].uptime_s, "reloads", (json_int_t)workers[i].reloads,
				"memory_bytes", (json_int_t)workers[i].memory_bytes));
	}
	haproxy = json_pack("{s:o, s:I, s:I}", "workers", list, "old_workers", (json_int_t)n_old, "leaving_servers",
		(json_int_t)n_leaving);
	return haproxy;
}

/* It says so of itself, not of what is in it. */
static int mark_trouble(json_t *tree)
{
	json_t *lb = json_object_get(json_object_get(tree, "statuses"), "loadbalancer");

	return json_object_set_new(lb, "provisioning_status", json_string("ERROR")) < 0 ? -ENOMEM : 0;
}

int lbaas_get_status(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *trouble = NULL;
	json_t *tree = NULL, *haproxy;
	int r;

	r = registry_get(request->agent->registry, request->parameters[0], &instance, err);
	if (r == 0 && instance->owner == OWNER_DEFINITION && instance_current(instance, &stored, &trouble) < 0)
		r = error_set(err, ERROR_NOT_FOUND, NULL, "Load Balancer %s not found.", instance->id);
	if (r == 0)
		r = snapshot_for(request, instance, SNAPSHOT_MAX_AGE_MS, &snapshot, err);
	if (r < 0)
		return r;
	r = stored.lb ? status_tree(stored.lb, snapshot, &tree) : uploaded_status_tree(instance->id, snapshot, &tree);
	if (r == 0 && trouble)
		r = mark_trouble(tree);
	haproxy = r == 0 && snapshot->answered ? haproxy_json(instance) : NULL;
	if (haproxy && json_object_set_new(tree, "haproxy", haproxy) < 0)
		r = -ENOMEM;
	if (r < 0)
		json_decref(tree);
	return r < 0 ? error_set_errno(err, r, "status") : response_set_json(response, 200, tree);
}

json_t *lbaas_totals_json(const struct listener_totals *totals, int64_t active, const char *id)
{
	return json_pack("{s:s*, s:I, s:I, s:I, s:I, s:I}", "id", id, "bytes_in", (json_int_t)totals->bytes_in,
		"bytes_out", (json_int_t)totals->bytes_out, "active_connections", (json_int_t)active,
		"total_connections", (json_int_t)totals->total_connections, "request_errors",
		(json_int_t)totals->request_errors);
}

int lbaas_get_stats(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	struct listener_totals sum = {0};
	json_auto_t *listeners = json_array();
	int64_t active = 0;
	json_t *body;
	int r;

	r = registry_get(request->agent->registry, request->parameters[0], &instance, err);
	if (r == 0)
		r = snapshot_for(request, instance, 0, &snapshot, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < snapshot->n_listeners; i++) {
		const struct listener_health *listener = &snapshot->listeners[i];

		sum.bytes_in += listener->totals.bytes_in;
		sum.bytes_out += listener->totals.bytes_out;
		sum.total_connections += listener->totals.total_connections;
		sum.request_errors += listener->totals.request_errors;
		active += listener->current_connections;
		json_array_append_new(
			listeners, lbaas_totals_json(&listener->totals, listener->current_connections, listener->id));
	}
	body = json_pack("{s:o, s:O}", "stats", lbaas_totals_json(&sum, active, NULL), "listeners", listeners);
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "statistics");
}

int lbaas_get_listener_stats(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	static const struct listener_totals nothing;
	const struct listener_health *listener;
	json_t *body;
	int r;

	r = lbaas_find_owner(request, TREE_LISTENER, NULL, request->parameters[0], &instance, err);
	if (r == 0)
		r = snapshot_for(request, instance, 0, &snapshot, err);
	if (r < 0)
		return r;
	/* Of one that does not run nothing was ever counted. */
	listener = snapshot_find_listener(snapshot, request->parameters[0]);
	body = json_pack("{s:o}", "stats",
		lbaas_totals_json(listener ? &listener->totals : &nothing, listener ? listener->current_connections : 0, NULL));
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "statistics");
}
