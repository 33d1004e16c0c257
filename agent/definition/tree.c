/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/tree.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/uuid.h"

const struct tree_kind_row tree_kinds[_TREE_KIND_MAX] = {
	[TREE_LOAD_BALANCER] = {&load_balancer_type, "Load Balancer", TREE_LOAD_BALANCER, NULL},
	[TREE_LISTENER] = {&listener_type, "Listener", TREE_LOAD_BALANCER, "listeners"},
	[TREE_POOL] = {&pool_type, "Pool", TREE_LOAD_BALANCER, "pools"},
	[TREE_MEMBER] = {&member_type, "Member", TREE_POOL, "members"},
	[TREE_HEALTH_MONITOR] = {&health_monitor_type, "Health Monitor", TREE_POOL, "healthmonitor"},
	[TREE_L7POLICY] = {&l7policy_type, "L7 Policy", TREE_LISTENER, "l7policies"},
	[TREE_L7RULE] = {&l7rule_type, "L7 Rule", TREE_L7POLICY, "rules"},
};

/* Children of one kind, as a list: there is at most one where the row is no list. */
struct children {
	const struct field *field;
	const struct object_type *type;
	void **items;
	size_t *count; /* NULL: no list */
};

static struct children children_of(enum tree_kind kind, void *parent)
{
	const struct field *field = object_find_field(tree_kinds[tree_kinds[kind].parent].type, tree_kinds[kind].field);

	return (struct children){field, field->object, field_at(parent, field->offset),
		field->type == FIELD_LIST ? field_at(parent, field->count_offset) : NULL};
}

static size_t children_count(const struct children *children)
{
	return children->count ? *children->count : *children->items != NULL;
}

static void *child_at(const struct children *children, size_t index)
{
	return field_at(*children->items, index * children->type->size);
}

void *tree_ancestor(const struct tree_path *path, enum tree_kind kind)
{
	for (size_t i = 0; i <= path->depth; i++)
		if (path->levels[i].kind == kind)
			return path->levels[i].object;
	return NULL;
}

static size_t depth_of(enum tree_kind kind)
{
	size_t depth = 0;

	for (; kind != TREE_LOAD_BALANCER; kind = tree_kinds[kind].parent)
		depth++;
	return depth;
}

/* "path" has the kinds of all levels, and the objects above "level". */
static int visit_level(struct tree_path *path, size_t level, tree_visit visit, void *userdata)
{
	struct children children;
	int r = 0;

	if (level > path->depth)
		return visit(userdata, path);
	children = children_of(path->levels[level].kind, path->levels[level - 1].object);
	for (size_t i = 0; r == 0 && i < children_count(&children); i++) {
		path->levels[level].object = child_at(&children, i);
		path->levels[level].index = i;
		r = visit_level(path, level + 1, visit, userdata);
	}
	return r;
}

int tree_each(const struct load_balancer *lb, enum tree_kind kind, tree_visit visit, void *userdata)
{
	struct tree_path path = {.depth = depth_of(kind)};

	for (size_t level = path.depth; level > 0; level--, kind = tree_kinds[kind].parent)
		path.levels[level].kind = kind;
	path.levels[0].object = (void *)lb;
	return visit_level(&path, 1, visit, userdata);
}

struct search {
	const char *parent_id, *id;
	struct tree_path *found;
};

static int compare(void *userdata, const struct tree_path *path)
{
	const struct search *search = userdata;
	const struct object_type *type = tree_kinds[tree_kind_of(path)].type;

	if (!streq(object_id(type, tree_object(path)), search->id))
		return 0;
	if (search->parent_id) {
		size_t above = path->depth - 1;

		type = tree_kinds[path->levels[above].kind].type;
		if (!streq(object_id(type, path->levels[above].object), search->parent_id))
			return 0;
	}
	*search->found = *path;
	return 1;
}

