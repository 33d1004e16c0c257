/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/edit.h"
#include "agent/definition/uuid.h"
#include "api/lbaas_v2/listing.h"
#include "api/lbaas_v2/resources.h"

/*
 * Single objects: the routes of all kinds, told apart by their collection (resources.h). A change is one of the whole load balancer
 * (edit.h), made like that of a definition. Lists are in object_lists.c.
 */

int lbaas_find_owner(const struct request *request, enum tree_kind kind, const char *parent_id, const char *id,
	struct instance **ret, struct error *err)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	struct tree_path path;

	if (kind == TREE_LOAD_BALANCER)
		return registry_get(request->agent->registry, id, ret, err);
	if (registry_list(request->agent->registry, &instances) < 0)
		return error_set_errno(err, -ENOMEM, "load balancers");
	for (struct instance **instance = instances; *instance; instance++) {
		_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;

		if ((*instance)->owner != OWNER_DEFINITION || instance_current(*instance, &stored, NULL) < 0 ||
			!tree_find(stored.lb, kind, parent_id, id, &path))
			continue;
		*ret = instance_ref(*instance);
		return 0;
	}
	return edit_not_found(kind, id, err);
}

/* An object below one that does not exist is not what is missing. */
static int find_object(const struct request *request, const struct collection *collection, struct instance **ret,
	struct error *err)
{
	_cleanup_instance_ struct instance *parent = NULL;
	const char *parent_id = collection_parent_id(collection, request);
	int r = 0;

	if (parent_id)
		r = lbaas_find_owner(request, tree_kinds[collection->kind].parent, NULL, parent_id, &parent, err);
	return r < 0 ? r : lbaas_find_owner(request, collection->kind, parent_id,
				   collection_object_id(collection, request), ret, err);
}

int lbaas_get_object(const struct request *request, struct response *response, struct error *err)
{
	const struct collection *collection = collection_of(request);
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_scene_ struct scene scene = SCENE_INIT;
	const char *id = collection_object_id(collection, request);
	struct tree_path path;
	json_t *resource;
	int r;

	r = find_object(request, collection, &instance, err);
	if (r == 0)
		r = scene_open(request, instance, true, &scene, err);
	if (r < 0)
		return r;
	if (!tree_find(scene.stored.lb, collection->kind, collection_parent_id(collection, request), id, &path))
		return edit_not_found(collection->kind, id, err);
	if (resource_of(&scene, &path, false, &resource) < 0)
		return error_set_errno(err, -ENOMEM, "%s", collection->singular);
	return listing_answer_one(request, collection->singular, resource, response, err);
}

/* A change that a request asks for. */
struct wish {
	struct edit edit;
	struct instance *instance; /* NULL: a new load balancer */
	json_t *body;
	char id[UUID_SIZE], parent_id[UUID_SIZE], listener_id[UUID_SIZE];
};
#define WISH_INIT ((struct wish){0})
#define _cleanup_wish_ _cleanup_(wish_done)

static void wish_done(struct wish *wish)
{
	instance_unref(wish->instance);
	json_decref(wish->body);
}

static int make(const struct request *request, struct wish *wish, struct apply_result *ret, struct response *response,
	struct error *err)
{
	bool create = wish->edit.action == EDIT_CREATE && wish->edit.kind == TREE_LOAD_BALANCER;
	const char *lb_id = create ? wish->id : wish->instance->id;
	struct apply_options options = {.if_match = -1};
	int r;

	wish->edit.defaults = &request->agent->definition_defaults;
	r = lbaas_if_match(request, lb_id, &options.if_match, err);
	if (r == 0)
		r = registry_change(request->agent->registry, lb_id, create, edit_make, &wish->edit, &options, ret, err);
	if (r < 0)
		return r;
	if (response_add_header(response, "ETag", "\"%lld\"", (long long)ret->revision) < 0 ||
		response_add_header(response, "Amphorad-Apply", "%s", plan_action_name(ret->plan.action)) < 0)
		return error_set_errno(err, -ENOMEM, "reply");
	return 0;
}

/* Answers with the object as this change left it: others may have changed it again since. */
static int answer(const struct request *request, const struct wish *wish, const struct apply_result *result,
	unsigned status, struct response *response, struct error *err)
{
	const struct collection *collection = collection_of(request);
	bool full = wish->edit.action == EDIT_CREATE && wish->edit.kind == TREE_LOAD_BALANCER;
	_cleanup_scene_ struct scene scene = SCENE_INIT;
	struct tree_path path;
	json_t *resource, *body;
	int r;

	r = scene_open(request, wish->instance, false, &scene, err);
	if (r < 0)
		return r;
	load_balancer_unref(scene.stored.lb);
	scene.stored.lb = load_balancer_ref(result->lb);
	scene.stored.revision = result->revision;
	if (!tree_find(result->lb, collection->kind, NULL, wish->edit.made_id, &path))
		return edit_not_found(collection->kind, wish->edit.made_id, err);
	if (wish->edit.action != EDIT_CREATE)
		r = scene_look_at(request, result->plan.action, &path, &scene, err);
	if (r < 0)
		return r;
	if (resource_of(&scene, &path, full, &resource) < 0)
		return error_set_errno(err, -ENOMEM, "%s", collection->singular);
	body = json_pack("{s:o}", collection->singular, resource);
	return body ? response_set_json(response, status, body) : error_set_errno(err, -ENOMEM, "reply");
}

