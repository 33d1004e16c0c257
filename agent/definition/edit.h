/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Changes of single objects, as the API of Octavia makes them: from a tree to another one, which is checked as a whole like any
 * definition. What others refer to, and what there may be only once, is answered in Octavia's words.
 *
 * Source: octavia/api/v2/controllers/, octavia/common/exceptions.py, octavia/db/repositories.py.
 */

#include "agent/definition/tree.h"

enum edit_action {
	EDIT_CREATE,
	EDIT_UPDATE,
	EDIT_DELETE,
	EDIT_REPLACE_MEMBERS, /* PUT of pools/{id}/members: kind and id are those of the pool, the body is the list */
};

struct edit {
	enum edit_action action;
	enum tree_kind kind;
	const char *id;          /* of the object; a new one's, if its body has none */
	const char *parent_id;   /* of the object that it is, or shall be, a child of; NULL: wherever it is */
	const char *listener_id; /* EDIT_CREATE of a pool: whose default pool it becomes; NULL: of none */
	const json_t *body;      /* of the object itself, without references to its parents */
	bool additive_only;      /* EDIT_REPLACE_MEMBERS: those that are not named stay */
	const struct definition_defaults *defaults;
	char made_id[UUID_SIZE]; /* out: of the object */
};

/* The change, as instance_change() takes it: "userdata" is the struct edit. It may be called again, with another tree.
 * A pointer of an error begins with the name of the object: "/member/weight". */
int edit_make(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err);

/* ERROR_NOT_FOUND in Octavia's words. */
int edit_not_found(enum tree_kind kind, const char *id, struct error *err);

/* ERROR_INVALID in Octavia's words if the load balancer has listeners or pools. */
int edit_check_childless(const struct load_balancer *lb, struct error *err);
