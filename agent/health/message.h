/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The heartbeat message as Octavia's health manager reads it
 * (octavia/amphorae/drivers/health/heartbeat_udp.py). What it travels in is envelope.h.
 *
 * Versions 2 and 3 differ in what statistics are: totals, which replace those in Octavia's database, or deltas, which are
 * added to them. Nothing acknowledges a datagram. A delta that is lost is lost for good, a total comes again with the next
 * message: version 2, where totals are whole (counters.h), as health_daemon.py's never are.
 */

#include <stdint.h>

#include "agent/base/text.h"
#include "agent/health/counters.h"
#include "agent/health/snapshot.h"

enum {
	HEARTBEAT_TOTALS = 2, /* "ver" */
	HEARTBEAT_DELTAS = 3,
};

/* The JSON text of one message, in two halves: what is of this message (its number, the listeners and their counters), and
 * what is the same in the next one unless a pool or a member changes. No tree is built of it, as it has all members. */
struct heartbeat_text {
	struct text head, tail;
};
#define HEARTBEAT_TEXT_INIT ((struct heartbeat_text){.head = TEXT_INIT, .tail = TEXT_INIT})
void heartbeat_text_done(struct heartbeat_text *text);

/* A snapshot that was not answered adds nothing. */
int heartbeat_message(const char *amphora_id, uint64_t sequence, struct health_snapshot *const *snapshots,
	size_t n_snapshots, const struct counters *counters, struct heartbeat_text *ret);
