/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan_pool.h"

/*
 * How one server becomes another: by the Runtime API, by being deleted and added again, or not
 * without a reload.
 */

enum { REPLACED_MAX = 32 }; /* one after the other: more take longer than a reload */

/* How a difference can be made up for, the gentlest first. */
enum way {
	WAY_NONE,
	WAY_RUNTIME,
	WAY_REPLACE,
	WAY_RELOAD,
};

/* A file that a server names has to be in memory already: HAProxy reads none at run time. */
static bool is_loaded(
	struct plan_pool *pool, const struct plan_server *server, enum plan_option option)
{
	const struct cfg *old = &pool->planner->old;
	const char *name = server->options[option], *keyword = plan_server_option_name(option);

	if (!name || streq_null(name, pool->loaded[option]))
		return true;
	for (size_t i = 0; i < old->n_sections; i++)
		for (size_t j = 0; j < old->sections[i].n_lines; j++)
			STRV_FOREACH (word, old->sections[i].lines[j].words)
				if (streq(word[0], keyword) && word[1] && streq(word[1], name)) {
					pool->loaded[option] = name;
					return true;
				}
	return false;
}

/* Whether a server that waits for its deletion has that id. */
static bool is_id_taken(const struct plan_pool *pool, const char *id)
{
	const struct plan_input *input = pool->planner->input;

	for (size_t i = 0; id && i < input->n_leaving; i++) {
		const char *line = input->leaving[i].line;
		const char *found = line && streq(input->leaving[i].backend, pool->name)
					    ? strstr(line, " id ")
					    : NULL;
		size_t length = strlen(id);

		if (found && strncmp(found + 4, id, length) == 0 &&
			(found[4 + length] == ' ' || !found[4 + length]))
			return true;
	}
	return false;
}

/* Why it cannot be added, NULL if it can. */
const char *plan_cannot_add(struct plan_pool *pool, const struct plan_server *server)
{
	static const enum plan_option files[] = {
		PLAN_SERVER_CA_FILE, PLAN_SERVER_CRL_FILE, PLAN_SERVER_CRT};
	const char *option;

	if (pool->cannot_add)
		return pool->cannot_add;
	option = plan_server_cannot_add(server, &pool->planner->input->version, pool->planner->can);
	if (option)
		return option;
	if (server->options[PLAN_SERVER_BACKUP] && pool->in_order)
		return "which backup server is used depends on their order";
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (!is_loaded(pool, server, files[i]))
			return plan_server_option_name(files[i]);
	if (is_id_taken(pool, server->options[PLAN_SERVER_ID]))
		return "id";
	return NULL;
}

/* Checks of an added server stand still until they are enabled, and would run in maintenance, too,
 * where they are enabled before it has been ready once. To enable them again does nothing. */
static void make_ready(
	struct plan_pool *pool, enum plan_phase phase, const struct plan_server *server)
{
	if (server->options[PLAN_SERVER_CHECK])
		planner_quiet_step(
			pool->planner, phase, "enable health %s/%s", pool->name, server->name);
	planner_quiet_step(
		pool->planner, phase, "set server %s/%s state ready", pool->name, server->name);
}

void plan_add_server(
	struct plan_pool *pool, enum plan_phase phase, const struct plan_server *server)
{
	struct planner *planner = pool->planner;
	_cleanup_free_ char *arguments = NULL;
	int r = plan_server_arguments(server, planner->can, &arguments);

	if (r == -EINVAL) {
		planner_obstacle(planner,
			"%s %s: server %s added: its options do not fit into a command",
			pool->after->keyword, pool->name, server->name);
		return;
	}
	if (r < 0) {
		planner->failed = true;
		return;
	}
	planner_step(planner, phase, PLAN_EXPECT_PREFIX, "New server registered",
		"add server %s/%s %s", pool->name, server->name, arguments);
	if (!server->options[PLAN_SERVER_DISABLED])
		make_ready(pool, phase, server);
}

static void set_address(struct plan_pool *pool, const struct plan_server *before,
	const struct plan_server *after, bool out)
{
	struct plan_address address = {0};

	if (plan_server_same_address(before, after) || !plan_server_address(after, &address))
		return;
	planner_step(pool->planner, PLAN_PHASE_ADD, PLAN_EXPECT_CONTAINS,
		"by 'stats socket command'", "set server %s/%s addr %s port %u", pool->name,
		after->name, address.ip, address.port);
	/* What was known of it was about another address: after a reload it would be taken for good
	 * until a check fails. */
	if (after->options[PLAN_SERVER_CHECK] && !out && !after->options[PLAN_SERVER_DISABLED])
		planner_quiet_step(pool->planner, PLAN_PHASE_ADD, "set server %s/%s health up",
			pool->name, after->name);
}

