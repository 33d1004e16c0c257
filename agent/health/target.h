/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whom the health thread asks: one HAProxy, or one LVS listener, by where it is to be reached.
 */

#include <stddef.h>

#include "agent/haproxy/plan.h"

struct health_target {
	char lb_id[37];      /* of an LVS listener: its own id */
	char *stats_socket;  /* the worker's */
	char *master_socket; /* for old workers; NULL: not asked */
	/* Servers that are no members any more and wait in HAProxy for their last connections to end: they are in no
	 * snapshot. */
	struct plan_leaving *leaving;
	size_t n_leaving;
	/* An LVS listener (lvs.h), NULL for HAProxy. */
	char *lvs_config_file;
	char *lvs_check_pid_file;
	char *lvs_namespace; /* NULL: ours */
};

void health_target_done(struct health_target *target);
void health_targets_free(struct health_target *targets, size_t n);
