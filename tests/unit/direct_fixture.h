/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The direct supervisor with a HAProxy in a folder of its own.
 */

#include "agent/haproxy/runtime.h"
#include "tests/unit/supervised.h"

const char *find_haproxy(void);
void adopt(struct fixture *f);
int setup(void **state);
int teardown(void **state);
