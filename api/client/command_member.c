/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <inttypes.h>
#include <string.h>

#include "api/client/member.h"
#include "api/client/view.h"

/* Members: added, removed, weighed, taken back, listed. Draining is in command_drain.c. */

enum { WEIGHT_MAX = 256, WHAT_BYTES = 64 };

static int usage(struct client *client, const char *format, const char *argument)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	error_set(&err, ERROR_INVALID, NULL, "\"%s\" %s", argument, format);
	client_complain(client, &err);
	return CLIENT_USAGE;
}

static int parse_number(
	struct client *client, const char *what, const char *text, int64_t low, int64_t high, int64_t *ret)
{
	if (text_to_int64(text, ret) == 0 && *ret >= low && *ret <= high)
		return CLIENT_OK;
	return usage(client, what, text);
}

/* "10.0.0.1:80", "[2001:db8::1]:80". Whether the address is one, the server says. *ret_address is the caller's. */
static int parse_endpoint(struct client *client, const char *argument, char **ret_address, int64_t *ret_port)
{
	static const char words[] = "is no ADDRESS:PORT or [IPv6]:PORT with a port from 1 to 65535";
	const char *colon = strrchr(argument, ':'), *start = argument;
	size_t length = colon ? (size_t)(colon - argument) : 0;
	char *address;
	int status;

	if (length == 0)
		return usage(client, words, argument);
	if (start[0] == '[' && length > 2 && start[length - 1] == ']') {
		start++;
		length -= 2;
	} else if (memchr(start, ':', length)) {
		return usage(client, words, argument);
	}
	status = parse_number(client, words, colon + 1, 1, 65535, ret_port);
	if (status != CLIENT_OK)
		return status;
	address = strndup(start, length);
	if (!address)
		return client_out_of_memory(client);
	*ret_address = address;
	return CLIENT_OK;
}

/* The fields that the options give; NULL without memory. */
static json_t *new_member(const struct options *options, const char *address, int64_t port)
{
	json_t *member = json_pack("{s:s, s:I, s:s*, s:s*}", "address", address, "protocol_port", (json_int_t)port, "name",
		options->name, "monitor_address", options->monitor_address);
	bool failed = !member;

	if (options->weight != WEIGHT_UNKNOWN)
		failed = failed || json_object_set_new(member, "weight", json_integer(options->weight)) < 0;
	if (options->monitor_port > 0)
		failed = failed || json_object_set_new(member, "monitor_port", json_integer(options->monitor_port)) < 0;
	if (options->backup)
		failed = failed || json_object_set_new(member, "backup", json_true()) < 0;
	if (options->disabled)
		failed = failed || json_object_set_new(member, "admin_state_up", json_false()) < 0;
	if (!failed)
		return member;
	json_decref(member);
	return NULL;
}

static int add_one(struct client *client, const struct target *pool, const char *path, const char *endpoint)
{
	_cleanup_free_ char *address = NULL;
	json_t *member, *body;
	int64_t port;
	int status = parse_endpoint(client, endpoint, &address, &port);

	if (status != CLIENT_OK)
		return status;
	member = new_member(client->options, address, port);
	body = member ? json_pack("{s:o}", "member", member) : NULL;
	if (!body)
		return client_out_of_memory(client);
	return member_request(client, "POST", pool, member, path, body, "added");
}

static int add(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_target_ struct target pool = TARGET_INIT;
	char path[CLIENT_PATH_SIZE];
	int status;

	if (client->options->name && n_arguments > 2)
		return usage(client, "is the name of one member, and several are given", client->options->name);
	status = target_find(client, TARGET_POOL, arguments[0], &pool);
	if (status == CLIENT_OK)
		status = member_path(client, &pool, NULL, path);
	for (size_t i = 1; status == CLIENT_OK && i < n_arguments; i++)
		status = add_one(client, &pool, path, arguments[i]);
	return status;
}

static int remove_members(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_members_ struct members members = MEMBERS_INIT;
	char path[CLIENT_PATH_SIZE];
	int status = members_find(client, arguments, n_arguments, &members);

	for (size_t i = 0; status == CLIENT_OK && i < members.n; i++) {
		status = member_path(client, &members.pool, members.list[i], path);
		if (status == CLIENT_OK)
			status = member_request(
				client, "DELETE", &members.pool, members.list[i], path, NULL, "removed");
	}
	return status;
}

