/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include "agent/definition/edit.h"
#include "api/lbaas_v2/listing.h"
#include "api/lbaas_v2/resources.h"

/*
 * Lists of objects of all kinds, told apart by their collection (resources.h). All objects are looked up, and a resource is made
 * of those alone that the page shows: a load balancer may have 10 000 members.
 */

struct item {
	size_t scene; /* its index */
	struct tree_path path;
};

struct items {
	struct scene *scenes; /* owned, as the items */
	size_t n_scenes;
	const void *parent; /* NULL: of whatever parent */
	struct item *items;
	size_t n, allocated;
};

static void items_done(struct items *items)
{
	for (size_t i = 0; i < items->n_scenes; i++)
		scene_done(&items->scenes[i]);
	free(items->scenes);
	free(items->items);
}

/* Of the scene that is the next one. */
static int append(void *userdata, const struct tree_path *path)
{
	struct items *items = userdata;

	if (items->parent && path->levels[path->depth - 1].object != items->parent)
		return 0;
	if (items->n == items->allocated) {
		size_t allocated = items->allocated ? 2 * items->allocated : 64;
		struct item *grown = reallocarray(items->items, allocated, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		items->items = grown;
		items->allocated = allocated;
	}
	items->items[items->n++] = (struct item){items->n_scenes, *path};
	return 0;
}

/* All of one load balancer, or of one parent in it. There is room for its scene. */
static int append_all(const struct request *request, struct instance *instance, const struct collection *collection,
	struct items *items, struct error *err)
{
	struct scene *scene = &items->scenes[items->n_scenes];
	const char *parent_id = collection_parent_id(collection, request);
	struct tree_path parent;
	int r;

	*scene = SCENE_INIT;
	r = scene_open(request, instance, true, scene, err);
	if (r < 0)
		return r;
	items->parent = NULL;
	if (!parent_id)
		r = tree_each(scene->stored.lb, collection->kind, append, items);
	else if (!tree_find(scene->stored.lb, tree_kinds[collection->kind].parent, NULL, parent_id, &parent))
		r = edit_not_found(tree_kinds[collection->kind].parent, parent_id, err);
	else {
		items->parent = tree_object(&parent);
		r = tree_each(scene->stored.lb, collection->kind, append, items);
	}
	items->n_scenes++;
	return r == -ENOMEM ? error_set_errno(err, r, "%s", collection->singular) : r;
}

static int find_all(const struct request *request, const struct collection *collection, struct items *items, struct error *err)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	size_t n = 0;

	if (registry_list(request->agent->registry, &instances) < 0)
		return error_set_errno(err, -ENOMEM, "%s", collection->name);
	while (instances[n])
		n++;
	items->scenes = calloc(n + 1, sizeof(*items->scenes));
	if (!items->scenes)
		return error_set_errno(err, -ENOMEM, "%s", collection->name);
	for (struct instance **instance = instances; *instance; instance++) {
		int r = append_all(request, *instance, collection, items, err);

		if (r == -ENOENT) /* it was deleted meanwhile, or is a controller's */
			error_done(err);
		else if (r < 0)
			return r;
	}
	return 0;
}

static int find_children(const struct request *request, const struct collection *collection, const char *parent_id,
	struct items *items, struct error *err)
{
	_cleanup_instance_ struct instance *owner = NULL;
	int r;

	r = lbaas_find_owner(request, tree_kinds[collection->kind].parent, NULL, parent_id, &owner, err);
	if (r < 0)
		return r;
	items->scenes = calloc(1, sizeof(*items->scenes));
	return items->scenes ? append_all(request, owner, collection, items, err) :
			       error_set_errno(err, -ENOMEM, "%s", collection->name);
}

static int item_member(const void *userdata, size_t i, const char *name, json_t **ret)
{
	const struct items *items = userdata;
	const struct item *item = &items->items[i];

	return resource_member(&items->scenes[item->scene], &item->path, name, ret);
}

static int item_object(const void *userdata, size_t i, json_t **ret)
{
	const struct items *items = userdata;
	const struct item *item = &items->items[i];

	return resource_of(&items->scenes[item->scene], &item->path, false, ret);
}

int lbaas_list_objects(const struct request *request, struct response *response, struct error *err)
{
	const struct collection *collection = collection_of(request);
	const char *parent_id = collection_parent_id(collection, request);
	_cleanup_(items_done) struct items items = {0};
	int r;

	r = parent_id ? find_children(request, collection, parent_id, &items, err) :
			find_all(request, collection, &items, err);
	if (r < 0)
		return r;
	return listing_answer_from(request, collection->name,
		&(struct listing_source){items.n, item_member, item_object, &items}, response, err);
}
