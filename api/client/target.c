/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/target.h"

#include <string.h>

#include "api/client/view.h"

enum { SHOWN_CANDIDATES = 10 };

static const struct {
	const char *name, *key;
} kinds[_TARGET_KIND_MAX] = {
	[TARGET_LISTENER] = {"listener", "listeners"},
	[TARGET_POOL] = {"pool", "pools"},
};

const char *target_kind_name(enum target_kind kind)
{
	return kinds[kind].name;
}

void target_done(struct target *target)
{
	json_decref(target->lb);
	*target = TARGET_INIT;
}

void target_append_endpoint(const json_t *member, struct text *out)
{
	const char *address = view_string(member, "address");
	const json_t *port = json_object_get(member, "protocol_port");
	bool is_ipv6 = strchr(address, ':');

	text_printf(out, "%s%s%s", is_ipv6 ? "[" : "", address, is_ipv6 ? "]" : "");
	if (json_is_integer(port))
		text_printf(out, ":%" JSON_INTEGER_FORMAT, json_integer_value(port));
}

void target_append_name(const json_t *object, struct text *out)
{
	const char *name = view_string(object, "name");

	if (*name)
		text_append(out, name);
	else if (*view_string(object, "address"))
		target_append_endpoint(object, out);
	else
		text_append(out, view_string(object, "id"));
}

/* What was found so far: the first one, and one line for each. */
struct search {
	enum target_kind kind;
	const char *name;
	struct target found;
	size_t n_found;
	struct text candidates;
};

static void search_done(struct search *search)
{
	target_done(&search->found);
	text_done(&search->candidates);
}

static int search_definition(struct client *client, json_t *lb, const char *revision, void *userdata)
{
	struct search *search = userdata;
	json_t *object;
	size_t i;

	(void)client;
	json_array_foreach (json_object_get(lb, kinds[search->kind].key), i, object) {
		const char *id = view_string(object, "id");

		if (!streq(id, search->name) && !streq(view_string(object, "name"), search->name))
			continue;
		if (search->n_found++ < SHOWN_CANDIDATES) {
			text_printf(&search->candidates, "\n  %s of load balancer ", id);
			target_append_name(lb, &search->candidates);
		}
		if (search->found.lb)
			continue;
		search->found.lb = json_incref(lb);
		search->found.object = object;
		snprintf(search->found.revision, sizeof(search->found.revision), "%s", revision);
	}
	return CLIENT_OK;
}

static int complain(struct client *client, int status, const struct text *message)
{
	_cleanup_error_ struct error err = ERROR_INIT;

	error_set(&err, ERROR_INVALID, NULL, "%s", text_peek(message));
	client_complain(client, &err);
	return status;
}

static int judge(struct client *client, struct search *search, struct target *ret)
{
	_cleanup_text_ struct text message = TEXT_INIT;
	const char *kind = kinds[search->kind].name;

	if (search->n_found == 1) {
		*ret = search->found;
		search->found = TARGET_INIT;
		return CLIENT_OK;
	}
	if (search->n_found == 0) {
		text_printf(&message, "no %s is named \"%s\" (\"amphoractl status\" shows them all)", kind,
			search->name);
		return complain(client, CLIENT_REFUSED, &message);
	}
	text_printf(&message, "%zu %ss are named \"%s\", use one of their ids or --loadbalancer:%s",
		search->n_found, kind, search->name, text_peek(&search->candidates));
	return complain(client, CLIENT_USAGE, &message);
}

int target_find(struct client *client, enum target_kind kind, const char *name, struct target *ret)
{
	_cleanup_(search_done) struct search search = {.kind = kind, .name = name};
	char *const wanted[] = {(char *)client->options->loadbalancer};
	int status = client_each_definition(client, wanted, *wanted ? 1 : 0, search_definition, &search);

	return status == CLIENT_OK ? judge(client, &search, ret) : status;
}

static bool is_member(const json_t *member, const char *name)
{
	_cleanup_text_ struct text endpoint = TEXT_INIT;

	if (streq(view_string(member, "id"), name) || streq(view_string(member, "name"), name) ||
		streq(view_string(member, "address"), name))
		return true;
	target_append_endpoint(member, &endpoint);
	return streq(text_peek(&endpoint), name);
}

int target_find_member(struct client *client, const json_t *pool, const char *name, const json_t **ret)
{
	_cleanup_text_ struct text message = TEXT_INIT, candidates = TEXT_INIT, pool_name = TEXT_INIT;
	const json_t *found = NULL;
	json_t *member;
	size_t n = 0, i;

	json_array_foreach (json_object_get(pool, "members"), i, member) {
		if (!is_member(member, name))
			continue;
		found = member;
		if (n++ >= SHOWN_CANDIDATES)
			continue;
		text_printf(&candidates, "\n  %s  ", view_string(member, "id"));
		target_append_endpoint(member, &candidates);
	}
	if (n == 1) {
		*ret = found;
		return CLIENT_OK;
	}
	target_append_name(pool, &pool_name);
	if (n == 0) {
		text_printf(&message, "pool %s has no member \"%s\" (amphoractl member list %s)",
			text_peek(&pool_name), name, text_peek(&pool_name));
		return complain(client, CLIENT_REFUSED, &message);
	}
	text_printf(&message, "%zu members of pool %s are \"%s\", use one of their ids or ADDRESS:PORT:%s", n,
		text_peek(&pool_name), name, text_peek(&candidates));
	return complain(client, CLIENT_USAGE, &message);
}
