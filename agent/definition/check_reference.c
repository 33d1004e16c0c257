/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/check.h"

#include <stdlib.h>
#include <string.h>

/* Which pools listeners and policies use: nested ones move to the load balancer's list, then every reference is resolved, so
 * that the order of the document does not matter. */

/* {"name": …} or {"id": …} alone refers to a pool that stands elsewhere; with anything else it has to be a whole one. */
static bool pool_is_reference(const struct pool *pool)
{
	const void *const others[] = {pool->description, pool->session_persistence, pool->healthmonitor, pool->members,
		pool->tls_container_ref, pool->ca_tls_container_ref, pool->crl_container_ref, pool->tls_ciphers,
		pool->tls_versions, pool->alpn_protocols, pool->proxy_protocol_options, pool->tags};

	for (size_t i = 0; i < ELEMENTSOF(others); i++)
		if (others[i])
			return false;
	return pool->protocol < 0 && pool->lb_algorithm < 0 && pool->admin_state_up && !pool->tls_enabled &&
		(pool->id[0] || check_has_name(pool->name));
}

static int adopt_pool(struct load_balancer *lb, struct pool *pool)
{
	struct pool *grown = reallocarray(lb->pools, lb->n_pools + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	lb->pools = grown;
	lb->pools[lb->n_pools++] = *pool;
	memset(pool, 0, sizeof(*pool)); /* its fields belong to the list now */
	return 0;
}

/* A pool that stands in a listener or policy moves to the load balancer's list and is referred to by its id. It stays if it
 * only refers to a pool, which may stand further down in the document. */
static int move_nested_pool(struct check *check, struct pool *nested, char **id, const char *owner,
	const struct location *where, struct error *err)
{
	int r;

	if (*id)
		return location_error(where, ERROR_INVALID, err, "must not be given together with an id of a pool");
	if (pool_is_reference(nested))
		return 0;
	r = check_pool(check, nested, owner, where, err);
	if (r < 0)
		return r;
	*id = strdup(nested->id);
	if (!*id)
		return -ENOMEM;
	if (check->lb->n_pools >= LIMIT_POOLS)
		return location_error(where, ERROR_TOO_LARGE, err, "more than %d pools in all", LIMIT_POOLS);
	return adopt_pool(check->lb, nested);
}

int check_move_nested_pools(struct check *check, struct listener *listener, const struct location *where,
	struct error *err)
{
	struct location pool = {where, "default_pool", 0}, policies = {where, "l7policies", 0};
	int r = 0;

	if (listener->default_pool)
		r = move_nested_pool(check, listener->default_pool, &listener->default_pool_id, listener->id, &pool, err);
	for (size_t i = 0; r == 0 && i < listener->n_l7policies; i++) {
		struct l7policy *policy = &listener->l7policies[i];
		struct location item = {&policies, NULL, i}, redirect = {&item, "redirect_pool", 0};

		if (policy->redirect_pool)
			r = move_nested_pool(
				check, policy->redirect_pool, &policy->redirect_pool_id, policy->id, &redirect, err);
	}
	return r;
}

/* VALID_LISTENER_POOL_PROTOCOL_MAP of octavia/common/constants.py. */
static int check_protocols(const struct listener *listener, const struct pool *pool, const struct location *where,
	struct error *err)
{
#define POOL(protocol) (1U << POOL_##protocol)
	static const unsigned allowed[_LISTENER_PROTOCOL_MAX] = {
		[LISTENER_TCP] = POOL(HTTP) | POOL(HTTPS) | POOL(PROXY) | POOL(PROXYV2) | POOL(TCP),
		[LISTENER_HTTP] = POOL(HTTP) | POOL(PROXY) | POOL(PROXYV2),
		[LISTENER_HTTPS] = POOL(HTTPS) | POOL(PROXY) | POOL(PROXYV2) | POOL(TCP),
		[LISTENER_TERMINATED_HTTPS] = POOL(HTTP) | POOL(PROXY) | POOL(PROXYV2),
		[LISTENER_UDP] = POOL(UDP),
		[LISTENER_SCTP] = POOL(SCTP),
		[LISTENER_PROMETHEUS] = 0,
	};
#undef POOL

	if (listener->protocol == LISTENER_PROMETHEUS)
		return location_error(where, ERROR_INVALID, err,
			"Protocol PROMETHEUS listeners can not have child objects.");
	if (allowed[listener->protocol] & (1U << pool->protocol))
		return 0;
	return location_error(where, ERROR_INVALID, err,
		"The pool protocol '%s' is invalid while the listener protocol is '%s'.",
		pool_protocol_names[pool->protocol], listener_protocol_names[listener->protocol]);
}

enum { AMBIGUOUS = -1 };

static int index_pools(struct check *check)
{
	for (size_t i = 0; i < check->lb->n_pools; i++) {
		const struct pool *pool = &check->lb->pools[i];
		const char *name = check_has_name(pool->name) ? pool->name : NULL;
		bool taken = name && json_object_get(check->pools_by_name, name);

		if (json_object_set_new_nocheck(check->pools_by_id, pool->id, json_integer((json_int_t)i)) < 0)
			return -ENOMEM;
		if (name &&
			json_object_set_new_nocheck(check->pools_by_name, name,
				json_integer(taken ? AMBIGUOUS : (json_int_t)i)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int find_referred_pool(const struct check *check, const struct pool *reference, const struct location *where,
	const struct pool **ret, struct error *err)
{
	const json_t *found = reference->id[0] ? json_object_get(check->pools_by_id, reference->id)
					       : json_object_get(check->pools_by_name, reference->name);

	if (!found)
		return location_error(where, ERROR_INVALID, err, "no pool of that %s in this load balancer",
			reference->id[0] ? "id" : "name");
	if (json_integer_value(found) == AMBIGUOUS)
		return location_error(
			where, ERROR_INVALID, err, "more than one pool has this name; refer to one by its id");
	*ret = &check->lb->pools[json_integer_value(found)];
	return 0;
}

/* Ends with "id" naming a pool of the list that the listener can use, or with no id. */
static int resolve_pool(struct check *check, const struct listener *listener, struct pool **nested, char **id,
	const struct location *nested_where, const struct location *id_where, struct error *err)
{
	const struct location *where = *nested ? nested_where : id_where;
	const struct pool *pool = NULL;
	const json_t *found;
	int r;

	if (*nested && !*id) {
		r = find_referred_pool(check, *nested, nested_where, &pool, err);
		if (r < 0)
			return r;
		*id = strdup(pool->id);
		if (!*id)
			return -ENOMEM;
	}
	if (*nested) {
		object_done(&pool_type, *nested);
		free(TAKE_PTR(*nested));
	}
	if (!*id)
		return 0;
	found = json_object_get(check->pools_by_id, *id);
	if (!found)
		return location_error(id_where, ERROR_INVALID, err, "no such pool in this load balancer");
	return check_protocols(listener, &check->lb->pools[json_integer_value(found)], where, err);
}

int check_resolve_pools(struct check *check, struct listener *listener, const struct location *where,
	struct error *err)
{
	struct location nested = {where, "default_pool", 0}, id = {where, "default_pool_id", 0},
			policies = {where, "l7policies", 0};
	int r = json_object_size(check->pools_by_id) == 0 ? index_pools(check) : 0;

	if (r < 0)
		return r;
	r = resolve_pool(check, listener, &listener->default_pool, &listener->default_pool_id, &nested, &id, err);
	for (size_t i = 0; r == 0 && i < listener->n_l7policies; i++) {
		struct l7policy *policy = &listener->l7policies[i];
		struct location item = {&policies, NULL, i}, redirect = {&item, "redirect_pool", 0},
				redirect_id = {&item, "redirect_pool_id", 0};

		r = resolve_pool(check, listener, &policy->redirect_pool, &policy->redirect_pool_id, &redirect,
			&redirect_id, err);
	}
	return r;
}
