/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/ipvs.h"

#include <linux/ip_vs.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/namespace.h"
#include "agent/network/libnl.h"

enum { ANSWER_TIMEOUT_S = 2, RECEIVE_BYTES = 256 * 1024 };

struct ipvs {
	struct nl_sock *socket;
	int family; /* of generic netlink */
};

void ipvs_service_done(struct ipvs_service *service)
{
	free(service->destinations);
	*service = IPVS_SERVICE_INIT;
}

/* libnl has numbers of its own; those that say something are told apart. */
static int to_errno(int nl_error)
{
	switch (-nl_error) {
	case NLE_OBJ_NOTFOUND:
		return -ESRCH;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_AGAIN:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

static int connect_socket(void *userdata)
{
	return sym_genl_connect(userdata);
}

void ipvs_close(struct ipvs *ipvs)
{
	if (!ipvs)
		return;
	if (ipvs->socket)
		sym_nl_socket_free(ipvs->socket);
	free(ipvs);
}

int ipvs_open(int namespace_fd, struct ipvs **ret, struct error *err)
{
	const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
	_cleanup_ipvs_ struct ipvs *ipvs = NULL;
	int r;

	r = libnl_keep_genl(err);
	if (r < 0)
		return r;
	ipvs = calloc(1, sizeof(*ipvs));
	if (!ipvs)
		return error_set_errno(err, -ENOMEM, "IPVS");
	ipvs->socket = sym_nl_socket_alloc();
	if (!ipvs->socket)
		return error_set_errno(err, -ENOMEM, "IPVS");
	r = namespace_run(namespace_fd, connect_socket, ipvs->socket);
	if (r < 0)
		return error_set_errno(err, to_errno(r), "IPVS: netlink");
	if (setsockopt(sym_nl_socket_get_fd(ipvs->socket), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return error_set_errno(err, -errno, "IPVS: netlink");
	sym_nl_socket_set_buffer_size(ipvs->socket, RECEIVE_BYTES, 0);
	ipvs->family = sym_genl_ctrl_resolve(ipvs->socket, IPVS_GENL_NAME);
	if (ipvs->family < 0)
		return error_set_errno(err, -EOPNOTSUPP, "this kernel has no IPVS (module ip_vs)");
	/* An answer is all that is waited for: an acknowledgement behind it would be taken for the next answer. */
	sym_nl_socket_disable_auto_ack(ipvs->socket);
	*ret = TAKE_PTR(ipvs);
	return 0;
}

static int parse_counters(struct nlattr *stats64, struct nlattr *stats, struct ipvs_counters *ret)
{
	static const struct nla_policy policy64[IPVS_STATS_ATTR_MAX + 1] = {
		[IPVS_STATS_ATTR_CONNS] = {.type = NLA_U64},
		[IPVS_STATS_ATTR_INBYTES] = {.type = NLA_U64},
		[IPVS_STATS_ATTR_OUTBYTES] = {.type = NLA_U64},
	};
	static const struct nla_policy policy[IPVS_STATS_ATTR_MAX + 1] = {
		[IPVS_STATS_ATTR_CONNS] = {.type = NLA_U32},
		[IPVS_STATS_ATTR_INBYTES] = {.type = NLA_U64},
		[IPVS_STATS_ATTR_OUTBYTES] = {.type = NLA_U64},
	};
	struct nlattr *found[IPVS_STATS_ATTR_MAX + 1];
	struct nlattr *connections;

	if (!stats64 && !stats)
		return -EBADMSG;
	if (sym_nla_parse_nested(found, IPVS_STATS_ATTR_MAX, stats64 ? stats64 : stats, stats64 ? policy64 : policy) < 0)
		return -EBADMSG;
	connections = found[IPVS_STATS_ATTR_CONNS];
	if (!connections || !found[IPVS_STATS_ATTR_INBYTES] || !found[IPVS_STATS_ATTR_OUTBYTES])
		return -EBADMSG;
	*ret = (struct ipvs_counters){
		.connections = stats64 ? sym_nla_get_u64(connections) : sym_nla_get_u32(connections),
		.bytes_in = sym_nla_get_u64(found[IPVS_STATS_ATTR_INBYTES]),
		.bytes_out = sym_nla_get_u64(found[IPVS_STATS_ATTR_OUTBYTES]),
	};
	return 0;
}

/* The nested attribute of that number. */
static int open_message(struct nlmsghdr *message, int attribute, struct nlattr **ret)
{
	struct nlattr *found[IPVS_CMD_ATTR_MAX + 1];

	if (!sym_genlmsg_valid_hdr(message, 0) || sym_genlmsg_parse(message, 0, found, IPVS_CMD_ATTR_MAX, NULL) < 0 ||
		!found[attribute])
		return -EBADMSG;
	*ret = found[attribute];
	return 0;
}

int ipvs_parse_service(struct nlmsghdr *message, struct ipvs_service *service)
{
	struct nlattr *nested, *found[IPVS_SVC_ATTR_MAX + 1];
	int r;

	r = open_message(message, IPVS_CMD_ATTR_SERVICE, &nested);
	if (r < 0)
		return r;
	if (sym_nla_parse_nested(found, IPVS_SVC_ATTR_MAX, nested, NULL) < 0)
		return -EBADMSG;
	return parse_counters(found[IPVS_SVC_ATTR_STATS64], found[IPVS_SVC_ATTR_STATS], &service->counters);
}

/* The kernel gives 16 bytes for either family. */
static int parse_address(struct nlattr *address, struct nlattr *port, int family, struct ipvs_address *ret)
{
	struct ipvs_address parsed;
	size_t size = family == AF_INET ? sizeof(parsed.v4) : sizeof(parsed.v6);

	memset(&parsed, 0, sizeof(parsed));
	if ((family != AF_INET && family != AF_INET6) || (size_t)sym_nla_len(address) < size)
		return -EBADMSG;
	parsed.family = family;
	memcpy(&parsed.v6, sym_nla_data(address), size);
	parsed.port = ntohs(sym_nla_get_u16(port));
	*ret = parsed;
	return 0;
}

static int parse_destination(struct nlattr **found, int service_family, struct ipvs_destination *ret)
{
	struct ipvs_destination parsed;
	/* Kernels before 3.18 know no destinations of another family than the service. */
	int family = found[IPVS_DEST_ATTR_ADDR_FAMILY] ? sym_nla_get_u16(found[IPVS_DEST_ATTR_ADDR_FAMILY])
						       : service_family;
	int r;

	memset(&parsed, 0, sizeof(parsed));
	if (!found[IPVS_DEST_ATTR_ADDR] || !found[IPVS_DEST_ATTR_PORT] || !found[IPVS_DEST_ATTR_WEIGHT])
		return -EBADMSG;
	r = parse_address(found[IPVS_DEST_ATTR_ADDR], found[IPVS_DEST_ATTR_PORT], family, &parsed.address);
	if (r == 0)
		r = parse_counters(found[IPVS_DEST_ATTR_STATS64], found[IPVS_DEST_ATTR_STATS], &parsed.counters);
	if (r < 0)
		return r;
	parsed.weight = sym_nla_get_u32(found[IPVS_DEST_ATTR_WEIGHT]);
	if (found[IPVS_DEST_ATTR_ACTIVE_CONNS])
		parsed.active_connections = sym_nla_get_u32(found[IPVS_DEST_ATTR_ACTIVE_CONNS]);
	*ret = parsed;
	return 0;
}

int ipvs_parse_destination(struct nlmsghdr *message, int service_family, struct ipvs_service *service)
{
	static const struct nla_policy policy[IPVS_DEST_ATTR_MAX + 1] = {
		[IPVS_DEST_ATTR_PORT] = {.type = NLA_U16},
		[IPVS_DEST_ATTR_WEIGHT] = {.type = NLA_U32},
		[IPVS_DEST_ATTR_ACTIVE_CONNS] = {.type = NLA_U32},
		[IPVS_DEST_ATTR_ADDR_FAMILY] = {.type = NLA_U16},
	};
	struct nlattr *nested, *found[IPVS_DEST_ATTR_MAX + 1];
	struct ipvs_destination parsed, *grown;
	int r;

	r = open_message(message, IPVS_CMD_ATTR_DEST, &nested);
	if (r < 0)
		return r;
	if (sym_nla_parse_nested(found, IPVS_DEST_ATTR_MAX, nested, policy) < 0)
		return -EBADMSG;
	r = parse_destination(found, service_family, &parsed);
	if (r < 0)
		return r;
	grown = reallocarray(service->destinations, service->n_destinations + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	service->destinations = grown;
	service->destinations[service->n_destinations++] = parsed;
	return 0;
}

struct reading {
	const struct ipvs_address *address;
	struct ipvs_service *service;
	bool destinations; /* or the service itself */
	int result;
};

static int on_message(struct nl_msg *message, void *userdata)
{
	struct reading *reading = userdata;
	struct nlmsghdr *header = sym_nlmsg_hdr(message);

	if (reading->result == 0)
		reading->result = reading->destinations
			? ipvs_parse_destination(header, reading->address->family, reading->service)
			: ipvs_parse_service(header, reading->service);
	return NL_OK;
}

/* Which service is meant: family, protocol, address, port (ip_vs_ctl.c, ip_vs_genl_parse_service()). */
static int put_service(struct nl_msg *message, int protocol, const struct ipvs_address *address)
{
	struct in6_addr bytes = {0};
	struct nlattr *nested;

	memcpy(&bytes, &address->v6, address->family == AF_INET ? sizeof(address->v4) : sizeof(address->v6));
	nested = sym_nla_nest_start(message, IPVS_CMD_ATTR_SERVICE);
	if (!nested || sym_nla_put_u16(message, IPVS_SVC_ATTR_AF, (uint16_t)address->family) < 0 ||
		sym_nla_put_u16(message, IPVS_SVC_ATTR_PROTOCOL, (uint16_t)protocol) < 0 ||
		sym_nla_put(message, IPVS_SVC_ATTR_ADDR, sizeof(bytes), &bytes) < 0 ||
		sym_nla_put_u16(message, IPVS_SVC_ATTR_PORT, htons(address->port)) < 0)
		return -ENOMEM;
	sym_nla_nest_end(message, nested);
	return 0;
}

static int ask(struct ipvs *ipvs, int protocol, struct reading *reading)
{
	uint8_t command = reading->destinations ? IPVS_CMD_GET_DEST : IPVS_CMD_GET_SERVICE;
	struct nl_msg *message = sym_nlmsg_alloc();
	int r;

	if (!message)
		return -ENOMEM;
	if (!sym_genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, ipvs->family, 0,
		    reading->destinations ? NLM_F_DUMP : 0, command, IPVS_GENL_VERSION) ||
		put_service(message, protocol, reading->address) < 0) {
		sym_nlmsg_free(message);
		return -ENOMEM;
	}
	sym_nl_socket_modify_cb(ipvs->socket, NL_CB_VALID, NL_CB_CUSTOM, on_message, reading);
	r = sym_nl_send_auto(ipvs->socket, message);
	sym_nlmsg_free(message);
	/* One message, or all of a dump. */
	if (r >= 0)
		r = sym_nl_recvmsgs_default(ipvs->socket);
	return r < 0 ? to_errno(r) : reading->result;
}

int ipvs_read(struct ipvs *ipvs, int protocol, const struct ipvs_address *address, struct ipvs_service *ret,
	struct error *err)
{
	_cleanup_ipvs_service_ struct ipvs_service service = IPVS_SERVICE_INIT;
	struct reading reading = {.address = address, .service = &service};
	int r;

	r = ask(ipvs, protocol, &reading);
	if (r == -ESRCH)
		return r;
	if (r == 0) {
		reading.destinations = true;
		r = ask(ipvs, protocol, &reading);
	}
	if (r < 0)
		return error_set_errno(err, r, "IPVS");
	*ret = service;
	service = IPVS_SERVICE_INIT;
	return 0;
}
