/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan_server.h"

/*
 * The servers of one backend: which differences the Runtime API can make up for, and how.
 *
 * A server that is added takes traffic at once, as it does in a new worker after a reload, and leaves it with its first
 * failed check, as there: HAProxy sets its health so when it leaves maintenance. To hold it back until a check has
 * succeeded would let a pool whose members are exchanged one after the other stand empty for "rise" times "inter". Who
 * wants that writes "init-state down" (3.1 and later), which is passed on.
 *
 * A server that is removed goes into maintenance: what runs over it runs on, nothing new comes. A drain would let clients
 * with a persistence cookie keep it for ever.
 */

enum {
	ROUNDROBIN_MAX = 4095, /* configuration manual, "balance" */
	REPLACED_MAX = 32,     /* one after the other: more take longer than a reload */
};

struct pool {
	struct planner *planner;
	const struct cfg_section *before, *after;
	const char *name;
	struct server defaults_before, defaults_after;
	bool odd;       /* server lines do not say alone what its servers are */
	bool same_defaults;
	bool dynamic;   /* the algorithm takes servers at run time */
	bool by_id;     /* and chooses by their numeric id */
	bool in_order;  /* the order of servers counts, since not all have an id of their own */
	bool http;
	bool all_ids, round_robin;
	const char *cannot_add; /* why this backend takes none, whatever the server; NULL if it does */
	size_t n_after, n_backups, n_replaced;
	const char *loaded[SERVER_N_NAMED]; /* value of a file option that was seen to be loaded */
	json_t *up; /* plan_servers_up(), when asked for */
};

/* How a difference can be made up for, the gentlest first. */
enum way {
	WAY_NONE,
	WAY_RUNTIME,
	WAY_REPLACE,
	WAY_RELOAD,
};

static bool is_template(const struct cfg_line *line)
{
	return streq(line->words[0], "server-template");
}

static bool is_default(const struct cfg_line *line)
{
	return streq(line->words[0], "default-server");
}

static struct server read_server(const struct server *defaults, const struct cfg_line *line)
{
	struct server server = *defaults;

	server_read(&server, line);
	return server;
}

static void read_algorithm(struct pool *pool)
{
	static const struct {
		const char *name;
		bool by_id;
	} dynamic[] = {{"roundrobin", false}, {"leastconn", false}, {"first", true}, {"random", true}};
	const struct cfg *cfg = &pool->planner->new;
	const struct cfg_line *balance = plan_setting(cfg, pool->after, "balance", NULL);
	const struct cfg_line *hash = plan_setting(cfg, pool->after, "hash-type", NULL);
	const char *name = balance && balance->words[1] ? balance->words[1]
		: pool->planner->can->random_by_default         ? "random"
								: "roundrobin";
	size_t length = strcspn(name, "(");

	pool->round_robin = streq(name, "roundrobin");
	for (size_t i = 0; i < ELEMENTSOF(dynamic); i++)
		if (strncmp(dynamic[i].name, name, length) == 0 && dynamic[i].name[length] == '\0') {
			pool->dynamic = true;
			pool->by_id = dynamic[i].by_id;
			return;
		}
	pool->dynamic = !streq(name, "static-rr") && hash && hash->words[1] && streq(hash->words[1], "consistent");
	pool->by_id = pool->dynamic;
}

static void count_servers(struct pool *pool)
{
	pool->all_ids = true;
	for (size_t i = 0; i < pool->after->n_lines; i++) {
		struct server server;

		if (!cfg_line_is_server(&pool->after->lines[i]))
			continue;
		server = read_server(&pool->defaults_after, &pool->after->lines[i]);
		pool->n_after++;
		pool->n_backups += server.options[SERVER_BACKUP] != NULL;
		pool->all_ids &= server.options[SERVER_ID] != NULL;
	}
}

