/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/sender.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/health/envelope.h"

enum { PORT_SIZE = 6, HOST_NAME_LIMIT = 253 /* RFC 1123 and RFC 1035, 3.1 */ };

struct controller {
	char *text; /* as configured */
	char *host; /* without brackets */
	char port[PORT_SIZE];
	bool lost; /* the last message of which this is known: */
	uint64_t lost_number;
};

/* A message that was sent, and the socket that will hear of it. */
struct in_flight {
	int fd; /* -1: nothing is waited for */
	uint64_t number;
	size_t controller;
};

struct sender {
	struct controller *controllers;
	size_t n_controllers, next;
	struct in_flight in_flight[SENDER_IN_FLIGHT];
	size_t next_in_flight; /* the oldest */
};

static bool is_numeric(const char *host, int family)
{
	struct addrinfo hints = {
		.ai_family = family,
		.ai_socktype = SOCK_DGRAM,
		.ai_flags = AI_NUMERICHOST,
	};
	struct addrinfo *addresses = NULL;

	if (getaddrinfo(host, NULL, &hints, &addresses) != 0)
		return false;
	freeaddrinfo(addresses);
	return true;
}

static bool is_host_name(const char *host)
{
	size_t length = strlen(host);

	return length > 0 && length <= HOST_NAME_LIMIT &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       length;
}

/* What Octavia's health_sender.py takes: the port stands after the last colon, whatever comes
 * before. Brackets around IPv6, which it does not know, make that readable. */
static int parse_controller(const char *text, struct controller *controller, struct error *err)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	bool bracketed = length >= 2 && text[0] == '[' && colon[-1] == ']';
	int64_t port = 0;

	controller->text = strdup(text);
	controller->host = bracketed ? strndup(text + 1, length - 2) : strndup(text, length);
	if (!controller->text || !controller->host)
		return error_set_errno(err, -ENOMEM, "controller_ip_port_list");
	if (!colon || text_to_int64(colon + 1, &port) < 0 || port < 1 || port > 65535)
		return error_set(err, ERROR_INVALID, NULL,
			"controller_ip_port_list: \"%s\" must be address:port", text);
	snprintf(controller->port, sizeof(controller->port), "%u", (unsigned)(uint16_t)port);
	if (bracketed || strchr(controller->host, ':') ? !is_numeric(controller->host, AF_INET6)
						       : !is_host_name(controller->host))
		return error_set(err, ERROR_INVALID, NULL,
			"controller_ip_port_list: \"%s\" does not start with an address or host "
			"name",
			text);
	return 0;
}

int sender_new(const char *controllers, struct sender **ret, struct error *err)
{
	_cleanup_(sender_freep) struct sender *sender = NULL;
	_cleanup_strv_ char **items = NULL;
	size_t n;
	int r;

	sender = calloc(1, sizeof(*sender));
	if (!sender)
		return error_set_errno(err, -ENOMEM, "controller_ip_port_list");
	for (size_t i = 0; i < SENDER_IN_FLIGHT; i++)
		sender->in_flight[i].fd = -1;
	r = text_split(controllers ? controllers : "", ',', &items);
	if (r < 0)
		return error_set_errno(err, r, "controller_ip_port_list");
	n = strv_length(items);
	if (n > 0) {
		sender->controllers = calloc(n, sizeof(*sender->controllers));
		if (!sender->controllers)
			return error_set_errno(err, -ENOMEM, "controller_ip_port_list");
	}
	for (size_t i = 0; i < n; i++) {
		r = parse_controller(items[i], &sender->controllers[sender->n_controllers++], err);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(sender);
	return 0;
}

void sender_free(struct sender *sender)
{
	if (!sender)
		return;
	for (size_t i = 0; i < sender->n_controllers; i++) {
		free(sender->controllers[i].text);
		free(sender->controllers[i].host);
	}
	free(sender->controllers);
	for (size_t i = 0; i < SENDER_IN_FLIGHT; i++)
		close_keep_errno(sender->in_flight[i].fd);
	free(sender);
}

size_t sender_controllers(const struct sender *sender)
{
	return sender->n_controllers;
}

/* Numeric addresses never ask a name server; names are asked for anew each time, so that they can
 * move. */
static int resolve(const struct controller *controller, struct addrinfo **ret, struct error *err)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_DGRAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	int r;

	r = getaddrinfo(controller->host, controller->port, &hints, ret);
	if (r == EAI_NONAME) {
		hints.ai_flags = AI_NUMERICSERV;
		r = getaddrinfo(controller->host, controller->port, &hints, ret);
	}
	if (r == 0)
		return 0;
	if (r == EAI_SYSTEM)
		return error_set_errno(err, -errno, "controller %s", controller->text);
	error_set(
		err, ERROR_INTERNAL, NULL, "controller %s: %s", controller->text, gai_strerror(r));
	return r == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

/* ip(7), ipv6(7): without the option only a refusal is told, not that there is no such host. */
static void ask_for_errors(int fd, int family)
{
	const int on = 1;

	if (family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on)) < 0
			       : setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) < 0)
		log_debug("heartbeat: errors of the network: %m");
}

