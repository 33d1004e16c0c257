/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a unit of systemd has to say: what its processes wrote to stdout and stderr, and what
 * systemd itself noticed about it ("Main process exited, code=killed, status=9/KILL").
 *
 * Source: systemd.journal-fields(7).
 */

#include <stdint.h>

/* The unit's lines of this boot from "since_us" (CLOCK_MONOTONIC) on, at most the last
 * OUTPUT_TAIL_MAX bytes of whole lines, harmless as those of output_tail(). "" if there are none.
 */
int journal_read(const char *unit, uint64_t since_us, char **ret_text);

/* Waits, for some seconds at most, until the journal holds all that was written so far. */
void journal_sync(void);
