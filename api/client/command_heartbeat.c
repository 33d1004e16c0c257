/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/secret.h"
#include "agent/health/envelope.h"
#include "api/client/document.h"

enum { MAX_KEY = 64 * 1024 };

/* The first line of the file: the key as heartbeat_key has it in the agent's configuration. */
static int read_key(const char *path, char **ret, struct error *err)
{
	_cleanup_secret_ char *key = NULL;
	size_t length = 0;
	int r = document_read_file(path, MAX_KEY, &key, &length, err);

	if (r < 0)
		return r;
	key[strcspn(key, "\r\n")] = '\0';
	if (!*key)
		return error_set(
			err, ERROR_INVALID, NULL, "%s holds no key in its first line", path);
	*ret = TAKE_PTR(key);
	return 0;
}

static void remark_unchecked(struct client *client, const char *key)
{
	if (!key)
		client_remark(client, "no --key-file: the signature is not checked");
}

static int decode(struct client *client, const uint8_t *bytes, size_t length, const char *key)
{
	_cleanup_(json_decrefp) json_t *message = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (envelope_open(bytes, length, key, &message, &err) < 0) {
		client_complain(client, &err);
		return CLIENT_FAILED;
	}
	return client_print_json(client, message);
}

static int decode_file(struct client *client, const char *path, const char *key)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *data = NULL;
	size_t length = 0;

	if (document_read_file(path, HEARTBEAT_MAX_BYTES, &data, &length, &err) < 0) {
		client_complain(client, &err);
		return CLIENT_USAGE;
	}
	remark_unchecked(client, key);
	return decode(client, (const uint8_t *)data, length, key);
}

static void cleanup_addrinfo(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

/* "HOST:PORT" or "[IPv6]:PORT", cut in place. */
static int split_address(char *address, char **ret_host, char **ret_port, struct error *err)
{
	char *colon = strrchr(address, ':');
	int64_t port;
	size_t length;

	if (!colon || !colon[1] || colon == address)
		return error_set(
			err, ERROR_INVALID, NULL, "--listen must be ADDRESS:PORT or [IPv6]:PORT");
	*colon = '\0';
	length = strlen(address);
	if (address[0] == '[' && address[length - 1] == ']') {
		address[length - 1] = '\0';
		address++;
	} else if (strchr(address, ':')) {
		return error_set(err, ERROR_INVALID, NULL, "--listen needs brackets: [IPv6]:PORT");
	}
	/* getaddrinfo(3) of glibc takes any number and keeps its low 16 bits. */
	if (text_to_int64(colon + 1, &port) < 0 || port < 1 || port > 65535)
		return error_set(
			err, ERROR_INVALID, NULL, "the port of --listen must be from 1 to 65535");
	*ret_host = address;
	*ret_port = colon + 1;
	return 0;
}

static int open_socket(const char *where, int *ret_fd, struct error *err)
{
	static const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_socktype = SOCK_DGRAM,
	};
	_cleanup_(cleanup_addrinfo) struct addrinfo *list = NULL;
	_cleanup_free_ char *copy = strdup(where);
	_cleanup_close_ int fd = -1;
	char *host = NULL, *port = NULL;
	int r;

	if (!copy)
		return error_set_errno(err, -ENOMEM, "cannot listen");
	r = split_address(copy, &host, &port, err);
	if (r < 0)
		return r;
	r = getaddrinfo(host, port, &hints, &list);
	if (r != 0)
		return error_set(
			err, ERROR_INVALID, NULL, "--listen %s: %s", where, gai_strerror(r));
	fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) < 0)
		return error_set_errno(err, -errno, "cannot listen on %s", where);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int receive(struct client *client, int fd, const char *key)
{
	static const size_t size = HEARTBEAT_MAX_BYTES + 1;
	_cleanup_free_ uint8_t *buffer = malloc(size);
	_cleanup_error_ struct error err = ERROR_INIT;
	struct sockaddr_storage sender = {0};
	socklen_t sender_length = sizeof(sender);
	char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
	ssize_t n;

	if (!buffer)
		return client_out_of_memory(client);
	do {
		n = recvfrom(fd, buffer, size, 0, (struct sockaddr *)&sender, &sender_length);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		error_set_errno(&err, -errno, "cannot receive");
		client_complain(client, &err);
		return CLIENT_FAILED;
	}
	getnameinfo((const struct sockaddr *)&sender, sender_length, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	client_remark(client, "%zd bytes from %s port %s", n, host, port);
	return decode(client, buffer, (size_t)n, key);
}

static int listen_for_heartbeats(struct client *client, const char *key)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_close_ int fd = -1;
	int worst = CLIENT_OK;

	if (open_socket(client->options->listen, &fd, &err) < 0) {
		client_complain(client, &err);
		return CLIENT_USAGE;
	}
	client_remark(client, "waiting for heartbeats on %s", client->options->listen);
	remark_unchecked(client, key);
	for (int64_t i = 0; i < (client->options->count ? client->options->count : 1); i++) {
		int status = receive(client, fd, key);

		worst = status > worst ? status : worst;
	}
	return worst;
}

static int check_usage(const struct options *options, size_t n_arguments, struct error *err)
{
	if (options->listen && n_arguments > 0)
		return error_set(err, ERROR_INVALID, NULL, "heartbeat takes a FILE or --listen, not both");
	if (!options->listen && !options->decode)
		return error_set(err, ERROR_INVALID, NULL,
			"heartbeat needs --decode or --listen (amphoractl heartbeat --help)");
	return 0;
}

int command_heartbeat(struct client *client, char *const *arguments, size_t n_arguments)
{
	const struct options *options = client->options;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_secret_ char *key = NULL;
	int r = check_usage(options, n_arguments, &err);

	if (r == 0 && options->key_file)
		r = read_key(options->key_file, &key, &err);
	if (r < 0) {
		client_complain(client, &err);
		return CLIENT_USAGE;
	}
	if (options->listen)
		return listen_for_heartbeats(client, key);
	return decode_file(client, n_arguments > 0 ? arguments[0] : "-", key);
}
