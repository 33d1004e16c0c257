/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <string.h>

#include "api/client/complete.h"
#include "api/client/target.h"
#include "api/client/view.h"

/*
 * For the completion script of a shell: what may stand at the end of the command line that is being typed. The first line
 * printed is "files" or "words"; with "words", each other line is one of them. Silent about everything that fails: somebody
 * is typing.
 */

enum {
	MAX_WORDS = 1000,
	MAX_CANDIDATES = 2000,
	TIMEOUT_S = 1, /* somebody waits with his finger on a key */
};

#define POOLS "/v2/lbaas/pools?fields=id&fields=name"
#define LISTENERS "/v2/lbaas/listeners?fields=id&fields=name"
#define MEMBERS "/v2/lbaas/pools/%s/members?fields=id&fields=name&fields=address&fields=protocol_port"

struct candidates {
	struct client *client;
	const struct completion *completion;
	struct text out;
	size_t n;
};

/* A line of its own, if it begins as what is typed does. What a terminal would not show is left out. */
static void add(struct candidates *c, const char *candidate)
{
	if (!*candidate || c->n >= MAX_CANDIDATES || !text_after_prefix(candidate, c->completion->typed) ||
		text_has_control(candidate, strlen(candidate)))
		return;
	text_append_bytes(&c->out, c->completion->before, c->completion->before_length);
	text_append(&c->out, candidate);
	text_append_char(&c->out, '\n');
	c->n++;
}

/* By the name; by the id, too, if that is how it begins. */
static void add_objects(struct candidates *c, const json_t *array)
{
	json_t *object;
	size_t i;

	json_array_foreach (array, i, object) {
		const char *name = view_string(object, "name");

		add(c, name);
		if (!*name || *c->completion->typed)
			add(c, view_string(object, "id"));
	}
}

static void add_collection(struct candidates *c, const char *path, const char *member)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;

	if (client_get_json(c->client, path, member, &reply) == CLIENT_OK)
		add_objects(c, json_object_get(reply, member));
}

/* By name, else by where they are; by that, too, if that is how it begins. */
static void add_members_of(struct candidates *c, const char *pool_id)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	char path[2 * CLIENT_PATH_SIZE];
	json_t *member;
	size_t i;

	snprintf(path, sizeof(path), MEMBERS, pool_id);
	if (client_get_json(c->client, path, "members", &reply) != CLIENT_OK)
		return;
	json_array_foreach (json_object_get(reply, "members"), i, member) {
		const char *name = view_string(member, "name");
		_cleanup_text_ struct text endpoint = TEXT_INIT;

		add(c, name);
		target_append_endpoint(member, &endpoint);
		if (!*name || *c->completion->typed)
			add(c, text_peek(&endpoint));
	}
}

static void add_members(struct candidates *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const char *wanted = c->completion->of;
	json_t *pool;
	size_t i;

	if (!wanted || client_get_json(c->client, POOLS, "pools", &reply) != CLIENT_OK)
		return;
	json_array_foreach (json_object_get(reply, "pools"), i, pool) {
		const char *id = view_string(pool, "id");

		if (text_is_uuid(id) && (streq(id, wanted) || streq(view_string(pool, "name"), wanted)))
			add_members_of(c, id);
	}
}

static void add_revisions(struct candidates *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *id = NULL;
	char path[CLIENT_PATH_SIZE];
	json_t *row;
	size_t i;

	if (!c->completion->of || client_find_one(c->client, c->completion->of, &id) != CLIENT_OK)
		return;
	client_path(path, id, "/revisions");
	if (client_get_json(c->client, path, "revisions", &reply) != CLIENT_OK)
		return;
	json_array_foreach (json_object_get(reply, "revisions"), i, row) {
		char number[HUMAN_SIZE];

		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			json_integer_value(json_object_get(row, "revision")));
		add(c, number);
	}
}

static void ask(struct candidates *c)
{
	switch (c->completion->kind) {
	case COMPLETION_NOTHING:
	case COMPLETION_WORDS:
	case COMPLETION_FILES:
		return;
	case COMPLETION_LOADBALANCERS:
		add_collection(c, "/v2/lbaas/loadbalancers?fields=id&fields=name", "loadbalancers");
		return;
	case COMPLETION_LISTENERS:
		add_collection(c, LISTENERS, "listeners");
		return;
	case COMPLETION_POOLS:
		add_collection(c, POOLS, "pools");
		return;
	case COMPLETION_MEMBERS:
		add_members(c);
		return;
	case COMPLETION_CERTIFICATES:
		add_collection(c, "/v2/lbaas/certificates", "certificates");
		return;
	case COMPLETION_REVISIONS:
		add_revisions(c);
		return;
	}
}

static int print(struct client *client, const struct completion *completion)
{
	_cleanup_text_ struct text unheard = TEXT_INIT;
	struct candidates candidates = {.client = client, .completion = completion, .out = TEXT_INIT};
	int status;

	client->heard = &unheard;
	text_append(&candidates.out, completion->kind == COMPLETION_FILES ? "files\n" : "words\n");
	STRV_FOREACH (word, completion->words)
		add(&candidates, *word);
	ask(&candidates);
	status = client_print(client, &candidates.out);
	text_done(&candidates.out);
	return status;
}

static int unquote_all(char *const *arguments, size_t n, char ***ret)
{
	_cleanup_strv_ char **words = calloc(n + 2, sizeof(*words));

	if (!words)
		return -ENOMEM;
	for (size_t i = 0; i < n || i == 0; i++) {
		words[i] = i < n ? completion_unquote(arguments[i]) : strdup("");
		if (!words[i])
			return -ENOMEM;
	}
	*ret = TAKE_PTR(words);
	return 0;
}

/* The words are another command line: its options say whom to ask. */
static int ask_whom_it_asks(struct client *client, const struct options *options, const struct completion *completion)
{
	const struct options *own = client->options;
	bool elsewhere = options->url || options->socket_path;
	const struct http_options http_options = {
		.url = elsewhere ? options->url : own->url,
		.socket_path = elsewhere ? options->socket_path : own->socket_path,
		.certificate = options->certificate,
		.key = options->key,
		.ca_certificate = options->ca_certificate,
		.timeout_s = TIMEOUT_S,
	};
	struct http *before = client->http;
	_cleanup_http_ struct http *http = NULL;
	int status;

	if (http_new(&http_options, &http, NULL) < 0)
		return CLIENT_OK;
	client->http = http;
	status = print(client, completion);
	client->http = before;
	return status;
}

int command_complete(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_completion_ struct completion completion = COMPLETION_INIT;
	struct options options = {.quiet = true};
	_cleanup_strv_ char **words = NULL;

	if (n_arguments > MAX_WORDS)
		return CLIENT_OK;
	if (unquote_all(arguments, n_arguments, &words) < 0 ||
		completion_find(client_commands, client_options, words, strv_length(words), &options, &completion) < 0)
		return client_out_of_memory(client);
	return ask_whom_it_asks(client, &options, &completion);
}
