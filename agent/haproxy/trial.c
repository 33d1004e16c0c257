/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/trial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/text.h"

/* "192.0.2.1:80", ":80", "*:80", "2001:db8::1:80", "[::1]:80": the port follows the last colon. */
static bool parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = colon ? strndup(text, (size_t)(colon - text)) : NULL;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	const char *address = host;
	int64_t port;

	if (!host || text_to_int64(colon + 1, &port) < 0 || port < 1 || port > 65535)
		return false;
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		address = host + 1;
	}
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		*ret_length = sizeof(*six);
		return true;
	}
	if (streq(address, "") || streq(address, "*"))
		address = "0.0.0.0";
	if (inet_pton(AF_INET, address, &four->sin_addr) != 1)
		return false;
	four->sin_family = AF_INET;
	four->sin_port = htons((uint16_t)port);
	*ret_length = sizeof(*four);
	return true;
}

static int try_bind(const char *text)
{
	static const int on = 1;
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage address;
	socklen_t length;

	if (!parse_address(text, &address, &length))
		return 0;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0; /* HAProxy will say what is wrong with the family */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	return bind(fd, (const struct sockaddr *)&address, length) < 0 ? -errno : 0;
}

static bool is_bind(const struct cfg_line *line)
{
	return streq(line->words[0], "bind") && line->words[1];
}

static bool is_bound(const struct cfg *cfg, const char *address)
{
	for (size_t i = 0; i < cfg->n_sections; i++)
		for (size_t j = 0; j < cfg->sections[i].n_lines; j++)
			if (is_bind(&cfg->sections[i].lines[j]) &&
				streq(cfg->sections[i].lines[j].words[1], address))
				return true;
	return false;
}

/* Binding that depends on more than the address. */
static bool is_special(const struct cfg_line *line)
{
	static const char *const words[] = {"transparent", "interface", "namespace", "v4v6"};

	for (size_t i = 2; line->words[i]; i++)
		for (size_t j = 0; j < ELEMENTSOF(words); j++)
			if (streq(line->words[i], words[j]))
				return true;
	return false;
}

static int try_line(const struct cfg *running, const struct cfg_section *section, const struct cfg_line *line,
	struct error *err)
{
	int r;

	if (!is_bind(line) || is_special(line) || is_bound(running, line->words[1]))
		return 0;
	r = try_bind(line->words[1]);
	if (r < 0)
		return error_set(err, ERROR_APPLY, NULL,
			"%s %s: cannot bind [%s] (%s); HAProxy was not reloaded and goes on as it is", section->keyword,
			section->name, line->words[1], strerror(-r));
	return 0;
}

int trial_bind_added(const struct cfg *running, const struct cfg *wanted, struct error *err)
{
	for (size_t i = 0; i < wanted->n_sections; i++)
		for (size_t j = 0; j < wanted->sections[i].n_lines; j++) {
			int r = try_line(running, &wanted->sections[i], &wanted->sections[i].lines[j], err);

			if (r < 0)
				return r;
		}
	return 0;
}
