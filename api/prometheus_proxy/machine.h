/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/base/text.h"

/* octavia_loadbalancer_cpu and octavia_loadbalancer_memory: the load of one minute and the memory that is not available,
 * in percent (getloadavg(3); proc(5), MemAvailable). */
int machine_samples(struct text *out);
