/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/manuals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "api/router.h"

void cleanup_json(json_t **json)
{
	json_decref(*json);
}

char *path_of(const char *variable, const char *unset, const char *name)
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

char **read_page(const char *name)
{
	_cleanup_free_ char *content = read_source(name);
	char **lines = NULL;

	assert_int_equal(text_split(content, '\n', &lines), 0);
	return lines;
}

const char *argument_of(const char *line, const char *macro)
{
	const char *rest = text_after_prefix(line, macro);

	return rest && *rest == ' ' ? rest + 1 : NULL;
}

void append_plain(struct text *text, const char *line)
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

void add(json_t *set, const char *key)
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

void assert_same(const json_t *a, const char *a_name, const json_t *b, const char *b_name)
{
	assert_true(json_object_size(a) > 0);
	assert_subset(a, a_name, b, b_name);
	assert_subset(b, b_name, a, a_name);
}

json_t *items_of(char *const *lines, const char *chapter)
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

void assert_starts(const char *what, const char *text, const char *format, ...)
{
	_cleanup_free_ char *wanted = NULL;
	va_list arguments;

	va_start(arguments, format);
	assert_true(vasprintf(&wanted, format, arguments) >= 0);
	va_end(arguments);
	if (!text_after_prefix(text, wanted))
		fail_msg("%s: \"%s\" expected, it is \"%.120s\"", what, wanted, text);
}