static void read_pool(struct pool *pool)
{
	const struct cfg *cfg = &pool->planner->new;
	const struct plan_capabilities *can = pool->planner->can;
	const struct cfg_line *mode;

	pool->odd = !plan_read_defaults(&pool->planner->old, pool->before, &pool->defaults_before) ||
		!plan_read_defaults(cfg, pool->after, &pool->defaults_after);
	mode = plan_setting(cfg, pool->after, "mode", NULL);
	pool->http = plan_is_http(cfg, pool->after);
	read_algorithm(pool);
	count_servers(pool);
	/* The first backup server is the one that is used, unless all are. */
	pool->in_order = !pool->dynamic || (pool->by_id && !pool->all_ids) ||
		(pool->n_backups > 1 && !plan_setting(cfg, pool->after, "option", "allbackups"));

	if (!can->add_server)
		pool->cannot_add = "this version of HAProxy adds none at run time";
	else if (!pool->dynamic)
		pool->cannot_add = "its algorithm takes none at run time";
	else if (pool->by_id && !pool->all_ids)
		pool->cannot_add = "its algorithm counts on numbers that its servers have not been given";
	else if (pool->round_robin && pool->n_after > ROUNDROBIN_MAX)
		pool->cannot_add = "roundrobin takes no more";
	else if (mode && mode->words[1] && !streq(mode->words[1], "http") && !streq(mode->words[1], "tcp"))
		pool->cannot_add = "its mode takes none at run time";
	/* Arguments and environment of the program are made when HAProxy starts (prepare_external_check()). */
	else if (plan_setting(cfg, pool->after, "option", "external-check"))
		pool->cannot_add = "external checks of added servers cannot run";
	/* Added servers get none of their own before 3.0. */
	else if (plan_setting(cfg, pool->after, "dynamic-cookie-key", NULL))
		pool->cannot_add = "its cookies are made when HAProxy starts";
}

/* A file that a server names has to be in memory already: HAProxy reads none at run time. */
static bool is_loaded(struct pool *pool, const struct server *server, enum server_option option)
{
	const struct cfg *old = &pool->planner->old;
	const char *name = server->options[option], *keyword = server_option_name(option);

	if (!name || streq_null(name, pool->loaded[option]))
		return true;
	for (size_t i = 0; i < old->n_sections; i++)
		for (size_t j = 0; j < old->sections[i].n_lines; j++)
			STRV_FOREACH(word, old->sections[i].lines[j].words)
				if (streq(word[0], keyword) && word[1] && streq(word[1], name)) {
					pool->loaded[option] = name;
					return true;
				}
	return false;
}

/* Whether a server that waits for its deletion has that id. */
static bool is_id_taken(const struct pool *pool, const char *id)
{
	const struct plan_input *input = pool->planner->input;

	for (size_t i = 0; id && i < input->n_leaving; i++) {
		const char *line = input->leaving[i].line;
		const char *found = line && streq(input->leaving[i].backend, pool->name) ? strstr(line, " id ") : NULL;
		size_t length = strlen(id);

		if (found && strncmp(found + 4, id, length) == 0 && (found[4 + length] == ' ' || !found[4 + length]))
			return true;
	}
	return false;
}

/* Why it cannot be added, NULL if it can. */
static const char *cannot_add(struct pool *pool, const struct server *server)
{
	static const enum server_option files[] = {SERVER_CA_FILE, SERVER_CRL_FILE, SERVER_CRT};
	const char *option;

	if (pool->cannot_add)
		return pool->cannot_add;
	option = server_cannot_add(server, &pool->planner->input->version, pool->planner->can);
	if (option)
		return option;
	if (server->options[SERVER_BACKUP] && pool->in_order)
		return "which backup server is used depends on their order";
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (!is_loaded(pool, server, files[i]))
			return server_option_name(files[i]);
	if (is_id_taken(pool, server->options[SERVER_ID]))
		return "id";
	return NULL;
}

