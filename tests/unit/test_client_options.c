/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "api/client/commands.h"

static const struct option_row global[] = {
	FLAG("json", 'j', json, "print JSON"),
	STRING("url", 'u', "URL", url,
		"first line\n"
		"second line"),
	NUMBER("timeout", 0, "SECONDS", timeout_s, 1, 60, "time"),
	CHOICE("color", 0, "auto|always|never", colour, colour_when_names, "colours"),
	{.name = NULL},
};

static const struct option_row own[] = {
	STRING("id", 0, "UUID", id, "the id"),
	{.name = NULL},
};

static const struct command actions[] = {
	{.name = "member add", .arguments = "POOL", .summary = "adds", .description = "Adds."},
	{.name = NULL},
};

static const struct command commands[] = {
	{.name = "apply",
		.arguments = "FILE",
		.summary = "does it",
		.description = "Does it.",
		.options = own},
	{.name = "list", .arguments = "", .summary = "lists", .description = "Lists."},
	{.name = "member",
		.arguments = "ACTION...",
		.summary = "members",
		.description = "Members.",
		.actions = actions},
	{.name = NULL},
};

enum { MAX_WORDS = 8 };

static int parse(bool until_argument, const char *const *words, struct options *options,
	int *ret_first, struct error *err)
{
	const struct option_row *const tables[] = {global, own, NULL};
	char *argv[MAX_WORDS + 1] = {0};
	int argc = 0;

	while (words[argc]) {
		argv[argc] = (char *)words[argc];
		argc++;
	}
	return options_parse(tables, until_argument, argc, argv, options, ret_first, err);
}

#define WORDS(...) ((const char *const[]){"program", __VA_ARGS__, NULL})

static void parses_all_types(_unused_ void **state)
{
	struct options options = {0};
	int first = 0;

	assert_int_equal(parse(false,
				 WORDS("-j", "FILE", "--url", "http://x", "--timeout=7",
					 "--color=never", "--id", "-"),
				 &options, &first, NULL),
		0);
	assert_true(options.json);
	assert_string_equal(options.url, "http://x");
	assert_int_equal(options.timeout_s, 7);
	assert_int_equal(options.colour, COLOUR_NEVER);
	assert_string_equal(options.id, "-");
	assert_int_equal(first, 8);
}

static void stops_at_the_command(_unused_ void **state)
{
	struct options options = {0};
	int first = 0;

	assert_int_equal(
		parse(true, WORDS("-u", "http://x", "list", "--bogus"), &options, &first, NULL), 0);
	assert_int_equal(first, 3);
	assert_int_equal(parse(false, WORDS("--", "--json"), &options, &first, NULL), 0);
	assert_false(options.json);
}

static void assert_refused(const char *const *words, const char *named)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct options options = {0};
	int first = 0;

	assert_int_equal(parse(false, words, &options, &first, &err), -EINVAL);
	assert_non_null(strstr(error_message(&err), named));
}

static void refuses_bad_options(_unused_ void **state)
{
	assert_refused(WORDS("--bogus"), "--bogus");
	assert_refused(WORDS("-Z"), "-Z");
	assert_refused(WORDS("--json=1"), "--json");
	assert_refused(WORDS("--url"), "--url");
	assert_refused(WORDS("--url="), "--url");
	assert_refused(WORDS("--timeout", "0"), "from 1 to 60");
	assert_refused(WORDS("--timeout", "61"), "from 1 to 60");
	assert_refused(WORDS("--timeout", "7s"), "from 1 to 60");
	assert_refused(WORDS("--color", "pink"), "auto|always|never");
}

static void help_comes_from_the_tables(_unused_ void **state)
{
	static const struct terminal terminal = {0};
	_cleanup_text_ struct text out = TEXT_INIT;

	options_help(commands, global, &terminal, &out);
	assert_non_null(strstr(text_peek(&out), "  apply FILE                  does it\n"
						"  list                        lists\n"));
	assert_non_null(strstr(text_peek(&out), "  -u, --url=URL               first line\n"
						"                              second line\n"
						"      --timeout=SECONDS       time\n"));
	text_truncate(&out, 0);
	options_command_help(&commands[0], &terminal, &out);
	assert_string_equal(text_peek(&out),
		"Usage: amphoractl [OPTION...] apply [OPTION...] FILE\n\n"
		"Does it.\n\n"
		"Options of this command:\n"
		"      --id=UUID               the id\n\n"
		"Options of every command: amphoractl --help\n");
}

