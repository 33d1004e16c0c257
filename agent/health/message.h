/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The heartbeat message, version 3, as Octavia's health manager reads it
 * (octavia/amphorae/drivers/health/heartbeat_udp.py): UDP payload = zlib(JSON) +
 * hex(HMAC-SHA256(key, zlib(JSON))).
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "agent/base/error.h"
#include "agent/health/counters.h"
#include "agent/health/snapshot.h"

enum {
	HEARTBEAT_VERSION = 3,
	HEARTBEAT_MAX_BYTES = 65507, /* what an IPv4 UDP datagram can hold */
};

/* The JSON object of one message. A snapshot that was not answered adds nothing. New reference. */
int heartbeat_message(const char *amphora_id, uint64_t sequence,
	struct health_snapshot *const *snapshots, size_t n_snapshots,
	const struct counters *counters, json_t **ret);

/* Compress and sign. Owned by the caller. */
int heartbeat_wrap(const json_t *message, const char *key, uint8_t **ret_bytes, size_t *ret_length,
	struct error *err);

/* Check the signature and open; the hostile-input half (amphoractl heartbeat --decode). The JSON
 * text may be at most 64 MiB. ERROR_INVALID says which step failed. A NULL key skips the check and
 * is for debugging only. */
int heartbeat_unwrap(
	const uint8_t *bytes, size_t length, const char *key, json_t **ret, struct error *err);
