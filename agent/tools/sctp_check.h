/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Packets of SCTP, as far as a health check needs them: an INIT goes out; whoever answers INIT ACK listens.
 *
 * Source: RFC 9260, 3.1 (common header), 3.3.2 (INIT), 3.3.3 (INIT ACK), 3.3.7 (ABORT), 6.8 and appendix A (CRC32c).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SCTP_CHUNK_INIT = 1,
	SCTP_CHUNK_INIT_ACK = 2,
	SCTP_CHUNK_ABORT = 6,
	SCTP_INIT_LENGTH = 32,
	SCTP_ABORT_LENGTH = 16,
};

struct sctp_probe {
	uint16_t source_port, destination_port;
	uint32_t tag; /* our initiate tag, not 0 */
	uint32_t sequence;
};

struct sctp_answer {
	uint8_t chunk;     /* type of the first one */
	uint32_t peer_tag; /* of an INIT ACK, else 0 */
};

uint32_t sctp_crc32c(const uint8_t *bytes, size_t length);
void sctp_write_init(const struct sctp_probe *probe, uint8_t ret[static SCTP_INIT_LENGTH]);
/* Ends the association that an INIT ACK offers. */
void sctp_write_abort(const struct sctp_probe *probe, uint32_t peer_tag, uint8_t ret[static SCTP_ABORT_LENGTH]);

/* Whether these bytes, without an IP header, answer our INIT: ports and tag match. The checksum is not looked at: where the
 * network card would compute it, a packet that never leaves the machine has none. */
bool sctp_read_answer(
	const struct sctp_probe *probe, const uint8_t *bytes, size_t length, struct sctp_answer *ret);

/* Bytes of the IPv4 header that a raw socket gives before the packet; "length" if it is broken. */
size_t sctp_skip_ipv4(const uint8_t *bytes, size_t length);
