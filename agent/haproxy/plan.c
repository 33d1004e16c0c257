/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <string.h>

#include "agent/base/secret.h"
#include "agent/base/text.h"

enum {
	BUFFER_SIZE = 16384,  /* HAProxy's default for tune.bufsize */
	COMMAND_MARGIN = 512, /* of it is left free */
	STEPS_MAX = 10000,    /* a reload is quicker */
	HAPROXY_MAXCONN_MAX = INT32_MAX,
};

const struct cfg_section *plan_defaults_of(const struct cfg *cfg, const struct cfg_section *section)
{
	char *const *words = section->header.words;
	const struct cfg_section *found = NULL;
	const char *from = NULL;

	for (size_t i = 0; words[i] && words[i + 1]; i++)
		if (i >= 2 && streq(words[i], "from"))
			from = words[i + 1];
	for (const struct cfg_section *s = cfg->sections; s < section; s++)
		if (streq(s->keyword, "defaults") && (!from || streq(s->name, from)))
			found = s;
	return found;
}

static const struct cfg_line *last_setting(
	const struct cfg_section *section, const char *keyword, const char *second)
{
	for (size_t i = section->n_lines; i > 0; i--) {
		char *const *words = section->lines[i - 1].words;

		if (streq(words[0], keyword) && (!second || (words[1] && streq(words[1], second))))
			return &section->lines[i - 1];
	}
	return NULL;
}

const struct cfg_line *plan_setting(const struct cfg *cfg, const struct cfg_section *section,
	const char *keyword, const char *second)
{
	const struct cfg_line *line = last_setting(section, keyword, second);
	const struct cfg_section *defaults = line ? NULL : plan_defaults_of(cfg, section);

	return defaults ? last_setting(defaults, keyword, second) : line;
}

bool plan_is_pool(const struct cfg_section *section)
{
	return streq(section->keyword, "backend") || streq(section->keyword, "listen");
}

bool plan_is_http(const struct cfg *cfg, const struct cfg_section *section)
{
	const struct cfg_line *mode = plan_setting(cfg, section, "mode", NULL);

	return mode && mode->words[1] && streq(mode->words[1], "http");
}

/* Positive, as a configuration has it; 0 for anything else. */
static int64_t limit_of(const struct cfg_line *line)
{
	int64_t value;

	if (!line->words[1] || line->words[2] || line->words[1][0] < '0' ||
		line->words[1][0] > '9' || text_to_int64(line->words[1], &value) < 0 ||
		value <= 0 || value > HAPROXY_MAXCONN_MAX)
		return 0;
	return value;
}

static bool uses_word(const struct cfg *cfg, const char *word)
{
	for (size_t i = 0; i < cfg->n_sections; i++)
		for (size_t j = 0; j < cfg->sections[i].n_lines; j++)
			STRV_FOREACH (w, cfg->sections[i].lines[j].words)
				if (streq(*w, word))
					return true;
	return false;
}

/*
 * A limit of connections. "fullconn", and what HAProxy makes of the frontends' limits where there
 * is none, is of use for servers with a "minconn" only; without one nothing but a figure in the
 * statistics tells of it. The backlog of a listening socket stays what it was until the next
 * reload.
 */
static bool plan_limit(struct planner *planner, const struct cfg_section *section,
	const struct cfg_line *before, const struct cfg_line *after)
{
	int64_t old = limit_of(before), new = limit_of(after);

	if (!streq(before->words[0], after->words[0]) || old == 0 || new == 0 || before->raw ||
		after->raw)
		return false;
	if (streq(after->words[0], "fullconn") && plan_is_pool(section))
		return !uses_word(&planner->new, "minconn");
	if (!streq(after->words[0], "maxconn"))
		return false;
	if (streq(section->keyword, "global")) {
		if (new > old &&
			(planner->input->hard_maxconn == 0 || new > planner->input->hard_maxconn))
			return false;
		planner_change(planner, "global: maxconn changed");
		planner_quiet_step(
			planner, PLAN_PHASE_LIMIT, "set maxconn global %lld", (long long)new);
		return true;
	}
	if ((streq(section->keyword, "frontend") || streq(section->keyword, "listen")) &&
		!uses_word(&planner->new, "minconn")) {
		_cleanup_free_ char *name = plan_word(planner, section->name);

		if (!name)
			return false;
		planner_change(planner, "%s %s: maxconn changed", section->keyword, section->name);
		planner_quiet_step(planner, PLAN_PHASE_LIMIT, "set maxconn frontend %s %lld", name,
			(long long)new);
		return true;
	}
	return false;
}

