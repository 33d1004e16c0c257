/* SPDX-License-Identifier: Apache-2.0 */
#include "api/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

enum {
	SOCKET_MODE = 0660,
	FOLDER_MODE = 0755,
	GROUP_BUFFER_MAX = 1024 * 1024,
};

union any_address {
	struct sockaddr any;
	struct sockaddr_un local;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage storage;
};

static bool is_loopback(const union any_address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

static int refuse_address(const char *address, struct error *err)
{
	return error_set(err, ERROR_FORBIDDEN, NULL,
		"listen: plain HTTP is only served on loopback (127.0.0.0/8, ::1), not on %s: it "
		"has neither encryption nor authentication, and whoever reaches it controls the "
		"load balancer",
		address);
}

static int local_address(const char *path, union any_address *ret, struct error *err)
{
	*ret = (union any_address){.local.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->local.sun_path))
		return error_set(err, ERROR_INVALID, NULL,
			"listen: unix:%s: the path is longer than %zu bytes", path,
			sizeof(ret->local.sun_path) - 1);
	memcpy(ret->local.sun_path, path, strlen(path));
	return 0;
}

static int parse_unix(const char *path, struct listen_address *ret, struct error *err)
{
	union any_address address;
	int r;

	if (path[0] != '/')
		return error_set(err, ERROR_INVALID, NULL,
			"listen: unix:%s: the path must start with '/'", path);
	r = local_address(path, &address, err);
	if (r < 0)
		return r;
	if (text_has_control(path, strlen(path)) || path[strlen(path) - 1] == '/')
		return error_set(
			err, ERROR_INVALID, NULL, "listen: unix:%s: not the path of a file", path);
	ret->path = strdup(path);
	if (!ret->path)
		return error_set_errno(err, -ENOMEM, "listen");
	ret->kind = LISTEN_UNIX;
	return 0;
}

static int to_sockaddr(const char *text, int port, union any_address *ret, socklen_t *ret_length)
{
	union any_address address = {0};
	in_port_t network_port = htons((in_port_t)port);

	if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = network_port;
		*ret_length = sizeof(address.v4);
	} else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_port = network_port;
		*ret_length = sizeof(address.v6);
	} else {
		return -EINVAL;
	}
	*ret = address;
	return 0;
}

static const char *scheme_of(bool tls)
{
	return tls ? "https" : "http";
}

/* "127.0.0.1:8080" or "[::1]:8080". */
static int parse_tcp(const char *text, bool tls, struct listen_address *ret, struct error *err)
{
	_cleanup_free_ char *host = NULL;
	const char *colon = strrchr(text, ':');
	union any_address address;
	socklen_t length;
	int64_t port;
	bool bracketed = text[0] == '[';

	if (!colon || colon == text || text_to_int64(colon + 1, &port) < 0 || port < 0 ||
		port > 65535)
		return error_set(err, ERROR_INVALID, NULL,
			"listen: %s://%s: write %s://127.0.0.1:PORT or %s://[::1]:PORT",
			scheme_of(tls), text, scheme_of(tls), scheme_of(tls));
	if (bracketed && colon[-1] == ']')
		host = strndup(text + 1, (size_t)(colon - text) - 2);
	else
		host = strndup(text, (size_t)(colon - text));
	if (!host)
		return error_set_errno(err, -ENOMEM, "listen");
	if (to_sockaddr(host, 0, &address, &length) < 0 ||
		bracketed != (address.any.sa_family == AF_INET6))
		return error_set(err, ERROR_INVALID, NULL,
			"listen: %s://%s: '%s' is no IP address (names are not looked up; IPv6 "
			"stands in brackets)",
			scheme_of(tls), text, host);
	if (!tls && !is_loopback(&address))
		return refuse_address(host, err);
	ret->kind = tls ? LISTEN_HTTPS : LISTEN_HTTP;
	ret->address = TAKE_PTR(host);
	ret->port = (int)port;
	return 0;
}

int listen_address_parse(const char *text, struct listen_address *ret, struct error *err)
{
	struct listen_address address = {0};
	const char *rest;
	int r;

	if ((rest = text_after_prefix(text, "unix:")))
		r = parse_unix(rest, &address, err);
	else if ((rest = text_after_prefix(text, "http://")))
		r = parse_tcp(rest, false, &address, err);
	else if ((rest = text_after_prefix(text, "https://")))
		r = parse_tcp(rest, true, &address, err);
	else
		r = error_set(err, ERROR_INVALID, NULL,
			"listen: '%s': write unix:/PATH, http://127.0.0.1:PORT, "
			"http://[::1]:PORT or https://ADDRESS:PORT",
			text);
	if (r < 0)
		return r;
	*ret = address;
	return 0;
}

