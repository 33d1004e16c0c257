/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The object model of the Octavia API v2, as far as an amphora is concerned.
 *
 * A struct load_balancer is the whole tree of one load balancer, parsed, defaulted and cross-checked. It is never
 * changed once it is shared; a change makes a new one. It is reference-counted, thread-safe. Optional strings are
 * NULL when absent. The fields of each object, their JSON names, ranges and defaults stand in fields.c.
 *
 * Source: OpenStack Octavia, Load Balancer API v2 reference.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "agent/base/error.h"

enum { UUID_SIZE = 37 }; /* with the NUL */

enum listener_protocol {
	LISTENER_TCP,
	LISTENER_HTTP,
	_LISTENER_PROTOCOL_MAX,
};

enum pool_protocol {
	POOL_TCP,
	POOL_HTTP,
	POOL_PROXY,
	POOL_PROXYV2,
	_POOL_PROTOCOL_MAX,
};

enum lb_algorithm {
	ALGORITHM_ROUND_ROBIN,
	ALGORITHM_LEAST_CONNECTIONS,
	ALGORITHM_SOURCE_IP,
	ALGORITHM_SOURCE_IP_PORT,
	_ALGORITHM_MAX,
};

enum persistence_type {
	PERSISTENCE_SOURCE_IP,
	PERSISTENCE_HTTP_COOKIE,
	PERSISTENCE_APP_COOKIE,
	_PERSISTENCE_MAX,
};

enum monitor_type {
	MONITOR_TCP,
	MONITOR_HTTP,
	MONITOR_PING,
	_MONITOR_TYPE_MAX,
};

/* The API's words, by enum value, NULL-terminated. */
extern const char *const listener_protocol_names[];
extern const char *const pool_protocol_names[];
extern const char *const lb_algorithm_names[];
extern const char *const persistence_type_names[];
extern const char *const monitor_type_names[];

struct session_persistence {
	int type; /* enum persistence_type */
	char *cookie_name;
};

struct health_monitor {
	char id[UUID_SIZE];
	char *name;
	int type; /* enum monitor_type */
	int64_t delay_s;
	int64_t timeout_s;
	int64_t max_retries;      /* successes before a member is up */
	int64_t max_retries_down; /* failures before it is down */
	char *http_method;
	char *url_path;
	char *expected_codes;
	char *http_version; /* "1.0" or "1.1" */
	char *domain_name;
	bool admin_state_up;
	json_t *tags;
};

struct member {
	char id[UUID_SIZE];
	char *name;
	char *address;
	int64_t protocol_port;
	int64_t weight;
	bool backup;
	bool admin_state_up;
	char *monitor_address;
	int64_t monitor_port; /* 0: the member's own */
	char *subnet_id;
	json_t *tags;
};

struct pool {
	char id[UUID_SIZE];
	char *name;
	char *description;
	bool admin_state_up;
	int protocol;     /* enum pool_protocol */
	int lb_algorithm; /* enum lb_algorithm */
	struct session_persistence *session_persistence; /* NULL: none */
	struct health_monitor *healthmonitor;            /* NULL: none */
	struct member *members;
	size_t n_members;
	json_t *tags;
};

struct listener {
	char id[UUID_SIZE];
	char *name;
	char *description;
	bool admin_state_up;
	int protocol; /* enum listener_protocol */
	int64_t protocol_port;
	int64_t connection_limit; /* -1: the configured default */
	char *default_pool_id;    /* of a pool of the same load balancer */
	struct pool *default_pool; /* as nested in a document; NULL once the tree is parsed */
	json_t *insert_headers;   /* object: header name -> "true" or "false" */
	int64_t timeout_client_data_ms;
	int64_t timeout_member_connect_ms;
	int64_t timeout_member_data_ms;
	int64_t timeout_tcp_inspect_ms;
	char **allowed_cidrs; /* canonical, NULL: everyone */
	json_t *tags;
};

struct load_balancer {
	unsigned references;
	char id[UUID_SIZE];
	char *name;
	char *description;
	bool admin_state_up;
	char *vip_address; /* NULL: the configured default */
	char *vip_port_id;
	char *vip_subnet_id;
	char *vip_network_id;
	char *vip_qos_policy_id;
	char *project_id;
	char *provider;
	char *flavor_id;
	char *availability_zone;
	struct listener *listeners;
	size_t n_listeners;
	struct pool *pools;
	size_t n_pools;
	json_t *tags;
};

/* What the configuration lends to definitions that do not say. */
struct definition_defaults {
	int64_t timeout_client_data_ms;
	int64_t timeout_member_connect_ms;
	int64_t timeout_member_data_ms;
	int64_t timeout_tcp_inspect_ms;
	const char *vip_address; /* NULL: not known */
};

/*
 * Parses the document of PUT …/definition ({"loadbalancer": {…}}), gives ids to objects without one (UUIDv5 of their
 * names), moves nested pools to the load balancer's list and checks everything against everything. On failure
 * the error's pointer is a JSON Pointer into the document. Errors: ERROR_INVALID, ERROR_CONFLICT (duplicates),
 * ERROR_TOO_LARGE, ERROR_INTERNAL.
 */
int definition_parse(const char *lb_id, const char *body, size_t length,
	const struct definition_defaults *defaults, struct load_balancer **ret, struct error *err);

/* The same of a document that is read already, whatever its size. NULL is no object. */
int definition_parse_json(const char *lb_id, const json_t *document, const struct definition_defaults *defaults,
	struct load_balancer **ret, struct error *err);

/* The same document with every field and id in it: parsing it gives an equal tree. A new reference. */
int definition_to_json(const struct load_balancer *lb, json_t **ret);

/* One canonical text for equal trees: compact, keys in table order. Owned by the caller. */
int definition_to_text(const struct load_balancer *lb, char **ret_text, size_t *ret_length);

/* The resource as GET …/loadbalancers/{id} and its relatives show it, without the statuses and times (the caller adds
 * them): children as lists of {"id"}. New references. */
int definition_lb_resource(const struct load_balancer *lb, json_t **ret);

struct load_balancer *load_balancer_ref(struct load_balancer *lb);
void load_balancer_unref(struct load_balancer *lb);
DEFINE_CLEANUP(struct load_balancer *, load_balancer_unref);
#define _cleanup_load_balancer_ _cleanup_(load_balancer_unrefp)

const struct pool *load_balancer_find_pool(const struct load_balancer *lb, const char *id);