static void set_check(
	struct plan_pool *pool, const struct plan_server *before, const struct plan_server *after)
{
	const char *address = after->options[PLAN_SERVER_ADDR],
		   *port = after->options[PLAN_SERVER_PORT];
	char ip[INET6_ADDRSTRLEN];

	if (address && !plan_server_is_same_ip(before->options[PLAN_SERVER_ADDR], address) &&
		plan_server_ip(address, ip))
		planner_quiet_step(pool->planner, PLAN_PHASE_ADD, "set server %s/%s check-addr %s",
			pool->name, after->name, ip);
	if (!streq_null(before->options[PLAN_SERVER_PORT], port))
		planner_quiet_step(pool->planner, PLAN_PHASE_ADD, "set server %s/%s check-port %s",
			pool->name, after->name, port ? port : "0");
}

/* "comes_back": it is in maintenance now, whatever "before" says. */
static void change_server(struct plan_pool *pool, const struct plan_server *before,
	const struct plan_server *after, bool comes_back)
{
	const char *maxconn = after->options[PLAN_SERVER_MAXCONN];
	bool out = before->options[PLAN_SERVER_DISABLED] || comes_back,
	     disabled = after->options[PLAN_SERVER_DISABLED];
	int weight = plan_server_weight(after);

	set_address(pool, before, after, out);
	if (!streq_null(before->options[PLAN_SERVER_MAXCONN], maxconn))
		planner_quiet_step(pool->planner, PLAN_PHASE_ADD, "set maxconn server %s/%s %s",
			pool->name, after->name, maxconn ? maxconn : "0");
	if (plan_server_weight(before) != weight)
		planner_quiet_step(pool->planner, weight > 0 ? PLAN_PHASE_ADD : PLAN_PHASE_REMOVE,
			"set server %s/%s weight %d", pool->name, after->name, weight);
	if (out && !disabled)
		make_ready(pool, PLAN_PHASE_ADD, after);
	set_check(pool, before, after);
	if (!out && disabled)
		planner_quiet_step(pool->planner, PLAN_PHASE_REMOVE, "set server %s/%s state maint",
			pool->name, after->name);
}

static bool is_number(const char *word, int64_t minimum, int64_t maximum)
{
	int64_t value;

	return word && word[0] >= '0' && word[0] <= '9' && text_to_int64(word, &value) == 0 &&
	       value >= minimum && value <= maximum;
}

static bool both_have(
	const struct plan_server *a, const struct plan_server *b, enum plan_option option)
{
	return a->options[option] && b->options[option];
}

/* Address and port of a check can be set once it has been enabled, see make_ready(). */
static bool has_running_check(const struct plan_server *before, const struct plan_server *after)
{
	return both_have(before, after, PLAN_SERVER_CHECK) &&
	       (!before->options[PLAN_SERVER_DISABLED] || !after->options[PLAN_SERVER_DISABLED]);
}

static enum way judge_option(const struct plan_pool *pool, const struct plan_server *before,
	const struct plan_server *after, size_t option)
{
	const char *value = after->options[option];
	char ip[INET6_ADDRSTRLEN];
	bool possible;

	switch (option) {
	case PLAN_SERVER_WEIGHT:
		/* Management guide, "set server": static algorithms take no other weight than their
		 * first or none. */
		possible = plan_server_weight(after) == 0 ||
			   (plan_server_weight(after) > 0 && pool->dynamic);
		break;
	case PLAN_SERVER_DISABLED:
		/* "shutdown-sessions" would cut what a reload lets run on. */
		possible = !value || !before->options[PLAN_SERVER_ON_MARKED_DOWN];
		break;
	case PLAN_SERVER_ADDR:
		possible = has_running_check(before, after) && value && plan_server_ip(value, ip);
		break;
	case PLAN_SERVER_PORT:
		possible = has_running_check(before, after) &&
			   (!value || is_number(value, 1, UINT16_MAX));
		break;
	case PLAN_SERVER_MAXCONN:
		possible = !before->options[PLAN_SERVER_MINCONN] &&
			   !after->options[PLAN_SERVER_MINCONN] &&
			   (!value || is_number(value, 0, INT32_MAX));
		break;
	case PLAN_SERVER_BACKUP:
	case PLAN_SERVER_CHECK_SEND_PROXY:
	case PLAN_SERVER_PROXY_V2_OPTIONS:
	case PLAN_SERVER_SEND_PROXY:
	case PLAN_SERVER_SEND_PROXY_V2:
	case PLAN_SERVER_SEND_PROXY_V2_SSL:
	case PLAN_SERVER_SEND_PROXY_V2_SSL_CN:
		return WAY_REPLACE;
	default:
		possible = false;
	}
	return possible ? WAY_RUNTIME : WAY_RELOAD;
}

