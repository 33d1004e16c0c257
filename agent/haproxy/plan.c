/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan.h"

#include <stdarg.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg.h"

struct reasons {
	char *list[PLAN_MAX_REASONS];
	size_t n;     /* in the list */
	size_t total; /* found */
	bool failed;
};

static void add_reason(struct reasons *reasons, const char *format, ...) _printf_(2, 3);

static void add_reason(struct reasons *reasons, const char *format, ...)
{
	va_list arguments;
	char *reason = NULL;

	reasons->total++;
	if (reasons->n == PLAN_MAX_REASONS - 1)
		return;
	va_start(arguments, format);
	if (vasprintf(&reason, format, arguments) < 0)
		reason = NULL;
	va_end(arguments);
	if (reason)
		reasons->list[reasons->n++] = reason;
	else
		reasons->failed = true;
}

static int finish_reasons(struct reasons *reasons, char ***ret)
{
	char **list;

	if (reasons->total > reasons->n && !reasons->failed) {
		char *rest = NULL;

		if (asprintf(&rest, "and %zu more", reasons->total - reasons->n) < 0)
			reasons->failed = true;
		else
			reasons->list[reasons->n++] = rest;
	}
	list = reasons->failed ? NULL : calloc(reasons->n + 1, sizeof(*list));
	if (!list) {
		for (size_t i = 0; i < reasons->n; i++)
			free(reasons->list[i]);
		return -ENOMEM;
	}
	memcpy(list, reasons->list, reasons->n * sizeof(*list));
	*ret = list;
	return 0;
}

struct comparison {
	const struct cfg_section *section;
	struct reasons *reasons;
};

static int compare_server(void *userdata, const char *name, const struct cfg_line *before, const struct cfg_line *after)
{
	struct comparison *comparison = userdata;

	if (before && after && cfg_line_equal(before, after))
		return 0;
	add_reason(comparison->reasons, "%s %s: server %s %s", comparison->section->keyword,
		comparison->section->name, name, !before ? "added" : !after ? "removed" : "changed");
	return 0;
}

static const struct cfg_line *next_other_line(const struct cfg_section *section, size_t *i)
{
	while (*i < section->n_lines && cfg_line_is_server(&section->lines[*i]))
		(*i)++;
	return *i < section->n_lines ? &section->lines[(*i)++] : NULL;
}

/* The first line, servers apart, in which two sections differ, named by its keyword. */
static void compare_other_lines(const struct cfg_section *old, const struct cfg_section *new, struct reasons *reasons)
{
	size_t i = 0, j = 0;

	for (;;) {
		const struct cfg_line *before = next_other_line(old, &i), *after = next_other_line(new, &j);

		if (!before && !after)
			return;
		if (before && after && cfg_line_equal(before, after))
			continue;
		add_reason(reasons, "%s%s%s: \"%s\" changed", new->keyword, new->name[0] ? " " : "", new->name,
			after ? after->words[0] : before->words[0]);
		return;
	}
}

static int compare(const struct cfg *old, const struct cfg *new, struct reasons *reasons)
{
	for (size_t i = 0; i < new->n_sections; i++) {
		const struct cfg_section *section = &new->sections[i];
		const struct cfg_section *before = cfg_find(old, section->keyword, section->name);
		struct comparison comparison = {section, reasons};
		size_t found = reasons->total;

		if (!before) {
			add_reason(reasons, "%s %s: added", section->keyword, section->name);
			continue;
		}
		compare_other_lines(before, section, reasons);
		if (cfg_compare_servers(before, section, compare_server, &comparison) < 0)
			return -ENOMEM;
		/* Servers in another order: the text differs, so HAProxy would too. */
		if (reasons->total == found && before->n_lines == section->n_lines)
			for (size_t j = 0; j < section->n_lines; j++)
				if (!cfg_line_equal(&before->lines[j], &section->lines[j])) {
					add_reason(reasons, "%s %s: order of servers changed", section->keyword,
						section->name);
					break;
				}
	}
	for (size_t i = 0; i < old->n_sections; i++)
		if (!cfg_find(new, old->sections[i].keyword, old->sections[i].name))
			add_reason(reasons, "%s %s: removed", old->sections[i].keyword, old->sections[i].name);
	return 0;
}

int plan_make(const struct plan_input *input, struct plan *ret, struct error *err)
{
	_cleanup_cfg_ struct cfg old = CFG_INIT, new = CFG_INIT;
	struct reasons reasons = {0};
	struct plan plan = PLAN_INIT;
	int r;

	if (!input->running) {
		add_reason(&reasons, "HAProxy does not run");
		plan.action = PLAN_START;
	} else if (input->running_length != input->wanted_length ||
		memcmp(input->running, input->wanted, input->wanted_length) != 0) {
		r = cfg_parse(input->wanted, input->wanted_length, &new, err);
		if (r < 0)
			return r;
		/* What runs was accepted by HAProxy; if we cannot read it, all we know is that it differs. */
		if (cfg_parse(input->running, input->running_length, &old, NULL) < 0)
			add_reason(&reasons, "the running configuration differs");
		else
			r = compare(&old, &new, &reasons);
		if (r < 0)
			reasons.failed = true;
		if (reasons.total == 0)
			add_reason(&reasons, "only the layout of the configuration changed");
		plan.action = PLAN_RELOAD;
	}
	for (size_t i = 0; i < input->n_files; i++) {
		add_reason(&reasons, "%s changed", input->files[i].name);
		if (plan.action == PLAN_NONE)
			plan.action = PLAN_RELOAD;
	}
	r = finish_reasons(&reasons, &plan.reasons);
	if (r < 0)
		return error_set_errno(err, r, "plan");
	*ret = plan;
	return 0;
}

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		free_secret(plan->steps[i].command);
		free(plan->steps[i].shown);
		free(plan->steps[i].name.backend);
		free(plan->steps[i].name.server);
	}
	free(plan->steps);
	plan_leaving_free(plan->leaving, plan->n_leaving);
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
