/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A load balancer as a tree of the API's objects: finding, adding and removing them, whatever they are, and the times of each.
 * Which objects there are, and where they stand in their parents, is one table. What changes a tree takes one that nobody
 * else sees yet: a copy (tree_copy()).
 */

#include "agent/definition/fields.h"

enum tree_kind {
	TREE_LOAD_BALANCER,
	TREE_LISTENER,
	TREE_POOL,
	TREE_MEMBER,
	TREE_HEALTH_MONITOR,
	TREE_L7POLICY,
	TREE_L7RULE,
	_TREE_KIND_MAX,
};

struct tree_kind_row {
	const struct object_type *type;
	const char *title;     /* in messages, as octavia/common/data_models.py derives it from the name of a class */
	enum tree_kind parent; /* of a load balancer: itself */
	const char *field;     /* where the parent has it */
};

extern const struct tree_kind_row tree_kinds[_TREE_KIND_MAX];

enum { TREE_DEPTH = 4 };

/* An object and its ancestors. They belong to the tree. */
struct tree_path {
	size_t depth; /* of the object; a load balancer has 0 */
	struct {
		enum tree_kind kind;
		void *object;
		size_t index; /* in its list */
	} levels[TREE_DEPTH];
};

static inline void *tree_object(const struct tree_path *path)
{
	return path->levels[path->depth].object;
}

static inline enum tree_kind tree_kind_of(const struct tree_path *path)
{
	return path->levels[path->depth].kind;
}

/* The ancestor of that kind, NULL if it has none. */
void *tree_ancestor(const struct tree_path *path, enum tree_kind kind);

/* Visits all objects of a kind, in the order of the document. A visit that returns anything but 0 ends that, and it is returned.
 * The objects of a tree that others see must not be changed. */
typedef int (*tree_visit)(void *userdata, const struct tree_path *path);
int tree_each(const struct load_balancer *lb, enum tree_kind kind, tree_visit visit, void *userdata);

/* The object of that id. With "parent_id" it has to be a child of that one. */
bool tree_find(const struct load_balancer *lb, enum tree_kind kind, const char *parent_id, const char *id,
	struct tree_path *ret);

/* A copy of the whole tree; one reference. */
int tree_copy(const struct load_balancer *lb, struct load_balancer **ret);

/* Adds an object as the last child of its kind. "object" is left empty; paths into the list are of no use any more.
 * ERROR_FORBIDDEN in the words of Octavia's quotas where there are as many as may be. */
int tree_insert(const struct tree_path *parent, enum tree_kind kind, void *object, struct tree_path *ret, struct error *err);
/* Frees the object and all below it. */
void tree_remove(const struct tree_path *path);
/* Makes it the last one of its list. */
void tree_move_to_end(struct tree_path *path);

/* The JSON Pointer of the object in the document of a definition. Owned by the caller. */
int tree_pointer(const struct tree_path *path, char **ret);

/* Gives an object and what is below it random ids where there are none, but for pools that stand in a listener or policy:
 * those may be references. */
int tree_give_ids(const struct object_type *type, void *object);

/* The times of what has come about and of what has changed, of "lb" as the successor of "before" (NULL: of nothing). */
int tree_set_times(const struct load_balancer *before, struct load_balancer *lb, const char now[DEFINITION_TIME_SIZE]);
/* What has no time of creation gets this one. */
void tree_set_missing_times(struct load_balancer *lb, const char time[DEFINITION_TIME_SIZE]);
