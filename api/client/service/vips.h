/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The addresses of the load balancer: those of the command line, else spec.loadBalancerIP, else
 * none, and the agent's own counts. With a Service of both families the first of them is the VIP's,
 * as OCCM has it; the others are additional VIPs, which OCCM does not have.
 */

#include "api/client/service/kubernetes.h"
#include "api/client/service/notes.h"

/* "option": separated by commas, or NULL. *ret: the VIP first, canonical; NULL: not known. */
int vips_read(const struct kube_service *service, const char *option, struct notes *notes,
	char ***ret, struct error *err);
