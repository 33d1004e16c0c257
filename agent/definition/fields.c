/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include "agent/definition/limits.h"

/* Ranges and defaults: octavia/api/v2/types/ and octavia/common/constants.py. Delay and timeout start at 1 here: HAProxy
 * refuses an interval of 0, which Octavia lets through. */

const char *const listener_protocol_names[] = {"TCP", "HTTP", NULL};
const char *const pool_protocol_names[] = {"TCP", "HTTP", "PROXY", "PROXYV2", NULL};
const char *const lb_algorithm_names[] = {
	"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT", NULL};
const char *const persistence_type_names[] = {"SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE", NULL};
const char *const monitor_type_names[] = {"TCP", "HTTP", "PING", NULL};
const char *const insert_header_names[] = {
	"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", NULL};

static const char *const http_methods[] = {
	"GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH", NULL};
static const char *const http_versions[] = {"1.0", "1.1", NULL};
static const char *const providers[] = {"amphora", "octavia", "amphorad", NULL};

static const char *grammar_http_method(const char *value)
{
	for (const char *const *method = http_methods; *method; method++)
		if (__builtin_strcmp(*method, value) == 0)
			return NULL;
	return "must be one of GET, HEAD, POST, PUT, DELETE, TRACE, OPTIONS, CONNECT, PATCH";
}

static const char *grammar_provider(const char *value)
{
	for (const char *const *provider = providers; *provider; provider++)
		if (__builtin_strcmp(*provider, value) == 0)
			return NULL;
	return "must be one of amphora, octavia, amphorad";
}

#define NAME(s)                                                                                    \
	{                                                                                          \
		"name", FIELD_STRING, .offset = offsetof(struct s, name), .maximum = LIMIT_NAME    \
	}
#define DESCRIPTION(s)                                                                             \
	{                                                                                          \
		"description", FIELD_STRING, .offset = offsetof(struct s, description),            \
			.maximum = LIMIT_NAME                                                      \
	}
#define OWN_ID(s)                                                                                  \
	{                                                                                          \
		"id", FIELD_OWN_ID, .offset = offsetof(struct s, id)                               \
	}
#define ADMIN_STATE_UP(s)                                                                          \
	{                                                                                          \
		"admin_state_up", FIELD_BOOL, .offset = offsetof(struct s, admin_state_up),        \
			.default_value = true                                                      \
	}
#define TAGS(s)                                                                                    \
	{                                                                                          \
		"tags", FIELD_TAGS, .offset = offsetof(struct s, tags)                             \
	}
#define PORT(field, s, ...)                                                                        \
	{                                                                                          \
		#field, FIELD_INTEGER, .offset = offsetof(struct s, field), .minimum = 1,          \
			.maximum = 65535, __VA_ARGS__                                              \
	}