/* Lines that plan_pool() looks at. */
static bool is_server_line(const struct cfg_section *section, const struct cfg_line *line)
{
	return plan_is_pool(section) &&
	       (cfg_line_is_server(line) || streq(line->words[0], "default-server") ||
		       streq(line->words[0], "server-template"));
}

/*
 * How much memory a new worker sets aside is of no use to the one that runs: the next reload, for
 * whatever reason, follows it. Octavia from 12.0 sizes the cache anew in every upload by what
 * memory is free at that moment (jinja_cfg.py, render_loadbalancer_obj()).
 */
static bool waits_for_reload(const struct cfg_section *section, const struct cfg_line *line)
{
	return streq(section->keyword, "global") && streq(line->words[0], "tune.ssl.cachesize");
}

static const struct cfg_line *next_other_line(const struct cfg_section *section, size_t *i)
{
	while (*i < section->n_lines && (is_server_line(section, &section->lines[*i]) ||
						waits_for_reload(section, &section->lines[*i])))
		(*i)++;
	return *i < section->n_lines ? &section->lines[(*i)++] : NULL;
}

/* The first line, servers apart and what waits, in which two sections differ, named by its keyword. */
static void compare_other_lines(
	struct planner *planner, const struct cfg_section *old, const struct cfg_section *new)
{
	size_t i = 0, j = 0;

	for (;;) {
		const struct cfg_line *before = next_other_line(old, &i),
				      *after = next_other_line(new, &j);

		if (!before && !after)
			return;
		if (before && after &&
			(cfg_line_equal(before, after) || plan_limit(planner, new, before, after)))
			continue;
		planner_obstacle(planner, "%s%s%s: \"%s\" changed", new->keyword,
			new->name[0] ? " " : "", new->name,
			after ? after->words[0] : before->words[0]);
		return;
	}
}

static void compare_section(
	struct planner *planner, const struct cfg_section *old, const struct cfg_section *new)
{
	if (!cfg_line_equal(&old->header, &new->header)) {
		planner_obstacle(
			planner, "%s %s: \"%s\" changed", new->keyword, new->name, new->keyword);
		return;
	}
	compare_other_lines(planner, old, new);
	if (plan_is_pool(new))
		plan_pool(planner, old, new);
}

/* With other sections, or the same in another order, nothing can be done at run time; what there is
 * to say is said. */
static void name_other_sections(struct planner *planner)
{
	const struct cfg *old = &planner->old, *new = &planner->new;
	size_t found = planner->obstacles.total;

	for (size_t i = 0; i < new->n_sections; i++) {
		const struct cfg_section *section = &new->sections[i];
		const struct cfg_section *before = cfg_find(old, section->keyword, section->name);

		if (before)
			compare_section(planner, before, section);
		else
			planner_obstacle(planner, "%s %s: added", section->keyword, section->name);
	}
	for (size_t i = 0; i < old->n_sections; i++)
		if (!cfg_find(new, old->sections[i].keyword, old->sections[i].name))
			planner_obstacle(planner, "%s %s: removed", old->sections[i].keyword,
				old->sections[i].name);
	if (planner->obstacles.total == found)
		planner_obstacle(planner, "order of sections changed");
}

static bool has_same_sections(const struct cfg *old, const struct cfg *new)
{
	if (old->n_sections != new->n_sections)
		return false;
	for (size_t i = 0; i < new->n_sections; i++)
		if (!streq(old->sections[i].keyword, new->sections[i].keyword) ||
			!streq(old->sections[i].name, new->sections[i].name))
			return false;
	return true;
}

