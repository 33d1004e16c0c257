/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/field_rows.h"

/* Ranges and defaults: octavia/api/v2/types/ and octavia/common/constants.py. Delay and timeout start at 1 here: HAProxy
 * refuses an interval of 0, which Octavia lets through. */

const char *const pool_protocol_names[] = {"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP", NULL};
const char *const lb_algorithm_names[] = {
	"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT", NULL};
const char *const persistence_type_names[] = {"SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE", NULL};
const char *const monitor_type_names[] = {
	"TCP", "HTTP", "HTTPS", "TLS-HELLO", "PING", "UDP-CONNECT", "SCTP", NULL};
const char *const monitor_proxy_protocol_names[] = {"auto", "on", "off", NULL};
const char *const tls_version_names[] = {"SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", NULL};
const char *const alpn_protocol_names[] = {"h2", "http/1.1", "http/1.0", NULL};
/* HAProxy configuration manual, 5.2 "proxy-v2-options". */
const char *const proxy_protocol_option_names[] = {
	"ssl", "cert-cn", "ssl-cipher", "cert-sig", "cert-key", "authority", "crc32c", "unique-id", NULL};

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

static const struct field session_persistence_fields[] = {
	{"type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct session_persistence, type),
		.choices = persistence_type_names},
	{"cookie_name", FIELD_STRING, .offset = offsetof(struct session_persistence, cookie_name),
		.minimum = 1, .maximum = LIMIT_NAME, .check = grammar_cookie_name},
	{"persistence_timeout", FIELD_INTEGER,
		.offset = offsetof(struct session_persistence, persistence_timeout_s), .minimum = 1,
		.maximum = LIMIT_PERSISTENCE_TIMEOUT_S},
	STRING(persistence_granularity, session_persistence, .maximum = 64, .check = grammar_netmask),
	END,
};
const struct object_type session_persistence_type = {
	"session_persistence", sizeof(struct session_persistence), session_persistence_fields};

