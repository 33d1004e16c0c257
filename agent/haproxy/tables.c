/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/tables.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent/base/text.h"

/* The next line, cut out of a writable text; NULL at its end. */
static char *next_line(char **rest)
{
	char *line = *rest, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	*rest = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return line;
}

/* A word that means itself on HAProxy's command line: no blank, ';', '\\' or quote in it. */
static bool is_plain(const char *word, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)word[i]) && !strchr("._~+/=:%@,&!*$|^-", word[i]))
			return false;
	return length > 0 && length <= TABLES_KEY_LIMIT;
}

/* "# table: NAME, type: ipv6, size:10240, used:2" */
int tables_with_entries(const char *reply, char ***ret_names)
{
	_cleanup_free_ char *copy = strdup(reply);
	_cleanup_strv_ char **names = calloc(1, sizeof(*names));
	char *rest = copy, *line;
	size_t n = 0;

	if (!copy || !names)
		return -ENOMEM;
	while ((line = next_line(&rest))) {
		const char *name = text_after_prefix(line, "# table: "), *used = strstr(line, ", used:");
		size_t length = name ? strcspn(name, ",") : 0;
		int r;

		if (!name || !used || atoi(used + strlen(", used:")) <= 0 || !is_plain(name, length))
			continue;
		r = strv_push(&names, &n, strndup(name, length));
		if (r < 0)
			return r;
	}
	*ret_names = TAKE_PTR(names);
	return 0;
}

/* The servers of one backend from "be_id be_name srv_id srv_name …": name -> id, or id -> name. */
static int read_servers(const char *state, const char *backend, bool by_name, json_t **ret)
{
	_cleanup_free_ char *copy = strdup(state);
	json_auto_t *servers = json_object();
	char *rest = copy, *line;

	if (!copy || !servers)
		return -ENOMEM;
	while ((line = next_line(&rest))) {
		const char *words[4];
		char *position = NULL;
		size_t n = 0;

		for (char *word = strtok_r(line, " ", &position); word && n < ELEMENTSOF(words);
			word = strtok_r(NULL, " ", &position))
			words[n++] = word;
		if (n < ELEMENTSOF(words) || !streq(words[1], backend))
			continue;
		if (json_object_set_new(servers, words[by_name ? 3 : 2], json_string(words[by_name ? 2 : 3])) < 0)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(servers);
	return 0;
}

/* The value of " name=" in a line of an entry, which ends at a blank. */
static const char *value_of(const char *line, const char *name, size_t *ret_length)
{
	const char *value = strstr(line, name);

	if (!value)
		return NULL;
	value += strlen(name);
	*ret_length = strcspn(value, " ");
	return value;
}

/* "0x5598ddb9a750: key=::1 use=0 exp=0 server_id=12 server_key=s1"; later versions have more words between. */
static int entry_command(
	const char *table, const char *line, const json_t *old_names, const json_t *new_ids, char **ret)
{
	size_t key_length, id_length;
	const char *key = value_of(line, " key=", &key_length), *id = value_of(line, " server_id=", &id_length);
	const char *name, *number;
	char old_id[16];

	*ret = NULL;
	if (!key || !id || id < key || id_length >= sizeof(old_id) || !is_plain(key, key_length))
		return 0;
	/* A key with a blank would have been cut there: what follows it is not "use=" or another word of HAProxy's. */
	if (!strchr(key + key_length, '=') || key[key_length] != ' ' ||
		strcspn(key + key_length + 1, "= ") == strcspn(key + key_length + 1, " "))
		return 0;
	memcpy(old_id, id, id_length);
	old_id[id_length] = '\0';
	name = json_string_value(json_object_get(old_names, old_id));
	number = name ? json_string_value(json_object_get(new_ids, name)) : NULL;
	if (!number)
		return 0;
	if (asprintf(ret, "set table %s key %.*s data.server_id %s", table, (int)key_length, key, number) < 0)
		return -ENOMEM;
	return 0;
}

int tables_commands(const char *table, const char *dump, const char *old_state, const char *new_state,
	char ***ret_commands, size_t *ret_entries)
{
	json_auto_t *old_names = NULL, *new_ids = NULL;
	_cleanup_strv_ char **commands = calloc(1, sizeof(*commands));
	_cleanup_text_ struct text command = TEXT_INIT;
	_cleanup_free_ char *copy = strdup(dump), *last = NULL;
	char *rest = copy, *line;
	size_t n = 0, entries = 0;
	int r;

	if (!copy || !commands)
		return -ENOMEM;
	r = read_servers(old_state, table, false, &old_names);
	if (r == 0)
		r = read_servers(new_state, table, true, &new_ids);
	while (r == 0 && (line = next_line(&rest))) {
		_cleanup_free_ char *one = NULL;

		r = entry_command(table, line, old_names, new_ids, &one);
		if (r < 0 || !one)
			continue;
		entries++;
		if (command.length > 0 && command.length + strlen(one) + 1 > TABLES_LINE_LIMIT) {
			_cleanup_free_ char *full = NULL;

			r = text_finish(&command, &full, NULL);
			if (r == 0)
				r = strv_push(&commands, &n, TAKE_PTR(full));
		}
		text_printf(&command, "%s%s", command.length > 0 ? ";" : "", one);
	}
	if (r == 0 && command.length > 0) {
		r = text_finish(&command, &last, NULL);
		if (r == 0)
			r = strv_push(&commands, &n, TAKE_PTR(last));
	}
	if (r < 0)
		return r;
	*ret_commands = TAKE_PTR(commands);
	*ret_entries = entries;
	return 0;
}
