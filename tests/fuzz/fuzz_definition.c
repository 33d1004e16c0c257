/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a definition. One that is taken has one canonical text, and what is rendered from it
 * (with the templates of AMPHORAD_SRC_DIR, if set) has exactly the sections that its objects ask
 * for: nothing in a name can add one.
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

static size_t wanted_sections(const struct load_balancer *lb)
{
	size_t sections = 2; /* global and defaults */

	for (size_t i = 0; lb->admin_state_up && i < lb->n_listeners; i++) {
		const struct listener *listener = &lb->listeners[i];
		const struct pool *pool =
			listener->default_pool_id
				? load_balancer_find_pool(lb, listener->default_pool_id)
				: NULL;

		if (listener->admin_state_up)
			sections += pool && pool->admin_state_up ? 2 : 1;
	}
	return sections;
}

static void check_rendering(const struct load_balancer *lb)
{
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	if (render_haproxy(template, lb, &settings, &rendered, NULL) < 0 ||
		cfg_parse(rendered.text, rendered.length, &cfg, NULL) < 0 ||
		cfg.n_sections != wanted_sections(lb))
		abort();
}

static void check_text(const struct load_balancer *lb)
{
	_cleanup_load_balancer_ struct load_balancer *again = NULL;
	_cleanup_free_ char *text = NULL, *second = NULL;
	size_t length;

	if (definition_to_text(lb, &text, &length) < 0 ||
		definition_parse(LB_ID, text, length, &defaults, &again, NULL) < 0 ||
		definition_to_text(again, &second, NULL) < 0 || !streq(text, second))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	int r;

	load_template();
	r = definition_parse(LB_ID, (const char *)data, size, &defaults, &lb, &err);
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
