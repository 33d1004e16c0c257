/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Threads that take work from one queue, first come first served. One is there from the beginning, another is started
 * when all are busy, up to a limit, and then stays. The queue has no limit of its own: its items are embedded in requests,
 * whose number the connection limit bounds.
 */

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
