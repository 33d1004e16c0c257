/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/view.h"

#include <string.h>

#include "api/client/target.h"
#include "api/client/tree.h"

/* What stands behind the status: parts, separated by commas. */
static void append_part(struct text *detail, const char *part)
{
	if (!*part)
		return;
	if (detail->length > 0)
		text_append(detail, ", ");
	text_append(detail, part);
}

static void append_number(struct text *detail, const char *before, const json_t *number)
{
	_cleanup_text_ struct text part = TEXT_INIT;

	text_printf(&part, "%s%" JSON_INTEGER_FORMAT, before, json_integer_value(number));
	append_part(detail, text_peek(&part));
}

/* What every object may have to say: that an operator switched it off, and that a change is under
 * way or failed. */
static void append_common(struct text *detail, const json_t *status, const json_t *definition)
{
	const char *provisioning = view_string(status, "provisioning_status");

	if (json_is_false(json_object_get(definition, "admin_state_up")))
		append_part(detail, "administratively down");
	if (*provisioning && !streq(provisioning, "ACTIVE"))
		append_part(detail, provisioning);
}

/* "unnamed" stands for the name of an object that has none. */
static int add_row(struct tree *tree, unsigned depth, const char *kind, const char *unnamed,
	const json_t *status, const json_t *definition, struct text *detail)
{
	const char *name = view_string(status, "name");

	append_common(detail, status, definition);
	return tree_add(tree, depth,
		&(struct tree_row){
			.kind = kind,
			.name = *name ? name : unnamed,
			.status = view_string(status, "operating_status"),
			.detail = text_peek(detail),
		});
}

/* Both lists usually have the same order; then this finds it at once, also among ten thousand. */
static const json_t *find_near(const json_t *array, size_t index, const char *id)
{
	const json_t *guess = json_array_get(array, index);

	return streq(view_string(guess, "id"), id) ? guess : view_find(array, id);
}

static int add_member(
	struct tree *tree, unsigned depth, const json_t *status, const json_t *definition)
{
	_cleanup_text_ struct text endpoint = TEXT_INIT;
	_cleanup_text_ struct text detail = TEXT_INIT;
	const json_t *weight = json_object_get(definition, "weight");

	if (json_object_get(status, "address")) /* not known of an uploaded configuration */
		target_append_endpoint(status, &endpoint);
	/* Without a name it is known by its address. */
	if (*view_string(status, "name"))
		append_part(&detail, text_peek(&endpoint));
	if (json_is_integer(weight) && json_integer_value(weight) != 1)
		append_number(&detail, "weight ", weight);
	if (json_is_true(json_object_get(definition, "backup")))
		append_part(&detail, "backup");
	if (*view_string(status, "reason"))
		append_part(&detail, view_string(status, "reason"));
	return add_row(tree, depth, "member", endpoint.length ? text_peek(&endpoint) : view_string(status, "id"), status,
		definition, &detail);
}

static int add_pool(
	struct tree *tree, unsigned depth, const json_t *status, const json_t *definition)
{
	_cleanup_text_ struct text detail = TEXT_INIT;
	const json_t *monitor = json_object_get(status, "health_monitor");
	const char *type = view_string(monitor, "type");
	json_t *member;
	size_t i;
	int r;

	append_part(&detail, view_string(definition, "protocol"));
	append_part(&detail, view_string(definition, "lb_algorithm"));
	if (*type) {
		append_part(&detail, type);
		text_append(&detail, " checks");
	}
	r = add_row(tree, depth, "pool", view_string(status, "id"), status, definition, &detail);
	definition = json_object_get(definition, "members");
	json_array_foreach (json_object_get(status, "members"), i, member)
		if (r == 0)
			r = add_member(tree, depth + 1, member,
				find_near(definition, i, view_string(member, "id")));
	return r;
}

static int add_pools(
	struct tree *tree, unsigned depth, const json_t *status, const json_t *definition)
{
	const json_t *pools = json_object_get(definition, "pools");
	json_t *pool;
	size_t i;
	int r = 0;

	json_array_foreach (json_object_get(status, "pools"), i, pool)
		if (r == 0)
			r = add_pool(tree, depth, pool, view_find(pools, view_string(pool, "id")));
	return r;
}

static int add_listener(struct tree *tree, const json_t *status, const json_t *lb)
{
	_cleanup_text_ struct text detail = TEXT_INIT;
	const json_t *definition =
		view_find(json_object_get(lb, "listeners"), view_string(status, "id"));
	const json_t *port = json_object_get(definition, "protocol_port");
	int r;

	append_part(&detail, view_string(definition, "protocol"));
	if (json_is_integer(port))
		append_number(&detail, "port ", port);
	r = add_row(tree, 1, "listener", view_string(status, "id"), status, definition, &detail);
	return r == 0 ? add_pools(tree, 2, status, lb) : r;
}

int view_status(const json_t *reply, const json_t *definition, const struct terminal *terminal,
	struct text *out)
{
	const json_t *lb = json_object_get(definition, "loadbalancer");
	const json_t *status = json_object_get(json_object_get(reply, "statuses"), "loadbalancer");
	_cleanup_text_ struct text detail = TEXT_INIT;
	_cleanup_tree_ struct tree *tree = NULL;
	json_t *listener;
	size_t i;
	int r = tree_new(&tree);

	append_part(&detail, view_string(lb, "vip_address"));
	if (r == 0)
		r = add_row(tree, 0, "", view_string(status, "id"), status, lb, &detail);
	json_array_foreach (json_object_get(status, "listeners"), i, listener)
		if (r == 0)
			r = add_listener(tree, listener, lb);
	/* Octavia lists here the pools that no listener leads to. */
	if (r == 0)
		r = add_pools(tree, 1, status, lb);
	if (r == 0)
		tree_print(tree, terminal, out);
	return r;
}
