/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <string.h>

/*
 * What a file that differs is for, told by the lines that name it.
 */

enum use {
	USE_ACL = 1 << 0,
	USE_MAP = 1 << 1,
	USE_CRT_LIST = 1 << 2,
	USE_CRT = 1 << 3,
	USE_CA = 1 << 4,
	USE_CRL = 1 << 5,
	USE_OTHER = 1 << 6,
};

/* The word before its name. */
static const struct use_row {
	const char *keyword;
	enum use use;
} use_rows[] = {
	{"-f", USE_ACL},
	{"crt-list", USE_CRT_LIST},
	{"crt", USE_CRT},
	{"ca-file", USE_CA},
	{"crl-file", USE_CRL},
};

static unsigned use_after(const char *keyword)
{
	for (size_t i = 0; i < ELEMENTSOF(use_rows); i++)
		if (streq(use_rows[i].keyword, keyword))
			return use_rows[i].use;
	return USE_OTHER;
}

static bool is_word_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* "map_ip(NAME,default)" somewhere in an expression (configuration manual, 7.3.1). */
static unsigned use_in_expression(const char *word, const char *name)
{
	size_t length = strlen(name);
	unsigned uses = 0;

	for (const char *p = strstr(word, name); p; p = strstr(p + 1, name)) {
		const char *start = p - (p > word);

		if (p == word || *start != '(' || (p[length] != ',' && p[length] != ')'))
			continue;
		while (start > word && is_word_character(start[-1]))
			start--;
		uses |= strncmp(start, "map", 3) == 0 ? USE_MAP : USE_OTHER;
	}
	return uses;
}

static bool has_word(const struct cfg_line *line, const char *wanted)
{
	STRV_FOREACH(word, line->words)
		if (streq(*word, wanted))
			return true;
	return false;
}

static unsigned use_in_reference(const struct plan_reference *reference, const char *name)
{
	size_t length = strlen(name), n;
	unsigned use;

	if (streq(reference->word, name)) {
		use = use_after(reference->before);
		/* "-M" makes a map of an ACL's file. */
		return use == USE_ACL && has_word(reference->line, "-M") ? USE_OTHER : use;
	}
	if (streq(reference->before, "crt")) {
		n = strlen(reference->word);
		/* A folder, or what is loaded beside a certificate: "NAME.key", "NAME.ocsp" … */
		if (n > 0 && n < length && strncmp(name, reference->word, n) == 0)
			return name[n] == '/' || name[n - 1] == '/' ? USE_CRT : name[n] == '.' ? USE_OTHER : 0;
	}
	return use_in_expression(reference->word, name);
}

static unsigned uses_of(const struct plan_references *references, const char *name)
{
	unsigned uses = 0;

	for (size_t i = 0; i < references->n; i++)
		uses |= use_in_reference(&references->list[i], name);
	return uses;
}

static int add_reference(struct plan_references *references, const struct cfg_line *line, size_t i)
{
	struct plan_reference *list = references->list;

	if ((references->n & (references->n - 1)) == 0) {
		list = reallocarray(list, references->n ? references->n * 2 : 1, sizeof(*list));
		if (!list)
			return -ENOMEM;
		references->list = list;
	}
	list[references->n++] = (struct plan_reference){line->words[i], line->words[i - 1], line};
	return 0;
}

static bool is_reference(const struct cfg_section *section, const struct cfg_line *line, size_t i)
{
	/* There are many of these, and they name no other files. */
	return !plan_is_pool(section) || !cfg_line_is_server(line) || use_after(line->words[i - 1]) != USE_OTHER;
}

/* The same files in one server's line after the other are noted once. */
static bool is_repeated(const struct plan_references *references, const struct cfg_line *line, size_t i)
{
	for (size_t j = references->n; j > 0 && references->n - j < 4; j--)
		if (streq(references->list[j - 1].word, line->words[i]) &&
			streq(references->list[j - 1].before, line->words[i - 1]))
			return cfg_line_is_server(line);
	return false;
}