static const struct field health_monitor_fields[] = {
	OWN_ID(health_monitor),
	TIMES(health_monitor),
	NAME(health_monitor),
	{"type", FIELD_ENUM, FIELD_REQUIRED | FIELD_FIXED, offsetof(struct health_monitor, type),
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
	{"proxy_protocol", FIELD_ENUM, .offset = offsetof(struct health_monitor, proxy_protocol),
		.choices = monitor_proxy_protocol_names},
	ADMIN_STATE_UP(health_monitor),
	TAGS(health_monitor),
	END,
};
const struct object_type health_monitor_type = {
	"healthmonitor", sizeof(struct health_monitor), health_monitor_fields};

static const struct field member_fields[] = {
	OWN_ID(member),
	TIMES(member),
	NAME(member),
	{"address", FIELD_ADDRESS, FIELD_REQUIRED | FIELD_FIXED, .offset = offsetof(struct member, address)},
	PORT(protocol_port, member, .flags = FIELD_REQUIRED | FIELD_FIXED),
	{"weight", FIELD_INTEGER, .offset = offsetof(struct member, weight), .maximum = 256,
		.default_value = 1},
	{"backup", FIELD_BOOL, .offset = offsetof(struct member, backup)},
	ADMIN_STATE_UP(member),
	{"monitor_address", FIELD_ADDRESS, .offset = offsetof(struct member, monitor_address)},
	PORT(monitor_port, member, .default_value = 0),
	FIXED_REFERENCE(subnet_id, member),
	{"request_sriov", FIELD_BOOL, FIELD_FIXED | FIELD_LABEL, .offset = offsetof(struct member, request_sriov)},
	TAGS(member),
	END,
};
const struct object_type member_type = {"member", sizeof(struct member), member_fields};

/* protocol and lb_algorithm are required, except of a pool that only refers to another (check.c). */
static const struct field pool_fields[] = {
	OWN_ID(pool),
	TIMES(pool),
	NAME(pool),
	DESCRIPTION(pool),
	ADMIN_STATE_UP(pool),
	{"protocol", FIELD_ENUM, FIELD_FIXED, .offset = offsetof(struct pool, protocol), .default_value = -1,
		.choices = pool_protocol_names},
	{"lb_algorithm", FIELD_ENUM, .offset = offsetof(struct pool, lb_algorithm), .default_value = -1,
		.choices = lb_algorithm_names},
	{"session_persistence", FIELD_OBJECT, .offset = offsetof(struct pool, session_persistence),
		.object = &session_persistence_type},
	{"healthmonitor", FIELD_OBJECT, FIELD_FIXED, .offset = offsetof(struct pool, healthmonitor),
		.object = &health_monitor_type},
	{"members", FIELD_LIST, FIELD_FIXED, .offset = offsetof(struct pool, members),
		.count_offset = offsetof(struct pool, n_members), .maximum = LIMIT_MEMBERS_PER_POOL,
		.object = &member_type},
	FLAG(tls_enabled, pool),
	CERTIFICATE(tls_container_ref, pool),
	CERTIFICATE(ca_tls_container_ref, pool),
	CERTIFICATE(crl_container_ref, pool),
	OPTIONAL(tls_ciphers, pool, .maximum = LIMIT_CIPHERS, .check = grammar_tls_ciphers),
	STRINGS(tls_versions, pool, 1, 5, .choices = tls_version_names),
	STRINGS(alpn_protocols, pool, 1, 3, .choices = alpn_protocol_names),
	STRINGS(proxy_protocol_options, pool, 0, 8, .choices = proxy_protocol_option_names),
	TAGS(pool),
	END,
};
const struct object_type pool_type = {"pool", sizeof(struct pool), pool_fields};

static const struct field additional_vip_fields[] = {
	{"ip_address", FIELD_ADDRESS, FIELD_REQUIRED, .offset = offsetof(struct additional_vip, ip_address)},
	FOREIGN_REFERENCE(subnet_id, additional_vip, 0),
	FOREIGN_REFERENCE(port_id, additional_vip, 0),
	END,
};
const struct object_type additional_vip_type = {
	"additional_vip", sizeof(struct additional_vip), additional_vip_fields};

static const struct field stats_page_fields[] = {
	{"address", FIELD_ADDRESS, .offset = offsetof(struct stats_page, address)},
	PORT(port, stats_page, .flags = FIELD_REQUIRED),
	STRING(uri, stats_page, .maximum = LIMIT_URL_PATH, .default_text = "/", .check = grammar_stats_uri),
	STRING(username, stats_page, .maximum = LIMIT_NAME, .check = grammar_user_name),
	STRING(password_hash, stats_page, .maximum = LIMIT_NAME, .flags = FIELD_SECRET, .check = grammar_password_hash),
	END,
};
const struct object_type stats_page_type = {"stats_page", sizeof(struct stats_page), stats_page_fields};

static const struct field load_balancer_fields[] = {
	OWN_ID(load_balancer),
	NAME(load_balancer),
	DESCRIPTION(load_balancer),
	ADMIN_STATE_UP(load_balancer),
	{"vip_address", FIELD_ADDRESS, FIELD_FIXED, .offset = offsetof(struct load_balancer, vip_address)},
	FIXED_REFERENCE(vip_port_id, load_balancer),
	FIXED_REFERENCE(vip_subnet_id, load_balancer),
	FIXED_REFERENCE(vip_network_id, load_balancer),
	FOREIGN_REFERENCE(vip_qos_policy_id, load_balancer, 0),
	{"project_id", FIELD_STRING, FIELD_FIXED | FIELD_LABEL, .offset = offsetof(struct load_balancer, project_id),
		.maximum = LIMIT_PROJECT_ID},
	{"provider", FIELD_STRING, FIELD_FIXED | FIELD_LABEL, .offset = offsetof(struct load_balancer, provider), .maximum = 64,
		.default_text = "amphorad", .check = grammar_provider},
	FIXED_REFERENCE(flavor_id, load_balancer),
	{"availability_zone", FIELD_STRING, FIELD_FIXED | FIELD_LABEL, .offset = offsetof(struct load_balancer, availability_zone),
		.maximum = LIMIT_NAME},
	LIST(additional_vips, load_balancer, LIMIT_ADDITIONAL_VIPS, additional_vip_type),
	STRINGS(vip_sg_ids, load_balancer, 0, LIMIT_SECURITY_GROUPS, .flags = FIELD_LABEL, .check = grammar_uuid),
	{"hard_stop_after_s", FIELD_INTEGER, .offset = offsetof(struct load_balancer, hard_stop_after_s),
		.minimum = 1, .maximum = LIMIT_TIMEOUT_MS / 1000},
	{"max_old_workers", FIELD_INTEGER, .offset = offsetof(struct load_balancer, max_old_workers),
		.minimum = 1, .maximum = 1000},
	OBJECT(stats_page, load_balancer, stats_page_type),
	{"listeners", FIELD_LIST, FIELD_FIXED, .offset = offsetof(struct load_balancer, listeners),
		.count_offset = offsetof(struct load_balancer, n_listeners), .maximum = LIMIT_LISTENERS,
		.object = &listener_type},
	{"pools", FIELD_LIST, FIELD_FIXED, .offset = offsetof(struct load_balancer, pools),
		.count_offset = offsetof(struct load_balancer, n_pools), .maximum = LIMIT_POOLS,
		.object = &pool_type},
	TAGS(load_balancer),
	END,
};
const struct object_type load_balancer_type = {
	"loadbalancer", sizeof(struct load_balancer), load_balancer_fields};
