/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/check.h"

#include <string.h>

static bool ends_tls(const struct listener *listener)
{
	return listener->protocol == LISTENER_TERMINATED_HTTPS ||
		(listener->protocol == LISTENER_PROMETHEUS &&
			(listener_ends_tls(listener) || listener->client_ca_tls_container_ref));
}

static int check_insert_headers(const struct listener *listener, const struct location *where, struct error *err)
{
	struct location field = {where, "insert_headers", 0};
	const char *protocol = listener_protocol_names[listener->protocol];

	if (!listener->insert_headers || json_object_size(listener->insert_headers) == 0)
		return 0;
	if (listener->protocol != LISTENER_HTTP && listener->protocol != LISTENER_TERMINATED_HTTPS)
		return location_error(&field, ERROR_INVALID, err,
			"insert-headers is not a valid option for a %s protocol listener.", protocol);
	for (size_t i = INSERT_HEADERS_PLAIN; insert_header_names[i]; i++) {
		struct location header = {&field, insert_header_names[i], 0};

		if (listener->protocol != LISTENER_TERMINATED_HTTPS &&
			json_object_get(listener->insert_headers, insert_header_names[i]))
			return location_error(&header, ERROR_INVALID, err,
				"is not a valid option for a %s protocol listener.", protocol);
	}
	return 0;
}

/* References to certificates: where they may be, and which need which. */
static int check_certificates(const struct listener *listener, const struct location *where, struct error *err)
{
	struct location certificate = {where, "default_tls_container_ref", 0},
			sni = {where, "sni_container_refs", 0}, ca = {where, "client_ca_tls_container_ref", 0},
			authentication = {where, "client_authentication", 0},
			crl = {where, "client_crl_container_ref", 0};
	const char *protocol = listener_protocol_names[listener->protocol];
	const struct location *given = listener->default_tls_container_ref ? &certificate
		: listener->sni_container_refs				   ? &sni
		: listener->client_ca_tls_container_ref			   ? &ca
									   : NULL;

	if (given && !listener_is_haproxy(listener))
		return location_error(given, ERROR_INVALID, err, "%s protocol listener does not support TLS.", protocol);
	if (given && !ends_tls(listener))
		return location_error(given, ERROR_INVALID, err,
			"Certificate container references are not allowed on %s protocol listeners.", protocol);
	if (listener->client_ca_tls_container_ref && !listener_ends_tls(listener))
		return location_error(&ca, ERROR_INVALID, err,
			"An SNI or default certificate container reference must be provided with a client CA container "
			"reference.");
	if (ends_tls(listener) && !listener_ends_tls(listener))
		return location_error(&certificate, ERROR_INVALID, err,
			"An SNI or default certificate container reference must be provided for %s protocol listeners.",
			protocol);
	if (listener->client_authentication != CLIENT_AUTHENTICATION_NONE && !listener->client_ca_tls_container_ref)
		return location_error(&authentication, ERROR_INVALID, err,
			"Client authentication setting %s requires a client CA container reference.",
			client_authentication_names[listener->client_authentication]);
	if (listener->client_crl_container_ref && !listener->client_ca_tls_container_ref)
		return location_error(&crl, ERROR_INVALID, err,
			"A client authentication CA reference is required to specify a client authentication "
			"revocation list.");
	return 0;
}

/* A wish for a version or a cipher that nothing follows would be a false comfort: Octavia takes it without a word. */
static int check_tls_parameters(const struct listener *listener, const struct location *where, struct error *err)
{
	const struct {
		const char *name;
		bool given;
	} parameters[] = {
		{"tls_ciphers", listener->tls_ciphers},
		{"tls_versions", listener->tls_versions},
		{"alpn_protocols", listener->alpn_protocols},
	};

	for (size_t i = 0; i < ELEMENTSOF(parameters); i++) {
		struct location field = {where, parameters[i].name, 0};

		if (parameters[i].given && !ends_tls(listener))
			return location_error(&field, ERROR_INVALID, err, "is allowed where TLS ends only, not on this %s "
				"listener", listener_protocol_names[listener->protocol]);
	}
	return 0;
}

