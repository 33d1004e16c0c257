/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/check.h"

#include <stdlib.h>
#include <string.h>

#include "agent/definition/uuid.h"

/* The load balancer, and what its objects say of each other. */

const char *const check_default_ciphers =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:"
	"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:"
	"DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305";
const char *const check_default_tls_versions[] = {"TLSv1.2", "TLSv1.3", NULL};
const char *const check_default_alpn_protocols[] = {"h2", "http/1.1", "http/1.0", NULL};

int check_default_string(char **string, const char *value)
{
	if (!*string)
		*string = strdup(value);
	return *string ? 0 : -ENOMEM;
}

int check_default_strings(char ***list, const char *const *values)
{
	_cleanup_strv_ char **copy = NULL;
	size_t n = 0;

	if (*list)
		return 0;
	while (values[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(values[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	if (!copy)
		return -ENOMEM;
	*list = TAKE_PTR(copy);
	return 0;
}

int check_unique(json_t *set, const char *key, const struct location *where, enum error_code code,
	const char *what, struct error *err)
{
	json_t *first = json_object_get(set, key);

	if (first)
		return location_error(where, code, err, "%s: %s", what,
			json_string_value(first));
	{
		_cleanup_error_ struct error place = ERROR_INIT;

		location_error(where, ERROR_INVALID, &place, "-");
		if (json_object_set_new_nocheck(set, key, json_string(place.pointer ? place.pointer : "?")) < 0)
			return -ENOMEM;
	}
	return 0;
}

int check_derive_id(char id[UUID_SIZE], const char *parent, const char *kind, const char *name)
{
	_cleanup_free_ char *full = NULL;

	if (id[0])
		return 0;
	if (asprintf(&full, "%s:%s", kind, name) < 0)
		return -ENOMEM;
	return uuid_derive(parent, full, id);
}

bool check_vip_of_version(const struct check *check, bool ipv6)
{
	if (!check->vip_address || grammar_is_ipv6(check->vip_address) == ipv6)
		return true;
	for (size_t i = 0; i < check->lb->n_additional_vips; i++)
		if (grammar_is_ipv6(check->lb->additional_vips[i].ip_address) == ipv6)
			return true;
	return false;
}

/* {"name": …} or {"id": …} alone refers to a pool of the load balancer's list. */
static bool pool_is_reference(const struct pool *pool)
{
	return pool->protocol < 0 && pool->lb_algorithm < 0 && !pool->members && !pool->healthmonitor &&
		!pool->session_persistence && (pool->id[0] || check_has_name(pool->name));
}

static const struct pool *find_listed_pool(const struct load_balancer *lb, const struct pool *reference)
{
	for (size_t i = 0; i < lb->n_pools; i++)
		if (reference->id[0] ? streq(lb->pools[i].id, reference->id)
				     : streq_null(lb->pools[i].name, reference->name))
			return &lb->pools[i];
	return NULL;
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

/* A pool that stands in a listener or policy moves to the load balancer's list and is referred to by its id. "slot" stays if it
 * only refers to a pool, which may stand in the document further down. */
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

static int move_nested_pools(struct check *check, struct listener *listener, const struct location *where,
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

/* Ends with "id" naming a pool of the list that the listener can use, or with no id. */
static int resolve_pool(struct check *check, const struct listener *listener, struct pool **nested, char **id,
	const struct location *nested_where, const struct location *id_where, struct error *err)
{
	const struct location *where = *nested ? nested_where : id_where;
	const struct pool *pool;

	if (*nested && !*id) {
		pool = find_listed_pool(check->lb, *nested);
		if (!pool)
			return location_error(nested_where, ERROR_INVALID, err, "no pool of that %s in this load balancer",
				(*nested)->id[0] ? "id" : "name");
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
	pool = load_balancer_find_pool(check->lb, *id);
	if (!pool)
		return location_error(id_where, ERROR_INVALID, err, "no such pool in this load balancer");
	return check_protocols(listener, pool, where, err);
}

static int resolve_pools(struct check *check, struct listener *listener, const struct location *where,
	struct error *err)
{
	struct location nested = {where, "default_pool", 0}, id = {where, "default_pool_id", 0},
			policies = {where, "l7policies", 0};
	int r;

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

static int by_position(const void *a, const void *b)
{
	const struct l7policy *first = a, *second = b;

	return first->position < second->position ? -1 : first->position > second->position;
}

/* Positions become 1, 2, 3 …; those of equal position, or none, stay in the order of the document. */
static void order_policies(struct listener *listener)
{
	/* glibc's qsort() may be unstable: insertion, for lists of LIMIT_L7POLICIES at most. */
	for (size_t i = 1; i < listener->n_l7policies; i++) {
		struct l7policy policy = listener->l7policies[i];
		size_t j = i;

		for (; j > 0 && by_position(&listener->l7policies[j - 1], &policy) > 0; j--)
			listener->l7policies[j] = listener->l7policies[j - 1];
		listener->l7policies[j] = policy;
	}
	for (size_t i = 0; i < listener->n_l7policies; i++)
		listener->l7policies[i].position = (int64_t)i + 1;
}

static int check_additional_vips(const struct check *check, struct error *err)
{
	struct location root = {NULL, "loadbalancer", 0}, list = {&root, "additional_vips", 0};

	for (size_t i = 0; i < check->lb->n_additional_vips; i++) {
		const char *address = check->lb->additional_vips[i].ip_address;
		struct location item = {&list, NULL, i}, field = {&item, "ip_address", 0};

		if (streq_null(check->vip_address, address))
			return location_error(&field, ERROR_CONFLICT, err, "is the VIP itself");
		for (size_t j = 0; j < i; j++)
			if (streq(check->lb->additional_vips[j].ip_address, address))
				return location_error(&field, ERROR_CONFLICT, err, "is there twice");
	}
	return 0;
}

static int check_stats_page(struct check *check, struct error *err)
{
	const struct stats_page *page = check->lb->stats_page;
	struct location root = {NULL, "loadbalancer", 0}, field = {&root, "stats_page", 0}, port = {&field, "port", 0},
			user = {&field, "username", 0}, hash = {&field, "password_hash", 0};
	char key[32];

	if (!page)
		return 0;
	if (page->username && !page->password_hash)
		return location_error(&hash, ERROR_INVALID, err, "is required with a username");
	if (!page->username && page->password_hash)
		return location_error(&user, ERROR_INVALID, err, "is required with a password_hash");
	if (page->address && !streq_null(page->address, check->vip_address))
		return 0;
	snprintf(key, sizeof(key), "TCP:%lld", (long long)page->port);
	return check_unique(check->ports, key, &port, ERROR_CONFLICT, "this port is taken", err);
}

typedef int (*listener_check)(
	struct check *check, struct listener *listener, const struct location *where, struct error *err);

static int each_listener(struct check *check, listener_check function, struct error *err)
{
	struct location root = {NULL, "loadbalancer", 0}, list = {&root, "listeners", 0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < check->lb->n_listeners; i++) {
		struct location where = {&list, NULL, i};

		r = function(check, &check->lb->listeners[i], &where, err);
	}
	return r;
}

static int check_listed_pools(struct check *check, struct error *err)
{
	struct location root = {NULL, "loadbalancer", 0}, list = {&root, "pools", 0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < check->lb->n_pools; i++) {
		struct location where = {&list, NULL, i};

		r = check_pool(check, &check->lb->pools[i], NULL, &where, err);
	}
	return r;
}

int definition_check(struct load_balancer *lb, const char *lb_id, const struct definition_defaults *defaults,
	struct error *err)
{
	json_auto_t *pool_ids = json_object(), *member_ids = json_object(), *monitor_ids = json_object(),
		    *listener_ids = json_object(), *l7_ids = json_object(), *ports = json_object();
	struct check check = {lb, lb->vip_address ? lb->vip_address : defaults->vip_address, pool_ids, member_ids,
		monitor_ids, listener_ids, l7_ids, ports};
	struct location root = {NULL, "loadbalancer", 0}, id = {&root, "id", 0};
	int r;

	if (!pool_ids || !member_ids || !monitor_ids || !listener_ids || !l7_ids || !ports)
		return -ENOMEM;
	if (lb->id[0] && !streq(lb->id, lb_id))
		return location_error(&id, ERROR_INVALID, err, "differs from the id in the path");
	snprintf(lb->id, sizeof(lb->id), "%s", lb_id);

	r = check_additional_vips(&check, err);
	if (r == 0)
		r = check_listed_pools(&check, err);
	if (r == 0)
		r = each_listener(&check, check_listener, err);
	if (r == 0)
		r = each_listener(&check, move_nested_pools, err);
	if (r == 0)
		r = each_listener(&check, resolve_pools, err);
	if (r == 0)
		r = check_stats_page(&check, err);
	for (size_t i = 0; r == 0 && i < lb->n_listeners; i++)
		order_policies(&lb->listeners[i]);
	return r;
}
