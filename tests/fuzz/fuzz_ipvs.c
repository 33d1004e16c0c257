/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/network/ipvs.h"
#include "agent/network/libnl.h"

/* A netlink message of the kernel about IPVS, as a service or as a destination. libnl gives whole messages only. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_ipvs_service_ struct ipvs_service service = IPVS_SERVICE_INIT;
	struct nlmsghdr *message;

	if (libnl_keep_genl(NULL) < 0)
		abort();
	if (size < sizeof(*message) || size > 65536)
		return 0;
	message = malloc(size);
	if (!message)
		return 0;
	memcpy(message, data, size);
	message->nlmsg_len = (uint32_t)size;
	ipvs_parse_service(message, &service);
	ipvs_parse_destination(message, AF_INET, &service);
	ipvs_parse_destination(message, AF_INET6, &service);
	for (size_t i = 0; i < service.n_destinations; i++)
		if (service.destinations[i].address.family != AF_INET && service.destinations[i].address.family != AF_INET6)
			abort();
	free(message);
	return 0;
}
