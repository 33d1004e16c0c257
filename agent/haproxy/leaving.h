/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The worker that a reload is about to replace, kept until its counters are final.
 *
 * It goes on to take connections until the new one serves, and ends with the last of them: at once, where all are short. What
 * it counted since it was last asked would be lost. It does not end before the connections to its CLI are closed, so one of
 * them, opened before the reload, keeps it (seen with 2.6.12 and 3.2.0; those of the master to its workers do not).
 */

#include "agent/base/error.h"

struct leaving_worker;

/* Keeps the worker that "stats_socket" leads to now. */
int leaving_worker_keep(const char *stats_socket, struct leaving_worker **ret, struct error *err);
/* After the reload: ends when it takes no more connections, -ETIMEDOUT when it still does. Those that it has go on. */
int leaving_worker_wait(struct leaving_worker *worker, int timeout_ms);
/* It may end. NULL is nothing. */
void leaving_worker_release(struct leaving_worker *worker);
DEFINE_CLEANUP(struct leaving_worker *, leaving_worker_release);
