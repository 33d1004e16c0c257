/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <string.h>

#include "agent/base/secret.h"

/*
 * Certificates, crt-lists, CA and CRL files: what is in memory is replaced in a transaction, and
 * all that is set up with it is made anew by "commit". Sessions that exist keep what they have.
 *
 * Source: management guide, "set ssl cert", "add ssl crt-list", "set ssl ca-file", "set ssl
 * crl-file".
 */

static const char created_certificate[] = "Transaction", created_other[] = "transaction";

/* A payload ends at the first empty line: without blank lines, and without a newline at the end. */
static char *payload_of(struct planner *planner, const char *content, size_t length)
{
	char *payload = malloc(length + 1), *to = payload;

	if (!payload) {
		planner->failed = true;
		return NULL;
	}
	for (const char *line = content, *end = content + length; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((newline ? newline : end) - line), kept = n;

		while (kept > 0 &&
			(line[kept - 1] == ' ' || line[kept - 1] == '\t' || line[kept - 1] == '\r'))
			kept--;
		if (kept > 0) {
			memcpy(to, line, kept);
			to[kept] = '\n';
			to += kept + 1;
		}
		line += n + (newline ? 1 : 0);
	}
	*(to > payload ? to - 1 : to) = '\0';
	return payload;
}

/* HAProxy's name of a file: the one in the configuration, in the folder that "crt-base" or
 * "ca-base" names. */
static char *name_in_memory(struct planner *planner, const char *name, const char *base_keyword)
{
	_cleanup_free_ char *path = NULL;
	const char *base = NULL;

	for (size_t i = 0; i < planner->old.n_sections; i++)
		for (size_t j = 0; j < planner->old.sections[i].n_lines; j++) {
			char *const *words = planner->old.sections[i].lines[j].words;

			if (streq(words[0], base_keyword) && words[1])
				base = words[1];
		}
	/* "@system-ca", "@store/name" are no files. */
	if (name[0] == '@')
		return NULL;
	if (name[0] == '/' || !base)
		return plan_word(planner, name);
	if (asprintf(&path, "%s/%s", base, name) < 0) {
		path = NULL;
		planner->failed = true;
		return NULL;
	}
	return plan_word(planner, path);
}

/* "set ssl KIND NAME" with that content; false if it cannot be said in one command. */
static bool set_content(struct planner *planner, const char *verb, const char *kind,
	const char *name, const char *content, size_t length, const char *expected)
{
	_cleanup_secret_ char *payload = payload_of(planner, content, length);
	_cleanup_free_ char *command = NULL;

	if (asprintf(&command, "%s ssl %s %s", verb, kind, name) < 0) {
		command = NULL;
		planner->failed = true;
	}
	if (!payload || !command)
		return true; /* remembered */
	if (!payload[0] || strstr(payload, PLAN_VERSION_MARK) ||
		strlen(command) + strlen(payload) > planner->command_limit)
		return false;
	planner_payload_step(planner, PLAN_PHASE_CERTIFICATE, expected, command, payload);
	return true;
}

static void commit(struct planner *planner, const char *kind, const char *name)
{
	planner_step(planner, PLAN_PHASE_CERTIFICATE, PLAN_EXPECT_CONTAINS, "Success!",
		"commit ssl %s %s", kind, name);
}

void plan_certificate(struct planner *planner, const struct plan_file *file)
{
	_cleanup_free_ char *name = name_in_memory(planner, file->name, "crt-base");

	if (!name || !file->after) {
		planner_obstacle(planner, "%s changed", file->name);
	} else if (!set_content(planner, "set", "cert", name, file->after, strlen(file->after),
			   created_certificate)) {
		planner_obstacle(planner, "%s changed: it does not fit into a command", file->name);
	} else {
		planner_change(planner, "certificate %s replaced", file->name);
		commit(planner, "cert", name);
	}
}

/* The end of the PEM block that begins in "text". */
static const char *block_end(const char *text)
{
	const char *end = strstr(text, "-----END ");

	end = end ? strchr(end, '\n') : NULL;
	return end ? end + 1 : text + strlen(text);
}

