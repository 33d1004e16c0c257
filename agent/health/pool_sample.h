/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One question about one pool: of a load balancer with thousands of servers the whole takes HAProxy a while to tell.
 */

#include "agent/health/snapshot.h"

/* The snapshot of one backend alone, as the worker that answers has it: to be asked when there is no doubt which worker that
 * is. A backend that HAProxy does not have is in no snapshot; one of a HAProxy that does not answer is not "answered". */
int pool_sample(const char *socket_path, const char *lb_id, const char *backend, int timeout_ms,
	struct health_snapshot **ret, struct error *err);