static void add_server(struct pool *pool, enum plan_phase phase, const struct server *server)
{
	struct planner *planner = pool->planner;
	bool checked = server->options[SERVER_CHECK], disabled = server->options[SERVER_DISABLED];
	_cleanup_free_ char *arguments = NULL;
	int r = server_arguments(server, planner->can, &arguments);

	if (r == -EINVAL) {
		planner_obstacle(planner, "%s %s: server %s added: its options do not fit into a command",
			pool->after->keyword, pool->name, server->name);
		return;
	}
	if (r < 0) {
		planner->failed = true;
		return;
	}
	planner_step(planner, phase, PLAN_EXPECT_PREFIX, "New server registered", "add server %s/%s %s", pool->name,
		server->name, arguments);
	if (checked)
		planner_quiet_step(planner, phase, "enable health %s/%s", pool->name, server->name);
	if (!disabled)
		planner_quiet_step(planner, phase, "set server %s/%s state ready", pool->name, server->name);
}

static void set_address(struct pool *pool, const struct server *before, const struct server *after, bool out)
{
	struct plan_server_address address = {0};

	if (server_same_address(before, after) || !plan_server_address(after, &address))
		return;
	planner_step(pool->planner, PLAN_PHASE_ADD, PLAN_EXPECT_CONTAINS, "by 'stats socket command'",
		"set server %s/%s addr %s port %u", pool->name, after->name, address.ip, address.port);
	/* What was known of it was about another address: after a reload it would be taken for good until a check fails. */
	if (after->options[SERVER_CHECK] && !out && !after->options[SERVER_DISABLED])
		planner_quiet_step(
			pool->planner, PLAN_PHASE_ADD, "set server %s/%s health up", pool->name, after->name);
}

static void set_check(struct pool *pool, const struct server *before, const struct server *after)
{
	const char *address = after->options[SERVER_ADDR], *port = after->options[SERVER_PORT];

	if (!streq_null(before->options[SERVER_ADDR], address))
		planner_quiet_step(pool->planner, PLAN_PHASE_ADD, "set server %s/%s check-addr %s", pool->name,
			after->name, address);
	if (!streq_null(before->options[SERVER_PORT], port))
		planner_quiet_step(pool->planner, PLAN_PHASE_ADD, "set server %s/%s check-port %s", pool->name,
			after->name, port ? port : "0");
}

/* "comes_back": it is in maintenance now, whatever "before" says. */
static void change_server(struct pool *pool, const struct server *before, const struct server *after, bool comes_back)
{
	const char *maxconn = after->options[SERVER_MAXCONN];
	bool out = before->options[SERVER_DISABLED] || comes_back, disabled = after->options[SERVER_DISABLED];
	int weight = server_weight(after);

	set_address(pool, before, after, out);
	set_check(pool, before, after);
	if (!streq_null(before->options[SERVER_MAXCONN], maxconn))
		planner_quiet_step(pool->planner, PLAN_PHASE_ADD, "set maxconn server %s/%s %s", pool->name,
			after->name, maxconn ? maxconn : "0");
	if (server_weight(before) != weight)
		planner_quiet_step(pool->planner, weight > 0 ? PLAN_PHASE_ADD : PLAN_PHASE_REMOVE,
			"set server %s/%s weight %d", pool->name, after->name, weight);
	if (out && !disabled)
		planner_quiet_step(
			pool->planner, PLAN_PHASE_ADD, "set server %s/%s state ready", pool->name, after->name);
	if (!out && disabled)
		planner_quiet_step(
			pool->planner, PLAN_PHASE_REMOVE, "set server %s/%s state maint", pool->name, after->name);
}

static bool is_number(const char *word, int64_t minimum, int64_t maximum)
{
	int64_t value;

	return word && word[0] >= '0' && word[0] <= '9' && text_to_int64(word, &value) == 0 && value >= minimum &&
		value <= maximum;
}

static bool both_have(const struct server *a, const struct server *b, enum server_option option)
{
	return a->options[option] && b->options[option];
}

