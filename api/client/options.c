/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/options.h"

#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	MAX_ROWS = 32,
	LONG_ONLY = 256, /* what getopt_long() returns for row i is LONG_ONLY + i, unless it has a
			    letter */
	HELP_COLUMN = 30,
};

struct parser {
	const struct option_row *rows[MAX_ROWS];
	size_t n_rows;
	struct option longs[MAX_ROWS + 1];
	char shorts[2 * MAX_ROWS + 3];
};

static bool has_row(const struct parser *p, const char *name)
{
	for (size_t i = 0; i < p->n_rows; i++)
		if (streq(p->rows[i]->name, name))
			return true;
	return false;
}

static void build(struct parser *p, const struct option_row *const *tables, bool until_argument)
{
	size_t used = 0;

	if (until_argument)
		p->shorts[used++] = '+';
	p->shorts[used++] = ':'; /* missing arguments are told apart from unknown options */
	for (; *tables; tables++) {
		for (const struct option_row *row = *tables; row->name; row++) {
			int has_argument =
				row->type == OPTION_FLAG ? no_argument : required_argument;

			if (has_row(p, row->name))
				continue;
			assert(p->n_rows < MAX_ROWS);
			p->longs[p->n_rows] = (struct option){
				row->name, has_argument, NULL, LONG_ONLY + (int)p->n_rows};
			p->rows[p->n_rows++] = row;
			if (row->letter)
				p->shorts[used++] = row->letter;
			if (row->letter && has_argument)
				p->shorts[used++] = ':';
		}
	}
}

static const struct option_row *find_row(const struct parser *p, int result)
{
	if (result >= LONG_ONLY)
		return p->rows[result - LONG_ONLY];
	for (size_t i = 0; i < p->n_rows; i++)
		if (p->rows[i]->letter == result)
			return p->rows[i];
	return NULL;
}

static int set_number(
	const struct option_row *row, const char *argument, int64_t *ret, struct error *err)
{
	int64_t value;

	if (text_to_int64(argument, &value) < 0 || value < row->minimum || value > row->maximum)
		return error_set(err, ERROR_INVALID, NULL,
			"--%s must be a number from %" PRId64 " to %" PRId64, row->name,
			row->minimum, row->maximum);
	*ret = value;
	return 0;
}

static int set_choice(
	const struct option_row *row, const char *argument, int64_t *ret, struct error *err)
{
	for (int64_t i = 0; row->names[i]; i++)
		if (streq(row->names[i], argument)) {
			*ret = i;
			return 0;
		}
	return error_set(err, ERROR_INVALID, NULL, "--%s must be %s", row->name, row->argument);
}

int options_set(const struct option_row *row, const char *argument, struct options *options,
	struct error *err)
{
	void *value = (char *)options + row->offset;

	switch (row->type) {
	case OPTION_FLAG:
		*(bool *)value = true;
		return 0;
	case OPTION_STRING:
		if (!*argument)
			return error_set(
				err, ERROR_INVALID, NULL, "--%s must not be empty", row->name);
		*(const char **)value = argument;
		return 0;
	case OPTION_NUMBER:
		return set_number(row, argument, value, err);
	case OPTION_CHOICE:
		return set_choice(row, argument, value, err);
	}
	return -EINVAL;
}

int options_parse(const struct option_row *const *tables, bool until_argument, int argc,
	char **argv, struct options *options, int *ret_first, struct error *err)
{
	struct parser parser = {0};

	build(&parser, tables, until_argument);
	opterr = 0;
	optind = 0; /* getopt(3): 0 starts anew, also within GNU's extensions */
	for (;;) {
		int result = getopt_long(argc, argv, parser.shorts, parser.longs, NULL);
		const struct option_row *row;
		int r;

		if (result < 0)
			break;
		row = find_row(&parser, result);
		if (result == ':')
			return error_set(err, ERROR_INVALID, NULL, "option %s needs a value",
				argv[optind - 1]);
		if (!row && optopt > 0 && optopt < LONG_ONLY)
			return error_set(err, ERROR_INVALID, NULL, "unknown option -%c", optopt);
		if (!row)
			return error_set(err, ERROR_INVALID, NULL, "unknown or misused option %s",
				argv[optind - 1]);
		r = options_set(row, optarg, options, err);
		if (r < 0)
			return r;
	}
	*ret_first = optind;
	return 0;
}

