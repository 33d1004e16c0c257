/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The manual pages and the installed configuration say what the tables and the programs say: no
 * option, field or route is missing, and none is there that does not exist.
 *
 * The pages are read as mdoc(7) source. What describes one thing is an item of a list: in
 * amphorad.conf.5 and amphorad-definition.5 ".It Va NAME" below ".Ss SECTION" and a sentence of a
 * fixed form, such as "Integer from 1 to 64, default 4."; in amphorad.8 ".It Fl -option" and ".It
 * Ic METHOD Pa PATH".
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/config.h"
#include "agent/definition/fields.h"
#include "agent/definition/limits.h"
#include "agent/network/sysctl.h"
#include "api/client/service/annotations.h"
#include "api/router.h"

#define MAN "packaging/man/"

enum {
	FILE_LIMIT = 1024 * 1024,
	RUN_TIMEOUT_MS = 30000,
};

static const struct object_type *const object_types[] = {&load_balancer_type, &additional_vip_type,
	&stats_page_type, &listener_type, &listener_proxy_protocol_type, &l7policy_type, &l7rule_type,
	&pool_type, &session_persistence_type, &health_monitor_type, &member_type};

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

static char *path_of(const char *variable, const char *unset, const char *name)
{
	const char *folder = getenv(variable);
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", folder && *folder ? folder : unset, name) > 0);
	return path;
}

static char *read_source(const char *name)
{
	_cleanup_free_ char *path = path_of("AMPHORAD_SRC_DIR", ".", name);
	char *content = NULL;
	int r = fileio_read(AT_FDCWD, path, FILE_LIMIT, &content, NULL);

	if (r < 0)
		fail_msg("%s: %s", path, strerror(-r));
	return content;
}

/* The lines of a page without blanks around them; empty ones are left out. */
static char **read_page(const char *name)
{
	_cleanup_free_ char *content = read_source(name);
	char **lines = NULL;

	assert_int_equal(text_split(content, '\n', &lines), 0);
	return lines;
}

/* The argument of a macro line, or NULL if it is another line. */
static const char *argument_of(const char *line, const char *macro)
{
	const char *rest = text_after_prefix(line, macro);

	return rest && *rest == ' ' ? rest + 1 : NULL;
}

/* A line as it is read: without its macro and the escapes of mandoc_char(7) that the pages use. */
static void append_plain(struct text *text, const char *line)
{
	if (*line == '.')
		line += strcspn(line, " ");
	line += strspn(line, " ");
	for (; *line; line++) {
		if (*line != '\\') {
			text_append_char(text, *line);
			continue;
		}
		line++;
		if (*line == 'e')
			text_append_char(text, '\\');
		else if (*line == '-')
			text_append_char(text, '-');
		else if (*line != '&')
			fail_msg("escape \\%s is not known to this test", line);
	}
	text_append_char(text, ' ');
}

static void add(json_t *set, const char *key)
{
	assert_int_equal(json_object_set_new(set, key, json_true()), 0);
}

static void assert_subset(
	const json_t *part, const char *part_name, const json_t *whole, const char *whole_name)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)part, key, value)
		if (!json_object_get(whole, key))
			fail_msg("\"%s\" is in %s and not in %s", key, part_name, whole_name);
}

static void assert_same(const json_t *a, const char *a_name, const json_t *b, const char *b_name)
{
	assert_true(json_object_size(a) > 0);
	assert_subset(a, a_name, b, b_name);
	assert_subset(b, b_name, a, a_name);
}

/* ".It Va NAME" of a ".Sh", by ".Ss": {section: {name: text}}. An item ends where its list goes on
 * or ends. */