static int check_tls(struct listener *listener, const struct location *where, struct error *err)
{
	struct location max_age = {where, "hsts_max_age", 0};
	int r;

	r = check_certificates(listener, where, err);
	if (r == 0)
		r = check_tls_parameters(listener, where, err);
	if (r < 0)
		return r;
	if ((listener->hsts_include_subdomains || listener->hsts_preload) && listener->hsts_max_age_s < 0)
		return location_error(&max_age, ERROR_INVALID, err,
			"HSTS configuration options hsts_include_subdomains and hsts_preload only make sense if "
			"hsts_max_age is set as well.");
	if (listener->hsts_max_age_s >= 0 && listener->protocol != LISTENER_TERMINATED_HTTPS)
		return location_error(&max_age, ERROR_INVALID, err,
			"The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol.");
	/* Not of PROMETHEUS, whose listeners Octavia leaves to HAProxy's defaults (octavia/db/prepare.py). */
	if (listener->protocol != LISTENER_TERMINATED_HTTPS)
		return 0;
	r = check_default_string(&listener->tls_ciphers, check_default_ciphers);
	if (r == 0)
		r = check_default_strings(&listener->tls_versions, check_default_tls_versions);
	if (r == 0)
		r = check_default_strings(&listener->alpn_protocols, check_default_alpn_protocols);
	return r;
}

static int check_allowed_cidrs(const struct check *check, const struct listener *listener,
	const struct location *where, struct error *err)
{
	struct location field = {where, "allowed_cidrs", 0};
	size_t position = 0;

	if (listener->allowed_cidrs && check->lb->vip_sg_ids)
		return location_error(&field, ERROR_INVALID, err,
			"Allowed CIDRs are not allowed when using custom VIP Security Groups.");
	STRV_FOREACH(cidr, listener->allowed_cidrs) {
		struct location item = {&field, NULL, position++};

		if (!check_vip_of_version(check, grammar_is_ipv6(*cidr)))
			return location_error(&item, ERROR_INVALID, err,
				"must be of the same IP version as a VIP (%s)", check->vip_address);
	}
	return 0;
}

static int check_proxy_protocol(const struct listener *listener, const struct location *where, struct error *err)
{
	const struct listener_proxy_protocol *proxy = listener->proxy_protocol;
	struct location field = {where, "proxy_protocol", 0}, accept = {&field, "accept", 0};

	if (!proxy)
		return 0;
	if (proxy->accept && !listener_is_haproxy(listener))
		return location_error(&accept, ERROR_INVALID, err, "a %s listener cannot accept the PROXY protocol",
			listener_protocol_names[listener->protocol]);
	if (!proxy->accept && (proxy->trusted_cidrs || proxy->header_timeout_ms))
		return location_error(&accept, ERROR_INVALID, err,
			"must be true for trusted_cidrs and header_timeout_ms to mean anything");
	return 0;
}

int check_listener(struct check *check, struct listener *listener, const struct location *where, struct error *err)
{
	struct location id = {where, "id", 0}, port = {where, "protocol_port", 0};
	char natural[64];
	int r;

	snprintf(natural, sizeof(natural), "%s:%lld", listener_protocol_names[listener->protocol],
		(long long)listener->protocol_port);
	r = check_derive_id(listener->id, check->lb->id, check_has_name(listener->name) ? "listener" : "listener-at",
		check_has_name(listener->name) ? listener->name : natural);
	if (r < 0)
		return r;
	r = check_unique(&check->listener_ids, listener->id, &id, ERROR_CONFLICT,
		"another listener has this id, or the same name and no id", err);
	if (r == 0)
		r = check_port(check, listener_transport(listener), listener->protocol_port, &port, err);
	if (r == 0)
		r = check_insert_headers(listener, where, err);
	if (r == 0)
		r = check_tls(listener, where, err);
	if (r == 0)
		r = check_allowed_cidrs(check, listener, where, err);
	if (r == 0)
		r = check_proxy_protocol(listener, where, err);
	if (r == 0)
		r = check_l7policies(check, listener, where, err);
	return r;
}