static void append_item(
	const struct terminal *terminal, struct text *out, const char *item, const char *help)
{
	size_t used = strlen(item) + 2;

	text_append(out, "  ");
	terminal_append(terminal, out, COLOUR_BOLD, item);
	if (used + 2 > HELP_COLUMN) {
		text_append_char(out, '\n');
		used = 0;
	}
	terminal_pad(out, HELP_COLUMN - used);
	for (; *help; help++) {
		text_append_char(out, *help);
		if (*help == '\n')
			terminal_pad(out, HELP_COLUMN);
	}
	text_append_char(out, '\n');
}

static void append_options(
	const struct terminal *terminal, struct text *out, const struct option_row *rows)
{
	for (const struct option_row *row = rows; row->name; row++) {
		_cleanup_text_ struct text item = TEXT_INIT;

		if (row->letter)
			text_printf(&item, "-%c, --%s", row->letter, row->name);
		else
			text_printf(&item, "    --%s", row->name);
		if (row->argument)
			text_printf(&item, "=%s", row->argument);
		append_item(terminal, out, text_peek(&item), row->help);
	}
}

const struct command *options_find_command(
	const struct command *commands, const struct command *command, const char *name)
{
	size_t length = command ? strlen(command->name) + 1 : 0;

	for (const struct command *row = commands; row && row->name; row++)
		if (streq(row->name + length, name))
			return row;
	return NULL;
}

enum { GUESS_MAX_ERRORS = 2 };

const char *options_guess_command(
	const struct command *commands, const struct command *command, const char *name)
{
	size_t skipped = command ? strlen(command->name) + 1 : 0, fewest = GUESS_MAX_ERRORS + 1;
	const char *guess = NULL;

	for (const struct command *row = commands; row->name; row++) {
		size_t errors = text_distance(name, row->name + skipped);

		if (row->hidden || errors >= fewest || errors >= strlen(name))
			continue;
		guess = row->name + skipped;
		fewest = errors;
	}
	return guess;
}

static void append_commands(
	const struct terminal *terminal, struct text *out, const struct command *commands)
{
	for (const struct command *command = commands; command->name; command++) {
		_cleanup_text_ struct text item = TEXT_INIT;

		if (command->hidden)
			continue;
		text_append(&item, command->name);
		if (*command->arguments)
			text_printf(&item, " %s", command->arguments);
		append_item(terminal, out, text_peek(&item), command->summary);
	}
}

void options_help(const struct command *commands, const struct option_row *global,
	const struct terminal *terminal, struct text *out)
{
	text_append(out,
		"Usage: amphoractl [OPTION...] COMMAND [ARGUMENT...]\n\n"
		"Applies load-balancer definitions to amphorad and shows what is running.\n\n"
		"Commands:\n");
	append_commands(terminal, out, commands);
	text_append(out, "\nOptions, before or after the command:\n");
	append_options(terminal, out, global);
	text_append(out,
		"\n\"amphoractl COMMAND --help\" says more. The manual page: amphoractl(1).\n");
}

void options_command_help(
	const struct command *command, const struct terminal *terminal, struct text *out)
{
	text_printf(out, "Usage: amphoractl [OPTION...] %s%s%s%s\n\n", command->name,
		command->options ? " [OPTION...]" : "", *command->arguments ? " " : "",
		command->arguments);
	text_printf(out, "%s\n", command->description);
	if (command->actions) {
		text_append(out, "\nActions:\n");
		append_commands(terminal, out, command->actions);
		text_printf(out, "\n\"amphoractl %s ACTION --help\" says more.\n", command->name);
	}
	if (command->options) {
		text_append(out, "\nOptions of this command:\n");
		append_options(terminal, out, command->options);
	}
	text_append(out, "\nOptions of every command: amphoractl --help\n");
}