static enum way judge_option(
	const struct pool *pool, const struct server *before, const struct server *after, size_t option)
{
	const char *value = after->options[option];
	bool possible;

	switch (option) {
	case SERVER_WEIGHT:
		/* Management guide, "set server": static algorithms take no other weight than their first or none. */
		possible = server_weight(after) == 0 || (server_weight(after) > 0 && pool->dynamic);
		break;
	case SERVER_DISABLED:
		/* "shutdown-sessions" would cut what a reload lets run on. */
		possible = !value || !before->options[SERVER_ON_MARKED_DOWN];
		break;
	case SERVER_ADDR:
		possible = both_have(before, after, SERVER_CHECK) && value && server_is_ip(value);
		break;
	case SERVER_PORT:
		possible = both_have(before, after, SERVER_CHECK) && (!value || is_number(value, 1, UINT16_MAX));
		break;
	case SERVER_MAXCONN:
		possible = !before->options[SERVER_MINCONN] && !after->options[SERVER_MINCONN] &&
			(!value || is_number(value, 0, INT32_MAX));
		break;
	case SERVER_BACKUP:
	case SERVER_CHECK_SEND_PROXY:
	case SERVER_PROXY_V2_OPTIONS:
	case SERVER_SEND_PROXY:
	case SERVER_SEND_PROXY_V2:
	case SERVER_SEND_PROXY_V2_SSL:
	case SERVER_SEND_PROXY_V2_SSL_CN:
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
static enum way judge(
	const struct pool *pool, const struct server *before, const struct server *after, struct text *names)
{
	struct plan_server_address address;
	enum way way = WAY_NONE;

	if (before->odd || after->odd) {
		append_name(names, "an option that the agent does not know is there");
		return WAY_RELOAD;
	}
	if (!server_same_address(before, after)) {
		append_name(names, "address");
		way = plan_server_address(before, &address) && plan_server_address(after, &address) ? WAY_RUNTIME : WAY_RELOAD;
	}
	for (size_t i = server_next_difference(before, after, 0); i < SERVER_N_OPTIONS;
		i = server_next_difference(before, after, i + 1)) {
		append_name(names, server_option_name(i));
		way = worse(way, judge_option(pool, before, after, i));
	}
	/* With an address or a port of their own checks lose what they took over from the traffic. */
	if (both_have(before, after, SERVER_CHECK) &&
		(server_check_sends_proxy(before) != server_check_sends_proxy(after) ||
			server_check_is_tls(before) != server_check_is_tls(after)))
		way = worse(way, WAY_REPLACE);
	return way;
}

/* Whether another server of the pool is up now and stays. */
static bool has_other_up(struct pool *pool, const char *name)
{
	const char *state = pool->planner->input->servers_state;

	if (!pool->up && state && plan_servers_up(state, pool->name, &pool->up) < 0)
		pool->planner->failed = true;
	for (size_t i = 0; pool->up && i < pool->after->n_lines; i++) {
		struct server server;

		if (!cfg_line_is_server(&pool->after->lines[i]))
			continue;
		server = read_server(&pool->defaults_after, &pool->after->lines[i]);
		if (!streq(server.name, name) && !server.options[SERVER_DISABLED] && !server.options[SERVER_BACKUP] &&
			server_weight(&server) > 0 && json_object_get(pool->up, server.name))
			return true;
	}
	return false;
}

/* Deleted and added again under its name, one after the other. NULL if that can be done, else why not. */
static const char *cannot_replace(struct pool *pool, const struct server *before, const struct server *after)
{
	const char *reason = cannot_add(pool, after);

	if (reason)
		return reason;
	if (plan_must_keep(pool->planner->can, pool->http))
		return "this version of HAProxy cannot delete it safely";
	if (before->options[SERVER_ON_MARKED_DOWN])
		return "on-marked-down";
	if (pool->n_replaced >= REPLACED_MAX)
		return "there are many";
	if (before->options[SERVER_DISABLED])
		return NULL;
	return has_other_up(pool, after->name) ? NULL : "no other is up meanwhile";
}

static void replace_server(struct pool *pool, const struct server *after)
{
	pool->n_replaced++;
	planner_quiet_step(
		pool->planner, PLAN_PHASE_REPLACE, "set server %s/%s state maint", pool->name, after->name);
	planner_delete_step(pool->planner, PLAN_PHASE_REPLACE, pool->name, after->name);
	add_server(pool, PLAN_PHASE_REPLACE, after);
}

static void plan_changed(struct pool *pool, const struct server *before, const struct server *after)
{
	_cleanup_text_ struct text names = TEXT_INIT;
	enum way way = judge(pool, before, after, &names);
	const char *reason = way == WAY_REPLACE ? cannot_replace(pool, before, after) : NULL;

	pool->planner->failed |= names.failed;
	if (way == WAY_NONE)
		return;
	if (way == WAY_RELOAD || reason) {
		planner_obstacle(pool->planner, "%s %s: server %s changed: %s%s%s", pool->after->keyword, pool->name,
			after->name, text_peek(&names), reason ? "; " : "", reason ? reason : "");
		return;
	}
	planner_change(pool->planner, "%s %s: server %s changed: %s", pool->after->keyword, pool->name, after->name,
		text_peek(&names));
	if (way == WAY_REPLACE)
		replace_server(pool, after);
	else
		change_server(pool, before, after, false);
}

static const struct plan_leaving *find_leaving(const struct pool *pool, const char *name)
{
	const struct plan_input *input = pool->planner->input;

	for (size_t i = 0; i < input->n_leaving; i++)
		if (streq(input->leaving[i].backend, pool->name) && streq(input->leaving[i].server, name))
			return &input->leaving[i];
	return NULL;
}

/* The name of one that still waits for its deletion. If it can become what is wanted it is brought back, with the
 * connections that it still has; else it has to be deleted first, which may not be possible yet. */
static void plan_returned(struct pool *pool, const struct plan_leaving *leaving, const struct server *after)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	_cleanup_text_ struct text text = TEXT_INIT, names = TEXT_INIT;
	const char *reason;

	if (leaving->line && !pool->in_order) {
		struct server before = {0};

		text_printf(&text, "backend b\n%s\n", leaving->line);
		if (!text.failed && cfg_parse(text.data, text.length, &cfg, NULL) == 0 && cfg.n_sections == 1 &&
			cfg.sections[0].n_lines == 1) {
			server_read(&before, &cfg.sections[0].lines[0]);
			before.options[SERVER_DISABLED] = NULL;
			if (judge(pool, &before, after, &names) <= WAY_RUNTIME) {
				planner_change(pool->planner, "%s %s: server %s comes back", pool->after->keyword,
					pool->name, after->name);
				change_server(pool, &before, after, true);
				return;
			}
		}
	}
	reason = leaving->keep ? "the former one cannot be deleted yet" : cannot_add(pool, after);
	if (reason) {
		planner_obstacle(pool->planner, "%s %s: server %s comes back: %s", pool->after->keyword, pool->name,
			after->name, reason);
		return;
	}
	planner_change(pool->planner, "%s %s: server %s added", pool->after->keyword, pool->name, after->name);
	planner_delete_step(pool->planner, PLAN_PHASE_ADD, pool->name, after->name);
	add_server(pool, PLAN_PHASE_ADD, after);
}

static void plan_added(struct pool *pool, const struct server *after)
{
	const struct plan_leaving *leaving = find_leaving(pool, after->name);
	const char *reason;

	if (leaving) {
		plan_returned(pool, leaving, after);
		return;
	}
	reason = cannot_add(pool, after);
	if (reason) {
		planner_obstacle(pool->planner, "%s %s: server %s added: %s", pool->after->keyword, pool->name,
			after->name, reason);
		return;
	}
	planner_change(pool->planner, "%s %s: server %s added", pool->after->keyword, pool->name, after->name);
	add_server(pool, PLAN_PHASE_ADD, after);
}

static void plan_removed(struct pool *pool, const struct server *before)
{
	struct planner *planner = pool->planner;
	const char *reason = before->odd                  ? "an option that the agent does not know"
		: before->options[SERVER_ON_MARKED_DOWN] ? "on-marked-down"
		: before->options[SERVER_AGENT_CHECK]    ? "agent-check"
							 : NULL;

	if (reason) {
		planner_obstacle(planner, "%s %s: server %s removed: %s", pool->after->keyword, pool->name,
			before->name, reason);
		return;
	}
	planner_change(planner, "%s %s: server %s removed", pool->after->keyword, pool->name, before->name);
	planner_quiet_step(planner, PLAN_PHASE_REMOVE, "set server %s/%s state maint", pool->name, before->name);
	planner_add_leaving(
		planner, pool->name, before->name, server_line(before), plan_must_keep(planner->can, pool->http));
}

/* Manual, chapter 4: what HAProxy takes as a name, and all that may stand unquoted in a command. */
static bool is_name(const char *name)
{
	return name[0] && name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
					    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					    "0123456789-_.:")] == '\0';
}

