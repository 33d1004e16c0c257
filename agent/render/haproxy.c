/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/haproxy.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/grammar.h"
#include "agent/render/quote.h"

enum {
	HAPROXY_MAX_MAXCONN = 1000000, /* octavia/common/constants.py */
};

/* What all parts of a view share. */
struct view {
	const struct load_balancer *lb;
	const struct render_settings *settings;
};

/* json_object_set_new() that takes a failed value for out of memory. */
static int put(json_t *object, const char *name, json_t *value)
{
	return json_object_set_new_nocheck(object, name, value) < 0 ? -ENOMEM : 0;
}

static int put_integer(json_t *object, const char *name, int64_t value)
{
	return put(object, name, json_integer(value));
}

/* A user-given string; NULL is "absent". */
static int put_quoted(json_t *object, const char *name, const char *value)
{
	_cleanup_free_ char *word = NULL;
	int r;

	if (!value)
		return put(object, name, json_null());
	r = quote_haproxy(value, &word);
	if (r < 0)
		return r;
	return put(object, name, json_string(word));
}

static bool pool_is_monitored(const struct pool *pool)
{
	return pool->healthmonitor && pool->healthmonitor->admin_state_up;
}

static bool pool_is_http(const struct listener *listener, const struct pool *pool)
{
	if (pool->protocol == POOL_HTTP)
		return true;
	/* A PROXY pool has no protocol of its own: it carries the listener's. */
	return (pool->protocol == POOL_PROXY || pool->protocol == POOL_PROXYV2) &&
		listener->protocol == LISTENER_HTTP;
}

static int64_t or_default(int64_t timeout_ms, int64_t default_ms)
{
	return timeout_ms ? timeout_ms : default_ms;
}

static int64_t connection_limit(const struct view *view, const struct listener *listener)
{
	/* 0 means the default too, as in Octavia's rendering. */
	return listener->connection_limit > 0 ? listener->connection_limit
					      : view->settings->default_connection_limit;
}

/* The sum of what the listeners may hold, as Octavia sets it. */
static int64_t global_connection_limit(const struct view *view)
{
	int64_t sum = 0;

	for (size_t i = 0; i < view->lb->n_listeners; i++)
		if (view->lb->listeners[i].admin_state_up)
			sum += connection_limit(view, &view->lb->listeners[i]);
	return sum > 0 && sum < HAPROXY_MAX_MAXCONN ? sum : HAPROXY_MAX_MAXCONN;
}

static const struct pool *serving_pool(const struct load_balancer *lb, const struct listener *listener)
{
	const struct pool *pool =
		listener->default_pool_id ? load_balancer_find_pool(lb, listener->default_pool_id) : NULL;

	return pool && pool->admin_state_up ? pool : NULL;
}

static bool needs_external_check(const struct load_balancer *lb)
{
	for (size_t i = 0; lb->admin_state_up && i < lb->n_listeners; i++) {
		const struct pool *pool = serving_pool(lb, &lb->listeners[i]);

		if (lb->listeners[i].admin_state_up && pool && pool_is_monitored(pool) &&
			pool->healthmonitor->type == MONITOR_PING)
			return true;
	}
	return false;
}

static int backend_name(const struct pool *pool, const struct listener *listener, json_t **ret)
{
	char name[2 * UUID_SIZE];

	snprintf(name, sizeof(name), "%s:%s", pool->id, listener->id);
	*ret = json_string(name);
	return *ret ? 0 : -ENOMEM;
}

/* The balance algorithm. SOURCE_IP is made consistent, which Octavia's is not: servers can then come and go without
 * moving the other clients, and at run time. */
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