enum { TERMINAL_COLUMNS = 80 };

/* But for the line that says how to call it. */
static void assert_narrow(const struct text *help)
{
	for (const char *line = text_peek(help), *next; *line; line = next) {
		size_t length = strcspn(line, "\n"), columns = 0;

		next = line + length + (line[length] == '\n');
		for (size_t i = 0; i < length; i++)
			columns += ((unsigned char)line[i] & 0xc0) != 0x80; /* UTF-8 */
		if (columns > TERMINAL_COLUMNS && !text_after_prefix(line, "Usage: "))
			fail_msg("%zu columns: %.*s", columns, (int)length, line);
	}
}

static void assert_narrow_help(const struct command *rows)
{
	static const struct terminal terminal = {0};

	for (const struct command *command = rows; command && command->name; command++) {
		_cleanup_text_ struct text out = TEXT_INIT;

		options_command_help(command, &terminal, &out);
		assert_narrow(&out);
		assert_narrow_help(command->actions);
	}
}

static void help_fits_a_terminal(_unused_ void **state)
{
	static const struct terminal terminal = {0};
	_cleanup_text_ struct text out = TEXT_INIT;

	options_help(client_commands, client_options, &terminal, &out);
	assert_narrow(&out);
	assert_narrow_help(client_commands);
}

static void actions_belong_to_their_command(_unused_ void **state)
{
	static const struct terminal terminal = {0};
	const struct command *member = options_find_command(commands, NULL, "member");
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_ptr_equal(member, &commands[2]);
	assert_null(options_find_command(commands, NULL, "add"));
	assert_ptr_equal(options_find_command(member->actions, member, "add"), &actions[0]);
	assert_null(options_find_command(member->actions, member, "member add"));
	assert_null(options_find_command(member->actions, member, ""));
	options_command_help(member, &terminal, &out);
	assert_non_null(strstr(text_peek(&out), "Actions:\n  member add POOL             adds\n"));
}

static void guesses_what_was_meant(_unused_ void **state)
{
	assert_string_equal(options_guess_command(commands, NULL, "lsit"), "list");
	assert_string_equal(options_guess_command(commands, NULL, "aply"), "apply");
	assert_string_equal(options_guess_command(actions, &commands[2], "ad"), "add");
	assert_null(options_guess_command(commands, NULL, "x"));
	assert_null(options_guess_command(commands, NULL, ""));
	assert_null(options_guess_command(commands, NULL, "frobnicate"));
	assert_null(options_guess_command(commands, NULL, "listlistlistlistlistlistlistlistlistlist"));
}

/* "timeout" is in both tables: that of the first one gets the value. */
static void the_first_table_counts(_unused_ void **state)
{
	static const struct option_row nearer[] = {
		NUMBER("timeout", 0, "SECONDS", count, 0, 600, "other time"),
		{.name = NULL},
	};
	const struct option_row *const tables[] = {nearer, global, NULL};
	char *argv[] = {(char *)"program", (char *)"--timeout=600", NULL};
	struct options options = {.timeout_s = 3};
	int first = 0;

	assert_int_equal(options_parse(tables, false, 2, argv, &options, &first, NULL), 0);
	assert_int_equal(options.count, 600);
	assert_int_equal(options.timeout_s, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_all_types),
		cmocka_unit_test(stops_at_the_command),
		cmocka_unit_test(refuses_bad_options),
		cmocka_unit_test(help_comes_from_the_tables),
		cmocka_unit_test(help_fits_a_terminal),
		cmocka_unit_test(actions_belong_to_their_command),
		cmocka_unit_test(guesses_what_was_meant),
		cmocka_unit_test(the_first_table_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