static json_t *items_of(char *const *lines, const char *chapter)
{
	_cleanup_text_ struct text body = TEXT_INIT;
	json_t *sections = json_object(), *section = NULL;
	const char *name = NULL;
	bool inside = false;
	int depth = 0;

	STRV_FOREACH (line, lines) {
		const char *heading = argument_of(*line, ".Sh"), *sub = argument_of(*line, ".Ss");
		const char *item = argument_of(*line, ".It Va");

		if (heading)
			inside = streq(heading, chapter);
		if (inside && sub) {
			assert_null(json_object_get(sections, sub));
			section = json_object();
			assert_int_equal(json_object_set_new(sections, sub, section), 0);
		}
		if (text_after_prefix(*line, ".Bl"))
			depth++;
		if (name && depth == 1 &&
			(text_after_prefix(*line, ".It") || text_after_prefix(*line, ".El"))) {
			if (json_object_get(section, name))
				fail_msg("%s is described twice", name);
			assert_int_equal(
				json_object_set_new(section, name, json_string(text_peek(&body))),
				0);
			text_truncate(&body, 0);
			name = NULL;
		}
		if (text_after_prefix(*line, ".El"))
			depth--;
		if (name && !text_after_prefix(*line, ".\\\""))
			append_plain(&body, *line);
		if (inside && item && depth == 1) {
			assert_non_null(section);
			name = item;
		}
	}
	assert_true(json_object_size(sections) > 0);
	return sections;
}

static void assert_starts(const char *what, const char *text, const char *format, ...)
	_printf_(3, 4);

static void assert_starts(const char *what, const char *text, const char *format, ...)
{
	_cleanup_free_ char *wanted = NULL;
	va_list arguments;

	va_start(arguments, format);
	assert_true(vasprintf(&wanted, format, arguments) >= 0);
	va_end(arguments);
	if (!text_after_prefix(text, wanted))
		fail_msg("%s: \"%s\" expected, it is \"%.120s\"", what, wanted, text);
}

static void assert_says(const char *what, const char *text, const char *wanted)
{
	if (!strstr(text, wanted))
		fail_msg("%s: \"%s\" is not in \"%s\"", what, wanted, text);
}

/* Paths that the build chooses: a page cannot know them. */
static bool is_chosen_at_build(const struct option_row *row)
{
	return streq(row->name, "haproxy_cmd") || streq(row->name, "keepalived_cmd") ||
	       streq(row->name, "template_dir") || streq(row->name, "tools_dir");
}

static void check_option(const struct option_row *row, const char *text)
{
	_cleanup_free_ char *what = NULL;

	assert_true(asprintf(&what, "amphorad.conf.5, [%s] %s", row->section, row->name) > 0);
	if (row->type == OPTION_ACCEPTED)
		assert_starts(what, text, "Accepted, without effect: ");
	else if (row->type == OPTION_INTEGER)
		assert_starts(what, text, "Integer from %lld to %lld, default %s . ",
			(long long)row->minimum, (long long)row->maximum, row->default_text);
	else if (row->type == OPTION_BOOL)
		assert_starts(what, text, "Boolean, default %s . ", row->default_text);
	else if (is_chosen_at_build(row))
		assert_starts(what, text, "String, its default is chosen at build time, usually /");
	else if (row->default_text)
		assert_starts(what, text, "String, default %s . ", row->default_text);
	else
		assert_starts(what, text, "String, empty by default. ");
}

static const struct option_row *find_option(const char *section, const char *name)
{
	for (const struct option_row *row = config_options; row->name; row++)
		if (streq(row->section, section) && streq(row->name, name))
			return row;
	return NULL;
}

static void test_configuration_page(void **state)
{
	_cleanup_strv_ char **lines = read_page(MAN "amphorad.conf.5");
	_cleanup_json_ json_t *sections = items_of(lines, "OPTIONS");
	const char *heading, *name;
	json_t *items, *item;

	(void)state;
	for (const struct option_row *row = config_options; row->name; row++) {
		char section[64];

		snprintf(section, sizeof(section), "[%s]", row->section);
		item = json_object_get(json_object_get(sections, section), row->name);
		if (!item)
			fail_msg("amphorad.conf.5 has no %s in %s", row->name, section);
		check_option(row, json_string_value(item));
	}
	json_object_foreach (sections, heading, items)
		json_object_foreach (items, name, item) {
			_cleanup_free_ char *section = strndup(heading + 1, strlen(heading) - 2);

			assert_non_null(section);
			if (!find_option(section, name))
				fail_msg("amphorad.conf.5: there is no option %s in %s", name,
					heading);
		}
}

/* The words of "… one of A , B or C ." after an introduction, as a set; NULL without it. */
static json_t *choices_after(const char *text, const char *introduction)
{
	_cleanup_strv_ char **words = NULL;
	_cleanup_free_ char *list = NULL;
	const char *start = strstr(text, introduction);
	json_t *set;

	if (!start)
		return NULL;
	set = json_object();
	list = strdup(start + strlen(introduction));
	assert_non_null(list);
	assert_int_equal(text_split(list, ' ', &words), 0);
	STRV_FOREACH (word, words) {
		if (streq(*word, ","))
			continue;
		if (!(*word)[1] && strchr(".:;", **word))
			break;
		add(set, *word);
	}
	return set;
}

