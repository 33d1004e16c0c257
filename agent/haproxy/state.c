/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/state.h"

#include <arpa/inet.h>
#include <string.h>

#include <jansson.h>

#include "agent/base/text.h"

/* "be_id be_name srv_id srv_name …": the same in all versions, later ones add columns. */
enum {
	COLUMN_BACKEND = 1,
	COLUMN_SERVER = 3,
	COLUMN_ADDRESS = 4,
	COLUMN_ADMIN = 6,
	COLUMN_WEIGHT = 7,
	COLUMN_INITIAL_WEIGHT = 8,
	COLUMN_PORT = 18,
};

/* Forced maintenance and forced drain (HAProxy's enum srv_admin): what the Runtime API did, and no configuration. */
enum { ADMIN_FORCED = 0x01 | 0x08 };

/* Names are kept as "backend server" in a hash, with what the configuration says of the server. */
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

static const char *word_after(const struct cfg_line *line, const char *word)
{
	for (size_t i = 0; line->words[i]; i++)
		if (streq(line->words[i], word))
			return line->words[i + 1];
	return NULL;
}

static bool has_word(const struct cfg_line *line, const char *word)
{
	for (size_t i = 0; line->words[i]; i++)
		if (streq(line->words[i], word))
			return true;
	return false;
}

/* An agent on the server decides about its weight. */
static json_t *server_json(const struct cfg_line *line)
{
	return json_pack("{s:s*, s:s*, s:b}", "address", line->words[2], "weight", word_after(line, "weight"), "agent",
		has_word(line, "agent-check"));
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
	return json_object_set_new(unchanged->names, key, server_json(after)) < 0 ? -ENOMEM : 0;
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

static bool is_same_ip(const char *a, const char *b, int family)
{
	struct in6_addr x, y;
	size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);

	return inet_pton(family, a, &x) == 1 && inet_pton(family, b, &y) == 1 && memcmp(&x, &y, size) == 0;
}

static bool is_ip(const char *text)
{
	struct in6_addr ip;

	return inet_pton(AF_INET, text, &ip) == 1 || inet_pton(AF_INET6, text, &ip) == 1;
}

/* Names and sockets are not judged: what they stand for may change. */
static bool is_address(const char *wanted, const char *address, const char *port)
{
	const char *colon = wanted ? strrchr(wanted, ':') : NULL;
	_cleanup_free_ char *host = colon ? strndup(wanted, (size_t)(colon - wanted)) : NULL;
	size_t length = host ? strlen(host) : 0;

	if (length > 1 && host[0] == '[' && host[length - 1] == ']') {
		memmove(host, host + 1, length - 2);
		host[length - 2] = '\0';
	}
	if (!host || !is_ip(host))
		return true;
	return (is_same_ip(host, address, AF_INET) || is_same_ip(host, address, AF_INET6)) && streq(colon + 1, port);
}

/* Not what somebody else told HAProxy: the reload is to bring what the file says. */
static bool is_as_configured(char *const *columns, const json_t *server)
{
	const char *weight = json_string_value(json_object_get(server, "weight"));
	int64_t admin;

	if (strv_length(columns) <= COLUMN_PORT)
		return true; /* of a version that nobody knows: HAProxy decides */
	if (text_to_int64(columns[COLUMN_ADMIN], &admin) < 0 || (admin & ADMIN_FORCED))
		return false;
	if (!json_is_true(json_object_get(server, "agent")) &&
		!streq(columns[COLUMN_WEIGHT], weight ? weight : columns[COLUMN_INITIAL_WEIGHT]))
		return false;
	return is_address(json_string_value(json_object_get(server, "address")), columns[COLUMN_ADDRESS],
		columns[COLUMN_PORT]);
}

static bool is_kept(char *const *columns, const json_t *unchanged)
{
	_cleanup_free_ char *key = NULL;
	const json_t *server;

	/* The version and the line of column names are about no server. */
	if (strv_length(columns) <= COLUMN_SERVER || columns[0][0] == '#')
		return true;
	if (asprintf(&key, "%s %s", columns[COLUMN_BACKEND], columns[COLUMN_SERVER]) < 0) {
		key = NULL;
		return false;
	}
	server = json_object_get(unchanged, key);
	return server && is_as_configured(columns, server);
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
