/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Listeners of UDP and SCTP in a definition: keepalived's part of a transaction, after HAProxy's. All or nothing: what cannot
 * be taken is refused, and what was taken before it is put back.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"
#include "agent/definition/model.h"

struct instance;

/* One listener whose configuration is to be another. */
struct lvs_item {
	char id[UUID_SIZE];
	char *wanted; /* NULL: it goes */
	size_t wanted_length;
	char *before; /* NULL: it is new */
	size_t before_length;
};

struct lvs_change {
	struct lvs_item *items;
	size_t n;
	size_t done; /* so many of them are in force */
	bool started; /* a keepalived that did not run */
};
#define LVS_CHANGE_INIT ((struct lvs_change){0})
void lvs_change_done(struct lvs_change *change);
#define _cleanup_lvs_change_ _cleanup_(lvs_change_done)

/* What differs between "lb" (NULL: nothing is wanted any more) and the files; with "all", what is the same too, so that it is
 * made to run. ERROR_CONFLICT for a listener that a controller has configured. */
int instance_lvs_prepare(struct instance *instance, const struct load_balancer *lb, bool all, struct lvs_change *ret,
	struct error *err);
/* Lets keepalived judge what is wanted; nothing changes. */
int instance_lvs_check(struct instance *instance, const struct lvs_change *change, struct error *err);
/* Publishes, starts, reloads, stops. On failure everything is as it was, as far as that is possible. */
int instance_lvs_apply(struct instance *instance, struct lvs_change *change, struct error *err);
/* Back to what was before. */
void instance_lvs_undo(struct instance *instance, struct lvs_change *change);
