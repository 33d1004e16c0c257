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
#include "agent/base/text.h"

enum {
	UUID_SIZE = 37, /* with the NUL */
	DEFINITION_TIME_SIZE = sizeof("2026-01-31T23:59:59"), /* UTC */
};

enum listener_protocol {
	LISTENER_TCP,
	LISTENER_HTTP,
	LISTENER_HTTPS, /* passed through */
	LISTENER_TERMINATED_HTTPS,
	LISTENER_UDP,
	LISTENER_SCTP,
	LISTENER_PROMETHEUS,
	_LISTENER_PROTOCOL_MAX,
};

enum pool_protocol {
	POOL_TCP,
	POOL_HTTP,
	POOL_HTTPS,
	POOL_PROXY,
	POOL_PROXYV2,
	POOL_UDP,
	POOL_SCTP,
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
	MONITOR_HTTPS,
	MONITOR_TLS_HELLO,
	MONITOR_PING,
	MONITOR_UDP_CONNECT,
	MONITOR_SCTP,
	_MONITOR_TYPE_MAX,
};

/* Whether checks carry a PROXY header. */
enum monitor_proxy_protocol {
	MONITOR_PROXY_AUTO, /* as HAProxy does: with the pool's header, unless the monitor has an address or port of its own */
	MONITOR_PROXY_ON,
	MONITOR_PROXY_OFF,
	_MONITOR_PROXY_MAX,
};

enum client_authentication {
	CLIENT_AUTHENTICATION_NONE,
	CLIENT_AUTHENTICATION_OPTIONAL,
	CLIENT_AUTHENTICATION_MANDATORY,
	_CLIENT_AUTHENTICATION_MAX,
};

enum l7policy_action {
	L7POLICY_REJECT,
	L7POLICY_REDIRECT_TO_POOL,
	L7POLICY_REDIRECT_TO_URL,
	L7POLICY_REDIRECT_PREFIX,
	_L7POLICY_ACTION_MAX,
};

enum l7rule_type {
	L7RULE_HOST_NAME,
	L7RULE_PATH,
	L7RULE_FILE_TYPE,
	L7RULE_HEADER,
	L7RULE_COOKIE,
	L7RULE_SSL_CONN_HAS_CERT,
	L7RULE_SSL_VERIFY_RESULT,
	L7RULE_SSL_DN_FIELD,
	_L7RULE_TYPE_MAX,
};

enum l7rule_compare_type {
	L7RULE_REGEX,
	L7RULE_STARTS_WITH,
	L7RULE_ENDS_WITH,
	L7RULE_CONTAINS,
	L7RULE_EQUAL_TO,
	_L7RULE_COMPARE_MAX,
};

/* The API's words, by enum value, NULL-terminated. */
extern const char *const listener_protocol_names[];
extern const char *const pool_protocol_names[];
extern const char *const lb_algorithm_names[];
extern const char *const persistence_type_names[];
extern const char *const monitor_type_names[];
extern const char *const monitor_proxy_protocol_names[];
extern const char *const client_authentication_names[];
extern const char *const l7policy_action_names[];
extern const char *const l7rule_type_names[];
extern const char *const l7rule_compare_type_names[];

struct session_persistence {
	int type; /* enum persistence_type */
	char *cookie_name;
	int64_t persistence_timeout_s;    /* UDP and SCTP, SOURCE_IP; 0: not given */
	char *persistence_granularity;    /* UDP and SCTP, SOURCE_IP: a netmask, or for IPv6 a prefix length */
};

struct health_monitor {
	char id[UUID_SIZE];
	char created_at[DEFINITION_TIME_SIZE], updated_at[DEFINITION_TIME_SIZE]; /* "": not changed since; tree.h */
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
	int proxy_protocol; /* enum monitor_proxy_protocol; ours */
	bool admin_state_up;
	json_t *tags;
};