/* Takes a reference to another object out of the body. *ret is "" if there is none. */
static int take_reference(struct wish *wish, const struct collection *collection, const char *name, char ret[UUID_SIZE],
	struct error *err)
{
	struct location object = {NULL, collection->singular, 0}, where = {&object, name, 0};
	const json_t *value = json_object_get(wish->body, name);
	int r = 0;

	ret[0] = '\0';
	if (value && !json_is_null(value) && (!json_is_string(value) || uuid_read(json_string_value(value), ret) < 0))
		r = location_error(&where, ERROR_INVALID, err, "must be a UUID");
	json_object_del(wish->body, name);
	return r;
}

/* octavia/api/v2/types/member.py: those of a batch may name it, as a single one may. */
static void drop_projects(json_t *members)
{
	json_t *member;
	size_t i;

	json_array_foreach(members, i, member)
	{
		json_object_del(member, "project_id");
		json_object_del(member, "tenant_id");
	}
}

/* Of a load balancer it is kept; everything below is its load balancer's (octavia/api/v2/controllers/). */
static int take_project(struct wish *wish, const struct collection *collection)
{
	json_t *tenant = json_object_get(wish->body, "tenant_id");

	if (collection->kind != TREE_LOAD_BALANCER)
		json_object_del(wish->body, "project_id");
	else if (tenant && !json_object_get(wish->body, "project_id") &&
		json_object_set(wish->body, "project_id", tenant) < 0)
		return -ENOMEM;
	json_object_del(wish->body, "tenant_id");
	return 0;
}

/* Whose child it becomes, and which load balancer has that one. */
static int find_parent(const struct request *request, const struct collection *collection, struct wish *wish, struct error *err)
{
	enum tree_kind parent_kind = tree_kinds[collection->kind].parent;
	struct location object = {NULL, collection->singular, 0}, where = {&object, collection->parent_field, 0};
	const char *parent_id = collection_parent_id(collection, request);
	int r = 0;

	if (collection->kind == TREE_LOAD_BALANCER)
		return 0;
	if (!parent_id) {
		r = take_reference(wish, collection, collection->parent_field, wish->parent_id, err);
		if (r == 0 && collection->kind == TREE_POOL)
			r = take_reference(wish, collection, "listener_id", wish->listener_id, err);
		parent_id = wish->parent_id;
	}
	if (r < 0)
		return r;
	wish->edit.parent_id = parent_id;
	wish->edit.listener_id = wish->listener_id[0] ? wish->listener_id : NULL;
	if (parent_id[0])
		return lbaas_find_owner(request, parent_kind, NULL, parent_id, &wish->instance, err);
	if (wish->edit.listener_id)
		return lbaas_find_owner(request, TREE_LISTENER, NULL, wish->edit.listener_id, &wish->instance, err);
	if (collection->kind == TREE_POOL)
		return error_set(err, ERROR_INVALID, NULL,
			"Validation failure: Must provide at least one of: loadbalancer_id, listener_id");
	return location_error(&where, ERROR_INVALID, err, "is required");
}

/* The id that a new object gets: its own, if the client gave one. */
static int choose_id(const struct collection *collection, struct wish *wish, struct error *err)
{
	struct location object = {NULL, collection->singular, 0}, where = {&object, "id", 0};
	const json_t *given = json_object_get(wish->body, "id");
	int r;

	if (given && !json_is_null(given)) {
		if (!json_is_string(given) || !text_is_uuid(json_string_value(given)))
			return location_error(&where, ERROR_INVALID, err, "must be a UUID in lower case");
		snprintf(wish->id, sizeof(wish->id), "%s", json_string_value(given));
	} else {
		r = uuid_random(wish->id);
		if (r < 0)
			return error_set_errno(err, r, "random number");
	}
	wish->edit.id = wish->id;
	return 0;
}

