/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/cfg.h"

#include <string.h>

#include "agent/base/text.h"

/* Configuration manual, chapters 3 and 4 and those after: words that begin a section. */
static const char *const section_keywords[] = {
	"global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "userlist", "mailers", "cache",
	"program", "http-errors", "ring", "log-forward", "log-profile", "fcgi-app", "crt-store", "traces", "acme",
	NULL};

static bool is_section(const char *word)
{
	for (const char *const *keyword = section_keywords; *keyword; keyword++)
		if (streq(*keyword, word))
			return true;
	return false;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One backslash escape outside of single quotes; "p" is at the backslash. */
static const char *take_escape(const char *p, const char *end, bool weak, struct text *word)
{
	if (p + 1 == end) {
		text_append_char(word, '\\');
		return p + 1;
	}
	switch (p[1]) {
	case 'n':
		text_append_char(word, '\n');
		return p + 2;
	case 'r':
		text_append_char(word, '\r');
		return p + 2;
	case 't':
		text_append_char(word, '\t');
		return p + 2;
	case '\\':
	case ' ':
	case '#':
	case '"':
	case '\'':
	case '$':
		/* A dollar is special between weak quotes only. */
		if (p[1] == '$' && !weak)
			text_append_char(word, '\\');
		text_append_char(word, p[1]);
		return p + 2;
	case 'x':
		if (end - p < 4 || hex_value(p[2]) < 0 || hex_value(p[3]) < 0 || (p[2] == '0' && p[3] == '0'))
			break;
		text_append_char(word, (char)(hex_value(p[2]) << 4 | hex_value(p[3])));
		return p + 4;
	}
	text_append_char(word, '\\');
	return p + 1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Whether it stands for itself, in a word and in the quotes it may be between. */
static bool is_plain(char c, char quote)
{
	if (c == '\\' || c == '"' || c == '\'' || c == '$')
		return false;
	return quote || (!is_blank(c) && c != '#');
}

/* One word from "p", which is at its first character. NULL for an unterminated quote. Sets *expands if an environment
 * variable is in it. */
static const char *take_word(const char *p, const char *end, struct text *word, bool *expands)
{
	char quote = '\0';

	while (p < end) {
		const char *plain = p;

		while (p < end && is_plain(*p, quote))
			p++;
		text_append_bytes(word, plain, (size_t)(p - plain));
		if (p == end || (!quote && (is_blank(*p) || *p == '#')))
			break;
		if (*p == '\\' && quote != '\'') {
			p = take_escape(p, end, quote == '"', word);
			continue;
		}
		if ((*p == '"' || *p == '\'') && (!quote || quote == *p))
			quote = quote ? '\0' : *p;
		else
			text_append_char(word, *p);
		*expands |= *p == '$' && quote == '"';
		p++;
	}
	return quote ? NULL : p;
}

/* Words are many and small, and go all at once: they are cut from large blocks. */
struct cfg_block {
	struct cfg_block *next;
	size_t used, size;
	max_align_t data[];
};

enum { BLOCK_BYTES = 64 * 1024 - 64 };

static void *take_room(struct cfg *cfg, size_t bytes)
{
	size_t aligned = (bytes + sizeof(char *) - 1) / sizeof(char *) * sizeof(char *);
	struct cfg_block *block = cfg->blocks;

	if (!block || block->size - block->used < aligned) {
		size_t size = aligned > BLOCK_BYTES ? aligned : BLOCK_BYTES;

		block = malloc(sizeof(*block) + size);
		if (!block)
			return NULL;
		*block = (struct cfg_block){.next = cfg->blocks, .size = size};
		cfg->blocks = block;
	}
	block->used += aligned;
	return (char *)block->data + block->used - aligned;
}

/* The words of "text", each with its NUL, behind the pointers to them. */
static char **make_words(struct cfg *cfg, const struct text *text, size_t n)
{
	size_t pointers = (n + 1) * sizeof(char *);
	char **words = take_room(cfg, pointers + text->length), *word;

	if (!words)
		return NULL;
	word = (char *)words + pointers;
	memcpy(word, text->data, text->length);
	for (size_t i = 0; i < n; i++) {
		words[i] = word;
		word += strlen(word) + 1;
	}
	words[n] = NULL;
	return words;
}

/* The line as it is written. */
static char *make_raw(struct cfg *cfg, const char *p, const char *end)
{
	size_t length = (size_t)(end - p);
	char *raw = take_room(cfg, length + 1);

	if (raw) {
		memcpy(raw, p, length);
		raw[length] = '\0';
	}
	return raw;
}

/* *ret_words is NULL for an empty line. -EBADMSG for an unterminated quote. "scratch" is for lines to share. */
static int split_line(struct cfg *cfg, const char *p, const char *end, struct text *scratch, char ***ret_words,
	bool *ret_expands)
{
	bool expands = false;
	size_t n = 0;

	text_truncate(scratch, 0);
	for (;; n++) {
		while (p < end && is_blank(*p))
			p++;
		if (p == end || *p == '#')
			break;
		p = take_word(p, end, scratch, &expands);
		if (!p)
			return -EBADMSG;
		text_append_char(scratch, '\0');
	}
	if (scratch->failed)
		return -ENOMEM;
	*ret_words = n > 0 ? make_words(cfg, scratch, n) : NULL;
	*ret_expands = expands;
	return n > 0 && !*ret_words ? -ENOMEM : 0;
}

static int add_section(struct cfg *cfg, const struct cfg_line *line)
{
	/* Grows by doubling, as lines do. */
	if ((cfg->n_sections & (cfg->n_sections - 1)) == 0) {
		size_t slots = cfg->n_sections ? cfg->n_sections * 2 : 1;
		struct cfg_section *grown = reallocarray(cfg->sections, slots, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		cfg->sections = grown;
	}
	cfg->sections[cfg->n_sections++] = (struct cfg_section){
		.keyword = line->words[0], .name = line->words[1] ? line->words[1] : "", .header = *line};
	return 0;
}

static int add_line(struct cfg_section *section, const struct cfg_line *line)
{
	/* Grows by doubling: a backend may have 10 000 lines. */
	if ((section->n_lines & (section->n_lines - 1)) == 0) {
		size_t slots = section->n_lines ? section->n_lines * 2 : 1;
		struct cfg_line *grown = reallocarray(section->lines, slots, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		section->lines = grown;
	}
	section->lines[section->n_lines++] = *line;
	return 0;
}

/* Whether a line may begin a section, told without taking it apart: a word that is quoted or escaped may be any. */
static bool may_begin_section(const char *p, const char *end)
{
	char word[32];
	size_t n = 0;

	while (p < end && is_blank(*p))
		p++;
	for (; p < end && is_plain(*p, '\0') && n < sizeof(word) - 1; p++)
		word[n++] = *p;
	word[n] = '\0';
	return (p < end && !is_blank(*p) && *p != '#') || is_section(word);
}

static bool is_left_empty(const struct cfg *cfg, char *const *pools)
{
	const struct cfg_section *section = cfg->n_sections ? &cfg->sections[cfg->n_sections - 1] : NULL;

	if (!pools || !section || (!streq(section->keyword, "backend") && !streq(section->keyword, "listen")))
		return false;
	STRV_FOREACH(name, pools)
		if (streq(*name, section->name))
			return false;
	return true;
}

int cfg_parse(const char *text, size_t length, struct cfg *ret, struct error *err)
{
	return cfg_parse_pools(text, length, NULL, ret, err);
}

int cfg_parse_pools(const char *text, size_t length, char *const *pools, struct cfg *ret, struct error *err)
{
	_cleanup_text_ struct text scratch = TEXT_INIT;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	const char *end = text + length;
	size_t number = 0;
	bool leave = false;

	for (const char *p = text; p < end;) {
		struct cfg_line line = {.number = ++number};
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *line_end = newline ? newline : end;
		bool expands = false;
		int r;

		if (leave && !may_begin_section(p, line_end)) {
			p = newline ? newline + 1 : end;
			continue;
		}
		r = split_line(&cfg, p, line_end, &scratch, &line.words, &expands);
		if (r == -EBADMSG)
			return error_set(err, ERROR_INVALID, NULL, "line %zu: a quote is not closed", number);
		if (r == 0 && expands) {
			line.raw = make_raw(&cfg, p, line_end);
			r = line.raw ? 0 : -ENOMEM;
		}
		p = newline ? newline + 1 : end;
		if (r == 0 && line.words) {
			if (is_section(line.words[0])) {
				r = add_section(&cfg, &line);
				leave = is_left_empty(&cfg, pools);
			} else if (cfg.n_sections == 0) {
				return error_set(err, ERROR_INVALID, NULL, "line %zu: \"%s\" is in no section",
					number, line.words[0]);
			} else if (!leave) {
				r = add_line(&cfg.sections[cfg.n_sections - 1], &line);
			}
		}
		if (r < 0)
			return error_set_errno(err, r, "reading a HAProxy configuration");
	}
	*ret = cfg;
	cfg = CFG_INIT;
	return 0;
}

void cfg_done(struct cfg *cfg)
{
	for (size_t i = 0; i < cfg->n_sections; i++)
		free(cfg->sections[i].lines);
	free(cfg->sections);
	while (cfg->blocks) {
		struct cfg_block *block = cfg->blocks;

		cfg->blocks = block->next;
		free(block);
	}
	*cfg = CFG_INIT;
}

const struct cfg_section *cfg_find(const struct cfg *cfg, const char *keyword, const char *name)
{
	for (size_t i = 0; i < cfg->n_sections; i++)
		if (streq(cfg->sections[i].keyword, keyword) && streq(cfg->sections[i].name, name))
			return &cfg->sections[i];
	return NULL;
}

bool cfg_line_equal(const struct cfg_line *a, const struct cfg_line *b)
{
	size_t i;

	for (i = 0; a->words[i] && b->words[i]; i++)
		if (!streq(a->words[i], b->words[i]))
			return false;
	return a->words[i] == b->words[i] && streq_null(a->raw, b->raw);
}

bool cfg_line_is_server(const struct cfg_line *line)
{
	return streq(line->words[0], "server") && line->words[1];
}

static int by_name(const void *a, const void *b)
{
	const struct cfg_line *const *x = a, *const *y = b;

	return strcmp((*x)->words[1], (*y)->words[1]);
}

static int sorted_servers(const struct cfg_section *section, const struct cfg_line ***ret, size_t *ret_n)
{
	const struct cfg_line **servers = calloc(section->n_lines + 1, sizeof(const struct cfg_line *));
	size_t n = 0;

	if (!servers)
		return -ENOMEM;
	for (size_t i = 0; i < section->n_lines; i++)
		if (cfg_line_is_server(&section->lines[i]))
			servers[n++] = &section->lines[i];
	qsort(servers, n, sizeof(const struct cfg_line *), by_name);
	*ret = servers;
	*ret_n = n;
	return 0;
}

int cfg_compare_servers(const struct cfg_section *before, const struct cfg_section *after,
	cfg_server_callback callback, void *userdata)
{
	_cleanup_free_ const struct cfg_line **old = NULL, **new = NULL;
	size_t n_old = 0, n_new = 0, i = 0, j = 0;
	int r;

	r = sorted_servers(before, &old, &n_old);
	if (r == 0)
		r = sorted_servers(after, &new, &n_new);
	while (r >= 0 && (i < n_old || j < n_new)) {
		int order = i == n_old ? 1 : j == n_new ? -1 : strcmp(old[i]->words[1], new[j]->words[1]);

		r = callback(userdata, order <= 0 ? old[i]->words[1] : new[j]->words[1],
			order <= 0 ? old[i] : NULL, order >= 0 ? new[j] : NULL);
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}