static int find_references(struct planner *planner, const struct cfg *cfg, struct plan_references *references)
{
	size_t n_files = planner->input->n_files;
	int r = 0;

	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *section = &cfg->sections[i];

		for (size_t j = 0; j < section->n_lines; j++)
			for (size_t k = 1; r == 0 && section->lines[j].words[k]; k++)
				if (is_reference(section, &section->lines[j], k) &&
					!is_repeated(references, &section->lines[j], k))
					r = add_reference(references, &section->lines[j], k);
	}
	references->uses = calloc(n_files + 1, sizeof(*references->uses));
	if (r < 0 || !references->uses)
		return -ENOMEM;
	for (size_t i = 0; i < n_files; i++)
		references->uses[i] = uses_of(references, planner->input->files[i].name);
	return 0;
}

const struct plan_file *plan_find_file(const struct planner *planner, const char *name)
{
	for (size_t i = 0; i < planner->input->n_files; i++)
		if (streq(planner->input->files[i].name, name))
			return &planner->input->files[i];
	return NULL;
}

/* Configuration manual, "crt-list": a certificate in each line, then its settings in brackets, then the names it is for. */
int plan_each_crt(const char *content, plan_line_callback callback, void *userdata)
{
	for (const char *line = content; *line;) {
		size_t length = strcspn(line, "\r\n"), start = strspn(line, " \t");

		if (start < length && line[start] != '#') {
			_cleanup_free_ char *copy = strndup(line + start, length - start), *name = NULL;
			size_t end = copy ? strlen(copy) : 0;

			while (end > 0 && (copy[end - 1] == ' ' || copy[end - 1] == '\t'))
				copy[--end] = '\0';
			name = copy ? strndup(copy, strcspn(copy, " \t[")) : NULL;
			if (!name)
				return -ENOMEM;
			callback(userdata, name, copy);
		}
		line += length;
		line += strspn(line, "\r\n");
	}
	return 0;
}

struct search {
	const char *name;
	bool found;
};

static void note_found(void *userdata, const char *name, const char *line)
{
	struct search *search = userdata;

	(void)line;
	search->found |= streq(search->name, name);
}

bool plan_uses_crt(struct planner *planner, enum plan_side side, const char *name)
{
	const struct plan_references *references = &planner->references[side];
	struct search search = {name, false};

	if (uses_of(references, name) & USE_CRT)
		return true;
	for (size_t i = 0; i < planner->input->n_files && !search.found; i++) {
		const struct plan_file *file = &planner->input->files[i];
		const char *content = side == PLAN_RUNNING ? file->before : file->after;

		if ((references->uses[i] & USE_CRT_LIST) && content && plan_each_crt(content, note_found, &search) < 0)
			planner->failed = true;
	}
	return search.found;
}

static void plan_file(struct planner *planner, const struct plan_file *file, unsigned uses)
{
	if (plan_uses_crt(planner, PLAN_RUNNING, file->name) && plan_uses_crt(planner, PLAN_WANTED, file->name))
		uses |= USE_CRT;
	if (uses != 0 && (!file->after || !file->before) && !(uses & USE_CRT))
		uses |= USE_OTHER;
	switch (uses) {
	case 0:
		/* Nothing reads it; what comes to a crt-list or leaves one is seen there. */
		break;
	case USE_ACL:
		plan_pattern_file(planner, file, false);
		break;
	case USE_MAP:
		plan_pattern_file(planner, file, true);
		break;
	case USE_CRT_LIST:
		plan_crt_list(planner, file);
		break;
	case USE_CRT:
		plan_certificate(planner, file);
		break;
	case USE_CA:
		plan_ca_file(planner, file, false);
		break;
	case USE_CRL:
		plan_ca_file(planner, file, true);
		break;
	default:
		planner_obstacle(planner, "%s changed", file->name);
	}
}

void plan_files(struct planner *planner)
{
	const struct plan_input *input = planner->input;

	if (input->n_files == 0)
		return;
	if (find_references(planner, &planner->old, &planner->references[PLAN_RUNNING]) < 0 ||
		find_references(planner, &planner->new, &planner->references[PLAN_WANTED]) < 0) {
		planner->failed = true;
		return;
	}
	for (size_t i = 0; i < input->n_files; i++)
		if (!streq_null(input->files[i].before, input->files[i].after))
			plan_file(planner, &input->files[i], planner->references[PLAN_WANTED].uses[i]);
}
