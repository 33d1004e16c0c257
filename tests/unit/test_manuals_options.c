/* SPDX-License-Identifier: Apache-2.0 */

/* amphorad.conf(5) and the installed amphorad.conf have every option with its range and default: no more, no less. */

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
#include "agent/config.h"
#include "api/router.h"
#include "tests/unit/manuals.h"

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
		cmocka_unit_test_setup_teardown(
			test_installed_configuration, make_folder, remove_folder),
	};

	return cmocka_run_group_tests_name("manuals_options", tests, NULL, NULL);
}