/* As many whole blocks as fit into one command, at least one. */
static size_t piece_length(const struct planner *planner, const char *name, const char *text)
{
	size_t room = planner->command_limit - strlen("set ssl ca-file ") - strlen(name);
	const char *end = block_end(text);

	while (*end && (size_t)(block_end(end) - text) <= room)
		end = block_end(end);
	return (size_t)(end - text);
}

static bool set_in_pieces(struct planner *planner, const char *name, const char *content)
{
	const char *verb = "set";

	for (const char *p = content; *p;) {
		size_t length = strlen(name) < planner->command_limit / 2
					? piece_length(planner, name, p)
					: strlen(p);

		/* What stands after the last certificate is no piece of its own. */
		if (!strstr(p + length, "-----BEGIN "))
			length = strlen(p);
		if (!set_content(planner, verb, "ca-file", name, p, length, created_other))
			return false;
		verb = "add";
		p += length;
	}
	return content[0] != '\0';
}

void plan_ca_file(struct planner *planner, const struct plan_file *file, bool is_crl)
{
	const char *kind = is_crl ? "crl-file" : "ca-file";
	_cleanup_free_ char *name = name_in_memory(planner, file->name, "ca-base");
	bool fits;

	if (!name || !planner->can->ca_files) {
		planner_obstacle(planner, "%s changed", file->name);
		return;
	}
	fits = !is_crl && planner->can->add_ca
		       ? set_in_pieces(planner, name, file->after)
		       : set_content(planner, "set", kind, name, file->after, strlen(file->after),
				 created_other);
	if (!fits) {
		planner_obstacle(planner, "%s changed: it does not fit into a command", file->name);
		return;
	}
	planner_change(planner, "%s %s replaced", is_crl ? "CRL file" : "CA file", file->name);
	commit(planner, kind, name);
}

struct crt_lines {
	struct crt_line {
		char *name, *line;
	} * lines;
	size_t n;
};

static void crt_lines_done(struct crt_lines *lines)
{
	for (size_t i = 0; i < lines->n; i++) {
		free(lines->lines[i].name);
		free(lines->lines[i].line);
	}
	free(lines->lines);
}

static int add_line(struct crt_lines *lines, const char *text, size_t length)
{
	_cleanup_free_ char *line = strndup(text, length),
			    *name = line ? strndup(line, strcspn(line, " \t[")) : NULL;

	if (!name)
		return -ENOMEM;
	if ((lines->n & (lines->n - 1)) == 0) {
		struct crt_line *grown = reallocarray(
			lines->lines, lines->n ? lines->n * 2 : 1, sizeof(*lines->lines));

		if (!grown)
			return -ENOMEM;
		lines->lines = grown;
	}
	lines->lines[lines->n++] = (struct crt_line){TAKE_PTR(name), TAKE_PTR(line)};
	return 0;
}

/* Configuration manual, "crt-list": a certificate in each line, then its settings in brackets, then
 * the names it is for. */
static int read_lines(const char *content, struct crt_lines *lines)
{
	for (const char *line = content; *line;) {
		size_t length = strcspn(line, "\r\n"), start = strspn(line, " \t"), end = length;
		int r = 0;

		while (end > start && (line[end - 1] == ' ' || line[end - 1] == '\t'))
			end--;
		if (start < end && line[start] != '#')
			r = add_line(lines, line + start, end - start);
		if (r < 0)
			return r;
		line += length;
		line += strspn(line, "\r\n");
	}
	return 0;
}

/* A certificate once in a list: which of several lines of one is meant would depend on numbers of
 * lines. */
static bool is_unique(const struct crt_lines *lines)
{
	json_auto_t *names = json_object();

	for (size_t i = 0; i < lines->n; i++)
		if (json_object_get(names, lines->lines[i].name) ||
			json_object_set_new(names, lines->lines[i].name, json_true()) < 0)
			return false;
	return true;
}