static int plan_server(void *userdata, const char *name, const struct cfg_line *before, const struct cfg_line *after)
{
	struct pool *pool = userdata;
	struct server old, new;

	if (before && after && pool->same_defaults && cfg_line_equal(before, after))
		return 0;
	if (!is_name(name)) {
		planner_obstacle(pool->planner, "%s %s: a server has no valid name", pool->after->keyword, pool->name);
		return 0;
	}
	if (before)
		old = read_server(&pool->defaults_before, before);
	if (after)
		new = read_server(&pool->defaults_after, after);
	if (!before)
		plan_added(pool, &new);
	else if (!after)
		plan_removed(pool, &old);
	else
		plan_changed(pool, &old, &new);
	return 0;
}

static const struct cfg_line *next_line(
	const struct cfg_section *section, size_t *i, bool (*is_wanted)(const struct cfg_line *))
{
	while (*i < section->n_lines && !is_wanted(&section->lines[*i]))
		(*i)++;
	return *i < section->n_lines ? &section->lines[(*i)++] : NULL;
}

static bool is_any_server(const struct cfg_line *line)
{
	return cfg_line_is_server(line) || is_template(line) || is_default(line);
}

static bool is_same(const struct pool *pool, bool (*is_wanted)(const struct cfg_line *))
{
	size_t i = 0, j = 0;

	for (;;) {
		const struct cfg_line *before = next_line(pool->before, &i, is_wanted);
		const struct cfg_line *after = next_line(pool->after, &j, is_wanted);

		if (!before || !after)
			return before == after;
		if (!cfg_line_equal(before, after))
			return false;
	}
}

