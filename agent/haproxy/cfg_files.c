/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/cfg_files.h"

#include <string.h>

#include "agent/base/text.h"

/* Words after which the next one is the name of a file. */
static const struct {
	const char *word;
	enum cfg_file_kind kind;
	bool mixed;
} keywords[] = {
	{"crt", CFG_FILE_CERTIFICATE, false},
	{"crt-list", CFG_FILE_CERTIFICATE_LIST, false},
	{"ca-file", CFG_FILE_CA, false},
	{"ca-verify-file", CFG_FILE_CA, true},
	{"crl-file", CFG_FILE_CRL, false},
	{"-f", CFG_FILE_PATTERNS, false},
};

/* First words of lines, in any section, that bring in what a running HAProxy does not read again. */
static const char *const others[] = {
	"errorfile",
	"errorfiles",
	"http-errors",
	"lua-load",
	"lua-load-per-thread",
	"ssl-dh-param-file",
	"crt-base",
	"ca-base",
	"crt-store",
	"description-file",
	"parse-resolv-conf",
	"program",
};

static struct cfg_file *find(const struct cfg_files *files, const char *name)
{
	for (size_t i = 0; i < files->n_files; i++)
		if (streq(files->files[i].name, name))
			return &files->files[i];
	return NULL;
}

const struct cfg_file *cfg_files_get(const struct cfg_files *files, const char *name)
{
	return find(files, name);
}

/* '@' begins names that are no file: "@system-ca". */
static int add(struct cfg_files *files, const char *name, size_t length, enum cfg_file_kind kind, bool mixed)
{
	_cleanup_free_ char *copy = strndup(name, length);
	struct cfg_file *grown, *known;

	if (!copy)
		return -ENOMEM;
	if (copy[0] == '\0' || copy[0] == '@')
		return 0;
	known = find(files, copy);
	if (known) {
		known->mixed |= mixed || known->kind != kind;
		return 0;
	}
	grown = reallocarray(files->files, files->n_files + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	files->files = grown;
	grown[files->n_files++] = (struct cfg_file){TAKE_PTR(copy), kind, mixed};
	return 0;
}

/* "map(file)", "map_beg_ip(file,default)" among the converters of a sample expression, perhaps within a log format. */
static int add_maps(struct cfg_files *files, const char *word)
{
	for (const char *map = strstr(word, "map"); map; map = strstr(map + 1, "map")) {
		const char *open = map + strcspn(map, "(,) ");
		size_t length;
		int r;

		if (map != word && !strchr(",[", map[-1]))
			continue;
		if (*open != '(' || (open - map > 3 && map[3] != '_'))
			continue;
		length = strcspn(open + 1, ",)");
		r = add(files, open + 1, length, CFG_FILE_MAP, false);
		if (r < 0)
			return r;
	}
	return 0;
}

/* "-M" makes a map of an ACL's file. */
static bool has_word(const struct cfg_line *line, const char *wanted)
{
	STRV_FOREACH(word, line->words)
		if (streq(*word, wanted))
			return true;
	return false;
}

static int add_line(struct cfg_files *files, const struct cfg_line *line)
{
	for (size_t i = 0; i < ELEMENTSOF(others) && !files->other; i++)
		if (streq(line->words[0], others[i]))
			files->other = others[i];
	for (size_t i = 1; line->words[i]; i++) {
		int r = add_maps(files, line->words[i]);

		for (size_t j = 0; r == 0 && line->words[i + 1] && j < ELEMENTSOF(keywords); j++)
			if (streq(line->words[i], keywords[j].word))
				r = add(files, line->words[i + 1], strlen(line->words[i + 1]), keywords[j].kind,
					keywords[j].mixed ||
						(keywords[j].kind == CFG_FILE_PATTERNS && has_word(line, "-M")));
		if (r < 0)
			return r;
	}
	return 0;
}

int cfg_files_find(const struct cfg *cfg, struct cfg_files *ret)
{
	_cleanup_cfg_files_ struct cfg_files files = CFG_FILES_INIT;

	for (size_t i = 0; i < cfg->n_sections; i++) {
		for (size_t j = 0; j < ELEMENTSOF(others) && !files.other; j++)
			if (streq(cfg->sections[i].keyword, others[j]))
				files.other = others[j];
		for (size_t j = 0; j < cfg->sections[i].n_lines; j++) {
			int r = add_line(&files, &cfg->sections[i].lines[j]);

			if (r < 0)
				return r;
		}
	}
	*ret = files;
	files = CFG_FILES_INIT;
	return 0;
}

/* A line is "file [options] filters…"; "#" begins a comment. */
int cfg_files_add_listed(struct cfg_files *files, const char *list)
{
	for (const char *line = list; *line; line += strcspn(line, "\n"), line += *line ? 1 : 0) {
		const char *name = line + strspn(line, " \t");
		int r;

		if (*name == '#' || *name == '\n' || *name == '\r' || *name == '\0')
			continue;
		r = add(files, name, strcspn(name, " \t\r\n["), CFG_FILE_CERTIFICATE, false);
		if (r < 0)
			return r;
	}
	return 0;
}

void cfg_files_done(struct cfg_files *files)
{
	for (size_t i = 0; i < files->n_files; i++)
		free(files->files[i].name);
	free(files->files);
	*files = CFG_FILES_INIT;
}