int lbaas_create_object(const struct request *request, struct response *response, struct error *err)
{
	const struct collection *collection = collection_of(request);
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_wish_ struct wish wish = WISH_INIT;
	int r;

	wish.edit = (struct edit){.action = EDIT_CREATE, .kind = collection->kind};
	r = document_read(request->body, request->body_length, collection->singular, &wish.body, err);
	if (r == 0 && take_project(&wish, collection) < 0)
		r = error_set_errno(err, -ENOMEM, "%s", collection->singular);
	if (r == 0)
		r = choose_id(collection, &wish, err);
	if (r == 0)
		r = find_parent(request, collection, &wish, err);
	if (r < 0)
		return r;
	wish.edit.body = wish.body;
	r = make(request, &wish, &result, response, err);
	if (r == 0 && !wish.instance)
		r = registry_get(request->agent->registry, wish.id, &wish.instance, err);
	return r < 0 ? r : answer(request, &wish, &result, 201, response, err);
}

int lbaas_update_object(const struct request *request, struct response *response, struct error *err)
{
	const struct collection *collection = collection_of(request);
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_wish_ struct wish wish = WISH_INIT;
	int r;

	wish.edit = (struct edit){.action = EDIT_UPDATE,
		.kind = collection->kind,
		.id = collection_object_id(collection, request),
		.parent_id = collection_parent_id(collection, request)};
	r = document_read(request->body, request->body_length, collection->singular, &wish.body, err);
	if (r == 0)
		r = find_object(request, collection, &wish.instance, err);
	if (r < 0)
		return r;
	wish.edit.body = wish.body;
	r = make(request, &wish, &result, response, err);
	return r < 0 ? r : answer(request, &wish, &result, 200, response, err);
}

int lbaas_delete_object(const struct request *request, struct response *response, struct error *err)
{
	const struct collection *collection = collection_of(request);
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_wish_ struct wish wish = WISH_INIT;
	int r;

	wish.edit = (struct edit){.action = EDIT_DELETE,
		.kind = collection->kind,
		.id = collection_object_id(collection, request),
		.parent_id = collection_parent_id(collection, request)};
	r = find_object(request, collection, &wish.instance, err);
	if (r == 0)
		r = make(request, &wish, &result, response, err);
	if (r == 0)
		response->status = 204;
	return r;
}

int lbaas_put_members(const struct request *request, struct response *response, struct error *err)
{
	const struct collection *collection = collection_of(request);
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_wish_ struct wish wish = WISH_INIT;
	int r;

	wish.edit = (struct edit){.action = EDIT_REPLACE_MEMBERS, .kind = TREE_POOL, .id = request->parameters[0]};
	r = request_query_bool(request, "additive_only", &wish.edit.additive_only, err);
	if (r == 0)
		r = document_read(request->body, request->body_length, collection->name, &wish.body, err);
	if (r == 0)
		r = lbaas_find_owner(request, TREE_POOL, NULL, request->parameters[0], &wish.instance, err);
	if (r < 0)
		return r;
	drop_projects(wish.body);
	wish.edit.body = wish.body;
	r = make(request, &wish, &result, response, err);
	if (r == 0)
		response->status = 202;
	return r;
}

int lbaas_delete_load_balancer(const struct request *request, struct response *response, struct error *err)
{
	int64_t if_match = -1;
	bool cascade;
	int r;

	r = request_query_bool(request, "cascade", &cascade, err);
	/* Octavia takes an empty value for "no"; here it would delete what it keeps. */
	if (r == 0 && cascade && !*request_query(request, "cascade"))
		cascade = false;
	if (r == 0)
		r = lbaas_if_match(request, request->parameters[0], &if_match, err);
	if (r < 0 || cascade)
		return r < 0 ? r : lbaas_delete_whole(request, if_match, response, err);
	for (;;) { /* another revision may have children again */
		_cleanup_found_ struct found_load_balancer found = {0};
		_cleanup_error_ struct error stale = ERROR_INIT;

		r = lbaas_find(request, &found, err);
		if (r == 0 && if_match >= 0 && if_match != found.stored.revision)
			r = error_set(err, ERROR_STALE, NULL,
				"If-Match names revision %lld, the load balancer is at %lld: read it again",
				(long long)if_match, (long long)found.stored.revision);
		if (r == 0)
			r = edit_check_childless(found.stored.lb, err);
		if (r < 0)
			return r;
		r = lbaas_delete_whole(request, found.stored.revision, response, &stale);
		if (r < 0 && stale.code == ERROR_STALE)
			continue;
		if (r < 0) {
			*err = stale;
			stale = ERROR_INIT;
		}
		return r;
	}
}

int lbaas_failover(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	int r;

	(void)response;
	r = registry_get(request->agent->registry, request->parameters[0], &instance, err);
	return r < 0 ? r : error_set(err, ERROR_UNSUPPORTED, NULL,
		"Provider 'amphorad' does not support a requested action: This amphora has no other one to fail over to.");
}
