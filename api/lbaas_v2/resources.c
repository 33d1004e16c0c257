/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/resources.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/base/text.h"
#include "agent/health/status.h"
#include "agent/targets.h"

/* The more specific patterns first. */
const struct collection collections[] = {
	{"/v2/lbaas/pools/{pool_id}/members", "members", "member", TREE_MEMBER, NULL},
	{"/v2/lbaas/l7policies/{l7policy_id}/rules", "rules", "rule", TREE_L7RULE, NULL},
	{"/v2/lbaas/loadbalancers", "loadbalancers", "loadbalancer", TREE_LOAD_BALANCER, NULL},
	{"/v2/lbaas/listeners", "listeners", "listener", TREE_LISTENER, "loadbalancer_id"},
	{"/v2/lbaas/pools", "pools", "pool", TREE_POOL, "loadbalancer_id"},
	{"/v2/lbaas/healthmonitors", "healthmonitors", "healthmonitor", TREE_HEALTH_MONITOR, "pool_id"},
	{"/v2/lbaas/l7policies", "l7policies", "l7policy", TREE_L7POLICY, "listener_id"},
	{.pattern = NULL},
};

const struct collection *collection_of(const struct request *request)
{
	const struct collection *collection = collections;

	while (collection->pattern && !text_after_prefix(request->pattern, collection->pattern))
		collection++;
	return collection;
}

void scene_done(struct scene *scene)
{
	instance_unref(scene->instance);
	stored_definition_done(&scene->stored);
	snapshot_free(scene->snapshot);
	free(scene->trouble);
	*scene = SCENE_INIT;
}

int snapshot_for(const struct request *request, struct instance *instance, int64_t max_age_ms, struct health_snapshot **ret,
	struct error *err)
{
	int64_t unchanged_ms = instance_unchanged_for_ms(instance);

	return targets_snapshot(request->agent, instance, unchanged_ms < max_age_ms ? unchanged_ms : max_age_ms, ret, err);
}

int scene_open(const struct request *request, struct instance *instance, bool look, struct scene *ret, struct error *err)
{
	_cleanup_scene_ struct scene scene = SCENE_INIT;
	int r = 0;

	scene.instance = instance_ref(instance);
	scene.default_vip_address = request->agent->config->default_vip_address;
	if (instance->owner != OWNER_DEFINITION || instance_current(instance, &scene.stored, &scene.trouble) < 0)
		return error_set(err, ERROR_NOT_FOUND, NULL, "Load Balancer %s not found.", instance->id);
	if (look)
		r = snapshot_for(request, instance, SNAPSHOT_MAX_AGE_MS, &scene.snapshot, err);
	if (r < 0)
		return r;
	*ret = scene;
	scene = SCENE_INIT;
	return 0;
}

int scene_look_at(const struct request *request, enum plan_action action, const struct tree_path *path, struct scene *scene,
	struct error *err)
{
	const struct pool *pool = tree_ancestor(path, TREE_POOL);
	enum tree_kind kind = tree_kind_of(path);

	if ((kind == TREE_MEMBER || kind == TREE_POOL) && pool->protocol != POOL_UDP && pool->protocol != POOL_SCTP &&
		(action == PLAN_NONE || action == PLAN_RUNTIME))
		return targets_pool_snapshot(scene->instance, path->levels[0].object, pool, &scene->snapshot, err);
	return snapshot_for(request, scene->instance, SNAPSHOT_MAX_AGE_MS, &scene->snapshot, err);
}

static bool is_up(enum tree_kind kind, const void *object)
{
	const struct field *field = object_find_field(tree_kinds[kind].type, "admin_state_up");

	return *(const bool *)field_const_at(object, field->offset);
}

static enum operating_status status_of(const struct scene *scene, const struct tree_path *path)
{
	const struct load_balancer *lb = path->levels[0].object;
	const void *object = tree_object(path);

	if (!scene->snapshot)
		return STATUS_OFFLINE;
	switch (tree_kind_of(path)) {
	case TREE_LOAD_BALANCER:
		return status_of_load_balancer(lb, scene->snapshot);
	case TREE_LISTENER:
		return status_of_listener(lb, object, scene->snapshot);
	case TREE_POOL:
		return status_of_pool(lb, object, scene->snapshot);
	case TREE_MEMBER:
		return status_of_member(lb, tree_ancestor(path, TREE_POOL), object, scene->snapshot);
	default:
		return is_up(tree_kind_of(path), object) ? STATUS_ONLINE : STATUS_OFFLINE;
	}
}

/* A value of NULL stands for no memory. */
static int put(json_t *resource, const char *name, json_t *value)
{
	return json_object_set_new(resource, name, value) < 0 ? -ENOMEM : 0;
}

/* [{"id": …}] */
static int put_reference(json_t *resource, const char *name, const char *id)
{
	return put(resource, name, json_pack("[{s:s}]", "id", id));
}