static int member_view(const struct pool *pool, const struct member *member, json_t **ret)
{
	const struct health_monitor *monitor = pool_is_monitored(pool) ? pool->healthmonitor : NULL;
	bool by_cookie = pool->session_persistence && pool->session_persistence->type == PERSISTENCE_HTTP_COOKIE;
	json_auto_t *view = json_object(), *check = NULL;

	if (put(view, "server", json_string(member->id)) < 0 ||
		put_quoted(view, "server_address", member->address) < 0 ||
		put_integer(view, "server_port", member->protocol_port) < 0 ||
		put_integer(view, "weight", member->weight) < 0 ||
		put(view, "by_cookie", json_boolean(by_cookie)) < 0 ||
		put(view, "send_proxy", json_boolean(pool->protocol == POOL_PROXY)) < 0 ||
		put(view, "send_proxy_v2", json_boolean(pool->protocol == POOL_PROXYV2)) < 0 ||
		put(view, "backup", json_boolean(member->backup)) < 0 ||
		put(view, "disabled", json_boolean(!member->admin_state_up)) < 0)
		return -ENOMEM;
	if (monitor) {
		check = json_object();
		if (put_integer(check, "inter_s", monitor->delay_s) < 0 ||
			put_integer(check, "fall", monitor->max_retries_down) < 0 ||
			put_integer(check, "rise", monitor->max_retries) < 0 ||
			put_quoted(check, "check_address", member->monitor_address) < 0 ||
			put(check, "check_port",
				member->monitor_port ? json_integer(member->monitor_port) : json_null()) < 0)
			return -ENOMEM;
	}
	if (put(view, "check", check ? json_incref(check) : json_null()) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(view);
	return 0;
}

static int members_view(const struct pool *pool, json_t **ret)
{
	json_auto_t *list = json_array();

	for (size_t i = 0; i < pool->n_members; i++) {
		json_t *member = NULL;
		int r = member_view(pool, &pool->members[i], &member);

		if (r < 0)
			return r;
		if (json_array_append_new(list, member) < 0)
			return -ENOMEM;
	}
	if (!list)
		return -ENOMEM;
	*ret = TAKE_PTR(list);
	return 0;
}

static int put_persistence(json_t *view, const struct view *all, const struct pool *pool)
{
	const struct session_persistence *persistence = pool->session_persistence;
	bool by_source = persistence && persistence->type == PERSISTENCE_SOURCE_IP;
	bool by_application = persistence && persistence->type == PERSISTENCE_APP_COOKIE;
	bool by_cookie = persistence && persistence->type == PERSISTENCE_HTTP_COOKIE;

	_cleanup_free_ char *request = NULL, *response = NULL;

	if (by_application) {
		int r = quote_haproxy_call("req.cook", persistence->cookie_name, &request);

		if (r == 0)
			r = quote_haproxy_call("res.cook", persistence->cookie_name, &response);
		if (r < 0)
			return r;
	}
	if (put(view, "persist_source", json_boolean(by_source)) < 0 ||
		put(view, "persist_cookie", json_boolean(by_cookie)) < 0 ||
		put(view, "persist_application", json_boolean(by_application)) < 0 ||
		put(view, "request_cookie", request ? json_string(request) : json_null()) < 0 ||
		put(view, "response_cookie", response ? json_string(response) : json_null()) < 0)
		return -ENOMEM;
	return put_quoted(view, "stick_size", all->settings->stick_table_size);
}

static int put_monitor(json_t *view, const struct view *all, const struct pool *pool)
{
	const struct health_monitor *monitor = pool_is_monitored(pool) ? pool->healthmonitor : NULL;
	_cleanup_free_ char *codes = NULL, *ping = NULL;
	json_auto_t *object = NULL, *http = NULL;
	int r;

	if (!monitor)
		return put(view, "monitor", json_null());
	object = json_object();
	if (monitor->type == MONITOR_HTTP) {
		r = grammar_expand_codes(monitor->expected_codes, &codes);
		if (r < 0)
			return r;
		http = json_object();
		if (put_quoted(http, "method", monitor->http_method) < 0 ||
			put_quoted(http, "path", monitor->url_path) < 0 ||
			put_quoted(http, "http_version", monitor->http_version) < 0 ||
			put_quoted(http, "domain", monitor->domain_name) < 0 ||
			put_quoted(http, "codes", codes) < 0)
			return -ENOMEM;
	}
	if (monitor->type == MONITOR_PING && asprintf(&ping, "%s/ping-wrapper.sh", all->settings->tools_dir) < 0)
		return -ENOMEM;
	if (put_integer(object, "timeout_s", monitor->timeout_s) < 0 ||
		put(object, "http", http ? json_incref(http) : json_null()) < 0 ||
		put_quoted(object, "ping_command", ping) < 0)
		return -ENOMEM;
	return put(view, "monitor", json_incref(object));
}

static bool inserts(const struct listener *listener, const char *header)
{
	const char *value = json_string_value(json_object_get(listener->insert_headers, header));

	return value && streq(value, "true");
}

static int backend_view(const struct view *all, const struct listener *listener, const struct pool *pool,
	json_t **ret)
{
	json_auto_t *view = json_object();
	json_t *members = NULL, *name = NULL;
	bool http = pool_is_http(listener, pool);
	int r;

	r = backend_name(pool, listener, &name);
	if (r < 0)
		return r;
	if (put(view, "backend", name) < 0 || put(view, "mode", json_string(http ? "http" : "tcp")) < 0 ||
		put(view, "http_reuse", json_boolean(http)) < 0 ||
		put(view, "balance", json_string(balance(pool))) < 0 ||
		put(view, "consistent", json_boolean(pool->lb_algorithm == ALGORITHM_SOURCE_IP)) < 0 ||
		/* Octavia writes X-Forwarded-For and -Port for HTTP pools, -Proto for any pool of an HTTP listener. */
		put(view, "forwarded_for",
			json_boolean(pool->protocol == POOL_HTTP && inserts(listener, "X-Forwarded-For"))) < 0 ||
		put(view, "forwarded_port",
			json_boolean(pool->protocol == POOL_HTTP && inserts(listener, "X-Forwarded-Port"))) < 0 ||
		put(view, "forwarded_proto", json_boolean(inserts(listener, "X-Forwarded-Proto"))) < 0 ||
		put_integer(view, "fullconn", connection_limit(all, listener)) < 0 ||
		put_integer(view, "connect_ms",
			or_default(listener->timeout_member_connect_ms,
				all->settings->timeouts.timeout_member_connect_ms)) < 0 ||
		put_integer(view, "server_ms",
			or_default(listener->timeout_member_data_ms, all->settings->timeouts.timeout_member_data_ms)) < 0)
		return -ENOMEM;
	r = put_persistence(view, all, pool);
	if (r < 0)
		return r;
	r = put_monitor(view, all, pool);
	if (r < 0)
		return r;
	r = members_view(pool, &members);
	if (r < 0)
		return r;
	if (put(view, "members", members) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(view);
	return 0;
}

static int allowed_file_name(const struct listener *listener, char **ret)
{
	return asprintf(ret, RENDER_LIST_DIR "/%s.allowed", listener->id) < 0 ? -ENOMEM : 0;
}

static int frontend_view(const struct view *all, const struct listener *listener, json_t **ret)
{
	const char *vip = all->lb->vip_address ? all->lb->vip_address : all->settings->default_vip_address;
	const struct pool *pool = serving_pool(all->lb, listener);
	json_auto_t *view = json_object(), *backend = NULL;
	_cleanup_free_ char *allowed = NULL;
	bool http = listener->protocol == LISTENER_HTTP;
	int64_t inspect_ms =
		or_default(listener->timeout_tcp_inspect_ms, all->settings->timeouts.timeout_tcp_inspect_ms);
	int r;

	if (listener->allowed_cidrs) {
		r = allowed_file_name(listener, &allowed);
		if (r < 0)
			return r;
	}
	if (pool) {
		r = backend_view(all, listener, pool, &backend);
		if (r < 0)
			return r;
	}
	if (put(view, "pool", backend ? json_incref(backend) : json_null()) < 0 ||
		put(view, "frontend", json_string(listener->id)) < 0 ||
		put_integer(view, "max_connections", connection_limit(all, listener)) < 0 ||
		put_quoted(view, "bind_address", vip) < 0 ||
		put_integer(view, "bind_port", listener->protocol_port) < 0 ||
		put(view, "frontend_mode", json_string(http ? "http" : "tcp")) < 0 ||
		put(view, "frontend_http", json_boolean(http)) < 0 ||
		put_quoted(view, "allowed_file", allowed) < 0 ||
		put_integer(view, "client_ms",
			or_default(listener->timeout_client_data_ms, all->settings->timeouts.timeout_client_data_ms)) < 0 ||
		put(view, "inspect_ms", inspect_ms ? json_integer(inspect_ms) : json_null()) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(view);
	return 0;
}

static int put_log(json_t *view, const struct render_settings *settings)
{
	json_auto_t *log = NULL;
	char user[16], administrative[16];

	if (!settings->log_target || !settings->log_target[0])
		return put(view, "log", json_null()) < 0 || put(view, "log_connections", json_false()) < 0 ? -ENOMEM
													   : 0;
	log = json_object();
	snprintf(user, sizeof(user), "local%d", (int)settings->user_log_facility);
	snprintf(administrative, sizeof(administrative), "local%d", (int)settings->administrative_log_facility);
	if (put_quoted(log, "log_target", settings->log_target) < 0 ||
		put(log, "user_facility", json_string(user)) < 0 ||
		put(log, "administrative_facility", json_string(administrative)) < 0 ||
		put(view, "log_connections", json_boolean(settings->connection_logging)) < 0)
		return -ENOMEM;
	return put(view, "log", json_incref(log));
}

int render_haproxy_view(const struct load_balancer *lb, const struct render_settings *settings, json_t **ret)
{
	struct view all = {lb, settings};
	json_auto_t *view = json_object(), *frontends = json_array();
	int r;

	for (size_t i = 0; lb->admin_state_up && i < lb->n_listeners; i++) {
		json_t *frontend = NULL;

		if (!lb->listeners[i].admin_state_up)
			continue;
		r = frontend_view(&all, &lb->listeners[i], &frontend);
		if (r < 0)
			return r;
		if (json_array_append_new(frontends, frontend) < 0)
			return -ENOMEM;
	}
	r = put_log(view, settings);
	if (r < 0)
		return r;
	if (put(view, "load_balancer", json_string(lb->id)) < 0 ||
		put(view, "state_file", json_string(RENDER_STATE_FILE)) < 0 ||
		put_integer(view, "global_max_connections", global_connection_limit(&all)) < 0 ||
		put(view, "external_check", json_boolean(needs_external_check(lb))) < 0 ||
		put(view, "frontends", json_incref(frontends)) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(view);
	return 0;
}

static int add_allowed_file(struct rendered *rendered, const struct listener *listener)
{
	_cleanup_text_ struct text content = TEXT_INIT;
	struct rendered_file *file = &rendered->files[rendered->n_files];
	int r;

	STRV_FOREACH(cidr, listener->allowed_cidrs)
		text_printf(&content, "%s\n", *cidr);
	r = allowed_file_name(listener, &file->name);
	if (r < 0)
		return r;
	rendered->n_files++;
	return text_finish(&content, &file->content, NULL);
}

int render_haproxy(const struct template *template, const struct load_balancer *lb,
	const struct render_settings *settings, struct rendered *ret, struct error *err)
{
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	json_auto_t *view = NULL;
	int r;

	r = render_haproxy_view(lb, settings, &view);
	if (r < 0)
		return error_set_errno(err, r, "rendering");
	r = template_render(template, view, &rendered.text, &rendered.length, err);
	if (r < 0)
		return r;
	rendered.files = calloc(lb->n_listeners + 1, sizeof(*rendered.files));
	if (!rendered.files)
		return error_set_errno(err, -ENOMEM, "rendering");
	for (size_t i = 0; lb->admin_state_up && i < lb->n_listeners; i++) {
		if (!lb->listeners[i].admin_state_up || !lb->listeners[i].allowed_cidrs)
			continue;
		r = add_allowed_file(&rendered, &lb->listeners[i]);
		if (r < 0)
			return error_set_errno(err, r, "rendering");
	}
	*ret = rendered;
	rendered = RENDERED_INIT;
	return 0;
}

void rendered_done(struct rendered *rendered)
{
	for (size_t i = 0; i < rendered->n_files; i++) {
		free(rendered->files[i].name);
		free(rendered->files[i].content);
	}
	free(rendered->files);
	free(rendered->text);
	*rendered = RENDERED_INIT;
}
