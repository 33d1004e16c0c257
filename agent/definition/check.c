/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/check.h"

#include <stdlib.h>
#include <string.h>

#include "agent/definition/uuid.h"

/* The load balancer, and what its objects say of each other. */

const char *const check_default_ciphers =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:"
	"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:"
	"DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305";
const char *const check_default_tls_versions[] = {"TLSv1.2", "TLSv1.3", NULL};
const char *const check_default_alpn_protocols[] = {"h2", "http/1.1", "http/1.0", NULL};

int check_default_string(char **string, const char *value)
{
	if (!*string)
		*string = strdup(value);
	return *string ? 0 : -ENOMEM;
}

int check_default_strings(char ***list, const char *const *values)
{
	_cleanup_strv_ char **copy = NULL;
	size_t n = 0;

	if (*list)
		return 0;
	while (values[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(values[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	if (!copy)
		return -ENOMEM;
	*list = TAKE_PTR(copy);
	return 0;
}

int check_unique(struct unique *set, const char *key, const struct location *where, enum error_code code,
	const char *what, struct error *err)
{
	_cleanup_free_ char *first = NULL;
	int r = unique_add(set, key, where, &first);

	return r == -EEXIST ? location_error(where, code, err, "%s: %s", what, first) : r;
}

int check_port(struct check *check, const char *transport, int64_t port, const struct location *where, struct error *err)
{
	char key[32];

	snprintf(key, sizeof(key), "%s:%lld", transport, (long long)port);
	return check_unique(&check->ports, key, where, ERROR_CONFLICT, "this port is taken", err);
}

int check_derive_id(char id[UUID_SIZE], const char *parent, const char *kind, const char *name)
{
	char small[256], *full = small;
	_cleanup_free_ char *large = NULL;

	if (id[0])
		return 0;
	/* Of names nearly always; what a rule says may be much longer. */
	if ((size_t)snprintf(small, sizeof(small), "%s:%s", kind, name) >= sizeof(small)) {
		if (asprintf(&large, "%s:%s", kind, name) < 0) {
			large = NULL;
			return -ENOMEM;
		}
		full = large;
	}
	return uuid_derive(parent, full, id);
}

bool check_vip_of_version(const struct check *check, bool ipv6)
{
	if (!check->vip_address || grammar_is_ipv6(check->vip_address) == ipv6)
		return true;
	for (size_t i = 0; i < check->lb->n_additional_vips; i++)
		if (grammar_is_ipv6(check->lb->additional_vips[i].ip_address) == ipv6)
			return true;
	return false;
}

/* Of one address each, as of one subnet each (octavia/api/v2/controllers/load_balancer.py,
 * _validate_subnets_share_network_but_no_duplicates()). */
static int check_additional_vips(const struct check *check, struct error *err)
{
	const struct load_balancer *lb = check->lb;
	struct location root = {NULL, "loadbalancer", 0}, list = {&root, "additional_vips", 0};

	for (size_t i = 0; i < lb->n_additional_vips; i++) {
		const struct additional_vip *vip = &lb->additional_vips[i];
		struct location item = {&list, NULL, i}, address = {&item, "ip_address", 0}, subnet = {&item, "subnet_id", 0};
		bool same_subnet = vip->subnet_id && streq_null(lb->vip_subnet_id, vip->subnet_id);

		if (streq_null(check->vip_address, vip->ip_address))
			return location_error(&address, ERROR_CONFLICT, err, "is the VIP itself");
		for (size_t j = 0; j < i; j++) {
			if (streq(lb->additional_vips[j].ip_address, vip->ip_address))
				return location_error(&address, ERROR_CONFLICT, err, "is there twice");
			same_subnet |= vip->subnet_id && streq_null(lb->additional_vips[j].subnet_id, vip->subnet_id);
		}
		if (same_subnet)
			return location_error(&subnet, ERROR_INVALID, err,
				"Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.");
	}
	return 0;
}

static bool addresses_meet(const char *a, const char *b)
{
	static const char *const wildcards[] = {"0.0.0.0", "::"};

	for (size_t i = 0; i < ELEMENTSOF(wildcards); i++)
		if (streq(a, wildcards[i]) || streq(b, wildcards[i]))
			return true;
	return streq(a, b);
}

/* Whether a port of this address is a port of a VIP. */
static bool is_address_of_vip(const struct check *check, const char *address)
{
	if (!address || !check->vip_address || addresses_meet(address, check->vip_address))
		return true;
	for (size_t i = 0; i < check->lb->n_additional_vips; i++)
		if (addresses_meet(address, check->lb->additional_vips[i].ip_address))
			return true;
	return false;
}

static int check_stats_page(struct check *check, struct error *err)
{
	const struct stats_page *page = check->lb->stats_page;
	struct location root = {NULL, "loadbalancer", 0}, field = {&root, "stats_page", 0}, port = {&field, "port", 0},
			user = {&field, "username", 0};

	if (!page)
		return 0;
	if (!page->username && page->password_hash)
		return location_error(&user, ERROR_INVALID, err, "is required with a password_hash");
	if (!is_address_of_vip(check, page->address))
		return 0;
	return check_port(check, "TCP", page->port, &port, err);
}

typedef int (*listener_check)(
	struct check *check, struct listener *listener, const struct location *where, struct error *err);

static int each_listener(struct check *check, listener_check function, struct error *err)
{
	struct location root = {NULL, "loadbalancer", 0}, list = {&root, "listeners", 0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < check->lb->n_listeners; i++) {
		struct location where = {&list, NULL, i};

		r = function(check, &check->lb->listeners[i], &where, err);
	}
	return r;
}

static int check_listed_pools(struct check *check, struct error *err)
{
	struct location root = {NULL, "loadbalancer", 0}, list = {&root, "pools", 0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < check->lb->n_pools; i++) {
		struct location where = {&list, NULL, i};

		r = check_pool(check, &check->lb->pools[i], NULL, &where, err);
	}
	return r;
}

static void check_done(struct check *check)
{
	struct unique *const sets[] = {&check->pool_ids, &check->member_ids, &check->monitor_ids, &check->listener_ids,
		&check->l7_ids, &check->ports};

	for (size_t i = 0; i < ELEMENTSOF(sets); i++)
		unique_done(sets[i]);
	json_decref(check->pools_by_id);
	json_decref(check->pools_by_name);
}

int definition_check(struct load_balancer *lb, const char *lb_id, const struct definition_defaults *defaults,
	struct error *err)
{
	_cleanup_(check_done) struct check check = {.lb = lb,
		.vip_address = lb->vip_address ? lb->vip_address : defaults->vip_address,
		.pools_by_id = json_object(),
		.pools_by_name = json_object()};
	struct location root = {NULL, "loadbalancer", 0}, id = {&root, "id", 0};
	int r;

	if (!check.pools_by_id || !check.pools_by_name)
		return -ENOMEM;
	if (lb->id[0] && !streq(lb->id, lb_id))
		return location_error(&id, ERROR_INVALID, err, "differs from the id in the path");
	snprintf(lb->id, sizeof(lb->id), "%s", lb_id);

	r = check_additional_vips(&check, err);
	if (r == 0)
		r = check_listed_pools(&check, err);
	if (r == 0)
		r = each_listener(&check, check_listener, err);
	if (r == 0)
		r = each_listener(&check, check_move_nested_pools, err);
	if (r == 0)
		r = each_listener(&check, check_resolve_pools, err);
	if (r == 0)
		r = check_stats_page(&check, err);
	for (size_t i = 0; r == 0 && i < lb->n_listeners; i++)
		r = check_order_l7policies(&lb->listeners[i]);
	return r;
}

int definition_keep_secrets(struct load_balancer *lb, const struct load_balancer *before, struct error *err)
{
	const struct stats_page *old = before ? before->stats_page : NULL;
	struct location root = {NULL, "loadbalancer", 0}, field = {&root, "stats_page", 0},
			hash = {&field, "password_hash", 0};
	struct stats_page *page = lb->stats_page;

	if (!definition_lacks_secrets(lb))
		return 0;
	if (!old || !old->password_hash || !streq_null(old->username, page->username))
		return location_error(&hash, ERROR_INVALID, err, "is required with a username");
	page->password_hash = strdup(old->password_hash);
	return page->password_hash ? 0 : error_set_errno(err, -ENOMEM, "definition");
}

bool definition_lacks_secrets(const struct load_balancer *lb)
{
	return lb->stats_page && lb->stats_page->username && !lb->stats_page->password_hash;
}