static void check_choices(
	const char *what, const struct field *field, const char *text, const char *introduction)
{
	_cleanup_json_ json_t *listed = choices_after(text, introduction), *known = json_object();

	if (!listed)
		fail_msg("%s: \"%s\" expected in \"%s\"", what, introduction, text);
	for (const char *const *choice = field->choices; *choice; choice++)
		add(known, *choice);
	assert_same(known, "the table", listed, what);
}

static void check_string(const char *what, const struct field *field, const char *text)
{
	_cleanup_json_ json_t *listed = field->check ? choices_after(text, "ne of ") : NULL;
	const char *choice;
	json_t *value;

	if (field->default_text)
		assert_starts(what, text, "String, default %s . ", field->default_text);
	if (listed && json_object_size(listed) > 1) {
		json_object_foreach (listed, choice, value)
			if (field->check(choice))
				fail_msg("%s: \"%s\" is refused: %s", what, choice,
					field->check(choice));
		return;
	}
	if (field->default_text)
		return;
	if (field->minimum > 0)
		assert_starts(what, text, "String of %lld to %lld characters",
			(long long)field->minimum, (long long)field->maximum);
	else
		assert_starts(
			what, text, "String of at most %lld characters", (long long)field->maximum);
}

static void check_integer(const char *what, const struct field *field, const char *text)
{
	long long low = field->minimum, high = field->maximum, standard = field->default_value;

	if (field->flags & FIELD_CONFIGURED)
		assert_starts(what, text,
			"Integer from %lld to %lld, in milliseconds, default from the "
			"configuration.",
			low, high);
	else if (field->flags & FIELD_REQUIRED)
		assert_starts(what, text, "Required. Integer from %lld to %lld.", low, high);
	else if (standard >= low)
		assert_starts(what, text, "Integer from %lld to %lld, default %lld . ", low, high,
			standard);
	else
		assert_starts(what, text, "Integer from %lld to %lld. ", low, high);
}

static const char *after_required(const char *text)
{
	const char *rest = text_after_prefix(text, "Required. ");

	return rest ? rest : text;
}

static void check_field(const char *what, const struct field *field, const char *text)
{
	char wanted[128] = "";

	if (field->flags & FIELD_REQUIRED)
		assert_starts(what, text, "Required. ");
	else if (text_after_prefix(text, "Required. "))
		fail_msg("%s is not required", what);
	switch (field->type) {
	case FIELD_OWN_ID:
	case FIELD_REFERENCE:
		assert_starts(what, text, "UUID");
		return;
	case FIELD_STRING:
		check_string(what, field, after_required(text));
		return;
	case FIELD_ADDRESS:
		snprintf(wanted, sizeof(wanted), "IP address");
		break;
	case FIELD_BOOL:
		if (field->flags & FIELD_REQUIRED)
			assert_starts(what, text, "Required. Boolean. ");
		else
			assert_starts(what, text, "Boolean, default %s . ",
				field->default_value ? "true" : "false");
		return;
	case FIELD_INTEGER:
		check_integer(what, field, text);
		return;
	case FIELD_ENUM:
		check_choices(what, field, text, "One of ");
		return;
	case FIELD_VERSION:
		check_choices(what, field, text, "one of ");
		return;
	case FIELD_SWITCHES:
		check_choices(what, field, text, "each of ");
		return;
	case FIELD_CIDRS:
		snprintf(wanted, sizeof(wanted), "List of at most %lld networks",
			(long long)field->maximum);
		break;
	case FIELD_STRINGS:
		if (field->choices)
			check_choices(what, field, text, "List of ");
		else
			assert_starts(what, text, "List of at most %lld ", (long long)field->maximum);
		return;
	case FIELD_TAGS:
		snprintf(wanted, sizeof(wanted), "List of at most %d strings of 1 to %d characters",
			LIMIT_TAGS, LIMIT_TAG);
		break;
	case FIELD_OBJECT:
		snprintf(wanted, sizeof(wanted), "%s object", field->object->name);
		break;
	case FIELD_LIST:
		snprintf(wanted, sizeof(wanted), "List of at most %lld %s objects",
			(long long)field->maximum, field->object->name);
		break;
	case FIELD_TIME:
		break;
	}
	assert_true(*wanted);
	assert_says(what, text, wanted);
}

