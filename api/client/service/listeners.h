/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The listeners and pools of one Service: one of each for a port, as buildListenerCreateOpt(),
 * buildPoolCreateOpt() and buildMonitorCreateOpts() of OCCM make them.
 */

#include "api/client/service/annotations.h"
#include "api/client/service/members.h"

struct listeners_context {
	const struct kube_service *service;
	const struct annotation_value *values; /* _ANNOTATION_MAX */
	const char *lb_id;
	const char *name;           /* OCCM's for the load balancer of this Service, also its tag */
	char *const *vips;          /* NULL: not known */
	struct selection selection; /* its nodes are chosen here */
	bool create_monitor;
	struct notes *notes;
};

/* Appends to an array. */
int listeners_append(struct listeners_context *context, json_t *listeners, struct error *err);