void listen_address_done(struct listen_address *address)
{
	free(address->path);
	free(address->address);
	*address = (struct listen_address){0};
}

/* Makes way for our socket: removes one that nobody listens on any more. */
static int remove_stale(const char *path, const union any_address *address, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, -errno, "listen: %s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(
			err, ERROR_CONFLICT, NULL, "listen: %s exists and is no socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, -errno, "socket");
	/* EAGAIN: somebody listens and is merely busy (unix(7)). */
	if (connect(fd, &address->any, sizeof(address->local)) == 0 || errno == EAGAIN)
		return error_set(err, ERROR_CONFLICT, NULL,
			"listen: %s: another amphorad listens there", path);
	if (errno != ECONNREFUSED)
		return error_set_errno(err, -errno, "listen: looking who is at %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, -errno, "listen: removing the stale socket %s", path);
	return 0;
}

static int find_group(const char *name, gid_t *ret, struct error *err)
{
	_cleanup_free_ char *buffer = NULL;
	struct group group, *found = NULL;
	int r = ERANGE;

	/* A group with many members needs a larger buffer (getgrnam_r(3)). */
	for (size_t size = 4096; r == ERANGE && size <= GROUP_BUFFER_MAX; size *= 4) {
		free(buffer);
		buffer = malloc(size);
		if (!buffer)
			return error_set_errno(err, -ENOMEM, "group %s", name);
		r = getgrnam_r(name, &group, buffer, size, &found);
	}
	if (found) {
		*ret = group.gr_gid;
		return 0;
	}
	if (r != 0 && r != ENOENT && r != ESRCH)
		return error_set_errno(err, -r, "looking up the group %s", name);
	return error_set(err, ERROR_NOT_FOUND, NULL,
		"the group '%s' for the socket does not exist: create it (groupadd --system %s) or "
		"set socket_group to another one",
		name, name);
}

static int make_parent(const char *path, struct error *err)
{
	_cleanup_free_ char *parent = NULL;
	size_t length = (size_t)(strrchr(path, '/') - path);
	int r;

	if (length == 0)
		return 0;
	parent = strndup(path, length);
	if (!parent)
		return error_set_errno(err, -ENOMEM, "listen");
	r = fileio_make_dirs(parent, FOLDER_MODE);
	if (r < 0)
		return error_set_errno(err, r, "listen: creating the folder %s", parent);
	return 0;
}

static int bind_unix(int fd, const char *path, const char *group, struct error *err)
{
	union any_address address;
	gid_t gid = (gid_t)-1;
	int r;

	if (group && (r = find_group(group, &gid, err)) < 0)
		return r;
	if ((r = local_address(path, &address, err)) < 0 || (r = make_parent(path, err)) < 0 ||
		(r = remove_stale(path, &address, err)) < 0)
		return r;
	/* Linux gives the file the mode of the unbound socket, less the umask: it is never wider
	 * than it should be, and the umask, which all threads share, stays as it is. */
	if (fchmod(fd, SOCKET_MODE) < 0)
		return error_set_errno(err, -errno, "listen: mode of %s", path);
	if (bind(fd, &address.any, sizeof(address.local)) < 0)
		return error_set_errno(err, -errno, "listen: %s", path);
	if (group && lchown(path, (uid_t)-1, gid) < 0)
		r = error_set_errno(err, -errno, "listen: giving %s to the group %s", path, group);
	else if (chmod(path, SOCKET_MODE) < 0)
		r = error_set_errno(err, -errno, "listen: mode of %s", path);
	if (r < 0)
		unlink(path);
	return r;
}

static int bind_tcp(int fd, const struct listen_address *wanted, struct error *err)
{
	union any_address address;
	socklen_t length;
	int on = 1, off = 0;

	if (to_sockaddr(wanted->address, wanted->port, &address, &length) < 0)
		return error_set(
			err, ERROR_INVALID, NULL, "listen: '%s' is no IP address", wanted->address);
	if (wanted->kind != LISTEN_HTTPS && !is_loopback(&address))
		return refuse_address(wanted->address, err);
	/* "[::]" is every address, whatever net.ipv6.bindv6only says. */
	if (address.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr) &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return error_set_errno(err, -errno, "listen: %s for IPv4 too", wanted->address);
	/* A restart must not wait for TIME_WAIT (socket(7)). */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, &address.any, length) < 0)
		return error_set_errno(err, -errno, "listen: %s port %d%s", wanted->address, wanted->port,
			errno == EADDRINUSE ? " (ss -ltnp tells who has it)" : "");
	return 0;
}

