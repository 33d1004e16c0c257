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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	_cleanup_free_ char *text = malloc(size + 3);
	const char *running, *wanted, *state;

	if (!text)
		return 0;
	memcpy(text, data, size);
	memset(text + size, 0, 3);
	if (cfg_parse(text, size, &cfg, NULL) == 0)
		for (size_t i = 0; i < cfg.n_sections; i++)
			if (!cfg_find(&cfg, cfg.sections[i].keyword, cfg.sections[i].name))
				abort();
	running = text;
	wanted = running + strlen(running) + (strlen(running) < size);
	state = wanted + strlen(wanted) + (wanted + strlen(wanted) < text + size);
	check_state(state, running, wanted);
	return 0;
}
