/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/status.h"

#include "agent/base/text.h"

const char *operating_status_name(enum operating_status status)
{
	static const char *const names[_STATUS_MAX] = {
		[STATUS_ONLINE] = "ONLINE",
		[STATUS_DRAINING] = "DRAINING",
		[STATUS_OFFLINE] = "OFFLINE",
		[STATUS_DEGRADED] = "DEGRADED",
		[STATUS_ERROR] = "ERROR",
		[STATUS_NO_MONITOR] = "NO_MONITOR",
	};

	return names[status];
}

/* What HAProxy should serve. Octavia renders nothing of a load balancer, listener or pool that is
 * disabled. */
static bool listener_is_enabled(const struct load_balancer *lb, const struct listener *listener)
{
	return lb->admin_state_up && listener->admin_state_up;
}

static bool pool_is_enabled(const struct load_balancer *lb, const struct pool *pool)
{
	if (!pool->admin_state_up)
		return false;
	for (size_t i = 0; i < lb->n_listeners; i++)
		if (listener_is_enabled(lb, &lb->listeners[i]) &&
			listener_uses_pool(&lb->listeners[i], pool->id))
			return true;
	return false;
}

/* What HAProxy says of the pool, or NULL if it is not to say or does not say anything. */
static const struct pool_health *reported_pool(const struct load_balancer *lb,
	const struct pool *pool, const struct health_snapshot *snapshot)
{
	if (!snapshot || !pool_is_enabled(lb, pool))
		return NULL;
	return snapshot_find_pool(snapshot, pool->id);
}

enum operating_status status_of_reported_member(const struct member_health *reported)
{
	static const struct {
		const char *word;
		enum operating_status status;
	} meanings[] = {
		{"UP", STATUS_ONLINE},
		{"DOWN", STATUS_ERROR},
		{"DRAIN", STATUS_DRAINING},
		{"MAINT", STATUS_OFFLINE},
		{"no check", STATUS_NO_MONITOR},
	};
	const char *word = member_status_word(reported->status);

	for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
		if (streq(word, meanings[i].word))
			return meanings[i].status;
	return STATUS_OFFLINE;
}

enum operating_status status_of_reported_listener(const struct listener_health *reported)
{
	if (streq(reported->status, "OPEN"))
		return STATUS_ONLINE;
	/* Any other word, such as STOP, is of a frontend that takes no connections. */
	return streq(reported->status, "FULL") ? STATUS_DEGRADED : STATUS_ERROR;
}

/* NULL: nobody checks it. */
static const struct member_health *reported_member(
	const struct member *member, const struct pool_health *health, size_t *position)
{
	return health && member->admin_state_up ? pool_health_find_member_near(health, member->id, position) : NULL;
}

static enum operating_status member_status(
	const struct member *member, const struct pool_health *health, size_t *position)
{
	const struct member_health *reported = reported_member(member, health, position);

	return reported ? status_of_reported_member(reported) : STATUS_OFFLINE;
}

static enum operating_status pool_status(const struct pool *pool, const struct pool_health *health)
{
	size_t position = 0;

	if (!health)
		return STATUS_OFFLINE;
	/* HAProxy's backend is UP or DOWN; Octavia's health manager ignores any other word. */
	if (!streq(health->status, "UP"))
		return STATUS_ERROR;
	for (size_t i = 0; i < pool->n_members; i++)
		if (member_status(&pool->members[i], health, &position) == STATUS_ERROR)
			return STATUS_DEGRADED;
	return STATUS_ONLINE;
}

enum operating_status status_of_member(const struct load_balancer *lb, const struct pool *pool,
	const struct member *member, const struct health_snapshot *snapshot)
{
	size_t position = (size_t)(member - pool->members);

	return member_status(member, reported_pool(lb, pool, snapshot), &position);
}

enum operating_status status_of_pool(const struct load_balancer *lb, const struct pool *pool,
	const struct health_snapshot *snapshot)
{
	return pool_status(pool, reported_pool(lb, pool, snapshot));
}

enum operating_status status_of_listener(const struct load_balancer *lb,
	const struct listener *listener, const struct health_snapshot *snapshot)
{
	const struct listener_health *health;

	if (!listener_is_enabled(lb, listener))
		return STATUS_OFFLINE;
	/* Of a HAProxy that does not answer there are none in it. */
	health = snapshot ? snapshot_find_listener(snapshot, listener->id) : NULL;
	if (health)
		return status_of_reported_listener(health);
	/* HAProxy's silence is an error; of UDP and SCTP it knows nothing, and they are OFFLINE until keepalived has been asked,
	 * as Octavia's are until they are reported. */
	return listener_is_haproxy(listener) ? STATUS_ERROR : STATUS_OFFLINE;
}

enum operating_status status_of_load_balancer(
	const struct load_balancer *lb, const struct health_snapshot *snapshot)
{
	enum operating_status status = STATUS_ONLINE;

	if (!lb->admin_state_up)
		return STATUS_OFFLINE;
	for (size_t i = 0; i < lb->n_listeners; i++) {
		if (!listener_is_enabled(lb, &lb->listeners[i]))
			continue;
		if ((!snapshot || !snapshot->answered) && listener_is_haproxy(&lb->listeners[i]))
			return STATUS_ERROR;
		if (status_of_listener(lb, &lb->listeners[i], snapshot) != STATUS_ONLINE)
			status = STATUS_DEGRADED;
	}
	for (size_t i = 0; i < lb->n_pools; i++) {
		enum operating_status pool = status_of_pool(lb, &lb->pools[i], snapshot);

		if (pool == STATUS_ERROR)
			return STATUS_ERROR;
		if (pool == STATUS_DEGRADED)
			status = STATUS_DEGRADED;
	}
	return status;
}

