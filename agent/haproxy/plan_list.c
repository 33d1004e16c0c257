/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <string.h>

/*
 * Files of ACLs ("-f") and maps: replaced as a whole in a new version, which takes effect at once
 * with "commit". HAProxy names the list after its file as the configuration has it, and shares it
 * among all that name the same file.
 *
 * Source: management guide, "prepare acl", "add acl", "commit acl"; pat_ref_read_from_file() and
 * pat_ref_read_from_file_smp() in HAProxy's pattern.c for how a file is read.
 */

enum { LINE_MAX_LENGTH = 4096 }; /* longer ones are cut by HAProxy's reader at its buffer */

struct entry {
	char *key, *value; /* "value" for maps only */
};

static void entry_done(struct entry *entry)
{
	free(entry->key);
	free(entry->value);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Of a line without its end. 0: there is none in it. */
static int read_entry(const char *line, size_t length, bool is_map, struct entry *ret)
{
	size_t start = 0, end, value;

	if (length > 0 && line[0] == '#')
		return 0;
	while (start < length && is_blank(line[start]))
		start++;
	if (start == length)
		return 0;
	if (length > LINE_MAX_LENGTH)
		return -EINVAL;
	end = start;
	while (end < length && !(is_map && is_blank(line[end])))
		end++;
	ret->key = strndup(line + start, end - start);
	if (!ret->key)
		return -ENOMEM;
	if (!is_map)
		return 1;
	value = end;
	while (value < length && is_blank(line[value]))
		value++;
	while (length > value && is_blank(line[length - 1]))
		length--;
	ret->value = strndup(line + value, length - value);
	return ret->value ? 1 : -ENOMEM;
}

static int add_entry(
	struct planner *planner, const char *kind, const char *list, const struct entry *entry)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	if (!plan_append_word(&text, entry->key))
		return -EINVAL;
	if (entry->value) {
		text_append_char(&text, ' ');
		if (!plan_append_word(&text, entry->value))
			return -EINVAL;
	}
	if (text.failed)
		return -ENOMEM;
	planner_quiet_step(planner, PLAN_PHASE_LIST, "add %s @" PLAN_VERSION_MARK " %s %s", kind,
		list, text_peek(&text));
	return 0;
}

static int add_entries(struct planner *planner, const char *content, const char *kind,
	const char *list, bool is_map)
{
	for (const char *line = content; *line;) {
		size_t length = strcspn(line, "\n");
		_cleanup_(entry_done) struct entry entry = {NULL, NULL};
		/* The first CR ends it, too. */
		const char *cr = memchr(line, '\r', length);
		int r = read_entry(line, cr ? (size_t)(cr - line) : length, is_map, &entry);

		if (r > 0)
			r = add_entry(planner, kind, list, &entry);
		if (r < 0)
			return r;
		line += length + (line[length] ? 1 : 0);
	}
	return 0;
}

void plan_pattern_file(struct planner *planner, const struct plan_file *file, bool is_map)
{
	const char *kind = is_map ? "map" : "acl";
	/* "#" and "@" begin other kinds of names; "opt@" and "virt@" came with 2.9. */
	_cleanup_free_ char *list =
		strpbrk(file->name, "@#") ? NULL : plan_word(planner, file->name);
	int r;

	if (!list) {
		planner_obstacle(planner, "%s changed", file->name);
		return;
	}
	planner_change(planner, "%s changed", file->name);
	planner_step(
		planner, PLAN_PHASE_LIST, PLAN_EXPECT_VERSION, NULL, "prepare %s %s", kind, list);
	r = add_entries(planner, file->after, kind, list, is_map);
	if (r == -ENOMEM)
		planner->failed = true;
	else if (r < 0)
		planner_obstacle(planner, "%s changed: a line of it does not fit into a command",
			file->name);
	/* Not in one line with the entries: it must not happen when one was refused. */
	planner_step(planner, PLAN_PHASE_LIST, PLAN_EXPECT_NOTHING, NULL,
		"commit %s @" PLAN_VERSION_MARK " %s", kind, list);
}
