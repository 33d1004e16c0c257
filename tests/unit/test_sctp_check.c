/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/tools/sctp_check.h"

static const struct sctp_probe probe = {
	.source_port = 0x8001, .destination_port = 132, .tag = 0x01020304, .sequence = 0x0a0b0c0d};

/* RFC 3720, B.4 "CRC Examples", the values of iSCSI's CRC32c. */
static void test_crc(void **state)
{
	uint8_t bytes[32];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(sctp_crc32c(bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(sctp_crc32c(bytes, sizeof(bytes)), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(sctp_crc32c(bytes, sizeof(bytes)), 0x46dd794e);
	assert_int_equal(sctp_crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
}

static void test_init(void **state)
{
	/* Ports, tag 0, checksum, then the chunk of RFC 9260, 3.3.2. */
	static const uint8_t header[] = {0x80, 0x01, 0, 132, 0, 0, 0, 0};
	static const uint8_t chunk[] = {1, 0, 0, 20, 1, 2, 3, 4, 0, 1, 0xa0, 0, 0, 10, 0xff, 0xff, 0x0a, 0x0b, 0x0c, 0x0d};
	uint8_t packet[SCTP_INIT_LENGTH], checksum[4];
	uint32_t crc;

	(void)state;
	sctp_write_init(&probe, packet);
	assert_memory_equal(packet, header, sizeof(header));
	assert_memory_equal(packet + 12, chunk, sizeof(chunk));
	memcpy(checksum, packet + 8, 4);
	memset(packet + 8, 0, 4);
	crc = sctp_crc32c(packet, sizeof(packet));
	for (int i = 0; i < 4; i++)
		assert_int_equal(checksum[i], crc >> (8 * i) & 0xff);
}

/* A packet to us with one chunk. */
static size_t answer(uint8_t *packet, uint8_t type, size_t length)
{
	uint32_t crc;

	memset(packet, 0, length);
	packet[1] = 132;
	packet[2] = 0x80;
	packet[3] = 0x01;
	memcpy(packet + 4, "\1\2\3\4", 4);
	packet[12] = type;
	if (length >= 20)
		memcpy(packet + 16, "\xde\xad\xbe\xef", 4);
	crc = sctp_crc32c(packet, length);
	for (int i = 0; i < 4; i++)
		packet[8 + i] = (uint8_t)(crc >> (8 * i));
	return length;
}

static void test_answers(void **state)
{
	uint8_t packet[64];
	struct sctp_answer got;
	size_t length;

	(void)state;
	length = answer(packet, SCTP_CHUNK_INIT_ACK, 32);
	assert_true(sctp_read_answer(&probe, packet, length, &got));
	assert_int_equal(got.chunk, SCTP_CHUNK_INIT_ACK);
	assert_int_equal(got.peer_tag, 0xdeadbeef);
	length = answer(packet, SCTP_CHUNK_ABORT, 16);
	assert_true(sctp_read_answer(&probe, packet, length, &got));
	assert_int_equal(got.chunk, SCTP_CHUNK_ABORT);
	assert_int_equal(got.peer_tag, 0);
	/* Others', and half ones. */
	for (size_t i = 0; i < 8; i++) {
		answer(packet, SCTP_CHUNK_ABORT, 16);
		packet[i] ^= 1;
		assert_false(sctp_read_answer(&probe, packet, length, &got));
	}
	answer(packet, SCTP_CHUNK_ABORT, 16);
	packet[8] ^= 1; /* not computed */
	assert_true(sctp_read_answer(&probe, packet, length, &got));
	for (size_t i = 0; i < 16; i++)
		assert_false(sctp_read_answer(&probe, packet, i, &got));
}

static void test_abort(void **state)
{
	uint8_t packet[SCTP_ABORT_LENGTH];
	static const uint8_t chunk[] = {6, 0, 0, 4}, reflected[] = {6, 1, 0, 4};

	(void)state;
	sctp_write_abort(&probe, 0xdeadbeef, packet);
	assert_memory_equal(packet + 4, "\xde\xad\xbe\xef", 4);
	assert_memory_equal(packet + 12, chunk, 4);
	/* Without the peer's tag our own is sent back, and the T bit says so. */
	sctp_write_abort(&probe, 0, packet);
	assert_memory_equal(packet + 4, "\1\2\3\4", 4);
	assert_memory_equal(packet + 12, reflected, 4);
}

static void test_ipv4(void **state)
{
	uint8_t bytes[64] = {0x45};

	(void)state;
	assert_int_equal(sctp_skip_ipv4(bytes, 64), 20);
	bytes[0] = 0x4f;
	assert_int_equal(sctp_skip_ipv4(bytes, 64), 60);
	assert_int_equal(sctp_skip_ipv4(bytes, 59), 59);
	bytes[0] = 0x41;
	assert_int_equal(sctp_skip_ipv4(bytes, 64), 64);
	assert_int_equal(sctp_skip_ipv4(bytes, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_ipv4),
	};

	return cmocka_run_group_tests_name("sctp_check", tests, NULL, NULL);
}