struct member {
	char id[UUID_SIZE];
	char created_at[DEFINITION_TIME_SIZE], updated_at[DEFINITION_TIME_SIZE]; /* "": not changed since; tree.h */
	char *name;
	char *address;
	int64_t protocol_port;
	int64_t weight;
	bool backup;
	bool admin_state_up;
	char *monitor_address;
	int64_t monitor_port; /* 0: the member's own */
	char *subnet_id;
	bool request_sriov; /* kept and echoed */
	json_t *tags;
};

struct pool {
	char id[UUID_SIZE];
	char created_at[DEFINITION_TIME_SIZE], updated_at[DEFINITION_TIME_SIZE]; /* "": not changed since; tree.h */
	char *name;
	char *description;
	bool admin_state_up;
	int protocol;     /* enum pool_protocol */
	int lb_algorithm; /* enum lb_algorithm */
	struct session_persistence *session_persistence; /* NULL: none */
	struct health_monitor *healthmonitor;            /* NULL: none */
	struct member *members;
	size_t n_members;
	bool tls_enabled; /* TLS to the members */
	char *tls_container_ref;    /* our certificate for them; references: see struct listener */
	char *ca_tls_container_ref; /* verifies theirs; NULL: not verified */
	char *crl_container_ref;
	char *tls_ciphers;
	char **tls_versions;           /* NULL: HAProxy's */
	char **alpn_protocols;         /* NULL: none */
	char **proxy_protocol_options; /* TLVs of PROXYV2, HAProxy's words; ours */
	json_t *tags;
};

struct l7rule {
	char id[UUID_SIZE];
	char created_at[DEFINITION_TIME_SIZE], updated_at[DEFINITION_TIME_SIZE]; /* "": not changed since; tree.h */
	int type;         /* enum l7rule_type */
	int compare_type; /* enum l7rule_compare_type */
	char *key;        /* header, cookie, DN field */
	char *value;
	bool invert;
	bool admin_state_up;
	json_t *tags;
};

struct l7policy {
	char id[UUID_SIZE];
	char created_at[DEFINITION_TIME_SIZE], updated_at[DEFINITION_TIME_SIZE]; /* "": not changed since; tree.h */
	char *name;
	char *description;
	int action;           /* enum l7policy_action */
	char *redirect_pool_id;
	struct pool *redirect_pool; /* as nested in a document; NULL once the tree is parsed */
	char *redirect_url;
	char *redirect_prefix;
	int64_t redirect_http_code; /* 0: not given, 302 */
	int64_t position;           /* from 1, without gaps once the tree is parsed; the list is in this order */
	bool admin_state_up;
	struct l7rule *rules; /* all must match */
	size_t n_rules;
	json_t *tags;
};

/* PROXY protocol received from a load balancer in front; ours. */
struct listener_proxy_protocol {
	bool accept;
	char **trusted_cidrs;      /* canonical, NULL: everyone must send a header */
	int64_t header_timeout_ms; /* 0: the client timeout */
};

struct listener {
	char id[UUID_SIZE];
	char created_at[DEFINITION_TIME_SIZE], updated_at[DEFINITION_TIME_SIZE]; /* "": not changed since; tree.h */
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
	/* References to certificates are names of the certificate store, or URLs whose last segment is one. */
	char *default_tls_container_ref;
	char **sni_container_refs;
	char *client_ca_tls_container_ref;
	char *client_crl_container_ref;
	int client_authentication; /* enum client_authentication */
	char *tls_ciphers;
	char **tls_versions;   /* "TLSv1.2" …; NULL: HAProxy's */
	char **alpn_protocols; /* NULL: none */
	int64_t hsts_max_age_s; /* -1: no HSTS */
	bool hsts_include_subdomains;
	bool hsts_preload;
	struct l7policy *l7policies; /* in the order of their positions */
	size_t n_l7policies;
	struct listener_proxy_protocol *proxy_protocol; /* NULL: none */
	json_t *tags;
};

struct additional_vip {
	char *ip_address;
	char *subnet_id;
	char *port_id;
};