/* The certificate itself, where HAProxy does not have it yet. */
static bool load_certificate(struct planner *planner, const char *file_name, const char *name)
{
	const struct plan_file *file = plan_find_file(planner, file_name);
	_cleanup_free_ char *command = NULL;

	/* If it is in use and has changed, too, that is its own row among the files. */
	if (plan_named(planner, PLAN_SIDE_RUNNING, file_name))
		return true;
	if (!file || !file->after)
		return false;
	if (asprintf(&command, "new ssl cert %s", name) < 0) {
		command = NULL;
		planner->failed = true;
		return true;
	}
	/* For another list. */
	if (planner_has_step(planner, PLAN_PHASE_CERTIFICATE, command))
		return true;
	planner_step(planner, PLAN_PHASE_CERTIFICATE, PLAN_EXPECT_PREFIX,
		"New empty certificate store", "%s", command);
	if (!set_content(planner, "set", "cert", name, file->after, strlen(file->after),
		    created_certificate))
		return false;
	commit(planner, "cert", name);
	return true;
}

static void add_to_list(struct planner *planner, const struct plan_file *file, const char *list,
	const struct crt_line *line)
{
	_cleanup_free_ char *name = name_in_memory(planner, line->name, "crt-base"),
			    *command = NULL;

	if (!name || !load_certificate(planner, line->name, name)) {
		planner_obstacle(planner, "%s: %s added", file->name, line->name);
		return;
	}
	planner_change(planner, "%s: %s added", file->name, line->name);
	if (streq(line->name, line->line)) {
		planner_step(planner, PLAN_PHASE_CERTIFICATE, PLAN_EXPECT_CONTAINS, "Success!",
			"add ssl crt-list %s %s", list, name);
		return;
	}
	if (asprintf(&command, "add ssl crt-list %s", list) < 0) {
		command = NULL;
		planner->failed = true;
		return;
	}
	planner_payload_step(
		planner, PLAN_PHASE_CERTIFICATE, "Inserting certificate", command, line->line);
}

static void remove_from_list(struct planner *planner, const struct plan_file *file,
	const char *list, const struct crt_line *line)
{
	_cleanup_free_ char *name = name_in_memory(planner, line->name, "crt-base"),
			    *command = NULL;

	/* A colon begins the number of a line. */
	if (!name || strchr(name, ':')) {
		planner_obstacle(planner, "%s: %s removed", file->name, line->name);
		return;
	}
	planner_change(planner, "%s: %s removed", file->name, line->name);
	planner_step(planner, PLAN_PHASE_REMOVE, PLAN_EXPECT_PREFIX, "Entry '",
		"del ssl crt-list %s %s", list, name);
	if (plan_named(planner, PLAN_SIDE_WANTED, line->name))
		return;
	if (asprintf(&command, "del ssl cert %s", name) < 0) {
		command = NULL;
		planner->failed = true;
	} else if (!planner_has_step(planner, PLAN_PHASE_FORGET, command)) {
		planner_step(planner, PLAN_PHASE_FORGET, PLAN_EXPECT_PREFIX, "Certificate '", "%s",
			command);
	}
}

/*
 * The first line is the certificate for clients that ask for no name or an unknown one; it cannot
 * be exchanged. Where several lines are for one name the first counts, so others may go, but come
 * only at the end.
 */
void plan_crt_list(struct planner *planner, const struct plan_file *file)
{
	_cleanup_(crt_lines_done) struct crt_lines old = {0}, new = {0};
	_cleanup_free_ char *list = plan_word(planner, file->name);
	size_t kept = 0;

	if ((file->before && read_lines(file->before, &old) < 0) ||
		read_lines(file->after, &new) < 0) {
		planner->failed = true;
		return;
	}
	if (!list || old.n == 0 || new.n == 0 || !is_unique(&old) || !is_unique(&new) ||
		!streq(old.lines[0].line, new.lines[0].line)) {
		planner_obstacle(planner, "%s changed", file->name);
		return;
	}
	for (size_t i = 0; i < old.n; i++) {
		if (kept < new.n && streq(old.lines[i].line, new.lines[kept].line))
			kept++;
		else
			remove_from_list(planner, file, list, &old.lines[i]);
	}
	for (size_t i = kept; i < new.n; i++)
		for (size_t j = 0; j < old.n; j++)
			if (streq(old.lines[j].name, new.lines[i].name)) {
				planner_obstacle(planner, "%s: order changed", file->name);
				return;
			}
	for (size_t i = kept; i < new.n; i++)
		add_to_list(planner, file, list, &new.lines[i]);
}
