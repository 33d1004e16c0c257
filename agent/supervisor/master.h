/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One HAProxy in master-worker mode, started by us or found running: "-W", kept in the foreground
 * by "-db" whatever its configuration says, in a session of its own so that it outlives us.
 *
 * No locks, no event loop: direct.c has them. A struct master belongs to one thread at a time.
 *
 * Source: HAProxy management guide, 3 "Starting HAProxy", 4 "Stopping and restarting HAProxy".
 */

#include <stdbool.h>
#include <sys/types.h>

#include "agent/base/error.h"
#include "agent/supervisor/supervisor.h"

struct master {
	struct supervisor_spec spec; /* its strings are ours */
	char *socket_argument;       /* of -S */
	pid_t pid;                   /* 0 while there is none */
	int pidfd;                   /* -1 while there is none */
	off_t output_since;          /* where the log file stood at the last start or reload */
};

int master_init(struct master *m, const struct supervisor_spec *spec, struct error *err);
/* Frees and closes; the process goes on. */
void master_done(struct master *m);

/* Looks for one that runs. 0, -ESRCH if there is none (no error is set), or a failure to look. */
int master_find(struct master *m, struct error *err);

/* Starts one; none runs. Workers that a former one left behind are killed before. A network namespace that is missing is
 * created. */
int master_spawn(struct master *m, struct error *err);

/* Is there one that has not ended yet? */
bool master_runs(const struct master *m);

/* Does it run in another network namespace than the one that it shall? No reload moves it. False where we may not look. */
bool master_is_elsewhere(const struct master *m);

/* How the one that has ended did so: "was killed by signal 9 (Killed)". */
void master_describe_end(const struct master *m, char *ret_words, size_t size);

/* Reaps the one that has ended, if it is our child, and forgets it. */
void master_forget(struct master *m);

/* SIGUSR2, when it takes signals; returns when the reload has begun. -ESRCH if none runs, -EBUSY if
 * it takes none. */
int master_reload(struct master *m, struct error *err);

/* SIGUSR1, when it takes signals, and up to graceful_ms for its connections to end. 0 if it has ended
 * then, -ETIMEDOUT if not. */
int master_finish(const struct master *m, int graceful_ms);

/* SIGUSR1 and up to graceful_ms, SIGTERM, SIGKILL; then the pid file and the socket are removed.
 * Fine if none runs. */
int master_stop(struct master *m, int graceful_ms, struct error *err);
