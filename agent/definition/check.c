/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/uuid.h"

/*
 * The rules between fields and between objects. Source: octavia/api/v2/controllers/, octavia/common/validate.py and
 * VALID_LISTENER_POOL_PROTOCOL_MAP of octavia/common/constants.py.
 */

/* Set of strings that remembers where each came from; keys are borrowed by jansson's hash (copied). */
static int set_add(json_t *set, const char *key, const struct location *where, enum error_code code,
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

static int derive_id(char id[UUID_SIZE], const char *parent, const char *kind, const char *name)
{
	_cleanup_free_ char *full = NULL;

	if (id[0])
		return 0;
	if (asprintf(&full, "%s:%s", kind, name) < 0)
		return -ENOMEM;
	return uuid_derive(parent, full, id);
}

static bool has_name(const char *name)
{
	return name && name[0];
}

static int check_persistence(const struct pool *pool, const struct location *where, struct error *err)
{
	const struct session_persistence *persistence = pool->session_persistence;
	struct location object = {where, "session_persistence", 0};
	struct location cookie = {&object, "cookie_name", 0};

	if (!persistence)
		return 0;
	if (persistence->type == PERSISTENCE_APP_COOKIE && !persistence->cookie_name)
		return location_error(&cookie, ERROR_INVALID, err, "is required with type APP_COOKIE");
	if (persistence->type != PERSISTENCE_APP_COOKIE && persistence->cookie_name)
		return location_error(&cookie, ERROR_INVALID, err, "is allowed with type APP_COOKIE only");
	return 0;
}

/* HTTP monitors get Octavia's defaults, others must not have HTTP's fields. */
static int check_monitor(struct health_monitor *monitor, const struct location *where, struct error *err)
{
	const struct {
		const char *name;
		char **value;
		const char *standard;
	} http_fields[] = {
		{"http_method", &monitor->http_method, "GET"},
		{"url_path", &monitor->url_path, "/"},
		{"expected_codes", &monitor->expected_codes, "200"},
		{"http_version", &monitor->http_version, NULL},
		{"domain_name", &monitor->domain_name, NULL},
	};

	for (size_t i = 0; i < ELEMENTSOF(http_fields); i++) {
		struct location field = {where, http_fields[i].name, 0};

		if (monitor->type != MONITOR_HTTP && *http_fields[i].value)
			return location_error(&field, ERROR_INVALID, err, "is allowed with type HTTP only");
		if (monitor->type == MONITOR_HTTP && !*http_fields[i].value && http_fields[i].standard) {
			*http_fields[i].value = strdup(http_fields[i].standard);
			if (!*http_fields[i].value)
				return -ENOMEM;
		}
	}
	if (monitor->domain_name && !streq_null(monitor->http_version, "1.1")) {
		struct location field = {where, "http_version", 0};

		return location_error(&field, ERROR_INVALID, err, "must be 1.1 with a domain_name");
	}
	return 0;
}

static int check_members(struct pool *pool, const struct location *pool_where, json_t *member_ids, struct error *err)
{
	json_auto_t *addresses = json_object(), *names = json_object();
	struct location list = {pool_where, "members", 0};

	for (size_t i = 0; i < pool->n_members; i++) {
		struct member *member = &pool->members[i];
		struct location where = {&list, NULL, i}, port = {&where, "protocol_port", 0},
				name = {&where, "name", 0}, id = {&where, "id", 0};
		char endpoint[80];
		int r;

		snprintf(endpoint, sizeof(endpoint), "%s|%lld", member->address,
			(long long)member->protocol_port);
		r = set_add(addresses, endpoint, &port, ERROR_CONFLICT, "this address and port are taken", err);
		if (r < 0)
			return r;
		if (!member->id[0] && has_name(member->name)) {
			r = set_add(names, member->name, &name, ERROR_CONFLICT,
				"members without an id need names of their own", err);
			if (r < 0)
				return r;
		}
		r = derive_id(member->id, pool->id, has_name(member->name) ? "member" : "member-at",
			has_name(member->name) ? member->name : endpoint);
		if (r < 0)
			return r;
		r = set_add(member_ids, member->id, &id, ERROR_CONFLICT, "this id is taken", err);
		if (r < 0)
			return r;
	}
	return addresses && names ? 0 : -ENOMEM;
}

struct check {
	struct load_balancer *lb;
	const char *vip_address; /* its own, or the configured one, or NULL */
	json_t *pool_ids, *member_ids, *monitor_ids, *listener_ids, *ports;
};

/* A pool that is defined here (not only referred to): its own rules, its id, its children. */
static int check_pool(struct check *check, struct pool *pool, const char *unnamed, const struct location *where,
	struct error *err)
{
	const struct {
		const char *name;
		int value;
	} required[] = {{"protocol", pool->protocol}, {"lb_algorithm", pool->lb_algorithm}};
	struct location id = {where, "id", 0}, algorithm = {where, "lb_algorithm", 0},
			monitor = {where, "healthmonitor", 0}, monitor_id = {&monitor, "id", 0};
	int r;

	for (size_t i = 0; i < ELEMENTSOF(required); i++) {
		struct location field = {where, required[i].name, 0};

		if (required[i].value < 0)
			return location_error(&field, ERROR_INVALID, err, "is required");
	}
	/* What Octavia's amphora driver answers; the algorithm is another provider's. */
	if (pool->lb_algorithm == ALGORITHM_SOURCE_IP_PORT)
		return location_error(&algorithm, ERROR_UNSUPPORTED, err,
			"Amphora provider does not support SOURCE_IP_PORT algorithm.");
	if (!pool->id[0] && !has_name(pool->name) && !unnamed)
		return location_error(where, ERROR_INVALID, err, "a pool in this list needs a name or an id");
	r = derive_id(pool->id, check->lb->id, has_name(pool->name) ? "pool" : "default_pool",
		has_name(pool->name) ? pool->name : unnamed);
	if (r < 0)
		return r;
	r = set_add(check->pool_ids, pool->id, &id, ERROR_CONFLICT,
		"another pool has this id, or the same name and no id", err);
	if (r < 0)
		return r;
	r = check_persistence(pool, where, err);
	if (r < 0)
		return r;
	if (pool->healthmonitor) {
		r = check_monitor(pool->healthmonitor, &monitor, err);
		if (r < 0)
			return r;
		r = derive_id(pool->healthmonitor->id, pool->id, "healthmonitor", "");
		if (r < 0)
			return r;
		r = set_add(check->monitor_ids, pool->healthmonitor->id, &monitor_id, ERROR_CONFLICT,
			"this id is taken", err);
		if (r < 0)
			return r;
	}
	return check_members(pool, where, check->member_ids, err);
}

/* {"name": …} or {"id": …} alone refers to a pool of the load balancer's list. */
static bool pool_is_reference(const struct pool *pool)
{
	return pool->protocol < 0 && pool->lb_algorithm < 0 && !pool->members && !pool->healthmonitor &&
		!pool->session_persistence && (pool->id[0] || has_name(pool->name));
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

/* Ends with default_pool_id naming a pool of the list, or with no default pool. */
static int check_default_pool(struct check *check, struct listener *listener, const struct location *where,
	struct error *err)
{
	struct location nested = {where, "default_pool", 0}, reference = {where, "default_pool_id", 0};
	const struct pool *pool;
	int r;

	if (listener->default_pool && listener->default_pool_id)
		return location_error(&nested, ERROR_INVALID, err,
			"must not be given together with default_pool_id");
	if (listener->default_pool && !pool_is_reference(listener->default_pool)) {
		r = check_pool(check, listener->default_pool, listener->id, &nested, err);
		if (r < 0)
			return r;
		listener->default_pool_id = strdup(listener->default_pool->id);
		if (!listener->default_pool_id)
			return -ENOMEM;
		if (check->lb->n_pools >= LIMIT_POOLS)
			return location_error(&nested, ERROR_TOO_LARGE, err, "more than %d pools in all", LIMIT_POOLS);
		r = adopt_pool(check->lb, listener->default_pool);
		if (r < 0)
			return r;
	} else if (listener->default_pool) {
		pool = find_listed_pool(check->lb, listener->default_pool);
		if (!pool)
			return location_error(&nested, ERROR_INVALID, err,
				"no pool of that %s in /loadbalancer/pools",
				listener->default_pool->id[0] ? "id" : "name");
		listener->default_pool_id = strdup(pool->id);
		if (!listener->default_pool_id)
			return -ENOMEM;
	}
	if (listener->default_pool) {
		object_done(&pool_type, listener->default_pool);
		free(TAKE_PTR(listener->default_pool));
	}
	if (listener->default_pool_id && !load_balancer_find_pool(check->lb, listener->default_pool_id))
		return location_error(&reference, ERROR_INVALID, err, "no such pool in this load balancer");
	return 0;
}

static int check_listener_pool(const struct load_balancer *lb, const struct listener *listener,
	const struct location *where, struct error *err)
{
	static const bool allowed[_LISTENER_PROTOCOL_MAX][_POOL_PROTOCOL_MAX] = {
		[LISTENER_TCP] = {[POOL_TCP] = true, [POOL_HTTP] = true, [POOL_PROXY] = true,
			[POOL_PROXYV2] = true},
		[LISTENER_HTTP] = {[POOL_HTTP] = true, [POOL_PROXY] = true, [POOL_PROXYV2] = true},
	};
	struct location field = {where, "protocol", 0};
	const struct pool *pool;

	if (!listener->default_pool_id)
		return 0;
	pool = load_balancer_find_pool(lb, listener->default_pool_id);
	if (!allowed[listener->protocol][pool->protocol])
		return location_error(&field, ERROR_INVALID, err, "a %s listener cannot use a %s pool",
			listener_protocol_names[listener->protocol], pool_protocol_names[pool->protocol]);
	return 0;
}

static int check_listener(struct check *check, struct listener *listener, const struct location *where,
	struct error *err)
{
	struct location port = {where, "protocol_port", 0}, id = {where, "id", 0},
			headers = {where, "insert_headers", 0}, cidrs = {where, "allowed_cidrs", 0};
	char natural[64], number[16];
	size_t position = 0;
	int r;

	snprintf(natural, sizeof(natural), "%s:%lld", listener_protocol_names[listener->protocol],
		(long long)listener->protocol_port);
	r = derive_id(listener->id, check->lb->id, has_name(listener->name) ? "listener" : "listener-at",
		has_name(listener->name) ? listener->name : natural);
	if (r < 0)
		return r;
	r = set_add(check->listener_ids, listener->id, &id, ERROR_CONFLICT,
		"another listener has this id, or the same name and no id", err);
	if (r < 0)
		return r;
	/* All protocols of HAProxy share TCP's ports. */
	snprintf(number, sizeof(number), "%lld", (long long)listener->protocol_port);
	r = set_add(check->ports, number, &port, ERROR_CONFLICT, "this port is taken", err);
	if (r < 0)
		return r;
	if (listener->insert_headers && json_object_size(listener->insert_headers) > 0 &&
		listener->protocol != LISTENER_HTTP)
		return location_error(&headers, ERROR_INVALID, err, "is allowed with protocol HTTP only");
	STRV_FOREACH(cidr, listener->allowed_cidrs) {
		struct location item = {&cidrs, NULL, position++};

		if (check->vip_address && grammar_is_ipv6(*cidr) != grammar_is_ipv6(check->vip_address))
			return location_error(&item, ERROR_INVALID, err,
				"must be of the same IP version as the VIP %s", check->vip_address);
	}
	r = check_default_pool(check, listener, where, err);
	if (r < 0)
		return r;
	return check_listener_pool(check->lb, listener, where, err);
}

int definition_check(struct load_balancer *lb, const char *lb_id, const struct definition_defaults *defaults,
	struct error *err)
{
	json_auto_t *pool_ids = json_object(), *member_ids = json_object(), *monitor_ids = json_object(),
		    *listener_ids = json_object(), *ports = json_object();
	struct check check = {lb, lb->vip_address ? lb->vip_address : defaults->vip_address, pool_ids, member_ids,
		monitor_ids, listener_ids, ports};
	struct location root = {NULL, "loadbalancer", 0}, id = {&root, "id", 0}, pools = {&root, "pools", 0},
			listeners = {&root, "listeners", 0};
	size_t listed = lb->n_pools;
	int r;

	if (!pool_ids || !member_ids || !monitor_ids || !listener_ids || !ports)
		return -ENOMEM;
	if (lb->id[0] && !streq(lb->id, lb_id))
		return location_error(&id, ERROR_INVALID, err, "differs from the id in the path");
	snprintf(lb->id, sizeof(lb->id), "%s", lb_id);

	for (size_t i = 0; i < listed; i++) {
		struct location where = {&pools, NULL, i};

		r = check_pool(&check, &lb->pools[i], NULL, &where, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < lb->n_listeners; i++) {
		struct location where = {&listeners, NULL, i};

		r = check_listener(&check, &lb->listeners[i], &where, err);
		if (r < 0)
			return r;
	}
	return 0;
}
