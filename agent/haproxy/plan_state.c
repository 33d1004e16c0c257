/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <stdarg.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan_server.h"

/*
 * What the running process says of its servers.
 *
 * Source: management guide, "show servers state"; enum srv_admin and srv_state in HAProxy's
 * server-t.h, the same from 2.4 to 3.4. Of the columns only the names count, not their places.
 */

enum {
	COLUMNS_MAX = 64,
	STATE_RUNNING = 2,
	ADMIN_MAINTENANCE =
		0x01 | 0x02 | 0x20, /* forced, inherited, no address; 0x04 only says how it began */
	ADMIN_DRAIN = 0x08 | 0x10,
};

enum column {
	COLUMN_BACKEND,
	COLUMN_SERVER,
	COLUMN_ID,
	COLUMN_ADDRESS,
	COLUMN_PORT,
	COLUMN_STATE,
	COLUMN_ADMIN,
	COLUMN_WEIGHT,
	COLUMN_SSL,
	COLUMN_CHECK_ADDRESS,
	COLUMN_CHECK_PORT,
	N_COLUMNS,
};

static const char *const column_names[N_COLUMNS] = {
	[COLUMN_BACKEND] = "be_name",
	[COLUMN_SERVER] = "srv_name",
	[COLUMN_ID] = "srv_id",
	[COLUMN_ADDRESS] = "srv_addr",
	[COLUMN_PORT] = "srv_port",
	[COLUMN_STATE] = "srv_op_state",
	[COLUMN_ADMIN] = "srv_admin_state",
	[COLUMN_WEIGHT] = "srv_uweight",
	[COLUMN_SSL] = "srv_use_ssl",
	[COLUMN_CHECK_ADDRESS] = "srv_check_addr",
	[COLUMN_CHECK_PORT] = "srv_check_port",
};

struct row {
	const char *values[N_COLUMNS];
};

static int64_t number(const struct row *row, enum column column)
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
static bool read_header(char *const words[], size_t n, size_t places[N_COLUMNS])
{
	for (size_t i = 0; i < N_COLUMNS; i++) {
		size_t place = 1; /* words[0] is "#" */

		while (place < n && !streq(words[place], column_names[i]))
			place++;
		if (place >= n)
			return false;
		places[i] = place - 1;
	}
	return true;
}

typedef int (*row_callback)(void *userdata, const struct row *row);

/* -EBADMSG for an answer without the line that names the columns. Ends at the first result that is
 * not 0. */
