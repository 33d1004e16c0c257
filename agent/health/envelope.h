/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a heartbeat's text travels in, as Octavia's health manager reads it
 * (octavia/amphorae/backends/health_daemon/status_message.py): UDP payload = zlib(JSON) +
 * hex(HMAC-SHA256(key, zlib(JSON))).
 *
 * Compression would be most of what a heartbeat costs, and most of its text is the same in each of them: the second half,
 * which is compressed when it changes and kept. The halves are put together as one stream (RFC 1950 and 1951) that any zlib
 * reads.
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "agent/base/error.h"
#include "agent/base/text.h"

enum { HEARTBEAT_MAX_BYTES = 65507 /* what an IPv4 UDP datagram can hold */ };

struct envelope;

int envelope_new(struct envelope **ret);
void envelope_free(struct envelope *envelope);
DEFINE_CLEANUP(struct envelope *, envelope_free);

/* Compresses and signs "head" and "tail" as one text. The bytes are the caller's; the tail may be taken (it is empty
 * then). */
int envelope_seal(struct envelope *envelope, const struct text *head, struct text *tail, const char *key,
	uint8_t **ret_bytes, size_t *ret_length, struct error *err);

/* Checks the signature and opens; the hostile-input half (amphoractl heartbeat --decode). The JSON
 * text may be at most 64 MiB. ERROR_INVALID says which step failed. A NULL key skips the check and
 * is for debugging only. */
int envelope_open(const uint8_t *bytes, size_t length, const char *key, json_t **ret, struct error *err);
