/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/libnl.h"

LIBRARY_OF_HEADER(libnl, "libnl-3.so.200", LIBNL_FUNCTIONS);
LIBRARY_OF_HEADER(libnl_route, "libnl-route-3.so.200", LIBNL_ROUTE_FUNCTIONS);
LIBRARY_OF_HEADER(libnl_genl, "libnl-genl-3.so.200", LIBNL_GENL_FUNCTIONS);

LIBRARY_NOTE(libnl, "libnl-3.so.200", "netlink", "Ports of the network namespace", "required");
LIBRARY_NOTE(libnl_route, "libnl-route-3.so.200", "netlink", "Ports of the network namespace", "required");
LIBRARY_NOTE(libnl_genl, "libnl-genl-3.so.200", "ipvs", "State of UDP and SCTP listeners", "recommended");

int libnl_use_route(struct error *err)
{
	int r;

	r = library_use(&libnl, err);
	if (r < 0)
		return r;
	r = library_use(&libnl_route, err);
	if (r < 0)
		library_release(&libnl);
	return r;
}

void libnl_release_route(void)
{
	library_release(&libnl_route);
	library_release(&libnl);
}

int libnl_keep_genl(struct error *err)
{
	int r = library_keep(&libnl, err);

	return r < 0 ? r : library_keep(&libnl_genl, err);
}
