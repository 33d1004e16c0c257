/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The numbers by which HAProxy's stick tables, peers and consistent hashing know servers ("id N"). They are derived from
 * the members' ids, so that a member keeps its number whatever happens to the others: neither persistence nor the
 * clients of SOURCE_IP move when a member comes or goes.
 */

#include <stdint.h>

#include "agent/definition/model.h"

enum {
	/* Up to HAProxy 2.9 the places of a server on the hash ring are id * 4096 + n in 32 bits (src/lb_chash.c): ids that are
	 * equal in their lower 20 bits would share all of them, and one of the two servers would get no client. */
	SERVER_ID_BITS = 20,
	SERVER_ID_MAX = (1 << SERVER_ID_BITS) - 1,
};

/* One number from 1 to SERVER_ID_MAX a member, no two alike, in the members' order; the caller's. Where two members' first
 * choices are the same, the one with the lower id has it. -EINVAL for a pool that has more members than there are numbers. */
int server_ids(const struct pool *pool, uint32_t **ret);
