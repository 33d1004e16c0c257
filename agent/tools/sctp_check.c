/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tools/sctp_check.h"

#include <string.h>

enum {
	HEADER_LENGTH = 12,
	CHECKSUM_OFFSET = 8,
	CHUNK_HEADER_LENGTH = 4,
	RECEIVER_WINDOW = 106496,
	OUTBOUND_STREAMS = 10,
	INBOUND_STREAMS = 65535,
	TAG_REFLECTED = 1, /* the T bit: the tag is the receiver's own */
};

/* The polynomial of Castagnoli, bits reversed. */
static const uint32_t polynomial = 0x82f63b78;

uint32_t sctp_crc32c(const uint8_t *bytes, size_t length)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
	}
	return ~crc;
}

static void put16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, (uint16_t)(value >> 16));
	put16(to + 2, (uint16_t)value);
}

static uint16_t get16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static uint32_t get32(const uint8_t *from)
{
	return (uint32_t)get16(from) << 16 | get16(from + 2);
}

/* The checksum goes out with its least significant byte first. */
static void put_checksum(uint8_t *packet, size_t length)
{
	uint32_t crc;

	memset(packet + CHECKSUM_OFFSET, 0, 4);
	crc = sctp_crc32c(packet, length);
	for (int i = 0; i < 4; i++)
		packet[CHECKSUM_OFFSET + i] = (uint8_t)(crc >> (8 * i));
}

static void put_header(const struct sctp_probe *probe, uint32_t tag, uint8_t *packet)
{
	put16(packet, probe->source_port);
	put16(packet + 2, probe->destination_port);
	put32(packet + 4, tag);
}

static void put_chunk(uint8_t *chunk, uint8_t type, uint8_t flags, uint16_t length)
{
	chunk[0] = type;
	chunk[1] = flags;
	put16(chunk + 2, length);
}

void sctp_write_init(const struct sctp_probe *probe, uint8_t ret[static SCTP_INIT_LENGTH])
{
	uint8_t *chunk = ret + HEADER_LENGTH;

	put_header(probe, 0, ret);
	put_chunk(chunk, SCTP_CHUNK_INIT, 0, SCTP_INIT_LENGTH - HEADER_LENGTH);
	put32(chunk + 4, probe->tag);
	put32(chunk + 8, RECEIVER_WINDOW);
	put16(chunk + 12, OUTBOUND_STREAMS);
	put16(chunk + 14, INBOUND_STREAMS);
	put32(chunk + 16, probe->sequence);
	put_checksum(ret, SCTP_INIT_LENGTH);
}

void sctp_write_abort(const struct sctp_probe *probe, uint32_t peer_tag, uint8_t ret[static SCTP_ABORT_LENGTH])
{
	put_header(probe, peer_tag ? peer_tag : probe->tag, ret);
	put_chunk(ret + HEADER_LENGTH, SCTP_CHUNK_ABORT, peer_tag ? 0 : TAG_REFLECTED, CHUNK_HEADER_LENGTH);
	put_checksum(ret, SCTP_ABORT_LENGTH);
}

bool sctp_read_answer(
	const struct sctp_probe *probe, const uint8_t *bytes, size_t length, struct sctp_answer *ret)
{
	const uint8_t *chunk = bytes + HEADER_LENGTH;

	if (length < HEADER_LENGTH + CHUNK_HEADER_LENGTH || get16(bytes) != probe->destination_port ||
		get16(bytes + 2) != probe->source_port || get32(bytes + 4) != probe->tag)
		return false;
	ret->chunk = chunk[0];
	ret->peer_tag = chunk[0] == SCTP_CHUNK_INIT_ACK && length >= HEADER_LENGTH + CHUNK_HEADER_LENGTH + 4
				? get32(chunk + CHUNK_HEADER_LENGTH)
				: 0;
	return true;
}

size_t sctp_skip_ipv4(const uint8_t *bytes, size_t length)
{
	size_t header = length > 0 ? (size_t)(bytes[0] & 15) * 4 : 0;

	return header < 20 || header > length ? length : header;
}