/* Manual, 2.4 "Conditional blocks": which lines count is HAProxy's to say. */
static bool has_conditions(const struct cfg *cfg)
{
	for (size_t i = 0; i < cfg->n_sections; i++)
		for (size_t j = 0; j < cfg->sections[i].n_lines; j++)
			if (cfg->sections[i].lines[j].words[0][0] == '.')
				return true;
	return false;
}

static void compare(struct planner *planner)
{
	if (has_conditions(&planner->old) || has_conditions(&planner->new))
		planner_obstacle(planner, "the configuration changed, and has conditional blocks");
	if (!has_same_sections(&planner->old, &planner->new)) {
		name_other_sections(planner);
		return;
	}
	for (size_t i = 0; i < planner->new.n_sections; i++)
		compare_section(planner, &planner->old.sections[i], &planner->new.sections[i]);
}

static void read_command_limit(struct planner *planner)
{
	int64_t size = BUFFER_SIZE;

	for (size_t i = 0; i < planner->old.n_sections; i++) {
		const struct cfg_line *line =
			streq(planner->old.sections[i].keyword, "global")
				? last_setting(&planner->old.sections[i], "tune.bufsize", NULL)
				: NULL;

		if (line && limit_of(line) > 0 && limit_of(line) < size)
			size = limit_of(line);
	}
	planner->command_limit =
		size > 2 * COMMAND_MARGIN ? (size_t)size - COMMAND_MARGIN : COMMAND_MARGIN;
}

/* Those of the input that did not come back. A name that the configuration has is no longer among
 * them. */
static int keep_leaving(struct planner *planner)
{
	const struct plan_input *input = planner->input;
	json_auto_t *names = json_object();
	int r = input->n_leaving > 0 ? plan_server_names(&planner->new, names) : 0;

	for (size_t i = 0; r == 0 && i < input->n_leaving; i++) {
		const struct plan_leaving *leaving = &input->leaving[i];
		_cleanup_free_ char *key = plan_server_key(leaving->backend, leaving->server);
		char *line = leaving->line ? strdup(leaving->line) : NULL;

		if (!key || (leaving->line && !line)) {
			free(line);
			return -ENOMEM;
		}
		if (json_object_get(names, key))
			free(line);
		else
			planner_add_leaving(
				planner, leaving->backend, leaving->server, line, leaving->keep);
	}
	return r;
}

static void steps_free(struct plan_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		secret_free(steps[i].command);
		free(steps[i].shown);
		free(steps[i].name.backend);
		free(steps[i].name.server);
	}
	free(steps);
}

static void reasons_done(struct plan_reasons *reasons)
{
	for (size_t i = 0; i < reasons->n; i++)
		free(reasons->list[i]);
	*reasons = (struct plan_reasons){0};
}

static void planner_done(struct planner *planner)
{
	for (size_t i = 0; i < PLAN_N_PHASES; i++)
		steps_free(planner->phases[i].steps, planner->phases[i].n);
	for (size_t i = 0; i < PLAN_N_SIDES; i++) {
		cfg_files_done(&planner->named[i].files);
		json_decref(planner->named[i].index);
	}
	plan_leaving_free(planner->leaving, planner->n_leaving);
	strv_free(planner->pools);
	reasons_done(&planner->changes);
	reasons_done(&planner->obstacles);
	cfg_done(&planner->old);
	cfg_done(&planner->new);
}

static int take_reasons(struct plan_reasons *reasons, char ***ret)
{
	char **list = calloc(reasons->n + 2, sizeof(*list));

	if (!list)
		return -ENOMEM;
	if (reasons->total > reasons->n &&
		asprintf(&list[reasons->n], "and %zu more", reasons->total - reasons->n) < 0) {
		free(list);
		return -ENOMEM;
	}
	memcpy(list, reasons->list, reasons->n * sizeof(*list));
	reasons->n = 0;
	*ret = list;
	return 0;
}

