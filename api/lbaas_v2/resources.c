/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/resources.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/base/text.h"
#include "agent/health/status.h"
#include "agent/targets.h"

/* The more specific patterns first. */
static const struct collection collections[] = {
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

const char *collection_parent_id(const struct collection *collection, const struct request *request)
{
	return strchr(collection->pattern, '{') ? request->parameters[0] : NULL;
}

const char *collection_object_id(const struct collection *collection, const struct request *request)
{
	return request->parameters[collection_parent_id(collection, request) ? 1 : 0];
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

/*
 * What the resources have beside the fields of the object model, or in place of them. NULL is no memory.
 */

static const struct load_balancer *lb_of(const struct tree_path *path)
{
	return path->levels[0].object;
}

static json_t *string_or_null(const char *string)
{
	return string ? json_string(string) : json_null();
}

/* [{"id": …}] */
static json_t *reference(const char *id)
{
	return json_pack("[{s:s}]", "id", id);
}

static json_t *make_project_id(const struct scene *scene _unused_, const struct tree_path *path)
{
	return string_or_null(lb_of(path)->project_id);
}

static json_t *make_provisioning_status(const struct scene *scene, const struct tree_path *path)
{
	return json_string(path->depth == 0 && scene->trouble ? "ERROR" : "ACTIVE");
}

static json_t *make_operating_status(const struct scene *scene, const struct tree_path *path)
{
	return json_string(operating_status_name(status_of(scene, path)));
}

static json_t *make_vip_address(const struct scene *scene, const struct tree_path *path)
{
	return json_string(lb_of(path)->vip_address ? lb_of(path)->vip_address : scene->default_vip_address);
}

static json_t *make_vip_vnic_type(const struct scene *scene _unused_, const struct tree_path *path _unused_)
{
	return json_string("normal");
}

static json_t *make_created_at(const struct scene *scene, const struct tree_path *path _unused_)
{
	return json_string(scene->stored.created_at);
}

/* null before the first change */
static json_t *make_updated_at(const struct scene *scene, const struct tree_path *path _unused_)
{
	return scene->stored.revision == 1 ? json_null() : json_string(scene->stored.updated_at);
}

static json_t *make_revision(const struct scene *scene, const struct tree_path *path _unused_)
{
	return json_integer(scene->stored.revision);
}

static json_t *make_trouble(const struct scene *scene, const struct tree_path *path _unused_)
{
	return string_or_null(scene->trouble);
}

static json_t *make_load_balancers(const struct scene *scene _unused_, const struct tree_path *path)
{
	return reference(lb_of(path)->id);
}

static json_t *make_listeners(const struct scene *scene _unused_, const struct tree_path *path)
{
	const struct load_balancer *lb = lb_of(path);
	const struct pool *pool = tree_object(path);
	json_auto_t *list = json_array();

	for (size_t i = 0; i < lb->n_listeners; i++)
		if (listener_uses_pool(&lb->listeners[i], pool->id) &&
			json_array_append_new(list, json_pack("{s:s}", "id", lb->listeners[i].id)) < 0)
			return NULL;
	return TAKE_PTR(list);
}

static json_t *make_vnic_type(const struct scene *scene _unused_, const struct tree_path *path)
{
	const struct member *member = tree_object(path);

	return json_string(member->request_sriov ? "direct" : "normal");
}

static json_t *make_pools(const struct scene *scene _unused_, const struct tree_path *path)
{
	const struct pool *pool = tree_ancestor(path, TREE_POOL);

	return reference(pool->id);
}

static json_t *make_listener_id(const struct scene *scene _unused_, const struct tree_path *path)
{
	const struct listener *listener = tree_ancestor(path, TREE_LISTENER);

	return json_string(listener->id);
}

/* In the order in which they are shown. project_id has an older name (octavia/api/common/types.py, BaseMeta). */
static const struct {
	const char *name;
	unsigned kinds; /* bits: whose */
	bool upwards;   /* it names what it belongs to: not in a whole tree, which shows that */
	json_t *(*make)(const struct scene *scene, const struct tree_path *path); /* NULL: it is not shown */
} rows[] = {
	{"project_id", ~0U, false, make_project_id},
	{"tenant_id", ~0U, false, make_project_id},
	{"provisioning_status", ~0U, false, make_provisioning_status},
	{"operating_status", ~0U, false, make_operating_status},
	{"vip_address", 1U << TREE_LOAD_BALANCER, false, make_vip_address},
	{"vip_vnic_type", 1U << TREE_LOAD_BALANCER, false, make_vip_vnic_type},
	{"created_at", 1U << TREE_LOAD_BALANCER, false, make_created_at},
	{"updated_at", 1U << TREE_LOAD_BALANCER, false, make_updated_at},
	{"revision", 1U << TREE_LOAD_BALANCER, false, make_revision},
	{"trouble", 1U << TREE_LOAD_BALANCER, false, make_trouble},
	{"listeners", 1U << TREE_POOL, false, make_listeners},
	{"loadbalancers", 1U << TREE_LISTENER | 1U << TREE_POOL, true, make_load_balancers},
	{"request_sriov", 1U << TREE_MEMBER, false, NULL},
	{"vnic_type", 1U << TREE_MEMBER, false, make_vnic_type},
	{"pools", 1U << TREE_HEALTH_MONITOR, true, make_pools},
	{"listener_id", 1U << TREE_L7POLICY, false, make_listener_id},
};

static int put_rows(json_t *resource, const struct scene *scene, const struct tree_path *path, bool full)
{
	unsigned kind = 1U << tree_kind_of(path);

	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		if (!(rows[i].kinds & kind) || (full && rows[i].upwards))
			continue;
		if (!rows[i].make)
			json_object_del(resource, rows[i].name);
		else if (json_object_set_new(resource, rows[i].name, rows[i].make(scene, path)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int resource_member(const struct scene *scene, const struct tree_path *path, const char *name, json_t **ret)
{
	unsigned kind = 1U << tree_kind_of(path);

	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		if ((rows[i].kinds & kind) && streq(rows[i].name, name)) {
			*ret = rows[i].make ? rows[i].make(scene, path) : NULL;
			return rows[i].make && !*ret ? -ENOMEM : 0;
		}
	return object_to_resource_member(tree_kinds[tree_kind_of(path)].type, tree_object(path), name, ret);
}

static int put_children(json_t *resource, const struct scene *scene, const struct tree_path *path);

int resource_of(const struct scene *scene, const struct tree_path *path, bool full, json_t **ret)
{
	json_auto_t *resource = NULL;
	int r;

	r = object_to_resource(tree_kinds[tree_kind_of(path)].type, tree_object(path), &resource);
	if (r == 0)
		r = put_rows(resource, scene, path, full);
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
