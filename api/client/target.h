/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Objects of a load balancer by the words of a person: a pool or a listener by its name or id, in the load balancer of
 * --loadbalancer or in the only one that has it; a member by its name, its id, or where it is ("10.0.0.1:80").
 */

#include "api/client/client.h"

enum target_kind {
	TARGET_LISTENER,
	TARGET_POOL,
	_TARGET_KIND_MAX,
};

struct target {
	json_t *lb;     /* the definition's "loadbalancer"; owned */
	json_t *object; /* within lb */
	char revision[HTTP_MAX_HEADER];
};

#define TARGET_INIT ((struct target){0})
#define _cleanup_target_ _cleanup_(target_done)
void target_done(struct target *target);

/* "listener", "pool". */
const char *target_kind_name(enum target_kind kind);

/* Exit statuses; what is wrong was said. */
int target_find(struct client *client, enum target_kind kind, const char *name, struct target *ret);
/* *ret stays the pool's. */
int target_find_member(struct client *client, const json_t *pool, const char *name, const json_t **ret);

/* The name, or where there is none what it is known by: the endpoint of a member, else the id. */
void target_append_name(const json_t *object, struct text *out);
/* "192.0.2.1:80", "[2001:db8::1]:80". */
void target_append_endpoint(const json_t *member, struct text *out);
