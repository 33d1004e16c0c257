/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/field_rows.h"

/* Listeners, L7 policies and rules. Ranges and defaults: octavia/api/v2/types/ and octavia/common/constants.py. */

const char *const listener_protocol_names[] = {
	"TCP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS", NULL};
const char *const client_authentication_names[] = {"NONE", "OPTIONAL", "MANDATORY", NULL};
const char *const l7policy_action_names[] = {
	"REJECT", "REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX", NULL};
const char *const l7rule_type_names[] = {"HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE",
	"SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD", NULL};
const char *const l7rule_compare_type_names[] = {
	"REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO", NULL};
/* The first INSERT_HEADERS_PLAIN of them for any HTTP, the others for TERMINATED_HTTPS. */
const char *const insert_header_names[] = {"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto",
	"X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer",
	"X-SSL-Client-SHA1", "X-SSL-Client-Not-Before", "X-SSL-Client-Not-After", NULL};

static const struct field l7rule_fields[] = {
	OWN_ID(l7rule),
	TIMES(l7rule),
	{"type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct l7rule, type), .choices = l7rule_type_names},
	{"compare_type", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct l7rule, compare_type),
		.choices = l7rule_compare_type_names},
	OPTIONAL(key, l7rule, .maximum = LIMIT_NAME),
	STRING(value, l7rule, .maximum = LIMIT_NAME, .flags = FIELD_REQUIRED),
	FLAG(invert, l7rule),
	ADMIN_STATE_UP(l7rule),
	TAGS(l7rule),
	END,
};
const struct object_type l7rule_type = {"rule", sizeof(struct l7rule), l7rule_fields};

static const struct field l7policy_fields[] = {
	OWN_ID(l7policy),
	TIMES(l7policy),
	NAME(l7policy),
	DESCRIPTION(l7policy),
	{"action", FIELD_ENUM, FIELD_REQUIRED, offsetof(struct l7policy, action), .choices = l7policy_action_names},
	REFERENCE(redirect_pool_id, l7policy),
	{"redirect_pool", FIELD_OBJECT, FIELD_TRANSIENT, offsetof(struct l7policy, redirect_pool),
		.object = &pool_type},
	STRING(redirect_url, l7policy, .maximum = LIMIT_URL, .check = grammar_url),
	STRING(redirect_prefix, l7policy, .maximum = LIMIT_URL, .check = grammar_url),
	{"redirect_http_code", FIELD_INTEGER, .offset = offsetof(struct l7policy, redirect_http_code),
		.minimum = 301, .maximum = 308},
	{"position", FIELD_INTEGER, .offset = offsetof(struct l7policy, position), .minimum = 1,
		.maximum = LIMIT_POSITION, .default_value = LIMIT_POSITION},
	ADMIN_STATE_UP(l7policy),
	LIST(rules, l7policy, LIMIT_L7RULES, l7rule_type),
	TAGS(l7policy),
	END,
};
const struct object_type l7policy_type = {"l7policy", sizeof(struct l7policy), l7policy_fields};

static const struct field listener_proxy_protocol_fields[] = {
	{"accept", FIELD_BOOL, FIELD_REQUIRED, .offset = offsetof(struct listener_proxy_protocol, accept)},
	{"trusted_cidrs", FIELD_CIDRS, .offset = offsetof(struct listener_proxy_protocol, trusted_cidrs),
		.maximum = LIMIT_CIDRS_PER_LISTENER},
	{"header_timeout_ms", FIELD_INTEGER,
		.offset = offsetof(struct listener_proxy_protocol, header_timeout_ms), .minimum = 1,
		.maximum = LIMIT_TIMEOUT_MS},
	END,
};
const struct object_type listener_proxy_protocol_type = {
	"proxy_protocol", sizeof(struct listener_proxy_protocol), listener_proxy_protocol_fields};

static const struct field listener_fields[] = {
	OWN_ID(listener),
	TIMES(listener),
	NAME(listener),
	DESCRIPTION(listener),
	ADMIN_STATE_UP(listener),
	{"protocol", FIELD_ENUM, FIELD_REQUIRED | FIELD_FIXED, offsetof(struct listener, protocol),
		.choices = listener_protocol_names},
	PORT(protocol_port, listener, .flags = FIELD_REQUIRED | FIELD_FIXED),
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
	CERTIFICATE(default_tls_container_ref, listener),
	STRINGS(sni_container_refs, listener, 0, LIMIT_SNI, .check = grammar_certificate_reference),
	CERTIFICATE(client_ca_tls_container_ref, listener),
	CERTIFICATE(client_crl_container_ref, listener),
	{"client_authentication", FIELD_ENUM, .offset = offsetof(struct listener, client_authentication),
		.choices = client_authentication_names},
	OPTIONAL(tls_ciphers, listener, .maximum = LIMIT_CIPHERS, .check = grammar_tls_ciphers),
	STRINGS(tls_versions, listener, 1, 5, .choices = tls_version_names),
	STRINGS(alpn_protocols, listener, 1, 3, .choices = alpn_protocol_names),
	{"hsts_max_age", FIELD_INTEGER, .offset = offsetof(struct listener, hsts_max_age_s),
		.maximum = INT32_MAX, .default_value = -1},
	FLAG(hsts_include_subdomains, listener),
	FLAG(hsts_preload, listener),
	LIST(l7policies, listener, LIMIT_L7POLICIES, l7policy_type),
	OBJECT(proxy_protocol, listener, listener_proxy_protocol_type),
	TAGS(listener),
	END,
};
const struct object_type listener_type = {"listener", sizeof(struct listener), listener_fields};
