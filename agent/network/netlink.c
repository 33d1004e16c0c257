/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/netlink.h"

#include <string.h>

#include "agent/base/namespace.h"

int netlink_errno(int problem)
{
	static const struct {
		int theirs, ours;
	} rows[] = {
		{NLE_INTR, EINTR}, {NLE_BAD_SOCK, EBADF}, {NLE_AGAIN, EAGAIN}, {NLE_NOMEM, ENOMEM},
		{NLE_EXIST, EEXIST}, {NLE_INVAL, EINVAL}, {NLE_RANGE, ERANGE}, {NLE_MSGSIZE, EMSGSIZE},
		{NLE_OPNOTSUPP, EOPNOTSUPP}, {NLE_AF_NOSUPPORT, EAFNOSUPPORT}, {NLE_OBJ_NOTFOUND, ENOENT},
		{NLE_NOADDR, EADDRNOTAVAIL}, {NLE_PERM, EPERM}, {NLE_BUSY, EBUSY}, {NLE_NODEV, ENODEV},
		{NLE_PROTO_MISMATCH, EPROTONOSUPPORT}, {NLE_NOACCESS, EACCES},
	};

	if (problem >= 0)
		return 0;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		if (rows[i].theirs == -problem)
			return -rows[i].ours;
	return -EIO;
}

static int connect_socket(void *userdata)
{
	return netlink_errno(sym_nl_connect(userdata, NETLINK_ROUTE));
}

int netlink_open(int namespace_fd, struct nl_sock **ret, struct error *err)
{
	struct nl_sock *sock;
	int r;

	r = libnl_use_route(err);
	if (r < 0)
		return r;
	sock = sym_nl_socket_alloc();
	r = sock ? namespace_run(namespace_fd, connect_socket, sock) : -ENOMEM;
	if (r < 0) {
		netlink_close(sock);
		return error_set_errno(err, r, "netlink");
	}
	*ret = sock;
	return 0;
}

void netlink_close(struct nl_sock *sock)
{
	if (sock)
		sym_nl_socket_free(sock);
	libnl_release_route();
}

int netlink_address(const struct ip *ip, unsigned prefix, struct nl_addr **ret)
{
	struct nl_addr *address = sym_nl_addr_build(ip->family, ip->bytes, ip_bytes(ip->family));

	if (!address)
		return -ENOMEM;
	sym_nl_addr_set_prefixlen(address, (int)prefix);
	*ret = address;
	return 0;
}

int netlink_ip(const struct nl_addr *address, struct ip_network *ret)
{
	struct ip_network network = {.ip.family = sym_nl_addr_get_family(address)};
	unsigned length = sym_nl_addr_get_len(address);

	if (network.ip.family != AF_INET && network.ip.family != AF_INET6)
		return -EINVAL;
	/* "default" has no bytes. */
	if (length > ip_bytes(network.ip.family))
		return -EINVAL;
	if (length > 0)
		memcpy(network.ip.bytes, sym_nl_addr_get_binary_addr(address), length);
	network.prefix = sym_nl_addr_get_prefixlen(address);
	*ret = network;
	return 0;
}
