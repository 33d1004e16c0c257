/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * operating_status, computed as Octavia's health manager does
 * (octavia/amphorae/drivers/health/heartbeat_udp.py, UpdateHealthDb): member -> pool -> load
 * balancer, listener -> load balancer.
 */

#include "agent/definition/model.h"
#include "agent/health/snapshot.h"

enum operating_status {
	STATUS_ONLINE,
	STATUS_DRAINING,
	STATUS_OFFLINE,
	STATUS_DEGRADED,
	STATUS_ERROR,
	STATUS_NO_MONITOR,
	_STATUS_MAX,
};

/*
 * Where there is no database to keep the last status in: a word of HAProxy that Octavia's health
 * manager would skip is ERROR for a listener or pool and OFFLINE for a member; nothing of a
 * disabled load balancer is expected to run, all is OFFLINE; and an enabled listener that HAProxy
 * does not have makes the load balancer DEGRADED, where Octavia would replace the amphora.
 */

const char *operating_status_name(enum operating_status status);

/* "snapshot" may be NULL or unanswered: HAProxy is not known to serve. */
enum operating_status status_of_member(const struct load_balancer *lb, const struct pool *pool,
	const struct member *member, const struct health_snapshot *snapshot);
enum operating_status status_of_pool(const struct load_balancer *lb, const struct pool *pool,
	const struct health_snapshot *snapshot);
enum operating_status status_of_listener(const struct load_balancer *lb,
	const struct listener *listener, const struct health_snapshot *snapshot);
enum operating_status status_of_load_balancer(
	const struct load_balancer *lb, const struct health_snapshot *snapshot);

/* What HAProxy's words for one member or listener mean. */
enum operating_status status_of_reported_member(const struct member_health *reported);
enum operating_status status_of_reported_listener(const struct listener_health *reported);
/* What every object of a status tree has. New reference; NULL without memory. */
json_t *status_object(const char *id, const char *name, enum operating_status status);
/* The same of a member, with the "reason" of one in error: what HAProxy says of its last check. "reported" may be NULL. */
json_t *status_member_object(const char *id, const char *name, const struct member_health *reported);

/* The body of GET …/{id}/status: {"statuses": {"loadbalancer": {… "listeners": [… "pools": […
 * "members"]]}}}, with provisioning_status ACTIVE throughout. Pools without a listener are listed
 * beside the listeners. New reference. */
int status_tree(
	const struct load_balancer *lb, const struct health_snapshot *snapshot, json_t **ret);
