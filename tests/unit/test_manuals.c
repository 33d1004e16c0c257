/* SPDX-License-Identifier: Apache-2.0 */

/* The manual pages of the programs have every option and command that these list: no more, no less. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/process.h"
#include "agent/network/sysctl.h"
#include "api/client/service/annotations.h"
#include "api/router.h"
#include "tests/unit/manuals.h"

static bool run_program(
	const char *name, const char *const *arguments, struct process_result *result)
{
	_cleanup_free_ char *path = path_of("AMPHORAD_BUILD_DIR", "build", name);
	const char *argv[5] = {path};

	if (access(path, X_OK) < 0) {
		print_message("%s is not built\n", path);
		return false;
	}
	for (size_t i = 0; arguments[i] && i < 3; i++)
		argv[i + 1] = arguments[i];
	assert_int_equal(process_run(argv, NULL, RUN_TIMEOUT_MS, FILE_LIMIT, result), 0);
	if (result->exit_status != 0)
		fail_msg("%s %s: status %d: %s", name, arguments[0], result->exit_status,
			result->output);
	return true;
}

/* The options that a help text lists: lines that begin with one, such as "-s, --socket=PATH   …".
 */
static void add_listed_options(json_t *set, const char *help)
{
	_cleanup_strv_ char **lines = NULL;

	assert_int_equal(text_split(help, '\n', &lines), 0);
	STRV_FOREACH (line, lines) {
		const char *word = *line;

		while (*word == '-') {
			size_t length = strcspn(word, " ,=");
			_cleanup_free_ char *option = strndup(word, length);

			assert_non_null(option);
			add(set, option);
			word += length;
			word += strspn(word, ", ");
		}
	}
}

/* The options of a page: ".It Fl s , Fl -socket Ns = Ns Ar PATH". */
static json_t *options_of_page(char *const *lines)
{
	json_t *set = json_object();

	STRV_FOREACH (line, lines) {
		_cleanup_strv_ char **words = NULL;
		char key[128];

		if (!argument_of(*line, ".It Fl"))
			continue;
		assert_int_equal(text_split(*line, ' ', &words), 0);
		for (size_t i = 0; words[i]; i++)
			if (streq(words[i], "Fl") && words[i + 1]) {
				snprintf(key, sizeof(key), "-%s", words[i + 1]);
				add(set, key);
			}
	}
	return set;
}

static void test_options(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_strv_ char **lines = read_page(MAN "amphorad.8");
	_cleanup_json_ json_t *described = options_of_page(lines), *listed = json_object();

	(void)state;
	if (!run_program("amphorad", (const char *const[]){"--help", NULL}, &result))
		skip();
	add_listed_options(listed, result.output);
	assert_same(listed, "amphorad --help", described, "amphorad.8");
}

static void test_interface_page(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_strv_ char **lines = read_page(MAN "amphora-interface.8");
	_cleanup_json_ json_t *described = options_of_page(lines), *listed = json_object(), *sysctls = json_object(),
			      *described_sysctls = json_object();

	(void)state;
	for (const struct sysctl_row *row = sysctl_rows; row->name; row++)
		add(sysctls, row->name);
	STRV_FOREACH (line, lines)
		if (argument_of(*line, ".It Va"))
			add(described_sysctls, argument_of(*line, ".It Va"));
	assert_same(sysctls, "agent/network/sysctl.c", described_sysctls, "amphora-interface.8");
	if (!run_program("amphora-interface", (const char *const[]){"--help", NULL}, &result))
		skip();
	add_listed_options(listed, result.output);
	assert_same(listed, "amphora-interface --help", described, "amphora-interface.8");
}

/* Small programs, each with a page of its name. */
static void test_tool_pages(void **state)
{
	static const char *const programs[] = {
		"amphora-config-drive", "amphora-health-checker", "haproxy-vrrp-check", "prometheus-proxy"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(programs); i++) {
		_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
		_cleanup_json_ json_t *described = NULL, *listed = json_object();
		_cleanup_strv_ char **lines = NULL;
		char page[128];

		snprintf(page, sizeof(page), MAN "%s.8", programs[i]);
		lines = read_page(page);
		described = options_of_page(lines);
		if (!run_program(programs[i], (const char *const[]){"--help", NULL}, &result))
			skip();
		add_listed_options(listed, result.output);
		assert_same(listed, programs[i], described, page);
	}
}

/* That of "member add" in "member add POOL ADDRESS:PORT" and in "member add Ar POOL": the words of
 * small letters. */
static size_t command_length(const char *line)
{
	size_t length = strspn(line, "abcdefghijklmnopqrstuvwxyz- ");

	while (length > 0 && line[length] && line[length - 1] != ' ')
		length--;
	while (length > 0 && line[length - 1] == ' ')
		length--;
	return length;
}

/* The items of a help text, lines with an indent of two, below "Commands:" or "Actions:". */
static json_t *listed_commands(const char *help, const char *heading)
{
	json_t *set = json_object();
	bool inside = false;

	for (const char *line = help; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		_cleanup_free_ char *name = NULL;

		if (*line != ' ')
			inside = text_after_prefix(line, heading) || (inside && *line == '\n');
		if (!inside || strspn(line, " ") != 2)
			continue;
		name = strndup(line + 2, strcspn(line + 2, "\n"));
		assert_non_null(name);
		/* Two blanks end the item; what follows is its summary. */
		if (strstr(name, "  "))
			*strstr(name, "  ") = '\0';
		name[command_length(name)] = '\0';
		add(set, name);
	}
	return set;
}

