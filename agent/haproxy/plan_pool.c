/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan_pool.h"

/*
 * The servers of one backend: which differences the Runtime API can make up for, and how.
 *
 * A server that is added takes traffic at once, as it does in a new worker after a reload, and
 * leaves it with its first failed check, as there: HAProxy sets its health so when it leaves
 * maintenance. To hold it back until a check has succeeded would let a pool whose members are
 * exchanged one after the other stand empty for "rise" times "inter". Who wants that writes
 * "init-state down" (3.1 and later), which is passed on.
 *
 * A server that is removed goes into maintenance: what runs over it runs on, nothing new comes. A
 * drain would let clients with a persistence cookie keep it for ever.
 */

enum { ROUNDROBIN_MAX = 4095 }; /* configuration manual, "balance" */

static bool is_template(const struct cfg_line *line)
{
	return streq(line->words[0], "server-template");
}

static bool is_default(const struct cfg_line *line)
{
	return streq(line->words[0], "default-server");
}

struct plan_server plan_read_server(const struct plan_server *defaults, const struct cfg_line *line)
{
	struct plan_server server = *defaults;

	plan_server_read(&server, line);
	return server;
}

static void read_algorithm(struct plan_pool *pool)
{
	static const struct {
		const char *name;
		bool by_id;
	} dynamic[] = {
		{"roundrobin", false}, {"leastconn", false}, {"first", true}, {"random", true}};
	const struct cfg *cfg = &pool->planner->new;
	const struct cfg_line *balance = plan_setting(cfg, pool->after, "balance", NULL);
	const struct cfg_line *hash = plan_setting(cfg, pool->after, "hash-type", NULL);
	const char *name = balance && balance->words[1]            ? balance->words[1]
			   : pool->planner->can->random_by_default ? "random"
								   : "roundrobin";
	size_t length = strcspn(name, "(");

	pool->round_robin = streq(name, "roundrobin");
	for (size_t i = 0; i < ELEMENTSOF(dynamic); i++)
		if (strncmp(dynamic[i].name, name, length) == 0 &&
			dynamic[i].name[length] == '\0') {
			pool->dynamic = true;
			pool->by_id = dynamic[i].by_id;
			return;
		}
	pool->dynamic = !streq(name, "static-rr") && hash && hash->words[1] &&
			streq(hash->words[1], "consistent");
	pool->by_id = pool->dynamic;
}

static void count_servers(struct plan_pool *pool)
{
	pool->all_ids = true;
	for (size_t i = 0; i < pool->after->n_lines; i++) {
		struct plan_server server;

		if (!cfg_line_is_server(&pool->after->lines[i]))
			continue;
		server = plan_read_server(&pool->defaults_after, &pool->after->lines[i]);
		pool->n_after++;
		pool->n_backups += server.options[PLAN_SERVER_BACKUP] != NULL;
		pool->all_ids &= server.options[PLAN_SERVER_ID] != NULL;
	}
}

static void read_pool(struct plan_pool *pool)
{
	const struct cfg *cfg = &pool->planner->new;
	const struct plan_capabilities *can = pool->planner->can;
	const struct cfg_line *mode;
	bool all_backups;

	pool->odd =
		!plan_read_defaults(&pool->planner->old, pool->before, &pool->defaults_before) ||
		!plan_read_defaults(cfg, pool->after, &pool->defaults_after);
	mode = plan_setting(cfg, pool->after, "mode", NULL);
	pool->http = plan_is_http(cfg, pool->after);
	read_algorithm(pool);
	count_servers(pool);
	/* The first backup server is the one that is used, unless all are. */
	all_backups = plan_setting(cfg, pool->after, "option", "allbackups") &&
		      !plan_setting(cfg, pool->after, "no", "option");
	pool->in_order = !pool->dynamic || (pool->by_id && !pool->all_ids) ||
			 (pool->n_backups > 1 && !all_backups);

	if (!can->add_server)
		pool->cannot_add = "this version of HAProxy adds none at run time";
	else if (!pool->dynamic)
		pool->cannot_add = "its algorithm takes none at run time";
	else if (pool->by_id && !pool->all_ids)
		pool->cannot_add =
			"its algorithm counts on numbers that its servers have not been given";
	else if (pool->round_robin && pool->n_after > ROUNDROBIN_MAX)
		pool->cannot_add = "roundrobin takes no more";
	else if (mode && mode->words[1] && !streq(mode->words[1], "http") &&
		 !streq(mode->words[1], "tcp"))
		pool->cannot_add = "its mode takes none at run time";
	/* Arguments and environment of the program are made when HAProxy starts
	 * (prepare_external_check()). */
	else if (plan_setting(cfg, pool->after, "option", "external-check"))
		pool->cannot_add = "external checks of added servers cannot run";
	/* Added servers get none of their own before 3.0. */
	else if (plan_setting(cfg, pool->after, "dynamic-cookie-key", NULL))
		pool->cannot_add = "its cookies are made when HAProxy starts";
}

static const struct plan_leaving *find_leaving(const struct plan_pool *pool, const char *name)
{
	const struct plan_input *input = pool->planner->input;

	for (size_t i = 0; i < input->n_leaving; i++)
		if (streq(input->leaving[i].backend, pool->name) &&
			streq(input->leaving[i].server, name))
			return &input->leaving[i];
	return NULL;
}

/* A line of plan_server_line(). */
static bool read_line(const char *line, struct cfg *ret)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_printf(&text, "backend b\n%s\n", line);
	return !text.failed && cfg_parse(text.data, text.length, ret, NULL) == 0 &&
	       ret->n_sections == 1 && ret->sections[0].n_lines == 1 &&
	       cfg_line_is_server(&ret->sections[0].lines[0]);
}

