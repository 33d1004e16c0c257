/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/keepalived.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/grammar.h"
#include "agent/render/quote.h"
#include "agent/render/view.h"

/* Octavia's, where a definition does not say. */
#define PERSISTENCE_TIMEOUT_S 360
#define WHOLE_ADDRESS_V4 "255.255.255.255"
#define WHOLE_ADDRESS_V6 "128"

struct rendering {
	const struct load_balancer *lb;
	const struct listener *listener;
	const struct pool *pool;
	const struct health_monitor *monitor; /* NULL: none that is enabled */
	const struct render_lvs_settings *settings;
};

bool render_lvs_runs(const struct load_balancer *lb, const struct listener *listener)
{
	return !listener_is_haproxy(listener) && lb->admin_state_up && listener->admin_state_up;
}

/* What IPVS has no scheduler for takes turns, as Octavia has it. */
static const char *scheduler(const struct pool *pool)
{
	switch (pool->lb_algorithm) {
	case ALGORITHM_LEAST_CONNECTIONS:
		return "lc";
	case ALGORITHM_SOURCE_IP:
		return "sh";
	default:
		return "wrr";
	}
}

static bool is_version(const char *address, int version)
{
	return grammar_is_ipv6(address) == (version == 6);
}

static const char *vip_of(const struct rendering *rendering)
{
	return rendering->lb->vip_address ? rendering->lb->vip_address : rendering->settings->default_vip_address;
}

static void put_persistence(const struct pool *pool, int version, struct view *group)
{
	const struct session_persistence *persistence = pool->session_persistence;
	_cleanup_view_ struct view view = view_object();
	const char *granularity;

	if (!persistence || persistence->type != PERSISTENCE_SOURCE_IP) {
		view_put_absent(group, "persistence");
		return;
	}
	granularity = persistence->persistence_granularity;
	/* A netmask says nothing of IPv6 addresses, and a prefix length nothing of IPv4's. */
	if (!granularity || (strchr(granularity, '.') != NULL) != (version == 4))
		granularity = version == 4 ? WHOLE_ADDRESS_V4 : WHOLE_ADDRESS_V6;
	view_put_integer(&view, "timeout_s",
		persistence->persistence_timeout_s ? persistence->persistence_timeout_s : PERSISTENCE_TIMEOUT_S);
	view_put_own(&view, "granularity", granularity);
	view_put_view(group, "persistence", &view);
}

static void put_monitor(const struct health_monitor *monitor, struct view *group)
{
	_cleanup_view_ struct view view = view_object();

	if (!monitor) {
		view_put_absent(group, "monitor");
		return;
	}
	view_put_own(&view, "id", monitor->id);
	view_put_integer(&view, "delay_s", monitor->delay_s);
	view_put_integer(&view, "retries", monitor->max_retries_down);
	view_put_view(group, "monitor", &view);
}

/* keepalived takes several codes in one line; several "url" would all have to be good. */
static int put_http(const struct health_monitor *monitor, struct view *member)
{
	_cleanup_view_ struct view view = view_object();
	_cleanup_free_ char *codes = NULL, *path = NULL;
	int r;

	r = grammar_expand_codes(monitor->expected_codes, &codes);
	if (r == 0)
		r = quote_keepalived_path(monitor->url_path, &path);
	if (r < 0)
		return r;
	for (char *c = codes; *c; c++)
		if (*c == '|')
			*c = ' ';
	view_put_own(&view, "path", path);
	view_put_own(&view, "codes", codes);
	view_put_own(&view, "domain", monitor->domain_name);
	view_put_view(member, "http", &view);
	return 0;
}

/* A program that checks: "udp_check.sh ADDRESS PORT". */
static int put_command(const struct rendering *rendering, const char *address, int64_t port, struct view *member)
{
	const struct health_monitor *monitor = rendering->monitor;
	_cleanup_free_ char *command = NULL;
	int64_t timeout_s = monitor->timeout_s;
	int n;

	if (monitor->type == MONITOR_UDP_CONNECT) {
		n = asprintf(&command, "%s/lvs/check/udp_check.sh %s %lld", rendering->settings->base_path, address,
			(long long)port);
	} else {
		n = asprintf(&command, "amphora-health-checker sctp -t %lld %s %lld", (long long)timeout_s, address,
			(long long)port);
		timeout_s++; /* it ends by itself */
	}
	if (n < 0) {
		command = NULL;
		return -ENOMEM;
	}
	view_put_own(member, "command", command);
	view_put_integer(member, "command_timeout_s", timeout_s);
	return 0;
}

/* keepalived can ask with GET only; a monitor with another method checks nothing, as with Octavia. */
static bool checks_http(const struct health_monitor *monitor)
{
	return monitor && monitor->type == MONITOR_HTTP && streq_null(monitor->http_method, "GET");
}

static int put_check(const struct rendering *rendering, const struct member *member, struct view *view)
{
	const struct health_monitor *monitor = rendering->monitor;
	const char *address = member->monitor_address ? member->monitor_address : member->address;
	int64_t port = member->monitor_port ? member->monitor_port : member->protocol_port;
	bool command = monitor && (monitor->type == MONITOR_UDP_CONNECT || monitor->type == MONITOR_SCTP);
	int r = 0;

	if (command)
		r = put_command(rendering, address, port, view);
	else
		view_put_absent(view, "command");
	if (checks_http(monitor))
		r = put_http(monitor, view);
	else
		view_put_absent(view, "http");
	view_put_flag(view, "tcp", monitor && monitor->type == MONITOR_TCP);
	view_put_own(view, "check_address", address);
	view_put_integer(view, "check_port", port);
	view_put_integer(view, "check_timeout_s", monitor ? monitor->timeout_s : 0);
	return r;
}

