/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/complete.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGUMENTS = 64 };

void completion_done(struct completion *completion)
{
	strv_free(completion->words);
	*completion = COMPLETION_INIT;
}

char *completion_unquote(const char *word)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char quote = '\0', *result;

	for (; *word; word++) {
		if (*word == quote)
			quote = '\0';
		else if (!quote && (*word == '"' || *word == '\''))
			quote = *word;
		else if (*word == '\\' && quote != '\'' && word[1])
			text_append_char(&text, *++word);
		else
			text_append_char(&text, *word);
	}
	return text_finish(&text, &result, NULL) < 0 ? NULL : result;
}

/* The command line so far. */
struct line {
	const struct command *commands; /* among which the next word is looked for; NULL: arguments follow */
	const struct command *command;
	const struct option_row *global;
	const char *arguments[MAX_ARGUMENTS];
	size_t n_arguments;
	bool options_end; /* "--" */
	bool lost;        /* a command that there is not */
};

static const struct option_row *find_option(const struct line *line, const char *name, size_t length)
{
	const struct option_row *const tables[] = {line->command ? line->command->options : NULL, line->global};

	for (size_t i = 0; i < ELEMENTSOF(tables); i++)
		for (const struct option_row *row = tables[i]; row && row->name; row++)
			if (strlen(row->name) == length && strncmp(row->name, name, length) == 0)
				return row;
	return NULL;
}

static const struct option_row *find_letter(const struct line *line, char letter)
{
	const struct option_row *const tables[] = {line->command ? line->command->options : NULL, line->global};

	for (size_t i = 0; i < ELEMENTSOF(tables); i++)
		for (const struct option_row *row = tables[i]; row && row->name; row++)
			if (row->letter == letter)
				return row;
	return NULL;
}

/* The option whose value a word holds or, if that is empty, the next word does; NULL: none. */
static const struct option_row *option_with_value(const struct line *line, const char *word, const char **ret_value)
{
	*ret_value = "";
	if (line->options_end || word[0] != '-' || !word[1])
		return NULL;
	if (word[1] == '-') {
		const char *name = word + 2;
		const struct option_row *row = find_option(line, name, strcspn(name, "="));

		*ret_value = strchr(name, '=') ? strchr(name, '=') + 1 : "";
		return row && row->argument ? row : NULL;
	}
	/* -qt5, -q -t 5 */
	for (const char *letter = word + 1; *letter; letter++) {
		const struct option_row *row = find_letter(line, *letter);

		*ret_value = letter + 1;
		if (!row || row->argument)
			return row;
	}
	return NULL;
}

static void take_argument(struct line *line, const char *word)
{
	if (line->commands) {
		line->command = options_find_command(line->commands, line->command, word);
		line->lost = !line->command;
		line->commands = line->command ? line->command->actions : NULL;
	} else if (line->n_arguments < MAX_ARGUMENTS) {
		line->arguments[line->n_arguments++] = word;
	}
}

/* Takes the words before the last one. *ret_row is the option whose value the last one is, or NULL. */
static void take_words(struct line *line, char *const *words, size_t n, struct options *options,
	const struct option_row **ret_row)
{
	*ret_row = NULL;
	for (size_t i = 0; i + 1 < n; i++) {
		const char *word = words[i], *value;
		const struct option_row *row = option_with_value(line, word, &value);

		if (row && !*value && !strchr(word, '=')) {
			if (i + 2 == n) {
				*ret_row = row;
				return;
			}
			value = words[++i];
		}
		if (row)
			options_set(row, value, options, NULL);
		else if (streq(word, "--") && !line->options_end)
			line->options_end = true;
		else if (word[0] != '-' || !word[1] || line->options_end)
			take_argument(line, word);
	}
}

/* A growing list of what the tables know and the typed beginning allows. */
struct list {
	char **words;
	size_t n, allocated;
	const char *typed;
	bool failed;
};

static void list_add(struct list *list, const char *word, size_t length)
{
	size_t typed = strlen(list->typed);

	if (list->failed || length < typed || strncmp(word, list->typed, typed) != 0)
		return;
	if (list->n + 2 > list->allocated) {
		size_t allocated = list->allocated ? 2 * list->allocated : 32;
		char **grown = reallocarray(list->words, allocated, sizeof(*grown));

		list->failed = !grown;
		if (!grown)
			return;
		list->words = grown;
		list->allocated = allocated;
	}
	list->words[list->n] = strndup(word, length);
	list->failed = !list->words[list->n++];
	list->words[list->n] = NULL;
}

/* "auto|always|never": the alternatives of small letters and digits are words, the others names of things. */
static bool add_alternatives(struct list *list, const char *text, size_t length)
{
	static const char word_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	bool any = false;

	for (const char *end = text + length; text < end;) {
		const char *bar = memchr(text, '|', (size_t)(end - text));
		size_t part = (size_t)((bar ? bar : end) - text);

		if (strspn(text, word_characters) >= part && *text != '-') {
			list_add(list, text, part);
			any = true;
		}
		text += part + 1;
	}
	return any;
}

