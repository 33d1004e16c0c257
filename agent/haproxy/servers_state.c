/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/servers_state.h"

#include <string.h>

#include "agent/base/text.h"

enum { COLUMNS_MAX = 64 };

static const char *const column_names[N_SERVER_COLUMNS] = {
	[SERVER_BACKEND] = "be_name",
	[SERVER_NAME] = "srv_name",
	[SERVER_ID] = "srv_id",
	[SERVER_ADDRESS] = "srv_addr",
	[SERVER_PORT] = "srv_port",
	[SERVER_STATE] = "srv_op_state",
	[SERVER_ADMIN] = "srv_admin_state",
	[SERVER_WEIGHT] = "srv_uweight",
	[SERVER_SSL] = "srv_use_ssl",
	[SERVER_CHECK_ADDRESS] = "srv_check_addr",
	[SERVER_CHECK_PORT] = "srv_check_port",
};

int64_t server_row_number(const struct server_row *row, enum server_column column)
{
	int64_t value;

	return text_to_int64(row->values[column], &value) == 0 ? value : -1;
}

/* Puts ends to the words of a line. */
static size_t split_words(char *line, char *words[COLUMNS_MAX])
{
	size_t n = 0;
	char *rest;

	for (char *word = strtok_r(line, " ", &rest); word && n < COLUMNS_MAX;
		word = strtok_r(NULL, " ", &rest))
		words[n++] = word;
	return n;
}

/* Where the columns are; false if one is missing. */
static bool read_header(char *const words[], size_t n, size_t places[N_SERVER_COLUMNS])
{
	for (size_t i = 0; i < N_SERVER_COLUMNS; i++) {
		size_t place = 1; /* words[0] is "#" */

		while (place < n && !streq(words[place], column_names[i]))
			place++;
		if (place >= n)
			return false;
		places[i] = place - 1;
	}
	return true;
}

int servers_state_each(const char *servers_state, server_row_callback callback, void *userdata)
{
	_cleanup_free_ char *copy = strdup(servers_state);
	size_t places[N_SERVER_COLUMNS];
	bool known = false;
	char *next;

	if (!copy)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *words[COLUMNS_MAX];
		size_t n = split_words(line, words);
		struct server_row row;
		int r;

		if (n > 0 && streq(words[0], "#")) {
			known = read_header(words, n, places);
			continue;
		}
		if (n < 2) /* the version, and what is left of empty lines */
			continue;
		if (!known)
			return -EBADMSG;
		for (size_t i = 0; i < N_SERVER_COLUMNS; i++) {
			if (places[i] >= n)
				return -EBADMSG;
			row.values[i] = words[places[i]];
		}
		r = callback(userdata, &row);
		if (r != 0)
			return r;
	}
	return known ? 0 : -EBADMSG;
}