static int put_member(const struct rendering *rendering, const struct member *member, struct view *list)
{
	_cleanup_view_ struct view view = view_object();
	int64_t limit = rendering->listener->connection_limit;
	int r;

	view_put_own(&view, "member", member->id);
	view_put_flag(&view, "disabled", !member->admin_state_up);
	view_put_own(&view, "address", member->address);
	view_put_integer(&view, "member_port", member->protocol_port);
	view_put_integer(&view, "weight", member->weight);
	view_put_unless_zero(&view, "limit", limit > 0 ? limit : 0);
	r = put_check(rendering, member, &view);
	if (r == 0)
		view_append_view(list, &view);
	return r;
}

static int put_members(const struct rendering *rendering, int version, struct view *group)
{
	_cleanup_view_ struct view list = view_list();
	const struct pool *pool = rendering->pool;
	int r = 0;

	for (size_t i = 0; r == 0 && pool->admin_state_up && i < pool->n_members; i++)
		if (is_version(pool->members[i].address, version))
			r = put_member(rendering, &pool->members[i], &list);
	view_put_view(group, "members", &list);
	return r;
}

/* How many VIPs there are of that version. */
static size_t put_vips(const struct rendering *rendering, int version, struct view *group)
{
	_cleanup_view_ struct view list = view_list();
	const struct load_balancer *lb = rendering->lb;
	size_t n = 0;

	if (is_version(vip_of(rendering), version)) {
		view_append_own(&list, vip_of(rendering));
		n++;
	}
	for (size_t i = 0; i < lb->n_additional_vips; i++)
		if (is_version(lb->additional_vips[i].ip_address, version)) {
			view_append_own(&list, lb->additional_vips[i].ip_address);
			n++;
		}
	view_put_view(group, "vips", &list);
	return n;
}

/* A virtual server has addresses of one version. */
static int put_group(const struct rendering *rendering, int version, struct view *groups)
{
	_cleanup_view_ struct view group = view_object();
	const struct pool *pool = rendering->pool;
	int r;

	if (put_vips(rendering, version, &group) == 0)
		return 0;
	view_put_integer(&group, "version", version);
	view_put_integer(&group, "port", rendering->listener->protocol_port);
	view_put_own(&group, "algorithm", scheduler(pool));
	view_put_own(&group, "protocol", rendering->listener->protocol == LISTENER_SCTP ? "SCTP" : "UDP");
	view_put_own(&group, "pool", pool->admin_state_up ? pool->id : NULL);
	view_put_own(&group, "disabled_pool", pool->admin_state_up ? NULL : pool->id);
	put_persistence(pool, version, &group);
	put_monitor(rendering->monitor, &group);
	r = put_members(rendering, version, &group);
	if (r == 0)
		view_append_view(groups, &group);
	return r;
}

static int make_view(const struct rendering *rendering, json_t **ret)
{
	_cleanup_view_ struct view view = view_object(), groups = view_list();
	static const int versions[] = {4, 6};
	int r = 0;

	view_put_own(&view, "loadbalancer", rendering->lb->id);
	view_put_own(&view, "listener", rendering->listener->id);
	view_put_flag(&view, "enabled", rendering->listener->admin_state_up);
	view_put_own(&view, "network_namespace", rendering->settings->network_namespace);
	if (render_lvs_runs(rendering->lb, rendering->listener) && rendering->pool)
		for (size_t i = 0; r == 0 && i < ELEMENTSOF(versions); i++)
			r = put_group(rendering, versions[i], &groups);
	view_put_view(&view, "groups", &groups);
	return r < 0 ? r : view_take(&view, ret);
}

/* IPVS serves an address, not all of them. */
static int check_vip(const struct rendering *rendering, struct error *err)
{
	const char *vip = vip_of(rendering);

	if (vip && !streq(vip, "0.0.0.0") && !streq(vip, "::"))
		return 0;
	return error_set(err, ERROR_INVALID, "/loadbalancer/vip_address",
		"a listener of UDP or SCTP needs an address: give vip_address, or set the option default_vip_address");
}

int render_lvs(const struct template *template, const struct load_balancer *lb, const struct listener *listener,
	const struct render_lvs_settings *settings, char **ret_text, size_t *ret_length, struct error *err)
{
	struct rendering rendering = {.lb = lb, .listener = listener, .settings = settings};
	json_auto_t *view = NULL;
	int r;

	r = check_vip(&rendering, err);
	if (r < 0)
		return r;
	rendering.pool = listener->default_pool_id ? load_balancer_find_pool(lb, listener->default_pool_id) : NULL;
	if (rendering.pool && rendering.pool->healthmonitor && rendering.pool->healthmonitor->admin_state_up)
		rendering.monitor = rendering.pool->healthmonitor;
	r = make_view(&rendering, &view);
	if (r < 0)
		return error_set_errno(err, r, "listener %s", listener->id);
	return template_render(template, view, ret_text, ret_length, err);
}