static json_t *commands_of_page(char *const *lines)
{
	json_t *set = json_object();
	bool inside = false;

	STRV_FOREACH (line, lines) {
		const char *heading = argument_of(*line, ".Ss"),
			   *item = argument_of(*line, ".It Cm");

		if (heading || argument_of(*line, ".Sh"))
			inside = heading && streq(heading, "Commands");
		if (inside && item) {
			_cleanup_free_ char *name = strndup(item, command_length(item));

			assert_non_null(name);
			add(set, name);
		}
	}
	return set;
}

/* Adds the options of a command's help, and its actions' to "commands" in the place of itself. */
static void add_command(json_t *commands, json_t *options, const char *first, const char *second)
{
	_cleanup_(process_result_done) struct process_result help = PROCESS_RESULT_INIT;
	_cleanup_json_ json_t *actions = NULL;
	const char *action;
	json_t *value;

	assert_true(run_program("amphoractl",
		(const char *const[]){first, second ? second : "--help", second ? "--help" : NULL, NULL}, &help));
	add_listed_options(options, help.output);
	if (second)
		return;
	actions = listed_commands(help.output, "Actions:");
	if (json_object_size(actions) == 0)
		add(commands, first);
	json_object_foreach (actions, action, value) {
		assert_non_null(strchr(action, ' '));
		add(commands, action);
		add_command(commands, options, first, strchr(action, ' ') + 1);
	}
}

static void test_client_page(void **state)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	_cleanup_json_ json_t *described = NULL, *described_commands = NULL, *first = NULL,
			      *commands = json_object(), *listed = json_object();
	_cleanup_strv_ char **lines = read_page(MAN "amphoractl.1");
	const char *command;
	json_t *value;

	(void)state;
	if (!run_program("amphoractl", (const char *const[]){"--help", NULL}, &result))
		skip();
	add_listed_options(listed, result.output);
	first = listed_commands(result.output, "Commands:");
	assert_true(json_object_size(first) > 0);
	json_object_foreach (first, command, value)
		add_command(commands, listed, command, NULL);
	described_commands = commands_of_page(lines);
	assert_same(commands, "amphoractl --help", described_commands, "amphoractl.1");
	described = options_of_page(lines);
	assert_same(
		listed, "amphoractl --help and that of its commands", described, "amphoractl.1");
}

/* The annotations that "amphoractl service" knows, and what they become. */
static void test_service_page(void **state)
{
	_cleanup_strv_ char **lines = read_page(MAN "amphoractl-service.1");
	_cleanup_json_ json_t *items = json_object(), *rows = json_object();
	_cleanup_text_ struct text text = TEXT_INIT;

	(void)state;
	for (size_t i = 0; i < _ANNOTATION_MAX; i++)
		add(rows, annotation_rows[i].name);
	for (size_t i = 0; lines[i]; i++) {
		const char *name = argument_of(lines[i], ".It Va");

		if (!name || !strchr(name, '/'))
			continue;
		add(items, name);
		text_truncate(&text, 0);
		append_plain(&text, lines[i + 1]);
		for (size_t j = 0; j < _ANNOTATION_MAX; j++)
			if (streq(annotation_rows[j].name, name))
				assert_starts(name, text_peek(&text), "%s%s",
					annotation_rows[j].target ? annotation_rows[j].target
								  : "Without effect",
					annotation_rows[j].target ? " : " : "");
	}
	assert_same(rows, "api/client/service/annotation_rows.c", items, "amphoractl-service.1");
}

static void test_pages_are_well_formed(void **state)
{
	static const char *const pages[] = {
		"amphorad.8", "amphorad.conf.5", "amphorad-definition.5", "amphoractl.1",
		"amphoractl-service.1", "amphora-config-drive.8", "amphora-health-checker.8",
		"amphora-interface.8", "haproxy-vrrp-check.8", "prometheus-proxy.8"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(pages); i++) {
		_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
		_cleanup_free_ char *folder = path_of("AMPHORAD_SRC_DIR", ".", MAN), *path = NULL;

		assert_true(asprintf(&path, "%s%s", folder, pages[i]) > 0);
		if (access(path, R_OK) < 0)
			continue;
		if (process_run((const char *const[]){"mandoc", "-T", "lint", "-W", "warning", path,
					NULL},
			    NULL, RUN_TIMEOUT_MS, FILE_LIMIT, &result) < 0 ||
			result.exit_status == 127) {
			print_message("mandoc is not installed\n");
			skip();
		}
		if (result.length > 0 || result.exit_status != 0)
			fail_msg("mandoc, status %d: %s", result.exit_status, result.output);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interface_page),
		cmocka_unit_test(test_tool_pages),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_client_page),
		cmocka_unit_test(test_service_page),
		cmocka_unit_test(test_pages_are_well_formed),
	};

	return cmocka_run_group_tests_name("manuals", tests, NULL, NULL);
}
