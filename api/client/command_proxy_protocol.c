/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/proxy_protocol.h"

#include <string.h>

#include "agent/definition/limits.h"
#include "api/client/commands.h"
#include "api/client/view.h"

/*
 * The PROXY protocol: sent to the members of a pool, accepted by a listener from a load balancer in front of it.
 *
 * Octavia's clients cannot change the protocol of a pool that exists. So that no pool has to be made anew, it is changed in
 * the definition of its load balancer, on the condition that nobody else changed that meanwhile.
 */

enum { MAX_ATTEMPTS = 10, PRECONDITION_FAILED = 412 };

static int usage(struct client *client, const char *words)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	error_set(&err, ERROR_INVALID, NULL, "%s", words);
	client_complain(client, &err);
	return CLIENT_USAGE;
}

/* "a,b" as a JSON list; NULL without memory. */
static json_t *split_list(const char *list)
{
	_cleanup_strv_ char **parts = NULL;
	json_t *array = json_array();

	if (text_split(list, ',', &parts) < 0) {
		json_decref(array);
		return NULL;
	}
	STRV_FOREACH (part, parts)
		if (json_array_append_new(array, json_string(*part)) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static bool listener_leads_to(const json_t *listener, const char *pool_id)
{
	json_t *policy;
	size_t i;

	if (streq(view_string(listener, "default_pool_id"), pool_id))
		return true;
	json_array_foreach (json_object_get(listener, "l7policies"), i, policy)
		if (streq(view_string(policy, "redirect_pool_id"), pool_id))
			return true;
	return false;
}

/* What a pool speaks without the PROXY protocol: what its listeners do. */
static const char *plain_protocol(const json_t *lb, const char *pool_id)
{
	const char *protocol = "TCP";
	json_t *listener;
	size_t i;

	json_array_foreach (json_object_get(lb, "listeners"), i, listener) {
		const char *own = view_string(listener, "protocol");

		if (!listener_leads_to(listener, pool_id))
			continue;
		if (streq(own, "HTTP") || streq(own, "TERMINATED_HTTPS"))
			return "HTTP";
		if (streq(own, "HTTPS"))
			protocol = "HTTPS";
	}
	return protocol;
}

/* How a pool is wanted. */
struct wish {
	const char *protocol; /* NULL: plain */
	const char *options;  /* of v2, "a,b"; NULL: none */
};

static int change_pool(struct target *target, const struct wish *wish)
{
	const char *protocol = wish->protocol;

	/* A pool that speaks without it goes on so. */
	if (!protocol && proxy_protocol_spoken(view_string(target->object, "protocol")))
		protocol = plain_protocol(target->lb, view_string(target->object, "id"));
	if (!protocol)
		return 0;

	return json_object_set_new(target->object, "protocol", json_string(protocol)) < 0 ||
			json_object_set_new(target->object, "proxy_protocol_options",
				wish->options ? split_list(wish->options) : json_null()) < 0
		? -ENOMEM
		: 0;
}

static int put_definition(struct client *client, const struct target *target, struct http_reply *ret)
{
	_cleanup_(json_decrefp) json_t *document = json_pack("{s:O}", "loadbalancer", target->lb);
	_cleanup_free_ char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	char path[CLIENT_PATH_SIZE];
	const struct http_request request = {
		.method = "PUT",
		.path = path,
		.body = text,
		.body_length = text ? strlen(text) : 0,
		.if_match = *target->revision ? target->revision : NULL,
	};

	if (!text)
		return client_out_of_memory(client);
	if (!text_is_uuid(view_string(target->lb, "id")))
		return usage(client, "the server's ids are no UUIDs: is another server there?");
	client_path(path, view_string(target->lb, "id"), "/definition");
	return client_exchange(client, &request, PRECONDITION_FAILED, ret);
}

static int report(struct client *client, enum target_kind kind, const json_t *object, const char *apply)
{
	_cleanup_text_ struct text out = TEXT_INIT, name = TEXT_INIT, state = TEXT_INIT;

	if (client->options->quiet)
		return CLIENT_OK;
	target_append_name(object, &name);
	proxy_protocol_append_state(kind, object, &state);
	text_printf(&out, "%s ", target_kind_name(kind));
	terminal_append(&client->out, &out, COLOUR_BOLD, text_peek(&name));
	text_append(&out, ": PROXY protocol ");
	terminal_append(&client->out, &out, COLOUR_PLAIN, text_peek(&state));
	if (*apply) {
		text_append(&out, ", ");
		terminal_append(&client->out, &out, view_action_colour(apply), apply);
	}
	text_append_char(&out, '\n');
	return client_print(client, &out);
}

/* A change by somebody else in between makes it start anew. *ret_again is whether one came. */
static int try_pool(struct client *client, const char *name, const struct wish *wish, bool *ret_again)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_target_ struct target target = TARGET_INIT;
	_cleanup_(json_decrefp) json_t *body = NULL;
	int status = target_find(client, TARGET_POOL, name, &target);

	*ret_again = false;
	if (status != CLIENT_OK)
		return status;
	if (change_pool(&target, wish) < 0)
		return client_out_of_memory(client);
	status = put_definition(client, &target, &reply);
	*ret_again = status == CLIENT_OK && reply.status == PRECONDITION_FAILED;
	if (status == CLIENT_OK && !*ret_again)
		status = client_parse(client, &reply, "loadbalancer", &body);
	if (status != CLIENT_OK || *ret_again)
		return status;
	return client->options->json ? client_print_json(client, body)
				     : report(client, TARGET_POOL, target.object, reply.apply);
}

static int set_pool(struct client *client, const char *name, const struct wish *wish)
{
	for (int i = 0; i < MAX_ATTEMPTS; i++) {
		bool again;
		int status = try_pool(client, name, wish, &again);

		if (!again)
			return status;
	}
	usage(client, "others change this load balancer all the time; nothing was done, try again");
	return CLIENT_REFUSED;
}

/* "fields" is a new reference that is taken: an object or null. */
static int set_listener(struct client *client, const char *name, json_t *fields)
{
	_cleanup_(json_decrefp) json_t *body = NULL, *answer = NULL;
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_target_ struct target target = TARGET_INIT;
	_cleanup_free_ char *text = NULL;
	char path[CLIENT_PATH_SIZE];
	struct http_request request = {.method = "PUT", .path = path};
	int status;

	body = fields ? json_pack("{s:{s:o}}", "listener", "proxy_protocol", fields) : NULL;
	text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	if (!text)
		return client_out_of_memory(client);
	status = target_find(client, TARGET_LISTENER, name, &target);
	if (status != CLIENT_OK)
		return status;
	if (!text_is_uuid(view_string(target.object, "id")))
		return usage(client, "the server's ids are no UUIDs: is another server there?");
	snprintf(path, sizeof(path), "/v2/lbaas/listeners/%s", view_string(target.object, "id"));
	request.body = text;
	request.body_length = strlen(text);
	status = client_exchange(client, &request, 0, &reply);
	if (status == CLIENT_OK)
		status = client_parse(client, &reply, "listener", &answer);
	if (status != CLIENT_OK)
		return status;
	return client->options->json ? client_print_json(client, answer)
				     : report(client, TARGET_LISTENER, json_object_get(answer, "listener"), reply.apply);
}

static int parse_kind(struct client *client, const char *word, enum target_kind *ret)
{
	for (enum target_kind kind = 0; kind < _TARGET_KIND_MAX; kind++)
		if (streq(word, target_kind_name(kind))) {
			*ret = kind;
			return CLIENT_OK;
		}
	return usage(client, "say of what: \"pool NAME\" sends it to the members, \"listener NAME\" accepts it from clients");
}

static int switch_listener_on(struct client *client, const char *name)
{
	const struct options *options = client->options;
	json_t *fields = json_pack("{s:b}", "accept", 1);

	if (!options->trusted) {
		json_decref(fields);
		return usage(client, "--trusted is missing: whoever may send the header can claim any address. Give the networks of "
				     "the load balancers in front, or \"any\" where nobody else reaches the listener");
	}
	if (fields && !streq(options->trusted, "any") &&
		json_object_set_new(fields, "trusted_cidrs", split_list(options->trusted)) < 0) {
		json_decref(fields);
		fields = NULL;
	}
	if (fields && options->header_timeout_ms > 0 &&
		json_object_set_new(fields, "header_timeout_ms", json_integer(options->header_timeout_ms)) < 0) {
		json_decref(fields);
		fields = NULL;
	}
	return set_listener(client, name, fields);
}

static int switch_pool_on(struct client *client, const char *name, const char *version)
{
	const struct options *options = client->options;
	struct wish wish = {.protocol = "PROXY", .options = options->tlv};

	if (version && !streq(version, "v1") && !streq(version, "v2"))
		return usage(client, "the version of the PROXY protocol is v1 or v2");
	if (options->tlv && version && streq(version, "v1"))
		return usage(client, "--tlv is for v2");
	if (options->tlv || (version && streq(version, "v2")))
		wish.protocol = "PROXYV2";
	return set_pool(client, name, &wish);
}

static int switch_on(struct client *client, char *const *arguments, size_t n_arguments)
{
	const struct options *options = client->options;
	enum target_kind kind;
	int status = parse_kind(client, arguments[0], &kind);

	if (status != CLIENT_OK)
		return status;
	if (kind == TARGET_POOL && (options->trusted || options->header_timeout_ms > 0))
		return usage(client, "--trusted and --header-timeout are for listeners");
	if (kind == TARGET_LISTENER && options->tlv)
		return usage(client, "--tlv is for pools");
	if (kind == TARGET_LISTENER && n_arguments > 2)
		return usage(client, "a listener accepts v1 and v2: do not give a version");
	if (kind == TARGET_LISTENER)
		return switch_listener_on(client, arguments[1]);
	return switch_pool_on(client, arguments[1], n_arguments > 2 ? arguments[2] : NULL);
}

static int switch_off(struct client *client, char *const *arguments, _unused_ size_t n_arguments)
{
	static const char *const plain[] = {"TCP", "HTTP", "HTTPS"};
	struct wish wish = {.protocol = client->options->protocol};
	bool known = !wish.protocol;
	enum target_kind kind;
	int status = parse_kind(client, arguments[0], &kind);

	if (status != CLIENT_OK)
		return status;
	for (size_t i = 0; wish.protocol && i < ELEMENTSOF(plain); i++)
		known = known || streq(wish.protocol, plain[i]);
	if (!known || (kind == TARGET_LISTENER && wish.protocol))
		return usage(client, "--protocol is for pools: TCP, HTTP or HTTPS");
	return kind == TARGET_POOL ? set_pool(client, arguments[1], &wish)
				   : set_listener(client, arguments[1], json_null());
}

static const struct option_row on_options[] = {
	LOADBALANCER_OPTION,
	STRING("tlv", 0, "NAME,...", tlv,
		"of a pool, v2: what to send beside the addresses:\n"
		"ssl, cert-cn, ssl-cipher, cert-sig, cert-key,\n"
		"authority, crc32c, unique-id"),
	STRING("trusted", 0, "CIDR,...|any", trusted,
		"of a listener: who sends the header; others are\n"
		"taken as they are. any: everybody must send it"),
	NUMBER("header-timeout", 0, "MS", header_timeout_ms, 1, LIMIT_TIMEOUT_MS,
		"of a listener: how long to wait for the header"),
	{.name = NULL},
};

static const struct option_row off_options[] = {
	LOADBALANCER_OPTION,
	STRING("protocol", 0, "TCP|HTTP|HTTPS", protocol,
		"of a pool: what it speaks then; default: as its\n"
		"listeners do"),
	{.name = NULL},
};

const struct command proxy_protocol_actions[] = {
	{
		.name = "proxy-protocol show",
		.arguments = "[ID|NAME]",
		.summary = "who sends it, who accepts it",
		.description =
			"Shows of each listener and pool, of one load balancer or of all, whether the\n"
			"PROXY protocol is accepted or sent.",
		.max_arguments = 1,
		.run = proxy_protocol_show,
	},
	{
		.name = "proxy-protocol on",
		.arguments = "pool|listener NAME [v1|v2]",
		.summary = "send it to members, accept it from clients",
		.description =
			"Of a pool: its members are told the client's address by the PROXY protocol, in\n"
			"version 1 unless it is v2 or --tlv is given. Of a listener: it accepts the\n"
			"header, of either version, from the load balancers in front of it that --trusted\n"
			"names. Nothing is made anew, and connections that are there go on as they began.",
		.options = on_options,
		.min_arguments = 2,
		.max_arguments = 3,
		.run = switch_on,
	},
	{
		.name = "proxy-protocol off",
		.arguments = "pool|listener NAME",
		.summary = "no longer send it, or accept it",
		.description = "Stops sending it to the members of a pool, or accepting it on a listener.",
		.options = off_options,
		.min_arguments = 2,
		.max_arguments = 2,
		.run = switch_off,
	},
	{.name = NULL},
};
