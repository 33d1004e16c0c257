/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <stdarg.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan_server.h"
#include "agent/haproxy/servers_state.h"

/* What a configuration wants, held against what the running process says of its servers. */

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

static int note_up(void *userdata, const struct server_row *row)
{
	struct up *up = userdata;

	int64_t admin = server_row_number(row, SERVER_ADMIN);

	if (!streq(row->values[SERVER_BACKEND], up->backend) ||
		server_row_number(row, SERVER_STATE) != SERVER_STATE_RUNNING ||
		server_row_number(row, SERVER_WEIGHT) <= 0 || admin < 0 ||
		(admin & (SERVER_ADMIN_MAINTENANCE | SERVER_ADMIN_DRAIN)) != 0)
		return 0;
	return json_object_set_new_nocheck(up->names, row->values[SERVER_NAME], json_true()) < 0
		       ? -ENOMEM
		       : 0;
}

int plan_servers_up(const char *servers_state, const char *backend, json_t **ret)
{
	json_auto_t *names = json_object();
	struct up up = {backend, names};
	int r = names ? servers_state_each(servers_state, note_up, &up) : -ENOMEM;

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
static const struct wanted_section *find_section(const struct wanted *wanted, const struct server_row *row)
{
	const json_t *index = json_object_get(wanted->by_name, row->values[SERVER_BACKEND]);
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

static int note_leaving(void *userdata, const struct server_row *row)
{
	struct search *search = userdata;
	_cleanup_free_ char *key =
		plan_server_key(row->values[SERVER_BACKEND], row->values[SERVER_NAME]);
	const struct wanted_section *section = find_section(search->wanted, row);
	struct plan_leaving *grown;
	bool http;

	if (!key)
		return -ENOMEM;
	if (!section || find_server(search->wanted, key) ||
		(server_row_number(row, SERVER_ADMIN) & SERVER_ADMIN_MAINTENANCE) == 0)
		return 0;
	grown = reallocarray(search->leaving, search->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	search->leaving = grown;
	http = plan_is_http(&search->wanted->cfg,
		&search->wanted->cfg.sections[section - search->wanted->sections]);
	grown[search->n] = (struct plan_leaving){
		.backend = strdup(row->values[SERVER_BACKEND]),
		.server = strdup(row->values[SERVER_NAME]),
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
	r = servers_state_each(servers_state, note_leaving, &search);
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
	struct comparison *comparison, const struct server_row *row, const struct plan_server *server)
{
	const char *check_address = server->options[PLAN_SERVER_ADDR],
		   *check_port = server->options[PLAN_SERVER_PORT];
	const char *const *is = row->values;
	struct plan_address address;
	char ip[INET6_ADDRSTRLEN];

	if (plan_server_address(server, &address) &&
		(!streq(is[SERVER_ADDRESS], address.ip) ||
			server_row_number(row, SERVER_PORT) != address.port))
		return differs(comparison, "server %s/%s is at %s port %s, not %s port %u",
			is[SERVER_BACKEND], is[SERVER_NAME], is[SERVER_ADDRESS], is[SERVER_PORT],
			address.ip, address.port);
	if (server->options[PLAN_SERVER_CHECK] &&
		!streq(is[SERVER_CHECK_PORT], check_port ? check_port : "0"))
		return differs(comparison, "server %s/%s is checked at port %s, not %s",
			is[SERVER_BACKEND], is[SERVER_NAME], is[SERVER_CHECK_PORT],
			check_port ? check_port : "0");
	if (server->options[PLAN_SERVER_CHECK] &&
		(!check_address || plan_server_ip(check_address, ip)) &&
		!plan_server_is_same_ip(is[SERVER_CHECK_ADDRESS], check_address))
		return differs(comparison, "server %s/%s is checked at %s, not %s",
			is[SERVER_BACKEND], is[SERVER_NAME], is[SERVER_CHECK_ADDRESS],
			check_address ? check_address : "-");
	return 0;
}

/* An agent-check changes weights and states on its own. */
static int compare_service(
	struct comparison *comparison, const struct server_row *row, const struct plan_server *server)
{
	const char *const *is = row->values;
	const char *id = server->options[PLAN_SERVER_ID];
	int64_t admin = server_row_number(row, SERVER_ADMIN);
	bool maintenance = (admin & SERVER_ADMIN_MAINTENANCE) != 0,
	     wanted = server->options[PLAN_SERVER_DISABLED];
	bool tls = server_row_number(row, SERVER_SSL) == 1;

	if (id && !streq(is[SERVER_ID], id))
		return differs(comparison, "server %s/%s has the id %s, not %s", is[SERVER_BACKEND],
			is[SERVER_NAME], is[SERVER_ID], id);
	if (tls != (server->options[PLAN_SERVER_SSL] != NULL))
		return differs(comparison, "server %s/%s is spoken to %s TLS", is[SERVER_BACKEND],
			is[SERVER_NAME], tls ? "over" : "without");
	if (server->options[PLAN_SERVER_AGENT_CHECK] || server->options[PLAN_SERVER_TRACK])
		return 0;
	if (admin < 0 || maintenance != wanted)
		return differs(comparison, "server %s/%s is%s in maintenance", is[SERVER_BACKEND],
			is[SERVER_NAME], maintenance ? "" : " not");
	if (!maintenance && (admin & SERVER_ADMIN_DRAIN) != 0)
		return differs(comparison, "server %s/%s is drained", is[SERVER_BACKEND],
			is[SERVER_NAME]);
	if (plan_server_weight(server) >= 0 &&
		server_row_number(row, SERVER_WEIGHT) != plan_server_weight(server))
		return differs(comparison, "server %s/%s has the weight %s, not %d",
			is[SERVER_BACKEND], is[SERVER_NAME], is[SERVER_WEIGHT],
			plan_server_weight(server));
	return 0;
}

static int compare_row(void *userdata, const struct server_row *row)
{
	struct comparison *comparison = userdata;
	_cleanup_free_ char *key =
		plan_server_key(row->values[SERVER_BACKEND], row->values[SERVER_NAME]);
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
			(server_row_number(row, SERVER_ADMIN) & SERVER_ADMIN_MAINTENANCE) != 0)
			return 0;
		return differs(comparison, "server %s/%s is there", row->values[SERVER_BACKEND],
			row->values[SERVER_NAME]);
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
	int r = servers_state_each(servers_state, compare_row, comparison);

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
