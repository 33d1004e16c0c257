/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Threads that take work from one queue, first come first served. One is there from the beginning, another is started
 * when all are busy, up to a limit, and then stays. The queue has no limit of its own: its items are embedded in requests,
 * whose number the connection limit bounds.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/cleanup.h"

struct work {
	struct work *next; /* in the queue */
};

struct workers;

/* "run" is called in one of at most "max" threads for every item and then owns it. */
int workers_new(unsigned max, void (*run)(struct work *work), struct workers **ret);
void workers_push(struct workers *workers, struct work *work);
/* Lets the threads work the queue off and waits for them. */
void workers_free(struct workers *workers);
DEFINE_CLEANUP(struct workers *, workers_free);

/*
 * Whether the threads hang, as far as can be told from outside. A thread gets on when it takes work, and whenever it was woken
 * from a wait: for HAProxy, a program, systemd or another thread. Each such wait has a deadline of its own, the longest of 90 s, so
 * that slow others are none of this. What hangs waits for a lock that nobody gives back, or turns in a loop. A thread may wait
 * for its turn behind many changes, so that one alone is given more time than all together.
 *
 * To be asked at least every WORKERS_LOOK_MS, with process_now_ms().
 */
enum {
	WORKERS_LOOK_MS = 60 * 1000,
	WORKERS_ALL_STUCK_MS = 5 * 60 * 1000,
	WORKERS_ONE_STUCK_MS = 30 * 60 * 1000,
};
bool workers_hang(struct workers *workers, int64_t now_ms);