/* HAProxy's statistics page; ours. */
struct stats_page {
	char *address; /* NULL: the VIP */
	int64_t port;
	char *uri;
	char *username;      /* NULL: no password asked */
	char *password_hash; /* crypt(3) */
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
	struct additional_vip *additional_vips;
	size_t n_additional_vips;
	char **vip_sg_ids;         /* UUIDs, kept and echoed */
	int64_t hard_stop_after_s; /* 0: as configured; ours */
	int64_t max_old_workers;   /* 0: as configured; ours */
	struct stats_page *stats_page; /* NULL: none */
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

/* Those of stored documents: all is said there, so that there are none, and fields of FIELD_STORED are read as well. */
extern const struct definition_defaults definition_stored;

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

/* Secrets are never shown, so clients send back what they read without them: one that is left out is that of "before" (NULL:
 * none), where it is the same user's. ERROR_INVALID if it is not there. Whatever is parsed lacks secrets until then. */
int definition_keep_secrets(struct load_balancer *lb, const struct load_balancer *before, struct error *err);
bool definition_lacks_secrets(const struct load_balancer *lb);

/* What of a tree is written. */
enum definition_use {
	DEFINITION_WHOLE,  /* every field and id: parsing it gives an equal tree */
	DEFINITION_STORED, /* with the times of the objects, too */
	DEFINITION_SHOWN,  /* to clients: every field but secrets */
};

/* {"loadbalancer": {…}}: one canonical text for equal trees: compact, keys in table order. Owned by the caller. */
int definition_to_text(const struct load_balancer *lb, enum definition_use use, char **ret_text, size_t *ret_length);

/* The same text behind what "out" has, without its outer braces: the member "loadbalancer" of a document. -ENOMEM. */
int definition_append(const struct load_balancer *lb, enum definition_use use, struct text *out);

/* Whether two trees say the same, whatever their times; with that, whether their texts are the same. */
bool definition_equal(const struct load_balancer *a, const struct load_balancer *b);
/* Whether they differ at most in what is kept for clients alone (names, tags, …): their configurations are the same then. */
bool definition_renders_alike(const struct load_balancer *a, const struct load_balancer *b);

/* Reads {"member": {…}} or {"member": […]}: nothing else beside the one member. *ret is its value, a new reference. */
int document_read(const char *body, size_t length, const char *member, json_t **ret, struct error *err);

struct load_balancer *load_balancer_ref(struct load_balancer *lb);
void load_balancer_unref(struct load_balancer *lb);
DEFINE_CLEANUP(struct load_balancer *, load_balancer_unref);
#define _cleanup_load_balancer_ _cleanup_(load_balancer_unrefp)

/* Whether HAProxy serves it; those of UDP and SCTP are keepalived's. */
static inline bool listener_is_haproxy(const struct listener *listener)
{
	return listener->protocol != LISTENER_UDP && listener->protocol != LISTENER_SCTP;
}

/* "TCP", "UDP" or "SCTP": each has its own ports; L4_PROTOCOL_MAP of octavia/common/constants.py. */
static inline const char *listener_transport(const struct listener *listener)
{
	return listener->protocol == LISTENER_UDP ? "UDP" : listener->protocol == LISTENER_SCTP ? "SCTP" : "TCP";
}

/* Whether TLS ends here: TERMINATED_HTTPS, and PROMETHEUS with a certificate. */
static inline bool listener_ends_tls(const struct listener *listener)
{
	return listener->default_tls_container_ref || listener->sni_container_refs;
}

const struct pool *load_balancer_find_pool(const struct load_balancer *lb, const char *id);

/* The id of the pool that a policy sends requests to; NULL if it sends none: another action, switched off, no rules. */
const char *l7policy_pool_id(const struct l7policy *policy);

/* Whether the pool is the listener's default or that of one of its policies; Listener.pools of octavia/db/models.py. */
bool listener_uses_pool(const struct listener *listener, const char *pool_id);