bool tree_find(const struct load_balancer *lb, enum tree_kind kind, const char *parent_id, const char *id,
	struct tree_path *ret)
{
	struct search search = {kind == TREE_LOAD_BALANCER ? NULL : parent_id, id, ret};

	return tree_each(lb, kind, compare, &search) != 0;
}

int tree_copy(const struct load_balancer *lb, struct load_balancer **ret)
{
	_cleanup_load_balancer_ struct load_balancer *copy = calloc(1, sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	copy->references = 1;
	r = object_copy(&load_balancer_type, lb, copy);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(copy);
	return 0;
}

int tree_insert(const struct tree_path *parent, enum tree_kind kind, void *object, struct tree_path *ret, struct error *err)
{
	struct children children = children_of(kind, tree_object(parent));
	size_t n = children_count(&children), most = children.count ? (size_t)children.field->maximum : 1;
	void *grown;

	if (n >= most)
		return error_set(err, ERROR_FORBIDDEN, NULL, "Quota has been met for resources: %s", tree_kinds[kind].title);
	grown = reallocarray(*children.items, n + 1, children.type->size);
	if (!grown)
		return error_set_errno(err, -ENOMEM, "%s", children.type->name);
	*children.items = grown;
	if (children.count)
		(*children.count)++;
	memcpy(child_at(&children, n), object, children.type->size);
	memset(object, 0, children.type->size); /* its fields belong to the tree now */
	*ret = *parent;
	ret->depth++;
	ret->levels[ret->depth].kind = kind;
	ret->levels[ret->depth].object = child_at(&children, n);
	ret->levels[ret->depth].index = n;
	return 0;
}

void tree_remove(const struct tree_path *path)
{
	enum tree_kind kind = tree_kind_of(path);
	struct children children = children_of(kind, path->levels[path->depth - 1].object);
	size_t index = path->levels[path->depth].index;

	object_done(children.type, tree_object(path));
	if (!children.count) {
		free(TAKE_PTR(*children.items));
		return;
	}
	(*children.count)--;
	memmove(child_at(&children, index), child_at(&children, index + 1),
		(*children.count - index) * children.type->size);
}

void tree_move_to_end(struct tree_path *path)
{
	struct children children = children_of(tree_kind_of(path), path->levels[path->depth - 1].object);
	size_t size = children.type->size, last = children_count(&children) - 1, *index = &path->levels[path->depth].index;

	/* One place after the other: no memory is needed, and lists in which an order counts are short. */
	for (; *index < last; (*index)++) {
		char *a = child_at(&children, *index), *b = a + size;

		for (size_t i = 0; i < size; i++) {
			char byte = a[i];

			a[i] = b[i];
			b[i] = byte;
		}
	}
	path->levels[path->depth].object = child_at(&children, last);
}

int tree_pointer(const struct tree_path *path, char **ret)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_append(&text, "/loadbalancer");
	for (size_t i = 1; i <= path->depth; i++) {
		enum tree_kind kind = path->levels[i].kind;

		text_printf(&text, "/%s", tree_kinds[kind].field);
		if (children_of(kind, path->levels[i - 1].object).count)
			text_printf(&text, "/%zu", path->levels[i].index);
	}
	return text_finish(&text, ret, NULL);
}

int tree_give_ids(const struct object_type *type, void *object)
{
	int r = 0;

	if (object_type_has_id(type) && !object_id(type, object)[0])
		r = uuid_random(object_id(type, object));
	for (const struct field *field = type->fields; r == 0 && field->name; field++) {
		void *items = field->object ? *(void **)field_at(object, field->offset) : NULL;
		size_t n = field->type == FIELD_LIST ? *(size_t *)field_at(object, field->count_offset) : 1;

		if ((field->flags & FIELD_TRANSIENT) || !items)
			continue;
		for (size_t i = 0; r == 0 && i < n; i++)
			r = tree_give_ids(field->object, field_at(items, i * field->object->size));
	}
	return r;
}
