/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between edit.c (the changes), edit_reference.c (what others say of an object) and edit_members.c (many members at once).
 */

#include "agent/definition/edit.h"

/* Before the object is part of the tree. */
int edit_check_new(const struct edit *edit, const struct tree_path *parent, const void *object, struct error *err);
/* The pools that an object of the tree refers to are there. */
int edit_check_pools(const struct load_balancer *lb, enum tree_kind kind, const void *object, struct error *err);
/* Makes a new pool the default pool of the listener. */
int edit_link_pool(const struct edit *edit, struct load_balancer *lb, const struct pool *pool, struct error *err);
/* Whatever refers to an object that is about to go does so no more, or keeps it from going. */
int edit_unlink(struct load_balancer *lb, const struct tree_path *path, struct error *err);

/* Where the objects of a request are in the tree, for the places that errors name. */
struct edit_origin {
	char *pointer;          /* owned; of the object, or of the list */
	const char *name;       /* what stands for it in the request: "member", "members" */
	size_t *positions;      /* owned; of an item of the list in the request, (size_t)-1: not in it. NULL: no list */
	size_t n;
};
#define EDIT_ORIGIN_INIT ((struct edit_origin){0})

/* Replaces the members of the pool. */
int edit_replace_members(const struct edit *edit, struct load_balancer *lb, const struct tree_path *path,
	struct edit_origin *ret, struct error *err);