static const struct field *find_field(const struct object_type *type, const char *name)
{
	for (const struct field *field = type->fields; field->name; field++)
		if (streq(field->name, name))
			return field;
	return NULL;
}

static const struct object_type *find_type(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(object_types); i++)
		if (streq(object_types[i]->name, name))
			return object_types[i];
	return NULL;
}

static void test_definition_page(void **state)
{
	_cleanup_strv_ char **lines = read_page(MAN "amphorad-definition.5");
	_cleanup_json_ json_t *objects = items_of(lines, "FIELDS");
	const char *object, *name;
	json_t *items, *item;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(object_types); i++)
		for (const struct field *field = object_types[i]->fields; field->name; field++) {
			_cleanup_free_ char *what = NULL;

			if (field->flags & FIELD_STORED)
				continue; /* no document has it */

			assert_true(asprintf(&what, "amphorad-definition.5, %s of a %s",
					    field->name, object_types[i]->name) > 0);
			item = json_object_get(
				json_object_get(objects, object_types[i]->name), field->name);
			if (!item)
				fail_msg("%s is missing", what);
			check_field(what, field, json_string_value(item));
			/* An object that a later field brings in needs a row in object_types, too.
			 */
			if (field->object)
				assert_ptr_equal(find_type(field->object->name), field->object);
		}
	json_object_foreach (objects, object, items) {
		const struct object_type *type = find_type(object);

		if (!type)
			fail_msg("amphorad-definition.5: there is no object %s", object);
		json_object_foreach (items, name, item)
			if (!find_field(type, name))
				fail_msg("amphorad-definition.5: a %s has no field %s", object,
					name);
	}
}

/* The first display of the page is a whole document. */
static void test_definition_example(void **state)
{
	static const struct definition_defaults defaults = {50000, 5000, 50000, 0, NULL};
	_cleanup_strv_ char **lines = read_page(MAN "amphorad-definition.5");
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_text_ struct text document = TEXT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	bool inside = false;

	(void)state;
	STRV_FOREACH (line, lines) {
		if (inside && streq(*line, ".Ed"))
			break;
		if (inside)
			text_append(&document, *line);
		if (text_after_prefix(*line, ".Bd"))
			inside = true;
	}
	if (definition_parse("7b0d3a52-9a3e-4c0e-8f4b-d3c0e2a4b1f6", text_peek(&document),
		    document.length, &defaults, &lb, &err) < 0)
		fail_msg("%s: %s", err.pointer ? err.pointer : "", error_message(&err));
	assert_int_equal(lb->n_listeners, 1);
}

static void test_routes(void **state)
{
	_cleanup_strv_ char **lines = read_page(MAN "amphorad.8");
	_cleanup_json_ json_t *served = json_object(), *described = json_object();
	char key[512];

	(void)state;
	for (const struct route *route = routes; route->method; route++) {
		snprintf(key, sizeof(key), "%s Pa %s", route->method, route->pattern);
		add(served, key);
	}
	STRV_FOREACH (line, lines) {
		const char *item = argument_of(*line, ".It Ic");

		if (item)
			add(described, item);
	}
	assert_same(served, "api/routes.c", described, "amphorad.8");
}

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

/* "#name = value": a default that was commented out. Prose has a blank after the '#'. */
static bool is_commented_option(const char *line)
{
	size_t name = 1;

	if (line[0] != '#')
		return false;
	while (islower((unsigned char)line[name]) || isdigit((unsigned char)line[name]) ||
		line[name] == '_')
		name++;
	return name > 1 && text_after_prefix(line + name, " =");
}