/* What the name of an argument in the tables means. */
static enum completion_kind kind_of(const char *name, size_t length)
{
	static const struct {
		const char *name;
		enum completion_kind kind;
	} kinds[] = {
		{"FILE", COMPLETION_FILES},
		{"FILE|-", COMPLETION_FILES},
		{"PATH", COMPLETION_FILES},
		{"ID|NAME", COMPLETION_LOADBALANCERS},
		{"POOL", COMPLETION_POOLS},
		{"MEMBER", COMPLETION_MEMBERS},
		{"REVISION", COMPLETION_REVISIONS},
	};

	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, name, length) == 0)
			return kinds[i].kind;
	return COMPLETION_NOTHING;
}

/* "NAME" is that of a certificate, or of the pool or listener that the word before says. */
static enum completion_kind kind_of_name(const struct line *line)
{
	if (text_after_prefix(line->command->name, "certificate "))
		return COMPLETION_CERTIFICATES;
	if (line->n_arguments == 0)
		return COMPLETION_NOTHING;
	if (streq(line->arguments[line->n_arguments - 1], "pool"))
		return COMPLETION_POOLS;
	return streq(line->arguments[line->n_arguments - 1], "listener") ? COMPLETION_LISTENERS : COMPLETION_NOTHING;
}

/* The position'th of "POOL MEMBER... WEIGHT" without brackets; one with "..." stands for all that follow. */
static const char *argument_name(const char *arguments, size_t position, size_t *ret_length)
{
	for (size_t i = 0; *arguments; i++) {
		size_t length;

		arguments += strspn(arguments, " []");
		length = strcspn(arguments, " []");
		if (length > 3 && strncmp(arguments + length - 3, "...", 3) == 0) {
			*ret_length = length - 3;
			return arguments;
		}
		if (i == position && length > 0) {
			*ret_length = length;
			return arguments;
		}
		arguments += length;
	}
	return NULL;
}

static void complete_argument(const struct line *line, struct list *list, struct completion *completion)
{
	size_t length;
	const char *name = argument_name(line->command->arguments, line->n_arguments, &length);

	if (!name)
		return;
	completion->kind = length == 4 && strncmp(name, "NAME", 4) == 0 ? kind_of_name(line) : kind_of(name, length);
	completion->of = line->n_arguments > 0 ? line->arguments[0] : NULL;
	if (completion->kind == COMPLETION_NOTHING && add_alternatives(list, name, length))
		completion->kind = COMPLETION_WORDS;
}

static void complete_value(const struct option_row *row, struct list *list, struct completion *completion)
{
	completion->kind = kind_of(row->argument, strlen(row->argument));
	if (completion->kind == COMPLETION_NOTHING && add_alternatives(list, row->argument, strlen(row->argument)))
		completion->kind = COMPLETION_WORDS;
}

static void complete_option(const struct line *line, struct list *list)
{
	const struct option_row *const tables[] = {line->command ? line->command->options : NULL, line->global};

	for (size_t i = 0; i < ELEMENTSOF(tables); i++)
		for (const struct option_row *row = tables[i]; row && row->name; row++) {
			_cleanup_text_ struct text option = TEXT_INIT;

			if (find_option(line, row->name, strlen(row->name)) != row)
				continue;
			text_printf(&option, "--%s%s", row->name, row->argument ? "=" : "");
			list->failed = list->failed || option.failed;
			list_add(list, text_peek(&option), option.length);
		}
}

static void complete_command(const struct line *line, struct list *list)
{
	size_t skipped = line->command ? strlen(line->command->name) + 1 : 0;

	for (const struct command *row = line->commands; row->name; row++)
		if (!row->hidden)
			list_add(list, row->name + skipped, strlen(row->name) - skipped);
}

int completion_find(const struct command *commands, const struct option_row *global, char *const *words, size_t n,
	struct options *options, struct completion *ret)
{
	struct line line = {.commands = commands, .global = global};
	const char *last = words[n - 1], *equals;
	struct completion completion = {.before = last, .typed = last};
	const struct option_row *row;
	struct list list;

	take_words(&line, words, n, options, &row);
	equals = !row && !line.options_end && text_after_prefix(last, "--") ? strchr(last, '=') : NULL;
	if (equals) {
		const char *value;

		row = option_with_value(&line, last, &value);
		completion.typed = equals + 1;
		completion.before_length = (size_t)(completion.typed - last);
	}
	list = (struct list){.typed = completion.typed};
	if (line.lost) {
		completion.kind = COMPLETION_NOTHING;
	} else if (row) {
		complete_value(row, &list, &completion);
	} else if (!equals && last[0] == '-' && !line.options_end) {
		completion.kind = COMPLETION_WORDS;
		complete_option(&line, &list);
	} else if (!equals && line.commands) {
		completion.kind = COMPLETION_WORDS;
		complete_command(&line, &list);
	} else if (!equals) {
		complete_argument(&line, &list, &completion);
	}
	completion.words = list.words;
	if (list.failed) {
		completion_done(&completion);
		return -ENOMEM;
	}
	*ret = completion;
	return 0;
}
