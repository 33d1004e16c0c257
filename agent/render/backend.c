/* SPDX-License-Identifier: Apache-2.0 */

/* A pool as a listener uses it. Source: backend_macro and member_macro of Octavia's macros.j2. */

#include "agent/render/haproxy-internal.h"

#include <string.h>

#include "agent/render/quote.h"
#include "agent/render/server_ids.h"

/* The headers of insert_headers that are set to an expression. */
static const struct header_row {
	const char *name;
	const char *value;
	bool tls; /* TERMINATED_HTTPS only */
} header_rows[] = {
	{"X-SSL-Client-Verify", "%[ssl_c_verify]", true},
	{"X-SSL-Client-Has-Cert", "%[ssl_c_used]", true},
	{"X-SSL-Client-DN", "%{+Q}[ssl_c_s_dn]", true},
	{"X-SSL-Client-CN", "%{+Q}[ssl_c_s_dn(cn)]", true},
	{"X-SSL-Issuer", "%{+Q}[ssl_c_i_dn]", true},
	{"X-SSL-Client-SHA1", "%{+Q}[ssl_c_sha1,hex]", true},
	{"X-SSL-Client-Not-Before", "%{+Q}[ssl_c_notbefore]", true},
	{"X-SSL-Client-Not-After", "%{+Q}[ssl_c_notafter]", true},
};

static bool is_proxy(const struct pool *pool)
{
	return pool->protocol == POOL_PROXY || pool->protocol == POOL_PROXYV2;
}

/* A PROXY pool has no protocol of its own: it carries the listener's. */
static bool is_http(const struct listener *listener, const struct pool *pool)
{
	return pool->protocol == POOL_HTTP || (is_proxy(pool) && render_listener_is_http(listener));
}

void render_backend_name(struct view *view, const struct pool *pool, const struct listener *listener)
{
	char name[2 * UUID_SIZE];

	snprintf(name, sizeof(name), "%s:%s", pool->id, listener->id);
	view_put_own(view, "backend", name);
}

/* SOURCE_IP is made consistent, which Octavia's is not: servers can then come and go without moving the other clients, and at
 * run time. */
static const char *balance(const struct pool *pool)
{
	switch (pool->lb_algorithm) {
	case ALGORITHM_LEAST_CONNECTIONS:
		return "leastconn";
	case ALGORITHM_SOURCE_IP:
		return "source";
	default:
		return "roundrobin";
	}
}

static bool persists_by(const struct pool *pool, enum persistence_type type)
{
	return pool->session_persistence && pool->session_persistence->type == (int)type;
}

static void put_persistence(const struct render *render, const struct pool *pool, struct view *view)
{
	_cleanup_free_ char *request = NULL, *response = NULL;
	int r = 0;

	if (persists_by(pool, PERSISTENCE_APP_COOKIE)) {
		r = quote_haproxy_call("req.cook", pool->session_persistence->cookie_name, &request);
		if (r == 0)
			r = quote_haproxy_call("res.cook", pool->session_persistence->cookie_name, &response);
	}
	if (r < 0)
		view->failure = r;
	view_put_flag(view, "persist_source", persists_by(pool, PERSISTENCE_SOURCE_IP));
	view_put_flag(view, "persist_cookie", persists_by(pool, PERSISTENCE_HTTP_COOKIE));
	view_put_flag(view, "persist_application", persists_by(pool, PERSISTENCE_APP_COOKIE));
	view_put_own(view, "request_cookie", request);
	view_put_own(view, "response_cookie", response);
	view_put_quoted(view, "stick_size", render->settings->stick_table_size);
}

static bool inserts(const struct listener *listener, const char *header)
{
	const char *value = json_string_value(json_object_get(listener->insert_headers, header));

	return value && strcasecmp(value, "true") == 0;
}

static void append_header(struct view *headers, const char *name, const char *value)
{
	_cleanup_view_ struct view header = view_object();

	view_put_own(&header, "name", name);
	view_put_own(&header, "value", value);
	view_append_view(headers, &header);
}

