/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What both supervisors begin with: units in a list, and an epoll instance, which is supervisor_fd(), with a timer.
 *
 * Locks. The supervisor's guards the list of units and their lives; it is held for moments only. A unit's is held for as
 * long as an operation on it takes, a stop included. Dispatch takes the first and only tries the second: what a busy unit
 * has to report is looked at again after BUSY_RETRY_MS. So whoever holds a unit's lock may take the supervisor's, and
 * nobody waits for a unit's while holding the supervisor's. The callback is called with no lock held, so it may call any
 * operation.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "agent/supervisor/master.h"
#include "agent/supervisor/supervisor.h"

enum { BUSY_RETRY_MS = 50 };

struct common_unit {
	struct supervisor_unit base; /* first: the caller's handle */
	struct common_unit *next;    /* guarded by the supervisor's lock */
	struct master *master;       /* of the struct that begins with this; guarded by "lock" */
	_Atomic pid_t pid;           /* the master's, 0 while there is none */
	_Atomic unsigned restarts;
	pthread_mutex_t lock;
};

struct common_supervisor {
	struct supervisor base; /* first */
	supervisor_callback on_event;
	void *userdata;
	int epoll_fd, timer_fd;
	pthread_mutex_t lock;
	struct common_unit *units;
};

/* All of it is freed by common_done(), also after an error. The timer's event has data.ptr NULL. */
int common_init(struct common_supervisor *s, const struct supervisor_operations *operations,
	supervisor_callback on_event, void *userdata, struct error *err);
/* Releases what units are left. */
void common_done(struct common_supervisor *s);

/* A readable descriptor makes dispatch run. */
int common_add_fd(struct common_supervisor *s, int fd, void *data);

/* The timer ends after so long; 0: never. */
void common_set_timer(struct common_supervisor *s, int64_t delay_ms);

void common_unit_init(struct common_unit *u, struct supervisor *s, struct master *master);
void common_unit_done(struct common_unit *u);

/* Into the list and out of it, with the supervisor's lock held. */
void common_link(struct common_supervisor *s, struct common_unit *u);
void common_unlink(struct common_supervisor *s, const struct common_unit *u);

/* Operations. */
pid_t common_pid(struct supervisor_unit *u);
unsigned common_restarts(struct supervisor_unit *u);
int common_fd(struct supervisor *s);
