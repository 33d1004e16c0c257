/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/backoff.h"

#include "agent/base/process.h"

enum {
	FIRST_MS = 100,
	MAX_MS = 30 * 1000,
	STABLE_MS = 60 * 1000,
};

void backoff_started(struct backoff *backoff)
{
	backoff->started_ms = process_now_ms();
	backoff->restart_at_ms = 0;
}

int backoff_failed_ms(struct backoff *backoff)
{
	int delay_ms = FIRST_MS;

	for (unsigned i = 0; i < backoff->failures && delay_ms < MAX_MS; i++)
		delay_ms *= 2;
	if (delay_ms > MAX_MS)
		delay_ms = MAX_MS;
	backoff->failures++;
	backoff->restart_at_ms = process_now_ms() + delay_ms;
	return delay_ms;
}

int backoff_ended_ms(struct backoff *backoff)
{
	if (process_now_ms() - backoff->started_ms > STABLE_MS)
		backoff->failures = 0;
	return backoff_failed_ms(backoff);
}

bool backoff_is_due(const struct backoff *backoff)
{
	return backoff->restart_at_ms != 0 && backoff->restart_at_ms <= process_now_ms();
}
