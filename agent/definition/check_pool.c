/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/check.h"

#include <string.h>

enum { MIN_UDP_CONNECT_DELAY_S = 3 }; /* udp_connect_min_interval_health_monitor of Octavia's configuration */

static bool is_lvs(const struct pool *pool)
{
	return pool->protocol == POOL_UDP || pool->protocol == POOL_SCTP;
}

static bool is_proxy(const struct pool *pool)
{
	return pool->protocol == POOL_PROXY || pool->protocol == POOL_PROXYV2;
}

/* keepalived knows clients by their address alone; it, and only it, has a time and a network for them. */
static int check_persistence_protocol(const struct check *check, const struct pool *pool, const struct location *where,
	struct error *err)
{
	const struct session_persistence *persistence = pool->session_persistence;
	const char *network = persistence->persistence_granularity;
	struct location type = {where, "type", 0}, timeout = {where, "persistence_timeout", 0},
			granularity = {where, "persistence_granularity", 0};

	if (is_lvs(pool) && persistence->type != PERSISTENCE_SOURCE_IP)
		return location_error(&type, ERROR_INVALID, err,
			"Session persistence of type %s is not supported for UDP/SCTP protocol pools.",
			persistence_type_names[persistence->type]);
	if (!is_lvs(pool) && (persistence->persistence_timeout_s || network))
		return location_error(network ? &granularity : &timeout, ERROR_INVALID, err,
			"persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools.");
	/* keepalived.conf(5), persistence_granularity: a mask for IPv4, a prefix length for IPv6. */
	if (network && !check_vip_of_version(check, !strchr(network, '.')))
		return location_error(&granularity, ERROR_INVALID, err, "must be a %s with the VIP %s",
			strchr(network, '.') ? "prefix length" : "netmask", check->vip_address);
	return 0;
}

static int check_persistence(const struct check *check, const struct pool *pool, const struct location *where,
	struct error *err)
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
	return check_persistence_protocol(check, pool, &object, err);
}