/* "what" is said before the weight. */
static int set_weight(struct client *client, const struct target *pool, const json_t *member, json_int_t weight,
	bool enable, const char *what)
{
	json_t *fields = json_pack("{s:I}", "weight", weight);
	char words[WHAT_BYTES];

	snprintf(words, sizeof(words), "%sweight %" JSON_INTEGER_FORMAT, what, weight);
	/* What was noted when it was drained has served its purpose. */
	if (fields && member_tagged_weight(member) != WEIGHT_UNKNOWN &&
		json_object_set_new(fields, "tags", member_tags(member, WEIGHT_UNKNOWN)) < 0) {
		json_decref(fields);
		fields = NULL;
	}
	if (fields && enable && json_object_set_new(fields, "admin_state_up", json_true()) < 0) {
		json_decref(fields);
		fields = NULL;
	}
	return member_change(client, pool, member, fields, words);
}

static int weigh(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_members_ struct members members = MEMBERS_INIT;
	int64_t weight;
	int status = parse_number(
		client, "is no weight from 0 to 256", arguments[n_arguments - 1], 0, WEIGHT_MAX, &weight);

	if (status == CLIENT_OK)
		status = members_find(client, arguments, n_arguments - 1, &members);
	for (size_t i = 0; status == CLIENT_OK && i < members.n; i++)
		status = set_weight(client, &members.pool, members.list[i], weight, false, "");
	return status;
}

/* Of a member that was drained without a note: the last weight in the revisions that are kept. */
static int find_earlier_weight(struct client *client, const struct members *members, const char *id, json_int_t *ret)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	char path[CLIENT_PATH_SIZE], below[64];
	json_t *row;
	size_t i;
	int status;

	*ret = WEIGHT_UNKNOWN;
	client_path(path, members_lb_id(members), "/revisions");
	status = client_get_json(client, path, "revisions", &reply);
	json_array_foreach (json_object_get(reply, "revisions"), i, row) {
		_cleanup_http_reply_ struct http_reply kept = HTTP_REPLY_INIT;
		_cleanup_(json_decrefp) json_t *revision = NULL;
		const json_t *pools, *pool, *member;

		snprintf(below, sizeof(below), "/revisions/%" JSON_INTEGER_FORMAT,
			json_integer_value(json_object_get(row, "revision")));
		client_path(path, members_lb_id(members), below);
		status = client_get(client, path, 404, &kept);
		if (status == CLIENT_OK && kept.status == 404)
			continue; /* dropped meanwhile */
		if (status == CLIENT_OK)
			status = client_parse(client, &kept, "loadbalancer", &revision);
		if (status != CLIENT_OK)
			return status;
		pools = json_object_get(json_object_get(revision, "loadbalancer"), "pools");
		pool = view_find(pools, view_string(members->pool.object, "id"));
		member = view_find(json_object_get(pool, "members"), id);
		*ret = json_integer_value(json_object_get(member, "weight"));
		if (*ret > 0)
			return CLIENT_OK;
	}
	*ret = WEIGHT_UNKNOWN;
	return status;
}

static int enable_one(struct client *client, const struct members *members, const json_t *member)
{
	json_int_t weight = json_integer_value(json_object_get(member, "weight"));
	bool disabled = json_is_false(json_object_get(member, "admin_state_up"));
	_cleanup_text_ struct text name = TEXT_INIT;
	int status = CLIENT_OK;

	target_append_name(member, &name);
	if (client->options->weight != WEIGHT_UNKNOWN)
		return set_weight(client, &members->pool, member, client->options->weight, disabled, "enabled, ");
	if (weight > 0 && !disabled) {
		client_remark(client, "member %s is enabled already, its weight is %" JSON_INTEGER_FORMAT,
			text_peek(&name), weight);
		return CLIENT_OK;
	}
	if (weight == 0)
		weight = member_tagged_weight(member);
	if (weight == WEIGHT_UNKNOWN)
		status = find_earlier_weight(client, members, view_string(member, "id"), &weight);
	if (weight == WEIGHT_UNKNOWN && status == CLIENT_OK) {
		client_remark(client, "nobody knows the weight that member %s had: 1 (--weight gives another)",
			text_peek(&name));
		weight = 1;
	}
	return status == CLIENT_OK ? set_weight(client, &members->pool, member, weight, disabled, "enabled, ")
				   : status;
}

