/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/lvs_config.h"

#include <arpa/inet.h>
#include <string.h>

#include "agent/base/text.h"

enum { WORDS_MAX = 5, WORD_SIZE = 64 };

/* What the next lines belong to. */
struct reader {
	struct lvs_config *config;
	bool in_group;                       /* the addresses of a virtual_server_group */
	char words[WORDS_MAX + 1][WORD_SIZE]; /* of the line, "" behind the last; longer ones are cut */
	struct lvs_member *member;           /* named by the comment before */
};

void lvs_config_done(struct lvs_config *config)
{
	free(config->vips);
	free(config->members);
	*config = LVS_CONFIG_INIT;
}

static void split(struct reader *reader, const char *line, const char *end)
{
	memset(reader->words, 0, sizeof(reader->words));
	for (size_t i = 0; i < WORDS_MAX; i++) {
		size_t length = 0;

		while (line < end && strchr(" \t\r", *line) && *line)
			line++;
		while (line < end && *line && !strchr(" \t\r", *line)) {
			if (length < WORD_SIZE - 1)
				reader->words[i][length++] = *line;
			line++;
		}
	}
}

static bool parse_address(const char *ip, const char *port, struct lvs_address *ret)
{
	struct lvs_address address;
	int64_t number;

	memset(&address, 0, sizeof(address));
	if (text_to_int64(port, &number) < 0 || number < 0 || number > 65535)
		return false;
	address.port = (uint16_t)number;
	address.family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(address.family, ip, &address.v6) != 1)
		return false;
	*ret = address;
	return true;
}

static int add_vip(struct reader *reader)
{
	struct lvs_config *config = reader->config;
	struct lvs_address address, *grown;

	if (!parse_address(reader->words[0], reader->words[1], &address))
		return 0;
	grown = reallocarray(config->vips, config->n_vips + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	config->vips = grown;
	config->vips[config->n_vips++] = address;
	return 0;
}

static int add_member(struct reader *reader, const char *id)
{
	struct lvs_config *config = reader->config;
	struct lvs_member *grown;

	reader->member = NULL;
	grown = reallocarray(config->members, config->n_members + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	config->members = grown;
	reader->member = &config->members[config->n_members++];
	memset(reader->member, 0, sizeof(*reader->member));
	memcpy(reader->member->id, id, LVS_ID_SIZE);
	return 0;
}

/* "# Configuration for Listener ID" or "# Listener ID is disabled". */
static int take_comment(struct reader *reader)
{
	bool enabled = streq(reader->words[1], "Configuration") && streq(reader->words[2], "for");
	bool disabled = streq(reader->words[3], "is") && streq(reader->words[4], "disabled");
	const char *type = reader->words[enabled ? 3 : 1], *id = reader->words[enabled ? 4 : 2];
	struct lvs_config *config = reader->config;
	char *target = NULL;

	if (streq(reader->words[1], "Rendered") && streq(reader->words[3], "amphorad"))
		config->rendered = true;
	if ((!enabled && !disabled) || !text_is_uuid(id))
		return 0;
	if (streq(type, "Member"))
		return add_member(reader, id);
	if (streq(type, "Loadbalancer"))
		target = config->lb_id;
	else if (streq(type, "Listener"))
		target = config->listener_id;
	else if (streq(type, "Pool") && enabled)
		target = config->pool_id;
	if (streq(type, "Listener"))
		config->listener_enabled = enabled;
	if (target)
		memcpy(target, id, LVS_ID_SIZE);
	return 0;
}

static int take_line(struct reader *reader)
{
	struct lvs_config *config = reader->config;
	const char *word = reader->words[0];

	if (streq(word, "#"))
		return take_comment(reader);
	if (reader->in_group && streq(word, "}"))
		reader->in_group = false;
	else if (reader->in_group)
		return add_vip(reader);
	else if (streq(word, "virtual_server_group"))
		reader->in_group = true;
	else if (streq(word, "protocol"))
		config->protocol = streq(reader->words[1], "SCTP") ? IPPROTO_SCTP : IPPROTO_UDP;
	else if (streq(word, "real_server") && reader->member) {
		if (!parse_address(reader->words[1], reader->words[2], &reader->member->address))
			memset(&reader->member->address, 0, sizeof(reader->member->address));
		reader->member = NULL;
	} else if (streq(word, "MISC_CHECK") || streq(word, "HTTP_GET") || streq(word, "TCP_CHECK"))
		config->monitored = true;
	return 0;
}

int lvs_config_parse(const char *text, size_t length, struct lvs_config *ret)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	struct reader reader = {.config = &config};
	const char *end = text + length;
	int r;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		split(&reader, text, newline ? newline : end);
		r = take_line(&reader);
		if (r < 0)
			return r;
		text = newline ? newline + 1 : end;
	}
	*ret = config;
	config = LVS_CONFIG_INIT;
	return 0;
}

static bool has(char *const *strings, const char *wanted)
{
	STRV_FOREACH(string, strings)
		if (streq(*string, wanted))
			return true;
	return false;
}

int lvs_config_vips(const struct lvs_config *config, char ***ret)
{
	_cleanup_strv_ char **texts = calloc(config->n_vips + 1, sizeof(*texts));
	size_t n = 0;

	if (!texts)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_vips; i++) {
		char text[INET6_ADDRSTRLEN];

		if (!inet_ntop(config->vips[i].family, &config->vips[i].v6, text, sizeof(text)) || has(texts, text))
			continue;
		texts[n] = strdup(text);
		if (!texts[n++])
			return -ENOMEM;
	}
	*ret = TAKE_PTR(texts);
	return 0;
}
