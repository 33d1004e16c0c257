/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/state.h"

#include <string.h>

#include <jansson.h>

#include "agent/base/text.h"

/* "be_id be_name srv_id srv_name …" */
enum { COLUMN_BACKEND = 1, COLUMN_SERVER = 3 };

/* Names are kept as "backend server" in a hash. */
struct unchanged {
	const char *backend;
	json_t *names;
};

/* Options of checks that a state does not depend on, each with one argument. */
static bool is_tuning(const char *word)
{
	static const char *const words[] = {"inter", "fastinter", "downinter", "rise", "fall"};

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		if (streq(words[i], word))
			return true;
	return false;
}

static size_t skip_tuning(char *const *words, size_t i)
{
	while (words[i] && words[i + 1] && is_tuning(words[i]))
		i += 2;
	return i;
}

/* The same server, checked the same way, though perhaps more often: what is known of it stays true. */
static bool is_same_server(const struct cfg_line *before, const struct cfg_line *after)
{
	size_t i = skip_tuning(before->words, 0), j = skip_tuning(after->words, 0);

	while (before->words[i] && after->words[j] && streq(before->words[i], after->words[j])) {
		i = skip_tuning(before->words, i + 1);
		j = skip_tuning(after->words, j + 1);
	}
	return !before->words[i] && !after->words[j];
}

static int remember_unchanged(
	void *userdata, const char *name, const struct cfg_line *before, const struct cfg_line *after)
{
	struct unchanged *unchanged = userdata;
	_cleanup_free_ char *key = NULL;

	if (!before || !after || !is_same_server(before, after))
		return 0;
	if (asprintf(&key, "%s %s", unchanged->backend, name) < 0)
		return -ENOMEM;
	return json_object_set_new(unchanged->names, key, json_true()) < 0 ? -ENOMEM : 0;
}

static int find_unchanged(const struct cfg *running, const struct cfg *wanted, json_t *names)
{
	for (size_t i = 0; i < wanted->n_sections; i++) {
		const struct cfg_section *section = &wanted->sections[i];
		const struct cfg_section *before = cfg_find(running, section->keyword, section->name);
		struct unchanged unchanged = {section->name, names};
		int r = before ? cfg_compare_servers(before, section, remember_unchanged, &unchanged) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_kept(char *const *columns, const json_t *unchanged)
{
	_cleanup_free_ char *key = NULL;

	/* The version and the line of column names are about no server. */
	if (strv_length(columns) <= COLUMN_SERVER || columns[0][0] == '#')
		return true;
	return asprintf(&key, "%s %s", columns[COLUMN_BACKEND], columns[COLUMN_SERVER]) >= 0 &&
		json_object_get(unchanged, key);
}

int state_filter(const char *state, const struct cfg *running, const struct cfg *wanted, char **ret_text)
{
	_cleanup_text_ struct text kept = TEXT_INIT;
	json_auto_t *unchanged = json_object();
	int r;

	r = find_unchanged(running, wanted, unchanged);
	if (r < 0)
		return r;

	for (const char *line = state; *line;) {
		const char *newline = strchr(line, '\n');
		size_t length = newline ? (size_t)(newline - line) : strlen(line);
		_cleanup_free_ char *copy = strndup(line, length);
		_cleanup_strv_ char **columns = NULL;

		if (!copy || text_split(copy, ' ', &columns) < 0)
			return -ENOMEM;
		if (length > 0 && is_kept(columns, unchanged)) /* an empty line ends the answer */
			text_printf(&kept, "%s\n", copy);
		line += length + (newline ? 1 : 0);
	}
	return text_finish(&kept, ret_text, NULL);
}
