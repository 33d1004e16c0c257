/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/uploaded.h"

#include <string.h>

#include "agent/base/text.h"

static enum operating_status pool_status(const struct pool_health *pool)
{
	if (!streq(pool->status, "UP"))
		return STATUS_ERROR;
	for (size_t i = 0; i < pool->n_members; i++)
		if (status_of_reported_member(&pool->members[i]) == STATUS_ERROR)
			return STATUS_DEGRADED;
	return STATUS_ONLINE;
}

enum operating_status uploaded_status(const struct health_snapshot *snapshot)
{
	enum operating_status status = STATUS_ONLINE;

	if (!snapshot || !snapshot->answered)
		return STATUS_ERROR;
	for (size_t i = 0; i < snapshot->n_listeners; i++)
		if (status_of_reported_listener(&snapshot->listeners[i]) != STATUS_ONLINE)
			status = STATUS_DEGRADED;
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		enum operating_status pool = pool_status(&snapshot->pools[i]);

		if (pool == STATUS_ERROR)
			return STATUS_ERROR;
		if (pool == STATUS_DEGRADED)
			status = STATUS_DEGRADED;
	}
	return status;
}

/* Backends are called "pool_id:listener_id". */
static json_t *pool_tree(const struct pool_health *pool)
{
	json_auto_t *members = json_array(), *tree = NULL;
	_cleanup_free_ char *id = strndup(pool->key, strcspn(pool->key, ":"));

	if (!id)
		return NULL;
	for (size_t i = 0; i < pool->n_members; i++)
		if (json_array_append_new(
			    members, status_member_object(pool->members[i].id, "", &pool->members[i])) < 0)
			return NULL;
	tree = status_object(id, "", pool_status(pool));
	if (json_object_set(tree, "members", members) < 0)
		return NULL;
	return TAKE_PTR(tree);
}

static bool is_behind(const struct pool_health *pool, const struct listener_health *listener)
{
	const char *colon = strchr(pool->key, ':');

	return colon && streq(colon + 1, listener->id);
}

static json_t *listener_tree(
	const struct listener_health *listener, const struct health_snapshot *snapshot)
{
	json_auto_t *pools = json_array(),
		    *tree = status_object(listener->id, "", status_of_reported_listener(listener));

	for (size_t i = 0; i < snapshot->n_pools; i++)
		if (is_behind(&snapshot->pools[i], listener) &&
			json_array_append_new(pools, pool_tree(&snapshot->pools[i])) < 0)
			return NULL;
	if (json_object_set(tree, "pools", pools) < 0)
		return NULL;
	return TAKE_PTR(tree);
}

int uploaded_status_tree(const char *lb_id, const struct health_snapshot *snapshot, json_t **ret)
{
	json_auto_t *listeners = json_array(),
		    *tree = status_object(lb_id, "", uploaded_status(snapshot));
	json_t *body;

	for (size_t i = 0; snapshot && i < snapshot->n_listeners; i++)
		if (json_array_append_new(
			    listeners, listener_tree(&snapshot->listeners[i], snapshot)) < 0)
			return -ENOMEM;
	if (json_object_set(tree, "listeners", listeners) < 0 ||
		json_object_set_new(tree, "pools", json_array()) < 0)
		return -ENOMEM;
	body = json_pack("{s:{s:O}}", "statuses", "loadbalancer", tree);
	if (!body)
		return -ENOMEM;
	*ret = body;
	return 0;
}
