/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/cfg.h"

#include <string.h>

#include "agent/base/text.h"

/* Configuration manual, 12.1 "Userlists": what follows is a password, hashed or not. */
static bool is_password(const char *word)
{
	return streq(word, "password") || streq(word, "insecure-password");
}

static bool has_password(const struct cfg_line *line)
{
	if (!streq(line->words[0], "user") || !line->words[1])
		return false;
	STRV_FOREACH(word, line->words + 2)
		if (is_password(*word) && word[1])
			return true;
	return false;
}

/* So that it is read as the same word: between single quotes every character stands for itself (configuration manual, 2.2). A
 * control character, which an escape may stand for, is no part of a name: such a word is hidden, too. */
static void append_word(struct text *shown, const char *word)
{
	if (text_has_control(word, strlen(word))) {
		text_append(shown, CFG_HIDDEN);
		return;
	}
	if (*word && !strpbrk(word, " #\"'\\$")) {
		text_append(shown, word);
		return;
	}
	text_append_char(shown, '\'');
	for (const char *p = word; *p; p++)
		if (*p == '\'')
			text_append(shown, "'\\''");
		else
			text_append_char(shown, *p);
	text_append_char(shown, '\'');
}

static void append_hidden(struct text *shown, const struct cfg_line *line)
{
	bool hidden = false;

	text_append(shown, "   ");
	STRV_FOREACH(word, line->words) {
		text_append_char(shown, ' ');
		append_word(shown, hidden ? CFG_HIDDEN : *word);
		hidden = !hidden && word > line->words + 1 && is_password(*word);
	}
	text_append_char(shown, '\n');
}

/* The text up to the line of that number, from 1. */
static const char *copy_to_line(struct text *shown, const char *p, const char *end, size_t *number, size_t wanted)
{
	const char *start = p;

	for (; *number < wanted && p < end; (*number)++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		p = newline ? newline + 1 : end;
	}
	text_append_bytes(shown, start, (size_t)(p - start));
	return p;
}

static const char *hide_in_section(
	struct text *shown, const struct cfg_section *section, const char *p, const char *end, size_t *number)
{
	for (size_t i = 0; i < section->n_lines; i++) {
		const char *newline;

		if (!has_password(&section->lines[i]))
			continue;
		p = copy_to_line(shown, p, end, number, section->lines[i].number);
		append_hidden(shown, &section->lines[i]);
		newline = memchr(p, '\n', (size_t)(end - p));
		p = newline ? newline + 1 : end;
		(*number)++;
	}
	return p;
}

int cfg_hide_secrets(char **text, size_t *length, struct error *err)
{
	const char *p = *text, *end = *text + *length;
	_cleanup_text_ struct text shown = TEXT_INIT;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	char *result;
	size_t number = 1;
	int r;

	if (!memmem(*text, *length, "userlist", strlen("userlist")))
		return 0;
	r = cfg_parse(*text, *length, &cfg, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < cfg.n_sections; i++)
		if (streq(cfg.sections[i].keyword, "userlist"))
			p = hide_in_section(&shown, &cfg.sections[i], p, end, &number);
	text_append_bytes(&shown, p, (size_t)(end - p));
	r = text_finish(&shown, &result, length);
	if (r < 0)
		return error_set_errno(err, r, "haproxy.cfg");
	free(*text);
	*text = result;
	return 0;
}