static int describe_tcp(const union any_address *address, bool tls, char **ret, struct error *err)
{
	char text[INET6_ADDRSTRLEN];
	bool v6 = address->any.sa_family == AF_INET6;
	const void *ip =
		v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr;
	int port = ntohs(v6 ? address->v6.sin6_port : address->v4.sin_port);
	char *name;

	if (!inet_ntop(address->any.sa_family, ip, text, sizeof(text)))
		return error_set_errno(err, -errno, "inet_ntop");
	if (!tls && !is_loopback(address))
		return refuse_address(text, err);
	if (asprintf(&name, v6 ? "%s://[%s]:%d" : "%s://%s:%d", scheme_of(tls), text, port) < 0)
		return error_set_errno(err, -ENOMEM, "listen");
	*ret = name;
	return 0;
}

/* What a bound socket is called. "http://…" also says that it is a loopback one. */
static int describe(int fd, bool tls, bool *ret_is_tcp, char **ret, struct error *err)
{
	union any_address address = {0};
	socklen_t length = sizeof(address);
	const char *path = address.local.sun_path;
	size_t path_length;
	bool abstract;
	char *name;

	if (getsockname(fd, &address.any, &length) < 0)
		return error_set_errno(err, -errno, "getsockname");
	if (address.any.sa_family == AF_INET || address.any.sa_family == AF_INET6) {
		int r = describe_tcp(&address, tls, ret, err);

		if (r >= 0)
			*ret_is_tcp = true;
		return r;
	}
	if (address.any.sa_family != AF_UNIX)
		return error_set(err, ERROR_FORBIDDEN, NULL,
			"listen: neither a unix socket nor TCP on loopback");
	/* The path of an unnamed socket has no bytes; that of an abstract one starts with NUL
	 * (unix(7)). */
	path_length = length - offsetof(struct sockaddr_un, sun_path);
	abstract = path_length > 1 && path[0] == '\0';
	if (asprintf(&name, abstract ? "unix:@%.*s" : "unix:%.*s", (int)path_length - abstract,
		    path + abstract) < 0)
		return error_set_errno(err, -ENOMEM, "listen");
	*ret_is_tcp = false;
	*ret = name;
	return 0;
}

int listening_open(const struct listen_address *address, const char *socket_group,
	struct listening *ret, struct error *err)
{
	_cleanup_listening_ struct listening listening = LISTENING_INIT;
	bool local = address->kind == LISTEN_UNIX;
	struct stat st;
	int family, r;

	family = local ? AF_UNIX : strchr(address->address, ':') ? AF_INET6 : AF_INET;
	listening.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listening.fd < 0)
		return error_set_errno(err, -errno, "socket");
	r = local ? bind_unix(listening.fd, address->path, socket_group, err)
		  : bind_tcp(listening.fd, address, err);
	if (r < 0)
		return r;
	if (local) {
		if (lstat(address->path, &st) < 0)
			return error_set_errno(err, -errno, "listen: %s", address->path);
		listening.device = st.st_dev;
		listening.inode = st.st_ino;
		listening.path = strdup(address->path);
		if (!listening.path)
			return error_set_errno(err, -ENOMEM, "listen");
	}
	if (listen(listening.fd, SOMAXCONN) < 0)
		return error_set_errno(err, -errno, "listen");
	listening.is_tls = address->kind == LISTEN_HTTPS;
	r = describe(listening.fd, listening.is_tls, &listening.is_tcp, &listening.name, err);
	if (r < 0)
		return r;
	*ret = listening;
	listening = LISTENING_INIT;
	return 0;
}

int listening_adopt(int fd, struct listening *ret, struct error *err)
{
	_cleanup_listening_ struct listening listening = {.fd = fd};
	int value = 0, flags, r;
	socklen_t length = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) < 0)
		return error_set_errno(err, -errno, "listen: descriptor %d", fd);
	if (!value)
		return error_set(err, ERROR_INVALID, NULL,
			"listen: descriptor %d is no listening socket", fd);
	r = describe(fd, false, &listening.is_tcp, &listening.name, err);
	if (r < 0)
		return r;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set_errno(err, -errno, "listen: descriptor %d", fd);
	*ret = listening;
	listening = LISTENING_INIT;
	return 0;
}

void listening_done(struct listening *listening)
{
	struct stat st;

	if (listening->path && lstat(listening->path, &st) == 0 && st.st_dev == listening->device &&
		st.st_ino == listening->inode)
		unlink(listening->path);
	close_keep_errno(listening->fd);
	free(listening->name);
	free(listening->path);
	*listening = LISTENING_INIT;
}
