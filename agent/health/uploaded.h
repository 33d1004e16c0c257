/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Status of load balancers without a definition (their configuration was uploaded): all that is
 * known is what HAProxy says, so the tree is built from the snapshot, in the words of status.h.
 * Names are not known and "".
 */

#include <jansson.h>

#include "agent/health/snapshot.h"
#include "agent/health/status.h"

enum operating_status uploaded_status(const struct health_snapshot *snapshot);
/* {"statuses": {"loadbalancer": …}} as status_tree() gives it, without what only a definition
 * knows. New reference. */
int uploaded_status_tree(const char *lb_id, const struct health_snapshot *snapshot, json_t **ret);