static size_t count_steps(const struct planner *planner)
{
	size_t n = 0;

	for (size_t i = 0; i < PLAN_N_PHASES; i++)
		n += planner->phases[i].n;
	return n;
}

static int take_steps(struct planner *planner, struct plan *plan)
{
	struct plan_step *steps = calloc(count_steps(planner) + 1, sizeof(*steps));

	if (!steps)
		return -ENOMEM;
	plan->steps = steps;
	for (size_t i = 0; i < PLAN_N_PHASES; i++) {
		struct plan_phase_steps *phase = &planner->phases[i];

		if (phase->n > 0)
			memcpy(steps + plan->n_steps, phase->steps, phase->n * sizeof(*steps));
		plan->n_steps += phase->n;
		phase->n = 0;
	}
	plan->leaving = TAKE_PTR(planner->leaving);
	plan->n_leaving = planner->n_leaving;
	planner->n_leaving = 0;
	return 0;
}

static int finish(struct planner *planner, struct plan *ret)
{
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct plan_reasons *reasons = &planner->changes;
	size_t n_steps = count_steps(planner);
	int r;

	if (planner->obstacles.total == 0 && n_steps > STEPS_MAX)
		planner_obstacle(planner, "%zu changes at once", planner->changes.total);
	if (planner->obstacles.total > 0) {
		plan.action = PLAN_RELOAD;
		reasons = &planner->obstacles;
	} else if (planner->changes.total > 0) {
		plan.action = planner->input->runtime_updates ? PLAN_RUNTIME : PLAN_RELOAD;
	}
	r = take_reasons(reasons, &plan.reasons);
	if (r == 0 && plan.action != PLAN_RELOAD)
		r = take_steps(planner, &plan);
	if (r < 0)
		return r;
	if (plan.action == PLAN_RUNTIME)
		plan.pools = TAKE_PTR(planner->pools);
	*ret = plan;
	plan = PLAN_INIT;
	return 0;
}

static int start_plan(struct plan *ret)
{
	struct plan plan = {.action = PLAN_START, .reasons = calloc(2, sizeof(*plan.reasons))};

	if (plan.reasons)
		plan.reasons[0] = strdup("HAProxy does not run");
	if (!plan.reasons || !plan.reasons[0]) {
		plan_done(&plan);
		return -ENOMEM;
	}
	*ret = plan;
	return 0;
}

int plan_make(const struct plan_input *input, struct plan *ret, struct error *err)
{
	_cleanup_(planner_done) struct planner planner = {
		.input = input, .can = plan_capabilities_of(&input->version)};
	int r;

	if (!input->running) {
		r = start_plan(ret);
		return r < 0 ? error_set_errno(err, r, "plan") : 0;
	}
	r = cfg_parse(input->wanted, input->wanted_length, &planner.new, err);
	if (r < 0)
		return r;
	/* What runs was accepted by HAProxy; if we cannot read it, all we know is that it differs.
	 */
	if (cfg_parse(input->running, input->running_length, &planner.old, NULL) < 0) {
		planner_obstacle(&planner, "the running configuration differs");
	} else {
		read_command_limit(&planner);
		if (input->running_length != input->wanted_length ||
			memcmp(input->running, input->wanted, input->wanted_length) != 0)
			compare(&planner);
		plan_files(&planner);
	}
	r = keep_leaving(&planner);
	if (r == 0 && planner.failed)
		r = -ENOMEM;
	if (r == 0)
		r = finish(&planner, ret);
	return r < 0 ? error_set_errno(err, r, "plan") : 0;
}

void plan_done(struct plan *plan)
{
	steps_free(plan->steps, plan->n_steps);
	plan_leaving_free(plan->leaving, plan->n_leaving);
	strv_free(plan->pools);
	strv_free(plan->reasons);
	*plan = PLAN_INIT;
}

const char *plan_action_name(enum plan_action action)
{
	static const char *const names[] = {
		[PLAN_NONE] = "none",
		[PLAN_RUNTIME] = "runtime",
		[PLAN_RELOAD] = "reload",
		[PLAN_START] = "start",
	};

	return names[action];
}