static int enable(struct client *client, char *const *arguments, size_t n_arguments)
{
	_cleanup_members_ struct members members = MEMBERS_INIT;
	int status = members_find(client, arguments, n_arguments, &members);

	for (size_t i = 0; status == CLIENT_OK && i < members.n; i++)
		status = enable_one(client, &members, members.list[i]);
	return status;
}

static const struct option_row add_options[] = {
	LOADBALANCER_OPTION,
	STRING("name", 0, "NAME", name, "its name"),
	NUMBER("weight", 0, "WEIGHT", weight, 0, WEIGHT_MAX, "from 0 to 256; default: 1"),
	FLAG("backup", 0, backup, "only used while no other member can be"),
	FLAG("disabled", 0, disabled, "administratively down, until \"member enable\""),
	STRING("monitor-address", 0, "ADDRESS", monitor_address, "where its health is checked; default: its own"),
	NUMBER("monitor-port", 0, "PORT", monitor_port, 1, 65535, "the port of that; default: its own"),
	{.name = NULL},
};

static const struct option_row enable_options[] = {
	LOADBALANCER_OPTION,
	NUMBER("weight", 0, "WEIGHT", weight, 0, WEIGHT_MAX, "from 0 to 256; default: what it was before"),
	{.name = NULL},
};

static const struct option_row member_options[] = {
	LOADBALANCER_OPTION,
	{.name = NULL},
};

#define MEMBER_WORDS "A member is named by its name, its id, or as ADDRESS:PORT."

const struct command member_actions[] = {
	{
		.name = "member list",
		.arguments = "[POOL]",
		.summary = "their state, weights and sessions",
		.description =
			"Lists the members of a pool, or of all pools: whether they are up, the weight\n"
			"that they have and the sessions that they serve at this moment.",
		.options = member_options,
		.max_arguments = 1,
		.run = member_list,
	},
	{
		.name = "member add",
		.arguments = "POOL ADDRESS:PORT...",
		.summary = "add members to a pool",
		.description =
			"Adds members to a pool, one after the other. [2001:db8::1]:80 is an IPv6\n"
			"address and a port.",
		.options = add_options,
		.min_arguments = 2,
		.max_arguments = SIZE_MAX,
		.run = add,
	},
	{
		.name = "member remove",
		.arguments = "POOL MEMBER...",
		.summary = "remove members from a pool",
		.description =
			"Removes members from a pool. Where HAProxy gets it at run time, they serve the\n"
			"sessions that they have to their end; after \"member drain --wait\" there are\n"
			"none.\n" MEMBER_WORDS,
		.options = member_options,
		.min_arguments = 2,
		.max_arguments = SIZE_MAX,
		.run = remove_members,
	},
	{
		.name = "member drain",
		.arguments = "POOL MEMBER...",
		.summary = "no new sessions: weight 0",
		.description =
			"Gives members the weight 0: they serve the sessions that they have, and get new\n"
			"ones only from clients that session persistence sends to them. --wait shows how\n"
			"many sessions are left, until there are none. \"member enable\" takes them back.\n" MEMBER_WORDS,
		.options = drain_options,
		.min_arguments = 2,
		.max_arguments = SIZE_MAX,
		.run = member_drain,
	},
	{
		.name = "member enable",
		.arguments = "POOL MEMBER...",
		.summary = "take them back, with the weight they had",
		.description =
			"Gives members that were drained the weight that they had before, and switches\n"
			"those on that are administratively down.\n" MEMBER_WORDS,
		.options = enable_options,
		.min_arguments = 2,
		.max_arguments = SIZE_MAX,
		.run = enable,
	},
	{
		.name = "member weight",
		.arguments = "POOL MEMBER... WEIGHT",
		.summary = "how much of the traffic they get",
		.description =
			"Gives members a weight from 0 to 256, beside that of the others of the pool.\n" MEMBER_WORDS,
		.options = member_options,
		.min_arguments = 3,
		.max_arguments = SIZE_MAX,
		.run = weigh,
	},
	{.name = NULL},
};