static enum way worse(enum way a, enum way b)
{
	return a > b ? a : b;
}

static void append_name(struct text *names, const char *name)
{
	text_printf(names, "%s%s", names->length > 0 ? ", " : "", name);
}

/* Appends what differs to "names". */
static enum way judge(const struct plan_pool *pool, const struct plan_server *before,
	const struct plan_server *after, struct text *names)
{
	struct plan_address address;
	enum way way = WAY_NONE;

	if (before->odd || after->odd) {
		append_name(names, "an option that the agent does not know is there");
		return WAY_RELOAD;
	}
	if (!plan_server_same_address(before, after)) {
		append_name(names, "address");
		way = plan_server_address(before, &address) && plan_server_address(after, &address)
			      ? WAY_RUNTIME
			      : WAY_RELOAD;
	}
	for (size_t i = plan_server_next_difference(before, after, 0); i < PLAN_SERVER_N_OPTIONS;
		i = plan_server_next_difference(before, after, i + 1)) {
		append_name(names, plan_server_option_name(i));
		way = worse(way, judge_option(pool, before, after, i));
	}
	/* With an address or a port of their own checks lose what they took over from the traffic.
	 */
	if (both_have(before, after, PLAN_SERVER_CHECK) &&
		(plan_server_check_sends_proxy(before) != plan_server_check_sends_proxy(after) ||
			plan_server_check_is_tls(before) != plan_server_check_is_tls(after)))
		way = worse(way, WAY_REPLACE);
	return way;
}

/* Whether another server of the pool is up now and stays. */
static bool has_other_up(struct plan_pool *pool, const char *name)
{
	const char *state = pool->planner->input->servers_state;

	if (!pool->up && state && plan_servers_up(state, pool->name, &pool->up) < 0)
		pool->planner->failed = true;
	for (size_t i = 0; pool->up && i < pool->after->n_lines; i++) {
		struct plan_server server;

		if (!cfg_line_is_server(&pool->after->lines[i]))
			continue;
		server = plan_read_server(&pool->defaults_after, &pool->after->lines[i]);
		if (!streq(server.name, name) && !server.options[PLAN_SERVER_DISABLED] &&
			!server.options[PLAN_SERVER_BACKUP] && plan_server_weight(&server) > 0 &&
			json_object_get(pool->up, server.name))
			return true;
	}
	return false;
}

/* Deleted and added again under its name, one after the other. NULL if that can be done, else why
 * not. */
static const char *cannot_replace(
	struct plan_pool *pool, const struct plan_server *before, const struct plan_server *after)
{
	const char *reason = plan_cannot_add(pool, after);

	if (reason)
		return reason;
	if (plan_must_keep(pool->planner->can, pool->http))
		return "this version of HAProxy cannot delete it safely";
	if (before->options[PLAN_SERVER_ON_MARKED_DOWN])
		return "on-marked-down";
	if (pool->n_replaced >= REPLACED_MAX)
		return "there are many";
	if (before->options[PLAN_SERVER_DISABLED])
		return NULL;
	return has_other_up(pool, after->name) ? NULL : "no other is up meanwhile";
}

static void replace_server(struct plan_pool *pool, const struct plan_server *after)
{
	pool->n_replaced++;
	planner_quiet_step(pool->planner, PLAN_PHASE_REPLACE, "set server %s/%s state maint",
		pool->name, after->name);
	planner_delete_step(pool->planner, PLAN_PHASE_REPLACE, pool->name, after->name);
	plan_add_server(pool, PLAN_PHASE_REPLACE, after);
}

void plan_changed_server(
	struct plan_pool *pool, const struct plan_server *before, const struct plan_server *after)
{
	_cleanup_text_ struct text names = TEXT_INIT;
	enum way way = judge(pool, before, after, &names);
	const char *reason = way == WAY_REPLACE ? cannot_replace(pool, before, after) : NULL;

	pool->planner->failed |= names.failed;
	if (way == WAY_NONE)
		return;
	if (way == WAY_RELOAD || reason) {
		planner_obstacle(pool->planner, "%s %s: server %s changed: %s%s%s",
			pool->after->keyword, pool->name, after->name, text_peek(&names),
			reason ? "; " : "", reason ? reason : "");
		return;
	}
	planner_change(pool->planner, "%s %s: server %s changed: %s", pool->after->keyword,
		pool->name, after->name, text_peek(&names));
	if (way == WAY_REPLACE)
		replace_server(pool, after);
	else
		change_server(pool, before, after, false);
}

bool plan_bring_back(
	struct plan_pool *pool, const struct plan_server *before, const struct plan_server *after)
{
	_cleanup_text_ struct text names = TEXT_INIT;

	if (judge(pool, before, after, &names) > WAY_RUNTIME)
		return false;
	change_server(pool, before, after, true);
	return true;
}
