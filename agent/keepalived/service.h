/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One keepalived that is to be kept running: VRRP, or one LVS listener. "direct": we start it and, in
 * service_supervise(), start it again when it ends; "systemd": its unit does (octavia-keepalived.service,
 * octavia-keepalivedlvs@<listener>.service), and starts it at boot. In both, it outlives the agent.
 *
 * Operations may be called from any thread; they are serialised by the service's lock.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/keepalived/process.h"
#include "agent/supervisor/backoff.h"

struct service {
	struct keepalived_spec spec; /* its strings are ours */
	char *unit;                  /* systemd: its name; NULL: direct */
	unsigned references;         /* under the owner's lock */
	bool removed;                /* the same */
	pthread_mutex_t lock;        /* guards what follows */
	pid_t pid;
	int pidfd;                   /* -1: none runs, as far as we know */
	bool wanted;                 /* direct: start it again when it ends */
	struct backoff backoff;
};

/* Copies the strings, and finds one that runs. */
int service_new(const struct keepalived_spec *spec, const char *unit, struct service **ret, struct error *err);
/* keepalived, if it runs, goes on. */
void service_free(struct service *service);
DEFINE_CLEANUP(struct service *, service_free);
#define _cleanup_service_ _cleanup_(service_freep)

/* Never waits for an operation. */
bool service_runs(struct service *service);

/* Nothing to do if it runs. On failure nothing is left running; ERROR_APPLY with keepalived's words. */
int service_start(struct service *service, struct error *err);
/* The same at the agent's start, without waiting for it; what cannot be started is tried again. */
int service_begin(struct service *service, struct error *err);
/* Nothing to do if it does not run. */
int service_stop(struct service *service, struct error *err);
/* Starts it if it does not run. *ret_started tells (may be NULL). */
int service_reload(struct service *service, bool *ret_started, struct error *err);
/* Not started at boot any more. */
int service_disable(struct service *service, struct error *err);

/* direct: looks whether it has ended and whether a restart is due. Returns when to look again, INT64_MAX for never, and
 * the pidfd to watch, -1 for none: a copy of the caller's. Skips a busy service. */
int64_t service_supervise(struct service *service, int *ret_pidfd);
