/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which Services of the input one load balancer serves: the one that is asked for, and those that
 * share its load balancer by the annotation load-balancer-id.
 */

#include "api/client/service/annotations.h"

struct picked {
	struct kube_service *services; /* owned; the oldest first: it made the load balancer */
	size_t n;
};

#define PICKED_INIT ((struct picked){0})
#define _cleanup_picked_ _cleanup_(picked_done)
/* "wanted": NAME or NAMESPACE/NAME; NULL: the only one, or the only load balancer. */
int pick_services(
	const struct cluster *cluster, const char *wanted, struct picked *ret, struct error *err);
void picked_done(struct picked *picked);