/* The installed configuration with its defaults in force; "set" gets "section/name" of each. */
static char *switch_on_defaults(json_t *set)
{
	_cleanup_strv_ char **lines = read_page("etc/amphorad.conf");
	_cleanup_text_ struct text text = TEXT_INIT;
	char section[64] = "", key[256];
	char *content = NULL;

	STRV_FOREACH (line, lines) {
		const char *option = is_commented_option(*line) ? *line + 1
				     : **line == '#'            ? NULL
								: *line;

		if (!option)
			continue;
		text_printf(&text, "%s\n", option);
		if (*option == '[') {
			snprintf(section, sizeof(section), "%.*s", (int)strcspn(option + 1, "]"),
				option + 1);
			continue;
		}
		snprintf(key, sizeof(key), "%s/%.*s", section, (int)strcspn(option, " ="), option);
		if (json_object_get(set, key))
			fail_msg("etc/amphorad.conf has %s twice", key);
		add(set, key);
	}
	assert_int_equal(text_finish(&text, &content, NULL), 0);
	return content;
}

static void assert_option_equal(
	const struct option_row *row, const struct config *config, const struct config *defaults)
{
	const char *value = (const char *)config + row->offset,
		   *standard = (const char *)defaults + row->offset;
	const char *string;

	switch (row->type) {
	case OPTION_STRING:
		string = *(char *const *)value;
		if (is_chosen_at_build(row) ? string[0] != '/'
					    : !streq(string, *(char *const *)standard))
			fail_msg("etc/amphorad.conf: %s is \"%s\"", row->name, string);
		return;
	case OPTION_BOOL:
		assert_int_equal(*(const bool *)value, *(const bool *)standard);
		return;
	case OPTION_INTEGER:
		if (*(const int64_t *)value != *(const int64_t *)standard)
			fail_msg("etc/amphorad.conf: %s is %lld", row->name,
				(long long)*(const int64_t *)value);
		return;
	case OPTION_ACCEPTED:
		return;
	}
}

static void assert_gives_defaults(const char *path)
{
	_cleanup_config_ struct config *config = NULL, *defaults = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_int_equal(config_new(&config, NULL), 0);
	assert_int_equal(config_new(&defaults, NULL), 0);
	assert_int_equal(config_check(defaults, NULL), 0); /* "auto" becomes what it means */
	if (config_read(config, path, &err) < 0 || config_check(config, &err) < 0)
		fail_msg("%s: %s", err.pointer ? err.pointer : path, error_message(&err));
	for (const struct option_row *row = config_options; row->name; row++)
		assert_option_equal(row, config, defaults);
}

static int make_folder(void **state)
{
	const char *temporary = getenv("TMPDIR");
	char *folder;

	if (asprintf(&folder, "%s/manuals-XXXXXX", temporary && *temporary ? temporary : "/tmp") <
		0)
		return -1;
	*state = folder;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	int r = fileio_remove_tree(AT_FDCWD, *state);

	free(*state);
	return r;
}

static void test_installed_configuration(void **state)
{
	_cleanup_free_ char *installed = path_of("AMPHORAD_SRC_DIR", ".", "etc/amphorad.conf");
	_cleanup_free_ char *content = NULL, *file = NULL;
	_cleanup_json_ json_t *set = json_object();
	const char *folder = *state, *key;
	json_t *value;

	content = switch_on_defaults(set);
	for (const struct option_row *row = config_options; row->name; row++)
		if (streq(row->section, "amphorad")) {
			char wanted[256];

			snprintf(wanted, sizeof(wanted), "%s/%s", row->section, row->name);
			if (!json_object_get(set, wanted))
				fail_msg("etc/amphorad.conf does not have %s", wanted);
		}
	json_object_foreach (set, key, value) {
		_cleanup_free_ char *section = strndup(key, strcspn(key, "/"));

		assert_non_null(section);
		if (!find_option(section, strchr(key, '/') + 1))
			fail_msg("etc/amphorad.conf: there is no option %s", key);
	}

	assert_true(asprintf(&file, "%s/amphorad.conf", folder) > 0);
	assert_int_equal(fileio_write_volatile(AT_FDCWD, file, content, strlen(content), 0600), 0);
	assert_gives_defaults(file);
	assert_gives_defaults(installed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration_page),
		cmocka_unit_test(test_definition_page),
		cmocka_unit_test(test_definition_example),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_interface_page),
		cmocka_unit_test(test_tool_pages),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_client_page),
		cmocka_unit_test(test_service_page),
		cmocka_unit_test(test_pages_are_well_formed),
		cmocka_unit_test_setup_teardown(
			test_installed_configuration, make_folder, remove_folder),
	};

	return cmocka_run_group_tests_name("manuals", tests, NULL, NULL);
}
