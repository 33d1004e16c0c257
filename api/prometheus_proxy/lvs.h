/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Samples of UDP and SCTP listeners, which HAProxy does not know.
 */

#include "agent/base/error.h"
#include "api/prometheus_proxy/translate.h"

/* Those of all configurations in "lvs_dir". One that cannot be read is left out; without the folder there are none.
 * "network_namespace" is NULL for ours. */
int lvs_samples(const char *lvs_dir, const char *network_namespace, struct extra_samples *ret, struct error *err);