#define TIMEOUT(field, s)                                                                          \
	{                                                                                          \
		#field, FIELD_INTEGER, FIELD_CONFIGURED, .offset = offsetof(struct s, field##_ms), \
			.maximum = LIMIT_TIMEOUT_MS,                                               \
			.default_value = offsetof(struct definition_defaults, field##_ms)          \
	}
#define REFERENCE(field, s)                                                                        \
	{                                                                                          \
		#field, FIELD_REFERENCE, .offset = offsetof(struct s, field)                       \
	}
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

static const struct field session_persistence_fields[] = {
	{"type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct session_persistence, type),
		.choices = persistence_type_names},
	{"cookie_name", FIELD_STRING, .offset = offsetof(struct session_persistence, cookie_name),
		.minimum = 1, .maximum = LIMIT_NAME, .check = grammar_cookie_name},
	END,
};
const struct object_type session_persistence_type = {
	"session_persistence", sizeof(struct session_persistence), session_persistence_fields};

static const struct field health_monitor_fields[] = {
	OWN_ID(health_monitor),
	NAME(health_monitor),
	{"type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct health_monitor, type),
		.choices = monitor_type_names},
	{"delay", FIELD_INTEGER, FIELD_REQUIRED, offsetof(struct health_monitor, delay_s), .minimum = 1,
		.maximum = 86400},
	{"timeout", FIELD_INTEGER, FIELD_REQUIRED, offsetof(struct health_monitor, timeout_s),
		.minimum = 1, .maximum = 86400},
	{"max_retries", FIELD_INTEGER, FIELD_REQUIRED, offsetof(struct health_monitor, max_retries),
		.minimum = 1, .maximum = 10},
	{"max_retries_down", FIELD_INTEGER, .offset = offsetof(struct health_monitor, max_retries_down),
		.minimum = 1, .maximum = 10, .default_value = 3},
	{"http_method", FIELD_STRING, .offset = offsetof(struct health_monitor, http_method),
		.minimum = 1, .maximum = 16, .check = grammar_http_method},
	{"url_path", FIELD_STRING, .offset = offsetof(struct health_monitor, url_path), .minimum = 1,
		.maximum = LIMIT_URL_PATH, .check = grammar_url_path},
	{"expected_codes", FIELD_STRING, .offset = offsetof(struct health_monitor, expected_codes),
		.minimum = 1, .maximum = 64, .check = grammar_expected_codes},
	{"http_version", FIELD_VERSION, .offset = offsetof(struct health_monitor, http_version),
		.choices = http_versions},
	{"domain_name", FIELD_STRING, .offset = offsetof(struct health_monitor, domain_name),
		.minimum = 1, .maximum = 255, .check = grammar_domain_name},
	ADMIN_STATE_UP(health_monitor),
	TAGS(health_monitor),
	END,
};
const struct object_type health_monitor_type = {
	"healthmonitor", sizeof(struct health_monitor), health_monitor_fields};

static const struct field member_fields[] = {
	OWN_ID(member),
	NAME(member),
	{"address", FIELD_ADDRESS, FIELD_REQUIRED, .offset = offsetof(struct member, address)},
	PORT(protocol_port, member, .flags = FIELD_REQUIRED),
	{"weight", FIELD_INTEGER, .offset = offsetof(struct member, weight), .maximum = 256,
		.default_value = 1},
	{"backup", FIELD_BOOL, .offset = offsetof(struct member, backup)},
	ADMIN_STATE_UP(member),
	{"monitor_address", FIELD_ADDRESS, .offset = offsetof(struct member, monitor_address)},
	PORT(monitor_port, member, .default_value = 0),
	REFERENCE(subnet_id, member),
	TAGS(member),
	END,
};
const struct object_type member_type = {"member", sizeof(struct member), member_fields};

/* protocol and lb_algorithm are required, except of a pool that only refers to another (check.c). */
static const struct field pool_fields[] = {
	OWN_ID(pool),
	NAME(pool),
	DESCRIPTION(pool),
	ADMIN_STATE_UP(pool),
	{"protocol", FIELD_ENUM, .offset = offsetof(struct pool, protocol), .default_value = -1,
		.choices = pool_protocol_names},
	{"lb_algorithm", FIELD_ENUM, .offset = offsetof(struct pool, lb_algorithm), .default_value = -1,
		.choices = lb_algorithm_names},
	{"session_persistence", FIELD_OBJECT, .offset = offsetof(struct pool, session_persistence),
		.object = &session_persistence_type},
	{"healthmonitor", FIELD_OBJECT, .offset = offsetof(struct pool, healthmonitor),
		.object = &health_monitor_type},
	{"members", FIELD_LIST, .offset = offsetof(struct pool, members),
		.count_offset = offsetof(struct pool, n_members), .maximum = LIMIT_MEMBERS_PER_POOL,
		.object = &member_type},
	TAGS(pool),
	END,
};
const struct object_type pool_type = {"pool", sizeof(struct pool), pool_fields};

static const struct field listener_fields[] = {
	OWN_ID(listener),
	NAME(listener),
	DESCRIPTION(listener),
	ADMIN_STATE_UP(listener),
	{"protocol", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct listener, protocol),
		.choices = listener_protocol_names},
	PORT(protocol_port, listener, .flags = FIELD_REQUIRED),
	{"connection_limit", FIELD_INTEGER, .offset = offsetof(struct listener, connection_limit),
		.minimum = -1, .maximum = 1000000, .default_value = -1},
	REFERENCE(default_pool_id, listener),
	{"default_pool", FIELD_OBJECT, FIELD_TRANSIENT, offsetof(struct listener, default_pool),
		.object = &pool_type},
	{"insert_headers", FIELD_SWITCHES, .offset = offsetof(struct listener, insert_headers),
		.choices = insert_header_names},
	TIMEOUT(timeout_client_data, listener),
	TIMEOUT(timeout_member_connect, listener),
	TIMEOUT(timeout_member_data, listener),
	TIMEOUT(timeout_tcp_inspect, listener),
	{"allowed_cidrs", FIELD_CIDRS, .offset = offsetof(struct listener, allowed_cidrs),
		.maximum = LIMIT_CIDRS_PER_LISTENER},
	TAGS(listener),
	END,
};
const struct object_type listener_type = {"listener", sizeof(struct listener), listener_fields};

static const struct field load_balancer_fields[] = {
	OWN_ID(load_balancer),
	NAME(load_balancer),
	DESCRIPTION(load_balancer),
	ADMIN_STATE_UP(load_balancer),
	{"vip_address", FIELD_ADDRESS, .offset = offsetof(struct load_balancer, vip_address)},
	REFERENCE(vip_port_id, load_balancer),
	REFERENCE(vip_subnet_id, load_balancer),
	REFERENCE(vip_network_id, load_balancer),
	REFERENCE(vip_qos_policy_id, load_balancer),
	{"project_id", FIELD_STRING, .offset = offsetof(struct load_balancer, project_id),
		.maximum = LIMIT_PROJECT_ID},
	{"provider", FIELD_STRING, .offset = offsetof(struct load_balancer, provider), .maximum = 64,
		.default_text = "amphorad", .check = grammar_provider},
	REFERENCE(flavor_id, load_balancer),
	{"availability_zone", FIELD_STRING, .offset = offsetof(struct load_balancer, availability_zone),
		.maximum = LIMIT_NAME},
	{"listeners", FIELD_LIST, .offset = offsetof(struct load_balancer, listeners),
		.count_offset = offsetof(struct load_balancer, n_listeners), .maximum = LIMIT_LISTENERS,
		.object = &listener_type},
	{"pools", FIELD_LIST, .offset = offsetof(struct load_balancer, pools),
		.count_offset = offsetof(struct load_balancer, n_pools), .maximum = LIMIT_POOLS,
		.object = &pool_type},
	TAGS(load_balancer),
	END,
};
const struct object_type load_balancer_type = {
	"loadbalancer", sizeof(struct load_balancer), load_balancer_fields};