static int send_to(const struct addrinfo *address, const uint8_t *bytes, size_t length, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	ssize_t n;

	fd = socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	ask_for_errors(fd, address->ai_family);
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0)
		return -errno;
	do
		n = send(fd, bytes, length, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int error_of(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

bool sender_next_loss(struct sender *sender, struct sender_loss *ret)
{
	for (size_t i = 0; i < SENDER_IN_FLIGHT; i++) {
		struct in_flight *message = &sender->in_flight[(sender->next_in_flight + i) % SENDER_IN_FLIGHT];
		int error = message->fd < 0 ? 0 : error_of(message->fd);
		struct controller *controller;

		if (error == 0) /* or there may be no controllers at all */
			continue;
		controller = &sender->controllers[message->controller];
		close(TAKE_FD(message->fd));
		*ret = (struct sender_loss){message->number, controller->text, error, controller->lost};
		controller->lost = true;
		controller->lost_number = message->number;
		return true;
	}
	return false;
}

/* Makes room for another one: nothing was heard of the oldest, as it should be. */
static struct in_flight *oldest(struct sender *sender)
{
	struct in_flight *message = &sender->in_flight[sender->next_in_flight];

	sender->next_in_flight = (sender->next_in_flight + 1) % SENDER_IN_FLIGHT;
	if (message->fd >= 0) {
		struct controller *controller = &sender->controllers[message->controller];

		controller->lost &= message->number < controller->lost_number;
		close(TAKE_FD(message->fd));
	}
	return message;
}

int sender_send(struct sender *sender, uint64_t number, const uint8_t *bytes, size_t length,
	const char **ret_controller, struct error *err)
{
	struct addrinfo *addresses = NULL;
	const struct controller *controller;
	struct in_flight *message;
	int r;

	if (sender->n_controllers == 0)
		return 0;
	message = oldest(sender);
	message->number = number;
	message->controller = sender->next;
	controller = &sender->controllers[sender->next];
	sender->next = (sender->next + 1) % sender->n_controllers;
	if (ret_controller)
		*ret_controller = controller->text;
	if (length > HEARTBEAT_MAX_BYTES)
		return error_set_errno(
			err, -EMSGSIZE, "controller %s: %zu bytes", controller->text, length);
	r = resolve(controller, &addresses, err);
	if (r < 0)
		return r;

	/* A name with several addresses: the first that a datagram can be sent to. */
	r = -EAFNOSUPPORT;
	for (const struct addrinfo *a = addresses; a && r < 0; a = a->ai_next)
		if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
			r = send_to(a, bytes, length, &message->fd);
	freeaddrinfo(addresses);
	if (r < 0)
		return error_set_errno(err, r, "controller %s", controller->text);
	return 0;
}
