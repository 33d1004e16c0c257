/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/network/ipvs.h"
#include "agent/network/libnl.h"

/* What Linux 6.1 answered to IPVS_CMD_GET_SERVICE and IPVS_CMD_GET_DEST; ipvsadm(8) said the same. */

/* ipvsadm -Ln --stats: "UDP 10.0.0.5:7000 4 4 4 382 466" */
static const char service_v4[] =
	"40010000200002000100000023020000010100002c01010006000100020000000600020011000000140003000a000005"
	"000000000000000000000000060004001b58000008000600777272000c00070002000000ffffffff0800080000000000"
	"08000900ffffffff5c000a000800010004000000080002000400000008000300040000000c0004007e01000000000000"
	"0c000500d201000000000000080006000000000008000700000000000800080000000000080009001600000008000a00"
	"230000007c000c000c00010004000000000000000c00020004000000000000000c00030004000000000000000c000400"
	"7e010000000000000c000500d2010000000000000c00060000000000000000000c00070000000000000000000c000800"
	"00000000000000000c00090016000000000000000c000a002300000000000000";

/* "-> 10.0.1.3:7000 3 3 3 284 368", weight 2 */
static const char destination_v4[] =
	"640100002000020001000000230200000501000050010200140001000a00010300000000000000000000000006000200"
	"1b5800000800030000000000080004000200000005000d000000000006000e000000000006000f000000000008000500"
	"00000000080006000000000008000700000000000800080003000000080009000000000006000b00020000005c000a00"
	"0800010003000000080002000300000008000300030000000c0004001c010000000000000c0005007001000000000000"
	"080006000000000008000700000000000800080000000000080009001100000008000a001e0000007c000c000c000100"
	"03000000000000000c00020003000000000000000c00030003000000000000000c0004001c010000000000000c000500"
	"70010000000000000c00060000000000000000000c00070000000000000000000c00080000000000000000000c000900"
	"11000000000000000c000a001e00000000000000";

/* "-> [fd00:1::2]:6000 0 0 0 0 0", weight 1, of an SCTP service */
static const char destination_v6[] =
	"64010000200002000100000023020000050100005001020014000100fd00000100000000000000000000000206000200"
	"177000000800030000000000080004000100000005000d000000000006000e000000000006000f000000000008000500"
	"00000000080006000000000008000700000000000800080000000000080009000000000006000b000a0000005c000a00"
	"0800010000000000080002000000000008000300000000000c00040000000000000000000c0005000000000000000000"
	"080006000000000008000700000000000800080000000000080009000000000008000a00000000007c000c000c000100"
	"00000000000000000c00020000000000000000000c00030000000000000000000c00040000000000000000000c000500"
	"00000000000000000c00060000000000000000000c00070000000000000000000c00080000000000000000000c000900"
	"00000000000000000c000a000000000000000000";

static struct nlmsghdr *message(const char *hex, size_t *ret_length)
{
	size_t length = strlen(hex) / 2;
	uint8_t *bytes = malloc(length);

	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++) {
		unsigned value;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	*ret_length = length;
	return (struct nlmsghdr *)bytes;
}

static void check_address(const struct ipvs_address *address, const char *wanted, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];

	assert_non_null(inet_ntop(address->family, &address->v6, text, sizeof(text)));
	assert_string_equal(text, wanted);
	assert_int_equal(address->port, port);
}

static void test_service(void **state)
{
	_cleanup_ipvs_service_ struct ipvs_service service = IPVS_SERVICE_INIT;
	size_t length;
	_cleanup_free_ struct nlmsghdr *sample = message(service_v4, &length);

	(void)state;
	assert_int_equal(ipvs_parse_service(sample, &service), 0);
	assert_int_equal(service.counters.connections, 4);
	assert_int_equal(service.counters.bytes_in, 382);
	assert_int_equal(service.counters.bytes_out, 466);
	assert_int_equal(service.n_destinations, 0);
}

static void test_destinations(void **state)
{
	_cleanup_ipvs_service_ struct ipvs_service service = IPVS_SERVICE_INIT;
	size_t length;
	_cleanup_free_ struct nlmsghdr *v4 = message(destination_v4, &length), *v6 = message(destination_v6, &length);
	const struct ipvs_destination *found;

	(void)state;
	assert_int_equal(ipvs_parse_destination(v4, AF_INET, &service), 0);
	/* The destination has a family of its own: that of the service does not count. */
	assert_int_equal(ipvs_parse_destination(v6, AF_INET, &service), 0);
	assert_int_equal(service.n_destinations, 2);
	found = &service.destinations[0];
	check_address(&found->address, "10.0.1.3", 7000);
	assert_int_equal(found->weight, 2);
	assert_int_equal(found->active_connections, 0);
	assert_int_equal(found->counters.connections, 3);
	assert_int_equal(found->counters.bytes_in, 284);
	assert_int_equal(found->counters.bytes_out, 368);
	found = &service.destinations[1];
	check_address(&found->address, "fd00:1::2", 6000);
	assert_int_equal(found->weight, 1);
}

/* Each is no answer to the other question, and nothing is half an answer. */
static void test_broken(void **state)
{
	_cleanup_ipvs_service_ struct ipvs_service service = IPVS_SERVICE_INIT;
	size_t length;
	_cleanup_free_ struct nlmsghdr *v4 = message(destination_v4, &length);

	(void)state;
	assert_int_equal(ipvs_parse_service(v4, &service), -EBADMSG);
	for (size_t cut = sizeof(*v4); cut < length; cut++) {
		struct nlmsghdr *copy = malloc(cut);

		assert_non_null(copy);
		memcpy(copy, v4, cut);
		copy->nlmsg_len = (uint32_t)cut;
		/* Cut behind all that is needed, it may do. */
		if (ipvs_parse_destination(copy, AF_INET, &service) == 0)
			assert_true(cut > 100);
		free(copy);
	}
	for (size_t i = 0; i < service.n_destinations; i++)
		check_address(&service.destinations[i].address, "10.0.1.3", 7000);
}

static int load(void **state)
{
	(void)state;
	return libnl_keep_genl(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests_name("ipvs", tests, load, NULL);
}
