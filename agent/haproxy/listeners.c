/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/listeners.h"

#include <string.h>

#include "agent/base/text.h"

/* A frontend's modes; log and spop are for backends only. */
static const struct mode_row {
	const char *mode;
	const char *type;
} mode_rows[] = {
	{"tcp", "TCP"},
	{"http", "HTTP"},
};

/* Manual, chapter 4: "letters, digits, '-' (dash), '_' (underscore), '.' (dot) and ':' (colon)". */
static bool is_proxy_name(const char *name)
{
	return name[0] && name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
					    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					    "0123456789-_.:")] == '\0';
}

/* The type of the section's mode, or "inherited" if it sets none. Of several the last counts. */
static const char *type_of_mode(const struct cfg_section *section, const char *inherited)
{
	const char *type = inherited;

	for (size_t i = 0; i < section->n_lines; i++) {
		char **words = section->lines[i].words;

		if (!streq(words[0], "mode") || !words[1])
			continue;
		for (size_t j = 0; j < ELEMENTSOF(mode_rows); j++)
			if (streq(words[1], mode_rows[j].mode))
				type = mode_rows[j].type;
	}
	return type;
}

/* "bind ADDRESS ssl crt-list FILE …"; a certificate may also be named directly. */
static bool terminates_tls(const struct cfg_section *section)
{
	for (size_t i = 0; i < section->n_lines; i++) {
		char **words = section->lines[i].words;
		bool ssl = false, certificate = false;

		if (!streq(words[0], "bind") || !words[1])
			continue;
		STRV_FOREACH (word, words + 2) {
			ssl |= streq(*word, "ssl");
			certificate |= streq(*word, "crt-list") || streq(*word, "crt");
		}
		if (ssl && certificate)
			return true;
	}
	return false;
}

int cfg_listeners(const struct cfg *cfg, struct cfg_listener **ret, size_t *ret_n)
{
	const char *inherited = "TCP";
	struct cfg_listener *listeners;
	size_t n = 0;

	listeners = calloc(cfg->n_sections + 1, sizeof(*listeners));
	if (!listeners)
		return -ENOMEM;
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *section = &cfg->sections[i];

		if (streq(section->keyword, "defaults"))
			inherited = type_of_mode(section, "TCP");
		if (!streq(section->keyword, "frontend") || !is_proxy_name(section->name))
			continue;
		listeners[n].id = strdup(section->name);
		if (!listeners[n].id) {
			cfg_listeners_free(listeners, n);
			return -ENOMEM;
		}
		listeners[n].type = terminates_tls(section) ? "TERMINATED_HTTPS"
							    : type_of_mode(section, inherited);
		n++;
	}
	*ret = listeners;
	*ret_n = n;
	return 0;
}

void cfg_listeners_free(struct cfg_listener *listeners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(listeners[i].id);
	free(listeners);
}

static const char *first_bind(const struct cfg *cfg)
{
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *section = &cfg->sections[i];

		if (!streq(section->keyword, "frontend") || strstr(section->name, "prometheus"))
			continue;
		for (size_t j = 0; j < section->n_lines; j++)
			if (streq(section->lines[j].words[0], "bind") && section->lines[j].words[1])
				return section->lines[j].words[1];
	}
	return NULL;
}

int cfg_vip_address(const struct cfg *cfg, char **ret)
{
	const char *bind = first_bind(cfg), *colon = bind ? strrchr(bind, ':') : NULL;

	*ret = NULL;
	if (!colon || colon == bind)
		return 0;
	*ret = strndup(bind, (size_t)(colon - bind));
	return *ret ? 0 : -ENOMEM;
}

/* The host of "HOST:PORT", without the brackets of an IPv6 address; NULL without memory, "" if there is none. */
static char *copy_host(const char *bind, size_t length)
{
	const char *colon = memrchr(bind, ':', length);
	size_t host_length = colon ? (size_t)(colon - bind) : 0;

	if (host_length > 2 && bind[0] == '[' && bind[host_length - 1] == ']')
		return strndup(bind + 1, host_length - 2);
	return strndup(bind, host_length);
}

static int add_address(char ***addresses, size_t *n, const char *bind, size_t length)
{
	_cleanup_free_ char *host = copy_host(bind, length);

	if (!host)
		return -ENOMEM;
	if (!host[0])
		return 0;
	STRV_FOREACH(known, *addresses)
		if (streq(*known, host))
			return 0;
	return strv_push(addresses, n, TAKE_PTR(host));
}

/* "bind ADDRESS:PORT,ADDRESS:PORT …" */
static int add_addresses(char ***addresses, size_t *n, const char *bind)
{
	int r = 0;

	for (const char *p = bind; r == 0 && *p;) {
		size_t length = strcspn(p, ",");

		r = add_address(addresses, n, p, length);
		p += length;
		p += *p == ',';
	}
	return r;
}

int cfg_vip_addresses(const struct cfg *cfg, char ***ret)
{
	_cleanup_strv_ char **addresses = calloc(1, sizeof(*addresses));
	size_t n = 0;

	if (!addresses)
		return -ENOMEM;
	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *section = &cfg->sections[i];

		if (!streq(section->keyword, "frontend") || strstr(section->name, "prometheus"))
			continue;
		for (size_t j = 0; j < section->n_lines; j++) {
			char **words = section->lines[j].words;

			if (streq(words[0], "bind") && words[1] && add_addresses(&addresses, &n, words[1]) < 0)
				return -ENOMEM;
		}
	}
	*ret = TAKE_PTR(addresses);
	return 0;
}