/* HTTP and HTTPS monitors get Octavia's defaults, others must not have HTTP's fields. */
static int check_http_monitor(struct health_monitor *monitor, const struct location *where, struct error *err)
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
	bool http = monitor->type == MONITOR_HTTP || monitor->type == MONITOR_HTTPS;

	for (size_t i = 0; i < ELEMENTSOF(http_fields); i++) {
		struct location field = {where, http_fields[i].name, 0};

		if (!http && *http_fields[i].value)
			return location_error(
				&field, ERROR_INVALID, err, "is allowed with the types HTTP and HTTPS only");
		if (http && !*http_fields[i].value && http_fields[i].standard) {
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

/* Which monitors fit which pools; octavia/api/v2/controllers/health_monitor.py. */
static int check_monitor_protocol(
	const struct pool *pool, const struct health_monitor *monitor, const struct location *where, struct error *err)
{
	struct location type = {where, "type", 0}, delay = {where, "delay", 0};
	bool for_lvs = monitor->type == MONITOR_UDP_CONNECT || monitor->type == MONITOR_SCTP;

	if (is_lvs(pool) && !for_lvs && monitor->type != MONITOR_TCP && monitor->type != MONITOR_HTTP)
		return location_error(&type, ERROR_INVALID, err,
			"The associated pool protocol is %s, so only a UDP-CONNECT/SCTP/TCP/HTTP health monitor is "
			"supported.",
			pool_protocol_names[pool->protocol]);
	if (!is_lvs(pool) && for_lvs)
		return location_error(&type, ERROR_INVALID, err,
			"The %s type is only supported for pools of type UDP/SCTP.", monitor_type_names[monitor->type]);
	if (monitor->type == MONITOR_UDP_CONNECT && monitor->delay_s < MIN_UDP_CONNECT_DELAY_S)
		return location_error(&delay, ERROR_INVALID, err,
			"must be at least %d with type UDP-CONNECT", MIN_UDP_CONNECT_DELAY_S);
	return 0;
}

static int check_monitor(struct check *check, struct pool *pool, const struct location *where, struct error *err)
{
	struct health_monitor *monitor = pool->healthmonitor;
	struct location object = {where, "healthmonitor", 0}, id = {&object, "id", 0},
			proxy = {&object, "proxy_protocol", 0};
	int r;

	if (!monitor)
		return 0;
	r = check_http_monitor(monitor, &object, err);
	if (r == 0)
		r = check_monitor_protocol(pool, monitor, &object, err);
	if (r < 0)
		return r;
	if (monitor->proxy_protocol == MONITOR_PROXY_ON && (!is_proxy(pool) || monitor->type == MONITOR_PING))
		return location_error(&proxy, ERROR_INVALID, err,
			"can be on only in a pool of protocol PROXY or PROXYV2, and not with type PING");
	r = check_derive_id(monitor->id, pool->id, "healthmonitor", "");
	if (r < 0)
		return r;
	return check_unique(&check->monitor_ids, monitor->id, &id, ERROR_CONFLICT, "this id is taken", err);
}

static int check_tls(struct pool *pool, const struct location *where, struct error *err)
{
	struct location enabled = {where, "tls_enabled", 0}, crl = {where, "crl_container_ref", 0};
	int r;

	if (pool->crl_container_ref && !pool->ca_tls_container_ref)
		return location_error(&crl, ERROR_INVALID, err,
			"A CA certificate reference is required to specify a revocation list.");
	if (!pool->tls_enabled)
		return 0;
	if (is_lvs(pool))
		return location_error(&enabled, ERROR_INVALID, err, "%s protocol pool does not support TLS.",
			pool_protocol_names[pool->protocol]);
	r = check_default_string(&pool->tls_ciphers, check_default_ciphers);
	if (r == 0)
		r = check_default_strings(&pool->tls_versions, check_default_tls_versions);
	if (r == 0)
		r = check_default_strings(&pool->alpn_protocols, check_default_alpn_protocols);
	return r;
}

/* The cloud's metadata service is no member; IPVS does not translate between the versions of IP (Octavia's driver:
 * _validate_members()). */
static int check_member_address(const struct check *check, const struct pool *pool, const struct member *member,
	const struct location *where, struct error *err)
{
	static const char metadata[] = "169.254.169.254"; /* reserved_ips of Octavia's configuration */
	struct location address = {where, "address", 0};

	if (streq(member->address, metadata))
		return location_error(&address, ERROR_INVALID, err, "%s is not a valid option for member address", metadata);
	if (!is_lvs(pool) || check_vip_of_version(check, grammar_is_ipv6(member->address)))
		return 0;
	return location_error(&address, ERROR_UNSUPPORTED, err,
		"This provider doesn't support mixing IPv4 and IPv6 addresses for its VIP and members in %s load "
		"balancers.",
		pool_protocol_names[pool->protocol]);
}

static int check_members(struct check *check, struct pool *pool, const struct location *pool_where, struct error *err)
{
	_cleanup_unique_ struct unique addresses = UNIQUE_INIT, names = UNIQUE_INIT;
	struct location list = {pool_where, "members", 0};

	for (size_t i = 0; i < pool->n_members; i++) {
		struct member *member = &pool->members[i];
		struct location where = {&list, NULL, i}, port = {&where, "protocol_port", 0},
				name = {&where, "name", 0}, id = {&where, "id", 0};
		char endpoint[80];
		int r;

		r = check_member_address(check, pool, member, &where, err);
		if (r < 0)
			return r;
		snprintf(endpoint, sizeof(endpoint), "%s|%lld", member->address,
			(long long)member->protocol_port);
		r = check_unique(&addresses, endpoint, &port, ERROR_CONFLICT, "this address and port are taken", err);
		if (r < 0)
			return r;
		if (!member->id[0] && check_has_name(member->name)) {
			r = check_unique(&names, member->name, &name, ERROR_CONFLICT,
				"members without an id need names of their own", err);
			if (r < 0)
				return r;
		}
		r = check_derive_id(member->id, pool->id, check_has_name(member->name) ? "member" : "member-at",
			check_has_name(member->name) ? member->name : endpoint);
		if (r < 0)
			return r;
		r = check_unique(&check->member_ids, member->id, &id, ERROR_CONFLICT, "this id is taken", err);
		if (r < 0)
			return r;
	}
	return 0;
}

int check_pool(struct check *check, struct pool *pool, const char *unnamed, const struct location *where,
	struct error *err)
{
	const struct {
		const char *name;
		int value;
	} required[] = {{"protocol", pool->protocol}, {"lb_algorithm", pool->lb_algorithm}};
	struct location id = {where, "id", 0}, algorithm = {where, "lb_algorithm", 0},
			options = {where, "proxy_protocol_options", 0};
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
	if (!pool->id[0] && !check_has_name(pool->name) && !unnamed)
		return location_error(where, ERROR_INVALID, err, "a pool in this list needs a name or an id");
	r = check_derive_id(pool->id, check->lb->id, check_has_name(pool->name) ? "pool" : "default_pool",
		check_has_name(pool->name) ? pool->name : unnamed);
	if (r < 0)
		return r;
	r = check_unique(&check->pool_ids, pool->id, &id, ERROR_CONFLICT,
		"another pool has this id, or the same name and no id", err);
	if (r < 0)
		return r;
	r = check_persistence(check, pool, where, err);
	if (r == 0)
		r = check_monitor(check, pool, where, err);
	if (r == 0)
		r = check_tls(pool, where, err);
	if (r < 0)
		return r;
	if (pool->proxy_protocol_options && pool->protocol != POOL_PROXYV2)
		return location_error(&options, ERROR_INVALID, err, "is allowed with protocol PROXYV2 only");
	return check_members(check, pool, where, err);
}