json_t *status_object(const char *id, const char *name, enum operating_status status)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "id", id, "name", name ? name : "",
		"provisioning_status", "ACTIVE", "operating_status", operating_status_name(status));
}

json_t *status_member_object(const char *id, const char *name, const struct member_health *reported)
{
	enum operating_status status = reported ? status_of_reported_member(reported) : STATUS_OFFLINE;
	json_auto_t *object = status_object(id, name, status);

	if (status == STATUS_ERROR && reported->reason[0] &&
		json_object_set_new(object, "reason", json_string(reported->reason)) < 0)
		return NULL;
	return TAKE_PTR(object);
}

static json_t *members_tree(const struct pool *pool, const struct pool_health *health)
{
	_cleanup_(json_decrefp) json_t *list = json_array();
	size_t position = 0;

	for (size_t i = 0; i < pool->n_members; i++) {
		const struct member *member = &pool->members[i];
		json_t *object = status_member_object(
			member->id, member->name, reported_member(member, health, &position));

		if (json_array_append_new(list, object) < 0 ||
			json_object_set_new(object, "address", json_string(member->address)) < 0 ||
			json_object_set_new(object, "protocol_port",
				json_integer((json_int_t)member->protocol_port)) < 0)
			return NULL;
	}
	return TAKE_PTR(list);
}

static json_t *pool_tree(const struct load_balancer *lb, const struct pool *pool,
	const struct health_snapshot *snapshot)
{
	const struct pool_health *health = reported_pool(lb, pool, snapshot);
	const struct health_monitor *monitor = pool->healthmonitor;
	_cleanup_(json_decrefp) json_t *object =
		status_object(pool->id, pool->name, pool_status(pool, health));

	if (monitor) {
		json_t *child = status_object(monitor->id, monitor->name,
			monitor->admin_state_up ? STATUS_ONLINE : STATUS_OFFLINE);

		if (json_object_set_new(object, "health_monitor", child) < 0 ||
			json_object_set_new(
				child, "type", json_string(monitor_type_names[monitor->type])) < 0)
			return NULL;
	}
	if (json_object_set_new(object, "members", members_tree(pool, health)) < 0)
		return NULL;
	return TAKE_PTR(object);
}

/* Appends the pool of that id unless it is NULL or was appended before. */
static int append_pool(json_t *pools, json_t *seen, const struct load_balancer *lb, const char *id,
	const struct health_snapshot *snapshot)
{
	const struct pool *pool = id && !json_object_get(seen, id) ? load_balancer_find_pool(lb, id) : NULL;

	if (!pool)
		return 0;
	return json_object_set_new(seen, id, json_true()) < 0 ||
			       json_array_append_new(pools, pool_tree(lb, pool, snapshot)) < 0
		       ? -ENOMEM
		       : 0;
}

static json_t *listener_tree(const struct load_balancer *lb, const struct listener *listener,
	const struct health_snapshot *snapshot)
{
	_cleanup_(json_decrefp) json_t *object = status_object(
		listener->id, listener->name, status_of_listener(lb, listener, snapshot));
	_cleanup_(json_decrefp) json_t *seen = json_object();
	json_t *pools = json_array();
	int r;

	if (json_object_set_new(object, "pools", pools) < 0)
		return NULL;
	r = append_pool(pools, seen, lb, listener->default_pool_id, snapshot);
	for (size_t i = 0; r == 0 && i < listener->n_l7policies; i++)
		r = append_pool(pools, seen, lb, l7policy_pool_id(&listener->l7policies[i]), snapshot);
	return r == 0 ? TAKE_PTR(object) : NULL;
}

static bool pool_has_listener(const struct load_balancer *lb, const struct pool *pool)
{
	for (size_t i = 0; i < lb->n_listeners; i++)
		if (listener_uses_pool(&lb->listeners[i], pool->id))
			return true;
	return false;
}

int status_tree(
	const struct load_balancer *lb, const struct health_snapshot *snapshot, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *object =
		status_object(lb->id, lb->name, status_of_load_balancer(lb, snapshot));
	json_t *listeners = json_array(), *pools = json_array(), *tree;

	if (json_object_set_new(object, "listeners", listeners) < 0) {
		json_decref(pools);
		return -ENOMEM;
	}
	if (json_object_set_new(object, "pools", pools) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < lb->n_listeners; i++)
		if (json_array_append_new(
			    listeners, listener_tree(lb, &lb->listeners[i], snapshot)) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < lb->n_pools; i++)
		if (!pool_has_listener(lb, &lb->pools[i]) &&
			json_array_append_new(pools, pool_tree(lb, &lb->pools[i], snapshot)) < 0)
			return -ENOMEM;
	tree = json_pack("{s:{s:o}}", "statuses", "loadbalancer", TAKE_PTR(object));
	if (!tree)
		return -ENOMEM;
	*ret = tree;
	return 0;
}
