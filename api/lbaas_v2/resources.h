/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The objects of the load-balancing API v2 as clients see them.
 *
 * Source of what each kind shows: octavia/api/v2/types/. What is no field of the object model is a row of a table in resources.c.
 */

#include "agent/definition/store.h"
#include "agent/definition/tree.h"
#include "agent/haproxy/plan.h"
#include "agent/health/snapshot.h"
#include "api/request.h"

struct instance;

/* What one kind of object is called. */
struct collection {
	const char *pattern;  /* of the route of all of them */
	const char *name;     /* "listeners": of the list in a reply (listing.h) */
	const char *singular; /* "listener": of one in a request or reply */
	enum tree_kind kind;
	const char *parent_field; /* in the body of a POST: whose child it becomes; NULL: the path says it */
};

/* The one that the route of a request serves. */
const struct collection *collection_of(const struct request *request);
/* "/…/{parent}/members/{member}": the parent and the object; "/…/{object}": the object, and NULL for the parent. */
const char *collection_parent_id(const struct collection *collection, const struct request *request);
const char *collection_object_id(const struct collection *collection, const struct request *request);

enum { SNAPSHOT_MAX_AGE_MS = 1000 }; /* a status is at most this old; many readers share one look at HAProxy */

/* What HAProxy says, as of max_age_ms ago at most, and not as of before the last change. */
int snapshot_for(const struct request *request, struct instance *instance, int64_t max_age_ms, struct health_snapshot **ret,
	struct error *err);

/* One load balancer at one moment, as objects are shown from it. */
struct scene {
	struct instance *instance;
	struct stored_definition stored;
	struct health_snapshot *snapshot; /* NULL: nothing runs yet, everything is OFFLINE */
	char *trouble;                    /* why HAProxy does not run what is stored */
	const char *default_vip_address;
};
#define SCENE_INIT ((struct scene){0})
void scene_done(struct scene *scene);
#define _cleanup_scene_ _cleanup_(scene_done)

/* The definition of an instance and, with "look", what HAProxy says. -ENOENT (ERROR_NOT_FOUND): it has none, or no more. */
int scene_open(const struct request *request, struct instance *instance, bool look, struct scene *ret, struct error *err);

/* Looks at HAProxy for one object of the scene's tree, after a change that "action" stands for: at all of HAProxy or, where that is
 * enough, at one pool. */
int scene_look_at(const struct request *request, enum plan_action action, const struct tree_path *path, struct scene *scene,
	struct error *err);

/* The resource of an object of the scene's tree. "full": its children are whole, too, as in the reply to a POST of a whole load
 * balancer. A new reference; -ENOMEM. */
int resource_of(const struct scene *scene, const struct tree_path *path, bool full, json_t **ret);
/* One member of that, not "full": a new reference; NULL: it has none of that name. -ENOMEM. */
int resource_member(const struct scene *scene, const struct tree_path *path, const char *name, json_t **ret);
