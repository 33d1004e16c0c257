/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How to get from the configuration that runs to the one that is wanted. Pure: text in, decision out. Nothing else decides.
 */

#include <stddef.h>

#include "agent/base/error.h"

enum plan_action {
	PLAN_NONE,   /* nothing to do */
	PLAN_RELOAD, /* a new worker takes over the listening sockets */
	PLAN_START,  /* HAProxy does not run yet */
};

struct plan {
	enum plan_action action;
	char **reasons; /* what made it so, in words; NULL-terminated */
};

#define PLAN_INIT ((struct plan){0})
#define _cleanup_plan_ _cleanup_(plan_done)

enum { PLAN_MAX_REASONS = 20 }; /* the last one then counts the others */

/* "running" is the text that HAProxy runs, NULL if it does not run. "changed_files" are names of list files whose content
 * differs (NULL-terminated, may be NULL). */
int plan_make(const char *running, size_t running_length, const char *wanted, size_t wanted_length,
	char *const *changed_files, struct plan *ret, struct error *err);
void plan_done(struct plan *plan);

/* "none", "reload", "start": the value of the header Amphorad-Apply. */
const char *plan_action_name(enum plan_action action);
