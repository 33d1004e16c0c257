/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/edit_internal.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"

int edit_not_found(enum tree_kind kind, const char *id, struct error *err)
{
	return error_set(err, ERROR_NOT_FOUND, NULL, "%s %s not found.", tree_kinds[kind].title, id);
}

int edit_check_childless(const struct load_balancer *lb, struct error *err)
{
	if (lb->n_listeners == 0 && lb->n_pools == 0)
		return 0;
	return error_set(err, ERROR_INVALID, NULL,
		"Validation failure: Cannot delete Load Balancer %s - it has children", lb->id);
}

static int check_new_listener(const struct load_balancer *lb, const struct listener *listener, struct error *err)
{
	for (size_t i = 0; i < lb->n_listeners; i++) {
		const struct listener *other = &lb->listeners[i];

		if (other->protocol_port == listener->protocol_port &&
			streq(listener_transport(other), listener_transport(listener)))
			return error_set(err, ERROR_CONFLICT, NULL,
				"Another Listener on this Load Balancer is already using protocol %s and protocol_port %lld",
				listener_protocol_names[other->protocol], (long long)other->protocol_port);
	}
	return 0;
}

static int check_new_member(const struct pool *pool, const struct member *member, struct error *err)
{
	for (size_t i = 0; i < pool->n_members; i++)
		if (pool->members[i].protocol_port == member->protocol_port &&
			streq(pool->members[i].address, member->address))
			return error_set(err, ERROR_CONFLICT, NULL,
				"Another member on this pool is already using ip %s on protocol_port %lld",
				member->address, (long long)member->protocol_port);
	return 0;
}

int edit_check_new(const struct edit *edit, const struct tree_path *parent, const void *object, struct error *err)
{
	const struct load_balancer *lb = parent->levels[0].object;
	const struct l7policy *policy;

	switch (edit->kind) {
	case TREE_LISTENER:
		return check_new_listener(lb, object, err);
	case TREE_MEMBER:
		return check_new_member(tree_object(parent), object, err);
	case TREE_HEALTH_MONITOR:
		if (((const struct pool *)tree_object(parent))->healthmonitor)
			return error_set(err, ERROR_CONFLICT, NULL, "This pool already has a health monitor");
		return 0;
	case TREE_L7RULE:
		policy = tree_object(parent);
		if (policy->n_rules >= LIMIT_L7RULES)
			return error_set(err, ERROR_CONFLICT, NULL, "Too many rules on L7 policy %s", policy->id);
		return 0;
	default:
		return 0;
	}
}

int edit_check_pools(const struct load_balancer *lb, enum tree_kind kind, const void *object, struct error *err)
{
	const char *id = kind == TREE_LISTENER   ? ((const struct listener *)object)->default_pool_id
			 : kind == TREE_L7POLICY ? ((const struct l7policy *)object)->redirect_pool_id
						 : NULL;

	return !id || load_balancer_find_pool(lb, id) ? 0 : edit_not_found(TREE_POOL, id, err);
}

int edit_link_pool(const struct edit *edit, struct load_balancer *lb, const struct pool *pool, struct error *err)
{
	struct tree_path path;
	struct listener *listener;

	if (!edit->listener_id)
		return 0;
	if (!tree_find(lb, TREE_LISTENER, NULL, edit->listener_id, &path))
		return edit_not_found(TREE_LISTENER, edit->listener_id, err);
	listener = tree_object(&path);
	if (listener->default_pool_id)
		return error_set(err, ERROR_CONFLICT, NULL, "This listener already has a default pool");
	listener->default_pool_id = strdup(pool->id);
	return listener->default_pool_id ? 0 : error_set_errno(err, -ENOMEM, "pool");
}

/* Listeners let a pool go, policies do not (octavia/api/v2/controllers/pool.py). */
static int unlink_pool(struct load_balancer *lb, const struct pool *pool, struct error *err)
{
	for (size_t i = 0; i < lb->n_listeners; i++)
		for (size_t j = 0; j < lb->listeners[i].n_l7policies; j++) {
			const struct l7policy *policy = &lb->listeners[i].l7policies[j];

			if (streq_null(policy->redirect_pool_id, pool->id))
				return error_set(err, ERROR_CONFLICT, NULL, "Pool %s is in use by L7 policy %s", pool->id,
					policy->id);
		}
	for (size_t i = 0; i < lb->n_listeners; i++)
		if (streq_null(lb->listeners[i].default_pool_id, pool->id))
			free(TAKE_PTR(lb->listeners[i].default_pool_id));
	return 0;
}

int edit_unlink(struct load_balancer *lb, const struct tree_path *path, struct error *err)
{
	return tree_kind_of(path) == TREE_POOL ? unlink_pool(lb, tree_object(path), err) : 0;
}