/* The name of one that still waits for its deletion. If it can become what is wanted it is brought
 * back, with the connections that it still has; else it has to be deleted first, which may not be
 * possible yet. */
static void plan_returned(
	struct plan_pool *pool, const struct plan_leaving *leaving, const struct plan_server *after)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	const char *reason;

	if (leaving->line && !pool->in_order && read_line(leaving->line, &cfg)) {
		struct plan_server before = {0};

		plan_server_read(&before, &cfg.sections[0].lines[0]);
		before.options[PLAN_SERVER_DISABLED] = NULL; /* it is out in any case */
		if (plan_bring_back(pool, &before, after)) {
			planner_change(pool->planner, "%s %s: server %s comes back",
				pool->after->keyword, pool->name, after->name);
			return;
		}
	}
	reason = leaving->keep ? "the former one cannot be deleted yet"
			       : plan_cannot_add(pool, after);
	if (reason) {
		planner_obstacle(pool->planner, "%s %s: server %s comes back: %s",
			pool->after->keyword, pool->name, after->name, reason);
		return;
	}
	planner_change(pool->planner, "%s %s: server %s added", pool->after->keyword, pool->name,
		after->name);
	planner_delete_step(pool->planner, PLAN_PHASE_ADD, pool->name, after->name);
	plan_add_server(pool, PLAN_PHASE_ADD, after);
}

static void plan_added(struct plan_pool *pool, const struct plan_server *after)
{
	const struct plan_leaving *leaving = find_leaving(pool, after->name);
	const char *reason;

	if (leaving) {
		plan_returned(pool, leaving, after);
		return;
	}
	reason = plan_cannot_add(pool, after);
	if (reason) {
		planner_obstacle(pool->planner, "%s %s: server %s added: %s", pool->after->keyword,
			pool->name, after->name, reason);
		return;
	}
	planner_change(pool->planner, "%s %s: server %s added", pool->after->keyword, pool->name,
		after->name);
	plan_add_server(pool, PLAN_PHASE_ADD, after);
}

static void plan_removed(struct plan_pool *pool, const struct plan_server *before)
{
	struct planner *planner = pool->planner;
	const char *reason = before->odd ? "an option that the agent does not know"
			     : before->options[PLAN_SERVER_ON_MARKED_DOWN] ? "on-marked-down"
			     : before->options[PLAN_SERVER_AGENT_CHECK]    ? "agent-check"
									   : NULL;

	if (reason) {
		planner_obstacle(planner, "%s %s: server %s removed: %s", pool->after->keyword,
			pool->name, before->name, reason);
		return;
	}
	planner_change(planner, "%s %s: server %s removed", pool->after->keyword, pool->name,
		before->name);
	planner_quiet_step(planner, PLAN_PHASE_REMOVE, "set server %s/%s state maint", pool->name,
		before->name);
	planner_add_leaving(planner, pool->name, before->name, plan_server_line(before),
		plan_must_keep(planner->can, pool->http));
}

/* Manual, chapter 4: what HAProxy takes as a name, and all that may stand unquoted in a command. */
static bool is_name(const char *name)
{
	return name[0] && name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
					    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					    "0123456789-_.:")] == '\0';
}

static int plan_one_server(void *userdata, const char *name, const struct cfg_line *before,
	const struct cfg_line *after)
{
	struct plan_pool *pool = userdata;
	struct plan_server old, new;

	if (before && after && pool->same_defaults && cfg_line_equal(before, after))
		return 0;
	if (!is_name(name)) {
		planner_obstacle(pool->planner, "%s %s: a server has no valid name",
			pool->after->keyword, pool->name);
		return 0;
	}
	if (before)
		old = plan_read_server(&pool->defaults_before, before);
	if (after)
		new = plan_read_server(&pool->defaults_after, after);
	if (!before)
		plan_added(pool, &new);
	else if (!after)
		plan_removed(pool, &old);
	else
		plan_changed_server(pool, &old, &new);
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

static bool is_same(const struct plan_pool *pool, bool (*is_wanted)(const struct cfg_line *))
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

static const struct cfg_line *next_of(
	const struct cfg_section *section, size_t *i, const json_t *names)
{
	const struct cfg_line *line;

	do
		line = next_line(section, i, cfg_line_is_server);
	while (line && !json_object_get(names, line->words[1]));
	return line;
}

/* Whether the servers that stay, stay in their order. */
static bool is_order_kept(struct plan_pool *pool)
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

void plan_pool(
	struct planner *planner, const struct cfg_section *before, const struct cfg_section *after)
{
	struct plan_pool pool = {
		.planner = planner, .before = before, .after = after, .name = after->name};
	size_t n_pools = strv_length(planner->pools);

	if (is_same(&pool, is_any_server))
		return;
	read_pool(&pool);
	pool.same_defaults = is_same(&pool, is_default);
	if (pool.odd || !is_name(pool.name)) {
		planner_obstacle(planner, "%s %s: servers changed", after->keyword, after->name);
		return;
	}
	if (strv_push(&planner->pools, &n_pools, strdup(pool.name)) < 0 ||
		cfg_compare_servers(before, after, plan_one_server, &pool) < 0)
		planner->failed = true;
	if (pool.in_order && !is_order_kept(&pool))
		planner_obstacle(
			planner, "%s %s: order of servers changed", after->keyword, after->name);
	json_decref(pool.up);
}
