/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan.h"

#include <string.h>

#include <jansson.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg.h"

/* "be_id be_name srv_id srv_name …" */
enum { COLUMN_BACKEND = 1, COLUMN_SERVER = 3 };

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

static int add_leaving(const char *backend, const char *server, struct plan_leaving **leaving, size_t *n)
{
	struct plan_leaving *grown = reallocarray(*leaving, *n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*leaving = grown;
	grown[*n] = (struct plan_leaving){.backend = strdup(backend), .server = strdup(server)};
	(*n)++;
	return grown[*n - 1].backend && grown[*n - 1].server ? 0 : -ENOMEM;
}

/* "backend server" of each server of the configuration. */
static int names_of(const struct cfg *cfg, json_t *names)
{
	for (size_t i = 0; i < cfg->n_sections; i++)
		for (size_t j = 0; j < cfg->sections[i].n_lines; j++) {
			_cleanup_free_ char *key = NULL;

			if (!cfg_line_is_server(&cfg->sections[i].lines[j]))
				continue;
			if (asprintf(&key, "%s %s", cfg->sections[i].name, cfg->sections[i].lines[j].words[1]) < 0)
				return -ENOMEM;
			if (json_object_set_new_nocheck(names, key, json_true()) < 0)
				return -ENOMEM;
		}
	return 0;
}

static int find_leaving(const char *state, json_t *names, struct plan_leaving **leaving, size_t *n)
{
	for (const char *line = state; *line;) {
		size_t length = strcspn(line, "\n");
		_cleanup_free_ char *copy = strndup(line, length), *key = NULL;
		_cleanup_strv_ char **columns = NULL;

		if (!copy || text_split(copy, ' ', &columns) < 0)
			return -ENOMEM;
		line += length + (line[length] ? 1 : 0);
		if (strv_length(columns) <= COLUMN_SERVER || columns[0][0] == '#')
			continue;
		if (asprintf(&key, "%s %s", columns[COLUMN_BACKEND], columns[COLUMN_SERVER]) < 0)
			return -ENOMEM;
		if (!json_object_get(names, key) &&
			add_leaving(columns[COLUMN_BACKEND], columns[COLUMN_SERVER], leaving, n) < 0)
			return -ENOMEM;
	}
	return 0;
}

int plan_find_leaving(const char *wanted, size_t wanted_length, const char *servers_state,
	const struct haproxy_version *version, struct plan_leaving **ret, size_t *ret_n, struct error *err)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	json_auto_t *names = json_object();
	struct plan_leaving *leaving = NULL;
	size_t n = 0;
	int r;

	(void)version;
	r = cfg_parse(wanted, wanted_length, &cfg, err);
	if (r < 0)
		return r;
	r = names_of(&cfg, names);
	if (r == 0)
		r = find_leaving(servers_state, names, &leaving, &n);
	if (r < 0) {
		plan_leaving_free(leaving, n);
		return error_set_errno(err, r, "servers of HAProxy");
	}
	*ret = leaving;
	*ret_n = n;
	return 0;
}

static bool is_leaving(const struct plan_leaving *server, const struct plan_leaving *leaving, size_t n_leaving)
{
	for (size_t i = 0; i < n_leaving; i++)
		if (streq(server->backend, leaving[i].backend) && streq(server->server, leaving[i].server))
			return true;
	return false;
}

int plan_compare_state(const char *wanted, size_t wanted_length, const char *servers_state,
	const struct plan_leaving *leaving, size_t n_leaving, char **ret_difference, struct error *err)
{
	struct plan_leaving *others = NULL;
	size_t n = 0;
	int r = 0;

	if (servers_state)
		r = plan_find_leaving(wanted, wanted_length, servers_state, NULL, &others, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (is_leaving(&others[i], leaving, n_leaving))
			continue;
		r = asprintf(ret_difference, "server %s/%s is there", others[i].backend, others[i].server) < 0
			? error_set_errno(err, -ENOMEM, "servers of HAProxy")
			: -EXDEV;
	}
	plan_leaving_free(others, n);
	return r;
}
