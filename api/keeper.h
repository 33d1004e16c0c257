/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What libmicrohttpd does not do for a connection, in one thread that sleeps while there is none:
 *
 * - A deadline for a whole request or reply. The library's own timeout is the pause between two
 * bytes, so a client that sends a byte now and then could hold a connection for days ("slowloris").
 * - A limit on clients that did not prove who they are: in TLS, those whose handshake is not done.
 * - A lingering close (as RFC 9112, section 9.6, asks for). A request that is refused before its
 * body was read is answered and closed; if the body still arrives then, the kernel sends a reset,
 * and that can overtake the reply. So a copy of the descriptor stays open for a while, and what
 * arrives on it is thrown away.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/cleanup.h"

struct keeper;
struct kept; /* one connection */

int keeper_new(struct keeper **ret);
void keeper_free(struct keeper *keeper);
DEFINE_CLEANUP(struct keeper *, keeper_free);

/* The descriptor must stay open until keeper_remove(). NULL without memory. */
/* Clients that did not prove who they are yet. Over "max" of them the oldest is disconnected for each new one, so that they
 * cannot take all connections. */
void keeper_limit_strangers(struct keeper *keeper, size_t max);
void keeper_set_stranger(struct keeper *keeper, struct kept *kept, bool stranger);

struct kept *keeper_add(struct keeper *keeper, int fd, int64_t deadline_ms);
/* At this process_now_ms() the connection is shut down; 0 is never. A NULL "kept" is ignored here
 * and below. */
void keeper_set_deadline(struct keeper *keeper, struct kept *kept, int64_t deadline_ms);
void keeper_remove(struct keeper *keeper, struct kept *kept);

/* Reads from a copy of the socket until its peer closes it, for a few seconds at most. */
void keeper_linger(struct keeper *keeper, int fd);
