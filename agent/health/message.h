/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The heartbeat message, version 3, as Octavia's health manager reads it
 * (octavia/amphorae/drivers/health/heartbeat_udp.py). What it travels in is envelope.h.
 */

#include <stdint.h>

#include "agent/base/text.h"
#include "agent/health/counters.h"
#include "agent/health/snapshot.h"

enum { HEARTBEAT_VERSION = 3 };

/* The JSON text of one message, in two halves: what is of this message (its number, the listeners and their counters), and
 * what is the same in the next one unless a pool or a member changes. No tree is built of it, as it has all members. */
struct heartbeat_text {
	struct text head, tail;
};
#define HEARTBEAT_TEXT_INIT ((struct heartbeat_text){.head = TEXT_INIT, .tail = TEXT_INIT})
void heartbeat_text_done(struct heartbeat_text *text);

/* A snapshot that was not answered adds nothing. Of a name that two load balancers have, readers take the second one. */
int heartbeat_message(const char *amphora_id, uint64_t sequence, struct health_snapshot *const *snapshots,
	size_t n_snapshots, const struct counters *counters, struct heartbeat_text *ret);