static int names_of(const struct cfg_section *section, json_t *names)
{
	for (size_t i = 0; i < section->n_lines; i++)
		if (cfg_line_is_server(&section->lines[i]) &&
			json_object_set_new(names, section->lines[i].words[1], json_true()) < 0)
			return -ENOMEM;
	return 0;
}

static const struct cfg_line *next_of(const struct cfg_section *section, size_t *i, const json_t *names)
{
	const struct cfg_line *line;

	do
		line = next_line(section, i, cfg_line_is_server);
	while (line && !json_object_get(names, line->words[1]));
	return line;
}

/* Whether the servers that stay, stay in their order. */
static bool is_order_kept(struct pool *pool)
{
	json_auto_t *old = json_object(), *new = json_object();
	size_t i = 0, j = 0;

	if (names_of(pool->before, old) < 0 || names_of(pool->after, new) < 0) {
		pool->planner->failed = true;
		return true;
	}
	for (;;) {
		const struct cfg_line *before = next_of(pool->before, &i, new);
		const struct cfg_line *after = next_of(pool->after, &j, old);

		if (!before || !after)
			return true;
		if (!streq(before->words[1], after->words[1]))
			return false;
	}
}

void plan_pool(struct planner *planner, const struct cfg_section *before, const struct cfg_section *after)
{
	struct pool pool = {.planner = planner, .before = before, .after = after, .name = after->name};

	if (is_same(&pool, is_any_server))
		return;
	read_pool(&pool);
	pool.same_defaults = is_same(&pool, is_default);
	if (pool.odd || !is_name(pool.name)) {
		planner_obstacle(planner, "%s %s: servers changed", after->keyword, after->name);
		return;
	}
	if (cfg_compare_servers(before, after, plan_server, &pool) < 0)
		planner->failed = true;
	if (pool.in_order && !is_order_kept(&pool))
		planner_obstacle(planner, "%s %s: order of servers changed", after->keyword, after->name);
	json_decref(pool.up);
}
