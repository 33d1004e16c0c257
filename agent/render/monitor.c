/* SPDX-License-Identifier: Apache-2.0 */

/* Health monitors. Sources: backend_macro and member_macro of Octavia's macros.j2; HAProxy configuration manual, 5.2 "check",
 * "check-send-proxy", "check-ssl". */

#include "agent/render/haproxy-internal.h"

#include "agent/base/text.h"
#include "agent/definition/grammar.h"

static bool is_monitored(const struct pool *pool)
{
	return pool->healthmonitor && pool->healthmonitor->admin_state_up;
}

static bool asks_http(const struct health_monitor *monitor)
{
	return monitor->type == MONITOR_HTTP || monitor->type == MONITOR_HTTPS;
}

/* A TLS handshake of its own, whatever the pool's traffic is. */
static bool speaks_tls(const struct health_monitor *monitor)
{
	return monitor->type == MONITOR_HTTPS || monitor->type == MONITOR_TLS_HELLO;
}

static int put_request(const struct health_monitor *monitor, struct view *checks)
{
	_cleanup_view_ struct view request = view_object();
	_cleanup_free_ char *codes = NULL;
	int r;

	if (!asks_http(monitor)) {
		view_put_absent(checks, "request");
		return 0;
	}
	r = grammar_expand_codes(monitor->expected_codes, &codes);
	if (r < 0)
		return r;
	view_put_quoted(&request, "method", monitor->http_method);
	view_put_quoted(&request, "path", monitor->url_path);
	view_put_quoted(&request, "http_version", monitor->http_version);
	/* HTTP/1.0 has no Host. */
	view_put_quoted(&request, "domain",
		streq_null(monitor->http_version, "1.1") ? monitor->domain_name : NULL);
	view_put_quoted(&request, "codes", codes);
	view_put_view(checks, "request", &request);
	return 0;
}

static int put_ping(struct render *render, const struct health_monitor *monitor, struct view *checks)
{
	_cleanup_free_ char *command = NULL;

	if (monitor->type == MONITOR_PING) {
		if (asprintf(&command, "%s/ping-wrapper.sh", render->settings->tools_dir) < 0)
			return -ENOMEM;
		render->external_check = true;
	}
	view_put_quoted(checks, "ping_command", command);
	return 0;
}

int render_monitor(struct render *render, const struct pool *pool, struct view *backend)
{
	const struct health_monitor *monitor = pool->healthmonitor;
	_cleanup_view_ struct view checks = view_object();
	int r;

	/* Servers speak TLS for their traffic, for their checks, or not at all: one verification is for both. */
	if (pool->tls_enabled)
		view_put_own(backend, "verify", pool->ca_tls_container_ref ? "required" : "none");
	else
		view_put_own(backend, "verify", is_monitored(pool) && speaks_tls(monitor) ? "none" : NULL);
	if (!is_monitored(pool)) {
		view_put_absent(backend, "checks");
		return 0;
	}
	r = put_request(monitor, &checks);
	if (r == 0)
		r = put_ping(render, monitor, &checks);
	if (r < 0)
		return r;
	view_put_integer(&checks, "timeout_s", monitor->timeout_s);
	view_put_integer(&checks, "inter_s", monitor->delay_s);
	view_put_integer(&checks, "fall", monitor->max_retries_down);
	view_put_integer(&checks, "rise", monitor->max_retries);
	view_put_joined(&checks, "check_alpn", pool->tls_enabled ? pool->alpn_protocols : NULL);
	view_put_flag(&checks, "check_send_proxy", monitor->proxy_protocol == MONITOR_PROXY_ON);
	view_put_view(backend, "checks", &checks);
	return 0;
}

/* HAProxy takes the last group of an IPv6 address for a port unless brackets end it. */
static void put_address(const char *address, struct view *server)
{
	_cleanup_free_ char *bracketed = NULL;

	if (!grammar_is_ipv6(address)) {
		view_put_quoted(server, "check_address", address);
		return;
	}
	if (asprintf(&bracketed, "[%s]", address) < 0)
		server->failure = -ENOMEM;
	else
		view_put_own(server, "check_address", bracketed);
}

void render_check(const struct pool *pool, const struct member *member, struct view *server)
{
	const struct health_monitor *monitor = is_monitored(pool) ? pool->healthmonitor : NULL;
	bool proxy = pool->protocol == POOL_PROXY || pool->protocol == POOL_PROXYV2;
	bool inherits = !member->monitor_address && !member->monitor_port;
	/* A check without an address or a port of its own has the PROXY header and the TLS of the traffic, and no word takes them
	 * away. So it gets a port, the same one; the TLS is then asked for. */
	bool detached = monitor && monitor->proxy_protocol == MONITOR_PROXY_OFF && proxy && inherits;
	int64_t port = detached ? member->protocol_port : member->monitor_port;

	if (monitor && (speaks_tls(monitor) || (detached && pool->tls_enabled)))
		view_put_flag(server, "check_ssl", true);
	if (member->monitor_address)
		put_address(member->monitor_address, server);
	if (port)
		view_put_integer(server, "check_port", port);
}

void render_no_check(struct view *backend)
{
	view_put_flag(backend, "check_ssl", false);
	view_put_absent(backend, "check_address");
	view_put_absent(backend, "check_port");
}
