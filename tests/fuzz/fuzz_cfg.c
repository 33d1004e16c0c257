/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as two configurations and a reply to "show servers state", divided by NUL bytes:
 * reading and filtering. A configuration differs from itself in nothing.
 */

#include <stdint.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg.h"
#include "agent/haproxy/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_state(const char *state, const char *running, const char *wanted)
{
	_cleanup_cfg_ struct cfg old = CFG_INIT, new = CFG_INIT;
	_cleanup_free_ char *kept = NULL;

	if (cfg_parse(running, strlen(running), &old, NULL) < 0 ||
		cfg_parse(wanted, strlen(wanted), &new, NULL) < 0)
		return;
	if (state_filter(state, &old, &new, &kept) < 0)
		return;
	if (strlen(kept) > strlen(state) + 1 || (kept[0] && kept[strlen(kept) - 1] != '\n') ||
		strstr(kept, "\n\n"))
		abort();
}

/* The same sections without their servers, lines but for those of the sections that nobody asks about. */
static void check_pools(const struct cfg *cfg, const char *text, size_t size)
{
	char *const pools[] = {NULL};
	_cleanup_cfg_ struct cfg some = CFG_INIT;

	if (cfg_parse_pools(text, size, pools, &some, NULL) < 0 || some.n_sections != cfg->n_sections)
		abort();
	for (size_t i = 0; i < cfg->n_sections; i++) {
		bool empty = streq(cfg->sections[i].keyword, "backend") || streq(cfg->sections[i].keyword, "listen");

		if (!streq(some.sections[i].keyword, cfg->sections[i].keyword) ||
			!streq(some.sections[i].name, cfg->sections[i].name) ||
			some.sections[i].n_lines != (empty ? 0 : cfg->sections[i].n_lines))
			abort();
	}
}

/* What is hidden once is hidden, and nothing else of it changes. */
static void check_hidden(const char *data, size_t size)
{
	_cleanup_cfg_ struct cfg before = CFG_INIT, after = CFG_INIT;
	_cleanup_free_ char *text = malloc(size + 1), *once = NULL;
	size_t length = size, again;

	if (!text)
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	if (cfg_parse(text, length, &before, NULL) < 0 || cfg_hide_secrets(&text, &length, NULL) < 0)
		return;
	if (cfg_parse(text, length, &after, NULL) < 0 || before.n_sections != after.n_sections)
		abort();
	once = malloc(length + 1);
	if (!once)
		return;
	memcpy(once, text, length);
	again = length;
	if (cfg_hide_secrets(&once, &again, NULL) < 0 || again != length || memcmp(once, text, length) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	_cleanup_free_ char *text = malloc(size + 3);
	const char *running, *wanted, *state;

	if (!text)
		return 0;
	memcpy(text, data, size);
	memset(text + size, 0, 3);
	if (cfg_parse(text, size, &cfg, NULL) == 0) {
		check_pools(&cfg, text, size);
		for (size_t i = 0; i < cfg.n_sections; i++)
			if (!cfg_find(&cfg, cfg.sections[i].keyword, cfg.sections[i].name))
				abort();
	}
	check_hidden(text, size);
	running = text;
	wanted = running + strlen(running) + (strlen(running) < size);
	state = wanted + strlen(wanted) + (wanted + strlen(wanted) < text + size);
	check_state(state, running, wanted);
	return 0;
}
