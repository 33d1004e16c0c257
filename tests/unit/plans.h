/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Plans made of two texts, compared with what they should be.
 */

#include "agent/haproxy/plan.h"

extern const struct haproxy_version v24, v25, v26, v28, v30, v32, v33, v34;
struct plan_input input_of(const char *running, const char *wanted);
void check_input(const struct plan_input *input, const char *expected);
void check(const char *running, const char *wanted, const char *expected);
/* Two texts that have a beginning in common. */
void check_after(const struct haproxy_version *version, const char *head,
	const char *running, const char *wanted, const char *expected);
