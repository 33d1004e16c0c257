/* SPDX-License-Identifier: Apache-2.0 */

/* A listener and the pools behind it. Source: frontend_macro and bind_macro of Octavia's macros.j2. */

#include "agent/render/haproxy-internal.h"

#include "agent/base/text.h"

bool render_listener_runs(const struct render *render, const struct listener *listener)
{
	return render->lb->admin_state_up && listener->admin_state_up && listener_is_haproxy(listener);
}

bool render_listener_is_http(const struct listener *listener)
{
	return listener->protocol == LISTENER_HTTP || listener->protocol == LISTENER_TERMINATED_HTTPS ||
		listener->protocol == LISTENER_PROMETHEUS;
}

int64_t render_connection_limit(const struct render *render, const struct listener *listener)
{
	/* 0 means the default too, as in Octavia's rendering. */
	return listener->connection_limit > 0 ? listener->connection_limit
					      : render->settings->default_connection_limit;
}

static void put_addresses(const struct render *render, const struct listener *listener, struct view *view)
{
	_cleanup_view_ struct view addresses = view_list();

	view_append_quoted(&addresses, render_vip(render));
	for (size_t i = 0; i < render->lb->n_additional_vips; i++)
		view_append_quoted(&addresses, render->lb->additional_vips[i].ip_address);
	view_put_view(view, "addresses", &addresses);
	view_put_integer(view, "bind_port", listener->protocol_port);
}

/*
 * Who may connect. "tcp-request connection" knows the peer only, which is the load balancer in front where a PROXY header is
 * accepted; "tcp-request session" comes after the header.
 */
static int put_sources(struct render *render, const struct listener *listener, struct view *view)
{
	const struct listener_proxy_protocol *proxy = listener->proxy_protocol;
	bool accepts = proxy && proxy->accept;
	const struct render_settings *settings = render->settings;
	/* Before 2.9 HAProxy waits for the header as long as for any data of the client. */
	bool has_header_timeout = settings->haproxy_major > 2 ||
		(settings->haproxy_major == 2 && settings->haproxy_minor >= 9);
	_cleanup_free_ char *allowed = NULL, *trusted = NULL;
	int r = 0;

	if (listener->allowed_cidrs)
		r = files_add_list(render->files, listener->id, "allowed", listener->allowed_cidrs, &allowed);
	if (r == 0 && accepts && proxy->trusted_cidrs)
		r = files_add_list(render->files, listener->id, "trusted", proxy->trusted_cidrs, &trusted);
	if (r < 0)
		return r;
	view_put_flag(view, "accept_proxy", accepts && !trusted);
	view_put_quoted(view, "trusted_file", trusted);
	view_put_unless_zero(view, "header_timeout_ms", accepts && has_header_timeout ? proxy->header_timeout_ms : 0);
	view_put_quoted(view, "allowed_file", allowed);
	view_put_own(view, "allowed_stage", accepts ? "session" : "connection");
	return 0;
}

static void put_hsts(const struct listener *listener, struct view *view)
{
	char value[96];

	if (listener->protocol != LISTENER_TERMINATED_HTTPS || listener->hsts_max_age_s < 0) {
		view_put_absent(view, "hsts");
		return;
	}
	snprintf(value, sizeof(value), "max-age=%lld;%s%s", (long long)listener->hsts_max_age_s,
		listener->hsts_include_subdomains ? " includeSubDomains;" : "",
		listener->hsts_preload ? " preload;" : "");
	view_put_quoted(view, "hsts", value);
}

static bool wants_unique_id(const struct pool *pool)
{
	if (pool->protocol != POOL_PROXYV2)
		return false;
	STRV_FOREACH(option, pool->proxy_protocol_options)
		if (streq(*option, "unique-id"))
			return true;
	return false;
}

static int put_backends(struct render *render, const struct listener *listener, struct view *view, struct error *err)
{
	_cleanup_free_ const struct pool **pools = NULL;
	_cleanup_view_ struct view backends = view_list(), default_backend = view_object();
	bool unique_id = false, has_default = false;
	size_t n = 0;
	int r = render_pools_of(render, listener, &pools, &n);

	for (size_t i = 0; r == 0 && i < n; i++) {
		unique_id |= wants_unique_id(pools[i]);
		if (streq_null(pools[i]->id, listener->default_pool_id)) {
			render_backend_name(&default_backend, pools[i], listener);
			has_default = true;
		}
		r = render_backend(render, listener, pools[i], &backends, err);
	}
	if (r < 0)
		return r;
	if (has_default)
		view_put_view(view, "default_backend", &default_backend);
	else
		view_put_absent(view, "default_backend");
	view_put_flag(view, "unique_id", unique_id);
	view_put_view(view, "backends", &backends);
	return 0;
}

int render_frontend(struct render *render, const struct listener *listener, struct view *list, struct error *err)
{
	const struct definition_defaults *timeouts = &render->settings->timeouts;
	int64_t inspect_ms = render_or_default(listener->timeout_tcp_inspect_ms, timeouts->timeout_tcp_inspect_ms);
	_cleanup_view_ struct view view = view_object();
	bool http = render_listener_is_http(listener);
	int r;

	view_put_own(&view, "frontend", listener->id);
	view_put_integer(&view, "max_connections", render_connection_limit(render, listener));
	view_put_own(&view, "frontend_mode", http ? "http" : "tcp");
	view_put_flag(&view, "frontend_http", http);
	view_put_flag(&view, "terminated", listener->protocol == LISTENER_TERMINATED_HTTPS);
	view_put_flag(&view, "prometheus", listener->protocol == LISTENER_PROMETHEUS);
	view_put_integer(&view, "client_ms",
		render_or_default(listener->timeout_client_data_ms, timeouts->timeout_client_data_ms));
	view_put_unless_zero(&view, "inspect_ms", inspect_ms);
	put_addresses(render, listener, &view);
	put_hsts(listener, &view);
	render_l7(render, listener, &view);
	r = put_sources(render, listener, &view);
	if (r == 0)
		r = render_bind_tls(render, listener, &view, err);
	if (r == 0)
		r = put_backends(render, listener, &view, err);
	if (r < 0)
		return r;
	view_append_view(list, &view);
	return 0;
}