static int put_listeners(json_t *resource, const struct load_balancer *lb, const char *pool_id)
{
	json_auto_t *list = json_array();

	for (size_t i = 0; i < lb->n_listeners; i++)
		if (listener_uses_pool(&lb->listeners[i], pool_id) &&
			json_array_append_new(list, json_pack("{s:s}", "id", lb->listeners[i].id)) < 0)
			return -ENOMEM;
	return json_object_set(resource, "listeners", list) < 0 ? -ENOMEM : 0;
}

static int put_load_balancer(json_t *resource, const struct scene *scene, const struct load_balancer *lb)
{
	const struct stored_definition *stored = &scene->stored;
	int r = 0;

	if (!lb->vip_address)
		r = put(resource, "vip_address", json_string(scene->default_vip_address));
	if (r == 0)
		r = put(resource, "vip_vnic_type", json_string("normal"));
	if (r == 0)
		r = put(resource, "created_at", json_string(stored->created_at));
	if (r == 0) /* null before the first change */
		r = put(resource, "updated_at",
			stored->revision == 1 ? json_null() : json_string(stored->updated_at));
	if (r == 0)
		r = put(resource, "revision", json_integer(stored->revision));
	if (r == 0)
		r = put(resource, "trouble", scene->trouble ? json_string(scene->trouble) : json_null());
	return r;
}

/* What each kind shows beside its own fields. */
static int put_relatives(json_t *resource, const struct scene *scene, const struct tree_path *path, bool full)
{
	const struct load_balancer *lb = path->levels[0].object;
	const struct pool *pool = tree_ancestor(path, TREE_POOL);
	const struct listener *listener = tree_ancestor(path, TREE_LISTENER);
	const struct member *member;
	int r = 0;

	switch (tree_kind_of(path)) {
	case TREE_LOAD_BALANCER:
		return put_load_balancer(resource, scene, lb);
	case TREE_LISTENER:
		return full ? 0 : put_reference(resource, "loadbalancers", lb->id);
	case TREE_POOL:
		r = put_listeners(resource, lb, pool->id);
		return r < 0 || full ? r : put_reference(resource, "loadbalancers", lb->id);
	case TREE_MEMBER:
		member = tree_object(path);
		json_object_del(resource, "request_sriov");
		return put(resource, "vnic_type", json_string(member->request_sriov ? "direct" : "normal"));
	case TREE_HEALTH_MONITOR:
		return full ? 0 : put_reference(resource, "pools", pool->id);
	case TREE_L7POLICY:
		return put(resource, "listener_id", json_string(listener->id));
	default:
		return 0;
	}
}

/* project_id and its older name (octavia/api/common/types.py, BaseMeta). */
static int put_project(json_t *resource, const struct load_balancer *lb)
{
	int r;

	r = put(resource, "project_id", lb->project_id ? json_string(lb->project_id) : json_null());
	return r < 0 ? r : put(resource, "tenant_id", lb->project_id ? json_string(lb->project_id) : json_null());
}

static int put_children(json_t *resource, const struct scene *scene, const struct tree_path *path);

int resource_of(const struct scene *scene, const struct tree_path *path, bool full, json_t **ret)
{
	const struct load_balancer *lb = path->levels[0].object;
	json_auto_t *resource = NULL;
	bool is_lb = path->depth == 0;
	int r;

	r = object_to_resource(tree_kinds[tree_kind_of(path)].type, tree_object(path), &resource);
	if (r == 0)
		r = put_project(resource, lb);
	if (r == 0)
		r = put(resource, "provisioning_status", json_string(is_lb && scene->trouble ? "ERROR" : "ACTIVE"));
	if (r == 0)
		r = put(resource, "operating_status", json_string(operating_status_name(status_of(scene, path))));
	if (r == 0)
		r = put_relatives(resource, scene, path, full);
	if (r == 0 && full)
		r = put_children(resource, scene, path);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(resource);
	return 0;
}

struct full_list {
	const struct scene *scene;
	const void *parent;
	json_t *list;
};

static int append_full(void *userdata, const struct tree_path *path)
{
	struct full_list *full = userdata;
	json_t *resource;
	int r;

	if (path->levels[path->depth - 1].object != full->parent)
		return 0;
	r = resource_of(full->scene, path, true, &resource);
	if (r == 0 && json_array_append_new(full->list, resource) < 0)
		r = -ENOMEM;
	return r;
}

/* Whole objects instead of their ids. */
static int put_children(json_t *resource, const struct scene *scene, const struct tree_path *path)
{
	for (enum tree_kind kind = TREE_LISTENER; kind < _TREE_KIND_MAX; kind++) {
		json_auto_t *list = json_array();
		struct full_list full = {scene, tree_object(path), list};
		int r;

		if (tree_kinds[kind].parent != tree_kind_of(path))
			continue;
		r = list ? tree_each(path->levels[0].object, kind, append_full, &full) : -ENOMEM;
		if (r < 0)
			return r;
		if (kind == TREE_HEALTH_MONITOR) {
			json_object_del(resource, "healthmonitor_id");
			if (json_array_size(list) > 0 &&
				json_object_set(resource, tree_kinds[kind].field, json_array_get(list, 0)) < 0)
				return -ENOMEM;
			continue;
		}
		if (json_object_set(resource, tree_kinds[kind].field, list) < 0)
			return -ENOMEM;
	}
	return 0;
}
