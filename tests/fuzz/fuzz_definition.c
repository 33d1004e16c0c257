/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a definition. One that is taken has one canonical text, and what is rendered from it
 * (with the templates of AMPHORAD_SRC_DIR, if set) has exactly the sections, and of the directives
 * that name, bind, choose and serve exactly those, that its objects ask for: nothing in a string can
 * add one, or hide one.
 */

#include <stdint.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/model.h"
#include "agent/haproxy/cfg.h"
#include "agent/render/haproxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LB_ID "11111111-2222-4333-8444-555555555555"

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000,
	.timeout_tcp_inspect_ms = 0};

static const struct render_settings settings = {
	.default_vip_address = "127.0.0.1",
	.default_connection_limit = 50000,
	.timeouts = {.timeout_client_data_ms = 50000,
		.timeout_member_connect_ms = 5000,
		.timeout_member_data_ms = 50000},
	.stick_table_size = "10k",
	.tools_dir = "/usr/libexec/amphorad",
	.log_target = "/dev/log",
	.connection_logging = true,
};

static struct template *template;

static void free_template(void)
{
	template_free(template);
}

static void load_template(void)
{
	static bool loaded;
	_cleanup_free_ char *directory = NULL;
	const char *source = getenv("AMPHORAD_SRC_DIR");

	if (loaded || !source)
		return;
	loaded = true;
	if (asprintf(&directory, "%s/templates", source) < 0 ||
		template_load(directory, "haproxy.cfg", &template, NULL) < 0)
		abort();
	atexit(free_template);
}

enum directive {
	BIND,
	ACL,
	REJECT,
	REDIRECT,
	USE_BACKEND,
	DEFAULT_BACKEND,
	SERVER,
	SECTION, /* any */
	_DIRECTIVE_MAX,
};

static const struct {
	const char *first, *second;
} words[] = {
	[BIND] = {"bind", NULL},
	[ACL] = {"acl", NULL},
	[REJECT] = {"http-request", "deny"},
	[REDIRECT] = {"redirect", NULL},
	[USE_BACKEND] = {"use_backend", NULL},
	[DEFAULT_BACKEND] = {"default_backend", NULL},
	[SERVER] = {"server", NULL},
};

static const struct pool *pool_that_serves(const struct load_balancer *lb, const char *id)
{
	const struct pool *pool = id ? load_balancer_find_pool(lb, id) : NULL;

	return pool && pool->admin_state_up ? pool : NULL;
}

static void want_policy(
	const struct load_balancer *lb, const struct l7policy *policy, size_t wanted[_DIRECTIVE_MAX])
{
	static const enum directive directives[_L7POLICY_ACTION_MAX] = {
		[L7POLICY_REJECT] = REJECT,
		[L7POLICY_REDIRECT_TO_POOL] = USE_BACKEND,
		[L7POLICY_REDIRECT_TO_URL] = REDIRECT,
		[L7POLICY_REDIRECT_PREFIX] = REDIRECT,
	};
	size_t rules = 0;

	for (size_t i = 0; i < policy->n_rules; i++)
		rules += policy->rules[i].admin_state_up;
	if (!policy->admin_state_up || rules == 0)
		return;
	if (policy->action == L7POLICY_REDIRECT_TO_POOL &&
		!pool_that_serves(lb, policy->redirect_pool_id))
		return;
	wanted[ACL] += rules;
	wanted[directives[policy->action]]++;
}

static void want_listener(
	const struct load_balancer *lb, const struct listener *listener, size_t wanted[_DIRECTIVE_MAX])
{
	wanted[SECTION]++;
	wanted[BIND] += 1 + lb->n_additional_vips;
	wanted[REJECT] += listener->protocol == LISTENER_PROMETHEUS;
	wanted[REDIRECT] += listener->protocol == LISTENER_TERMINATED_HTTPS;
	wanted[DEFAULT_BACKEND] += pool_that_serves(lb, listener->default_pool_id) != NULL;
	for (size_t i = 0; i < listener->n_l7policies; i++)
		want_policy(lb, &listener->l7policies[i], wanted);
	for (size_t i = 0; i < lb->n_pools; i++)
		if (lb->pools[i].admin_state_up && listener_uses_pool(listener, lb->pools[i].id)) {
			wanted[SECTION]++;
			wanted[SERVER] += lb->pools[i].n_members;
		}
}

static void count_wanted(const struct load_balancer *lb, size_t wanted[_DIRECTIVE_MAX])
{
	wanted[SECTION] = 2; /* global and defaults */
	if (!lb->admin_state_up)
		return;
	if (lb->stats_page) {
		wanted[SECTION] += lb->stats_page->username ? 2 : 1;
		wanted[BIND]++;
		wanted[REJECT]++;
	}
	for (size_t i = 0; i < lb->n_listeners; i++)
		if (lb->listeners[i].admin_state_up && listener_is_haproxy(&lb->listeners[i]))
			want_listener(lb, &lb->listeners[i], wanted);
}

static void count_rendered(const struct cfg *cfg, size_t counted[_DIRECTIVE_MAX])
{
	counted[SECTION] = cfg->n_sections;
	for (size_t i = 0; i < cfg->n_sections; i++)
		for (size_t j = 0; j < cfg->sections[i].n_lines; j++) {
			char *const *line = cfg->sections[i].lines[j].words;

			for (size_t k = 0; k < ELEMENTSOF(words); k++)
				counted[k] += streq(line[0], words[k].first) &&
					      (!words[k].second ||
						      streq_null(line[1], words[k].second));
		}
}

static void check_rendering(const struct load_balancer *lb)
{
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	size_t wanted[_DIRECTIVE_MAX] = {0}, counted[_DIRECTIVE_MAX] = {0};
	int r = render_haproxy(template, lb, &settings, &rendered, &err);

	/* No certificate is stored here. */
	if (r < 0 && err.code == ERROR_INVALID && err.pointer && strstr(err.pointer, "container_ref"))
		return;
	if (r < 0 || cfg_parse(rendered.text, rendered.length, &cfg, NULL) < 0)
		abort();
	count_wanted(lb, wanted);
	count_rendered(&cfg, counted);
	if (memcmp(wanted, counted, sizeof(wanted)) != 0)
		abort();
}

static void check_text(const struct load_balancer *lb)
{
	_cleanup_load_balancer_ struct load_balancer *again = NULL;
	_cleanup_free_ char *text = NULL, *second = NULL;
	size_t length;

	if (definition_to_text(lb, DEFINITION_WHOLE, &text, &length) < 0 ||
		definition_parse(LB_ID, text, length, &defaults, &again, NULL) < 0 ||
		definition_to_text(again, DEFINITION_WHOLE, &second, NULL) < 0 || !streq(text, second) || !definition_equal(lb, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	int r;

	load_template();
	r = definition_parse(LB_ID, (const char *)data, size, &defaults, &lb, &err);
	if (r == 0 && definition_keep_secrets(lb, NULL, NULL) < 0)
		return 0;
	if (r < 0) {
		if (lb || !err.message || r != error_code_to_errno(err.code))
			abort();
		return 0;
	}
	if (err.message || !lb)
		abort();
	check_text(lb);
	if (template)
		check_rendering(lb);
	return 0;
}