static int each_row(const char *servers_state, row_callback callback, void *userdata)
{
	_cleanup_free_ char *copy = strdup(servers_state);
	size_t places[N_COLUMNS];
	bool known = false;
	char *next;

	if (!copy)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *words[COLUMNS_MAX];
		size_t n = split_words(line, words);
		struct row row;
		int r;

		if (n > 0 && streq(words[0], "#")) {
			known = read_header(words, n, places);
			continue;
		}
		if (n < 2) /* the version, and what is left of empty lines */
			continue;
		if (!known)
			return -EBADMSG;
		for (size_t i = 0; i < N_COLUMNS; i++) {
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

char *plan_server_key(const char *backend, const char *server)
{
	char *key;

	return asprintf(&key, "%s %s", backend, server) < 0 ? NULL : key;
}

bool plan_read_defaults(
	const struct cfg *cfg, const struct cfg_section *section, struct plan_server *ret)
{
	const struct cfg_section *defaults = plan_defaults_of(cfg, section);
	bool seen = false;

	for (size_t i = 0; defaults && i < defaults->n_lines; i++)
		if (streq(defaults->lines[i].words[0], "default-server"))
			plan_server_read(ret, &defaults->lines[i]);
	for (size_t i = 0; i < section->n_lines; i++) {
		const struct cfg_line *line = &section->lines[i];
		bool is_default = streq(line->words[0], "default-server");

		if (streq(line->words[0], "server-template") || (seen && is_default))
			return false;
		if (is_default)
			plan_server_read(ret, line);
		seen |= cfg_line_is_server(line);
	}
	return true;
}

int plan_server_names(const struct cfg *cfg, json_t *names)
{
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *section = &cfg->sections[i];

		for (size_t j = 0; plan_is_pool(section) && j < section->n_lines; j++) {
			_cleanup_free_ char *key = NULL;

			if (!cfg_line_is_server(&section->lines[j]))
				continue;
			key = plan_server_key(section->name, section->lines[j].words[1]);
			if (!key || json_object_set_new_nocheck(names, key, json_true()) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

struct up {
	const char *backend;
	json_t *names;
};

static int note_up(void *userdata, const struct row *row)
{
	struct up *up = userdata;

	if (!streq(row->values[COLUMN_BACKEND], up->backend) ||
		number(row, COLUMN_STATE) != STATE_RUNNING || number(row, COLUMN_WEIGHT) <= 0 ||
		number(row, COLUMN_ADMIN) < 0 ||
		(number(row, COLUMN_ADMIN) & (ADMIN_MAINTENANCE | ADMIN_DRAIN)) != 0)
		return 0;
	return json_object_set_new_nocheck(up->names, row->values[COLUMN_SERVER], json_true()) < 0
		       ? -ENOMEM
		       : 0;
}

int plan_servers_up(const char *servers_state, const char *backend, json_t **ret)
{
	json_auto_t *names = json_object();
	struct up up = {backend, names};
	int r = names ? each_row(servers_state, note_up, &up) : -ENOMEM;

	if (r == -ENOMEM)
		return r;
	*ret = json_incref(names);
	return 0;
}

void plan_leaving_free(struct plan_leaving *leaving, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(leaving[i].backend);
		free(leaving[i].server);
		free(leaving[i].line);
	}
	free(leaving);
}

int plan_leaving_copy(const struct plan_leaving *leaving, size_t n, struct plan_leaving **ret)
{
	struct plan_leaving *copy = calloc(n + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		copy[i] = (struct plan_leaving){
			.backend = strdup(leaving[i].backend),
			.server = strdup(leaving[i].server),
			.line = leaving[i].line ? strdup(leaving[i].line) : NULL,
			.keep = leaving[i].keep,
		};
		if (!copy[i].backend || !copy[i].server || (leaving[i].line && !copy[i].line)) {
			plan_leaving_free(copy, i + 1);
			return -ENOMEM;
		}
	}
	*ret = copy;
	return 0;
}

/* What is wanted, ready to be looked up by the names in a row. */
struct wanted {
	struct cfg cfg;
	struct wanted_section {
		struct plan_server defaults;
		bool odd;
	} * sections; /* one for each of "cfg" */
	struct wanted_server {
		size_t section;
		const struct cfg_line *line;
		bool seen;
	} * servers;
	size_t n_servers;
	json_t *by_key;  /* index into "servers" */
	json_t *by_name; /* backend: index into "sections" */
};

static void wanted_done(struct wanted *wanted)
{
	cfg_done(&wanted->cfg);
	free(wanted->sections);
	free(wanted->servers);
	json_decref(wanted->by_key);
	json_decref(wanted->by_name);
}

static bool is_asked_for(const struct cfg_section *section, char *const *pools)
{
	STRV_FOREACH(name, pools)
		if (streq(*name, section->name))
			return true;
	return !pools;
}

static int index_section(struct wanted *wanted, size_t i, char *const *pools)
{
	const struct cfg_section *section = &wanted->cfg.sections[i];

	if (!plan_is_pool(section) || !is_asked_for(section, pools))
		return 0;
	wanted->sections[i].odd =
		!plan_read_defaults(&wanted->cfg, section, &wanted->sections[i].defaults);
	if (json_object_set_new_nocheck(
		    wanted->by_name, section->name, json_integer((json_int_t)i)) < 0)
		return -ENOMEM;
	for (size_t j = 0; j < section->n_lines; j++) {
		_cleanup_free_ char *key = NULL;

		if (!cfg_line_is_server(&section->lines[j]))
			continue;
		key = plan_server_key(section->name, section->lines[j].words[1]);
		if (!key || json_object_set_new_nocheck(wanted->by_key, key,
				    json_integer((json_int_t)wanted->n_servers)) < 0)
			return -ENOMEM;
		wanted->servers[wanted->n_servers++] =
			(struct wanted_server){i, &section->lines[j], false};
	}
	return 0;
}

static int read_wanted(
	const char *text, size_t length, char *const *pools, struct wanted *wanted, struct error *err)
{
	size_t n_lines = 0;
	int r;

	r = cfg_parse_pools(text, length, pools, &wanted->cfg, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < wanted->cfg.n_sections; i++)
		n_lines += wanted->cfg.sections[i].n_lines;
	wanted->sections = calloc(wanted->cfg.n_sections + 1, sizeof(*wanted->sections));
	wanted->servers = calloc(n_lines + 1, sizeof(*wanted->servers));
	wanted->by_key = json_object();
	wanted->by_name = json_object();
	r = wanted->sections && wanted->servers && wanted->by_key && wanted->by_name ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < wanted->cfg.n_sections; i++)
		r = index_section(wanted, i, pools);
	return r < 0 ? error_set_errno(err, r, "servers of HAProxy") : 0;
}

/* The section of a row, if its servers can be told from its lines. */
static const struct wanted_section *find_section(const struct wanted *wanted, const struct row *row)
{
	const json_t *index = json_object_get(wanted->by_name, row->values[COLUMN_BACKEND]);
	const struct wanted_section *section =
		index ? &wanted->sections[json_integer_value(index)] : NULL;

	return section && !section->odd ? section : NULL;
}

static struct wanted_server *find_server(const struct wanted *wanted, const char *key)
{
	const json_t *index = json_object_get(wanted->by_key, key);

	return index ? &wanted->servers[json_integer_value(index)] : NULL;
}

struct search {
	const struct wanted *wanted;
	const struct plan_capabilities *can;
	struct plan_leaving *leaving;
	size_t n;
};

static int note_leaving(void *userdata, const struct row *row)
{
	struct search *search = userdata;
	_cleanup_free_ char *key =
		plan_server_key(row->values[COLUMN_BACKEND], row->values[COLUMN_SERVER]);
	const struct wanted_section *section = find_section(search->wanted, row);
	struct plan_leaving *grown;
	bool http;

	if (!key)
		return -ENOMEM;
	if (!section || find_server(search->wanted, key) ||
		(number(row, COLUMN_ADMIN) & ADMIN_MAINTENANCE) == 0)
		return 0;
	grown = reallocarray(search->leaving, search->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	search->leaving = grown;
	http = plan_is_http(&search->wanted->cfg,
		&search->wanted->cfg.sections[section - search->wanted->sections]);
	grown[search->n] = (struct plan_leaving){
		.backend = strdup(row->values[COLUMN_BACKEND]),
		.server = strdup(row->values[COLUMN_SERVER]),
		.keep = plan_must_keep(search->can, http),
	};
	search->n++;
	return grown[search->n - 1].backend && grown[search->n - 1].server ? 0 : -ENOMEM;
}

static int state_error(struct error *err, int r)
{
	if (r == -EBADMSG)
		return error_set(err, ERROR_INTERNAL, NULL,
			"\"show servers state\": the reply has no known form");
	return error_set_errno(err, r, "servers of HAProxy");
}

int plan_find_leaving(const char *wanted_text, size_t wanted_length, const char *servers_state,
	const struct haproxy_version *version, struct plan_leaving **ret, size_t *ret_n,
	struct error *err)
{
	_cleanup_(wanted_done) struct wanted wanted = {0};
	struct search search = {.wanted = &wanted, .can = plan_capabilities_of(version)};
	int r;

	r = read_wanted(wanted_text, wanted_length, NULL, &wanted, err);
	if (r < 0)
		return r;
	r = each_row(servers_state, note_leaving, &search);
	if (r < 0) {
		plan_leaving_free(search.leaving, search.n);
		return state_error(err, r);
	}
	*ret = search.leaving;
	*ret_n = search.n;
	return 0;
}

struct comparison {
	const struct wanted *wanted;
	json_t *leaving;  /* keys */
	char *difference; /* the first */
};

static int differs(struct comparison *comparison, const char *format, ...) _printf_(2, 3);

static int differs(struct comparison *comparison, const char *format, ...)
{
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = vasprintf(&comparison->difference, format, arguments);
	va_end(arguments);
	if (r < 0)
		comparison->difference = NULL;
	return r < 0 ? -ENOMEM : -EXDEV;
}

static int compare_place(
	struct comparison *comparison, const struct row *row, const struct plan_server *server)
{
	const char *check_address = server->options[PLAN_SERVER_ADDR],
		   *check_port = server->options[PLAN_SERVER_PORT];
	const char *const *is = row->values;
	struct plan_address address;
	char ip[INET6_ADDRSTRLEN];

	if (plan_server_address(server, &address) &&
		(!streq(is[COLUMN_ADDRESS], address.ip) ||
			number(row, COLUMN_PORT) != address.port))
		return differs(comparison, "server %s/%s is at %s port %s, not %s port %u",
			is[COLUMN_BACKEND], is[COLUMN_SERVER], is[COLUMN_ADDRESS], is[COLUMN_PORT],
			address.ip, address.port);
	if (server->options[PLAN_SERVER_CHECK] &&
		!streq(is[COLUMN_CHECK_PORT], check_port ? check_port : "0"))
		return differs(comparison, "server %s/%s is checked at port %s, not %s",
			is[COLUMN_BACKEND], is[COLUMN_SERVER], is[COLUMN_CHECK_PORT],
			check_port ? check_port : "0");
	if (server->options[PLAN_SERVER_CHECK] &&
		(!check_address || plan_server_ip(check_address, ip)) &&
		!plan_server_is_same_ip(is[COLUMN_CHECK_ADDRESS], check_address))
		return differs(comparison, "server %s/%s is checked at %s, not %s",
			is[COLUMN_BACKEND], is[COLUMN_SERVER], is[COLUMN_CHECK_ADDRESS],
			check_address ? check_address : "-");
	return 0;
}

/* An agent-check changes weights and states on its own. */
static int compare_service(
	struct comparison *comparison, const struct row *row, const struct plan_server *server)
{
	const char *const *is = row->values;
	const char *id = server->options[PLAN_SERVER_ID];
	int64_t admin = number(row, COLUMN_ADMIN);
	bool maintenance = (admin & ADMIN_MAINTENANCE) != 0,
	     wanted = server->options[PLAN_SERVER_DISABLED];
	bool tls = number(row, COLUMN_SSL) == 1;

	if (id && !streq(is[COLUMN_ID], id))
		return differs(comparison, "server %s/%s has the id %s, not %s", is[COLUMN_BACKEND],
			is[COLUMN_SERVER], is[COLUMN_ID], id);
	if (tls != (server->options[PLAN_SERVER_SSL] != NULL))
		return differs(comparison, "server %s/%s is spoken to %s TLS", is[COLUMN_BACKEND],
			is[COLUMN_SERVER], tls ? "over" : "without");
	if (server->options[PLAN_SERVER_AGENT_CHECK] || server->options[PLAN_SERVER_TRACK])
		return 0;
	if (admin < 0 || maintenance != wanted)
		return differs(comparison, "server %s/%s is%s in maintenance", is[COLUMN_BACKEND],
			is[COLUMN_SERVER], maintenance ? "" : " not");
	if (!maintenance && (admin & ADMIN_DRAIN) != 0)
		return differs(comparison, "server %s/%s is drained", is[COLUMN_BACKEND],
			is[COLUMN_SERVER]);
	if (plan_server_weight(server) >= 0 &&
		number(row, COLUMN_WEIGHT) != plan_server_weight(server))
		return differs(comparison, "server %s/%s has the weight %s, not %d",
			is[COLUMN_BACKEND], is[COLUMN_SERVER], is[COLUMN_WEIGHT],
			plan_server_weight(server));
	return 0;
}

static int compare_row(void *userdata, const struct row *row)
{
	struct comparison *comparison = userdata;
	_cleanup_free_ char *key =
		plan_server_key(row->values[COLUMN_BACKEND], row->values[COLUMN_SERVER]);
	const struct wanted_section *section = find_section(comparison->wanted, row);
	struct wanted_server *found;
	struct plan_server server;
	int r;

	if (!key)
		return -ENOMEM;
	if (!section)
		return 0;
	found = find_server(comparison->wanted, key);
	if (!found) {
		if (json_object_get(comparison->leaving, key) &&
			(number(row, COLUMN_ADMIN) & ADMIN_MAINTENANCE) != 0)
			return 0;
		return differs(comparison, "server %s/%s is there", row->values[COLUMN_BACKEND],
			row->values[COLUMN_SERVER]);
	}
	found->seen = true;
	server = section->defaults;
	plan_server_read(&server, found->line);
	if (server.odd)
		return 0;
	r = compare_place(comparison, row, &server);
	return r < 0 ? r : compare_service(comparison, row, &server);
}

static int compare_all(struct comparison *comparison, const char *servers_state)
{
	const struct wanted *wanted = comparison->wanted;
	int r = each_row(servers_state, compare_row, comparison);

	for (size_t i = 0; r == 0 && i < wanted->n_servers; i++)
		if (!wanted->servers[i].seen && !wanted->sections[wanted->servers[i].section].odd)
			r = differs(comparison, "server %s/%s is not there",
				wanted->cfg.sections[wanted->servers[i].section].name,
				wanted->servers[i].line->words[1]);
	return r;
}

int plan_compare_state(const char *wanted_text, size_t wanted_length, const char *servers_state,
	char *const *pools, const struct plan_leaving *leaving, size_t n_leaving,
	char **ret_difference, struct error *err)
{
	_cleanup_(wanted_done) struct wanted wanted = {0};
	json_auto_t *keys = json_object();
	struct comparison comparison = {.wanted = &wanted, .leaving = keys};
	int r;

	if (!servers_state)
		return 0;
	r = read_wanted(wanted_text, wanted_length, pools, &wanted, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_leaving; i++) {
		_cleanup_free_ char *key = plan_server_key(leaving[i].backend, leaving[i].server);

		if (!key || json_object_set_new_nocheck(keys, key, json_true()) < 0)
			return error_set_errno(err, -ENOMEM, "servers of HAProxy");
	}
	r = compare_all(&comparison, servers_state);
	if (r == -EXDEV)
		*ret_difference = comparison.difference;
	else if (r < 0)
		return state_error(err, r);
	return r;
}
