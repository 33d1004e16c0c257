/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When a program that ended unasked is started again: after 100 ms, after twice that time at each further end, up to 30 s.
 * After a run of more than a minute the delay begins anew.
 */

#include <stdbool.h>
#include <stdint.h>

/* Times are those of process_now_ms(). All zero: nothing was started yet. */
struct backoff {
	int64_t started_ms;    /* or adopted */
	int64_t restart_at_ms; /* 0: no restart is pending */
	unsigned failures;     /* ends in a row without a long run between them */
};

/* It was started, or found running. */
void backoff_started(struct backoff *backoff);

/* It ended; it could not be started. Both schedule a restart and return the delay before it. */
int backoff_ended_ms(struct backoff *backoff);
int backoff_failed_ms(struct backoff *backoff);

bool backoff_is_due(const struct backoff *backoff);