/* X-Forwarded-For and -Port go to HTTP pools, the others to any pool of the listener, as Octavia has it. */
static void put_headers(const struct listener *listener, const struct pool *pool, struct view *view)
{
	bool terminated = listener->protocol == LISTENER_TERMINATED_HTTPS;
	_cleanup_view_ struct view headers = view_list();

	view_put_flag(view, "forwarded_for", pool->protocol == POOL_HTTP && inserts(listener, "X-Forwarded-For"));
	if (pool->protocol == POOL_HTTP && inserts(listener, "X-Forwarded-Port"))
		append_header(&headers, "X-Forwarded-Port", "%[dst_port]");
	if (inserts(listener, "X-Forwarded-Proto") && (terminated || listener->protocol == LISTENER_HTTP))
		append_header(&headers, "X-Forwarded-Proto", terminated ? "https" : "http");
	for (size_t i = 0; i < ELEMENTSOF(header_rows); i++)
		if ((!header_rows[i].tls || terminated) && inserts(listener, header_rows[i].name))
			append_header(&headers, header_rows[i].name, header_rows[i].value);
	view_put_view(view, "headers", &headers);
}

/* The PROXY header of the traffic to the members: with the client's certificate where there can be one. */
static void put_proxy_protocol(const struct listener *listener, const struct pool *pool, struct view *view)
{
	bool tls = listener->protocol == LISTENER_TERMINATED_HTTPS;
	const char *word = NULL;

	if (pool->protocol == POOL_PROXY)
		word = "send-proxy";
	else if (pool->protocol == POOL_PROXYV2)
		word = tls ? "send-proxy-v2-ssl-cn" : "send-proxy-v2";
	view_put_own(view, "send_proxy", word);
	view_put_joined(
		view, "proxy_options", pool->protocol == POOL_PROXYV2 ? pool->proxy_protocol_options : NULL);
}

/* Of what few servers have, only those that have it say so: the others get it from the backend, which is around them. */
static void append_server(const struct pool *pool, const struct member *member, uint32_t id, struct view *servers)
{
	_cleanup_view_ struct view server = view_object();

	view_put_own(&server, "server", member->id);
	view_put_integer(&server, "server_id", id);
	view_put_quoted(&server, "server_address", member->address);
	view_put_integer(&server, "server_port", member->protocol_port);
	view_put_integer(&server, "weight", member->weight);
	if (member->backup)
		view_put_flag(&server, "backup", true);
	if (!member->admin_state_up)
		view_put_flag(&server, "disabled", true);
	render_check(pool, member, &server);
	view_append_view(servers, &server);
}

static int put_servers(const struct pool *pool, struct view *view)
{
	_cleanup_view_ struct view servers = view_list();
	_cleanup_free_ uint32_t *ids = NULL;
	int r = server_ids(pool, &ids);

	if (r < 0)
		return r;
	view_put_flag(view, "backup", false);
	view_put_flag(view, "disabled", false);
	render_no_check(view);
	for (size_t i = 0; i < pool->n_members; i++)
		append_server(pool, &pool->members[i], ids[i], &servers);
	view_put_view(view, "servers", &servers);
	return 0;
}

int render_backend(struct render *render, const struct listener *listener, const struct pool *pool, struct view *list,
	struct error *err)
{
	const struct definition_defaults *timeouts = &render->settings->timeouts;
	_cleanup_view_ struct view view = view_object();
	bool http = is_http(listener, pool);
	int r;

	render_backend_name(&view, pool, listener);
	view_put_own(&view, "mode", http ? "http" : "tcp");
	view_put_flag(&view, "http_reuse", http);
	view_put_own(&view, "balance", balance(pool));
	view_put_flag(&view, "consistent", pool->lb_algorithm == ALGORITHM_SOURCE_IP);
	view_put_integer(&view, "fullconn", render_connection_limit(render, listener));
	view_put_integer(&view, "connect_ms",
		render_or_default(listener->timeout_member_connect_ms, timeouts->timeout_member_connect_ms));
	view_put_integer(&view, "server_ms",
		render_or_default(listener->timeout_member_data_ms, timeouts->timeout_member_data_ms));
	put_persistence(render, pool, &view);
	put_headers(listener, pool, &view);
	put_proxy_protocol(listener, pool, &view);
	r = render_monitor(render, pool, &view);
	if (r == 0)
		r = render_server_tls(render, pool, &view, err);
	if (r == 0)
		r = put_servers(pool, &view);
	if (r < 0)
		return r;
	view_append_view(list, &view);
	return 0;
}
