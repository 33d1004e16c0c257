/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/member.h"

#include <string.h>

#include "agent/definition/limits.h"
#include "api/client/view.h"

#define WEIGHT_TAG "amphoractl:weight="

enum { WEIGHT_MAX = 256, SESSIONS_MAX = 1 << 30 };

void members_done(struct members *members)
{
	target_done(&members->pool);
	free(members->list);
	*members = MEMBERS_INIT;
}

int members_find(struct client *client, char *const *arguments, size_t n_arguments, struct members *ret)
{
	_cleanup_members_ struct members members = MEMBERS_INIT;
	int status = target_find(client, TARGET_POOL, arguments[0], &members.pool);

	if (status != CLIENT_OK)
		return status;
	members.list = calloc(n_arguments, sizeof(*members.list));
	if (!members.list)
		return client_out_of_memory(client);
	for (size_t i = 1; status == CLIENT_OK && i < n_arguments; i++)
		status = target_find_member(client, members.pool.object, arguments[i], &members.list[members.n++]);
	if (status != CLIENT_OK)
		return status;
	*ret = members;
	members = MEMBERS_INIT;
	return CLIENT_OK;
}

const char *members_lb_id(const struct members *members)
{
	const char *id = view_string(members->pool.lb, "id");

	return text_is_uuid(id) ? id : "";
}

int member_path(struct client *client, const struct target *pool, const json_t *member, char ret[CLIENT_PATH_SIZE])
{
	const char *pool_id = view_string(pool->object, "id"), *member_id = member ? view_string(member, "id") : "";
	_cleanup_error_ struct error err = ERROR_INIT;

	if (text_is_uuid(pool_id) && (!member || text_is_uuid(member_id))) {
		snprintf(ret, CLIENT_PATH_SIZE, "/v2/lbaas/pools/%s/members%s%s", pool_id, member ? "/" : "", member_id);
		return CLIENT_OK;
	}
	error_set(&err, ERROR_INTERNAL, NULL, "the server's ids are no UUIDs: is another server there?");
	client_complain(client, &err);
	return CLIENT_UNREACHABLE;
}

static int report(struct client *client, const struct target *pool, const json_t *member,
	const struct http_reply *reply, const char *what)
{
	_cleanup_text_ struct text out = TEXT_INIT, name = TEXT_INIT, pool_name = TEXT_INIT;

	if (client->options->quiet)
		return CLIENT_OK;
	target_append_name(member, &name);
	target_append_name(pool->object, &pool_name);
	text_append(&out, "member ");
	terminal_append(&client->out, &out, COLOUR_BOLD, text_peek(&name));
	text_append(&out, " of pool ");
	terminal_append(&client->out, &out, COLOUR_PLAIN, text_peek(&pool_name));
	text_printf(&out, ": %s", what);
	if (*reply->apply) {
		text_append(&out, ", ");
		terminal_append(&client->out, &out, view_action_colour(reply->apply), reply->apply);
	}
	text_append_char(&out, '\n');
	return client_print(client, &out);
}

int member_request(struct client *client, const char *method, const struct target *pool, const json_t *member,
	const char *path, json_t *body, const char *what)
{
	_cleanup_(json_decrefp) json_t *owned = body, *answer = NULL;
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_free_ char *text = owned ? json_dumps(owned, JSON_COMPACT) : NULL;
	const struct http_request request = {
		.method = method, .path = path, .body = text, .body_length = text ? strlen(text) : 0};
	int status;

	if (owned && !text)
		return client_out_of_memory(client);
	status = client_exchange(client, &request, 0, &reply);
	if (status == CLIENT_OK && reply.length > 0)
		status = client_parse(client, &reply, "member", &answer);
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return answer ? client_print_json(client, answer) : CLIENT_OK;
	return report(client, pool, answer ? json_object_get(answer, "member") : member, &reply, what);
}

int member_change(
	struct client *client, const struct target *pool, const json_t *member, json_t *fields, const char *what)
{
	json_t *body = fields ? json_pack("{s:o}", "member", fields) : NULL;
	char path[CLIENT_PATH_SIZE];
	int status = body ? member_path(client, pool, member, path) : client_out_of_memory(client);

	if (status == CLIENT_OK)
		return member_request(client, "PUT", pool, member, path, body, what);
	json_decref(body);
	return status;
}

json_int_t member_row_sessions(const json_t *row)
{
	json_int_t sessions = json_integer_value(json_object_get(row, "active_connections"));

	return sessions > 0 && sessions < SESSIONS_MAX ? sessions : 0;
}

json_int_t member_sessions(const json_t *activity, const char *pool_id, const char *member_id)
{
	json_int_t sum = 0;
	json_t *pool;
	size_t i;

	json_array_foreach (json_object_get(activity, "pools"), i, pool)
		if (streq(view_string(pool, "id"), pool_id))
			sum += member_row_sessions(view_find(json_object_get(pool, "members"), member_id));
	return sum;
}

static json_int_t weight_of_tag(const json_t *tag)
{
	const char *words = json_string_value(tag), *number = words ? text_after_prefix(words, WEIGHT_TAG) : NULL;
	int64_t weight;

	if (!number || text_to_int64(number, &weight) < 0 || weight < 0 || weight > WEIGHT_MAX)
		return WEIGHT_UNKNOWN;
	return weight;
}

json_int_t member_tagged_weight(const json_t *member)
{
	json_t *tag;
	size_t i;

	json_array_foreach (json_object_get(member, "tags"), i, tag)
		if (weight_of_tag(tag) != WEIGHT_UNKNOWN)
			return weight_of_tag(tag);
	return WEIGHT_UNKNOWN;
}

json_t *member_tags(const json_t *member, json_int_t weight)
{
	json_auto_t *tags = json_array();
	char own[sizeof(WEIGHT_TAG) + HUMAN_SIZE];
	json_t *tag;
	size_t i;

	if (!tags)
		return NULL;
	json_array_foreach (json_object_get(member, "tags"), i, tag)
		if (weight_of_tag(tag) == WEIGHT_UNKNOWN && json_array_append(tags, tag) < 0)
			return NULL;
	snprintf(own, sizeof(own), WEIGHT_TAG "%" JSON_INTEGER_FORMAT, weight);
	if (weight != WEIGHT_UNKNOWN && json_array_size(tags) < LIMIT_TAGS && json_array_append_new(tags, json_string(own)) < 0)
		return NULL;
	return TAKE_PTR(tags);
}
