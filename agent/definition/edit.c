/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/edit_internal.h"

#include <string.h>

#include "agent/base/text.h"

/* {"name": value}; a NULL value stands for no memory. */
static int set_new(json_t *object, const char *name, json_t *value)
{
	return json_object_set_new(object, name, value) < 0 ? -ENOMEM : 0;
}

static bool is_given(const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);

	return value && !json_is_null(value);
}

static const struct {
	const char *field, *words;
	int action;
} redirects[] = {
	{"redirect_pool_id", "redirect_pool_id or redirect_pool", L7POLICY_REDIRECT_TO_POOL},
	{"redirect_url", "redirect_url", L7POLICY_REDIRECT_TO_URL},
	{"redirect_prefix", "redirect_prefix", L7POLICY_REDIRECT_PREFIX},
};

static bool is_action(const char *name, int action)
{
	return name && streq(name, l7policy_action_names[action]);
}

/* What a policy does, by the action and the targets of a request; NULL: it does not say. */
static int find_action(const json_t *body, const char **ret, struct error *err)
{
	const char *action = json_string_value(json_object_get(body, "action"));

	if (is_given(body, "redirect_pool_id") && (is_given(body, "redirect_url") || is_given(body, "redirect_prefix")))
		return error_set(err, ERROR_INVALID, NULL,
			"Invalid L7 Policy arguments: Cannot specify redirect_pool_id and redirect_url or redirect_prefix at "
			"the same time");
	for (size_t i = 0; i < ELEMENTSOF(redirects); i++)
		if (is_action(action, redirects[i].action) && !is_given(body, redirects[i].field) &&
			!is_given(body, "redirect_pool"))
			return error_set(err, ERROR_INVALID, NULL, "Invalid L7 Policy arguments: %s must not be None",
				redirects[i].words);
	for (size_t i = ELEMENTSOF(redirects); i-- > 0;)
		if (is_given(body, redirects[i].field) && !is_action(action, L7POLICY_REJECT))
			action = l7policy_action_names[redirects[i].action];
	*ret = action;
	return 0;
}

/* The action follows from the target that is given, and the targets of others go, so that clients need not say both
 * (octavia/common/validate.py, sanitize_l7policy_api_args()). Without a word about either, a policy goes on as it is. */
static int complete_l7policy(json_t *body, struct error *err)
{
	const char *action = NULL;
	int r;

	r = find_action(body, &action, err);
	if (r < 0 || !action)
		return r;
	r = set_new(body, "action", json_string(action));
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(redirects); i++)
		if (!is_action(action, redirects[i].action))
			r = set_new(body, redirects[i].field, json_null());
	if (r == 0 && (is_action(action, L7POLICY_REJECT) || is_action(action, L7POLICY_REDIRECT_TO_POOL)))
		r = set_new(body, "redirect_http_code", json_null());
	return r;
}

/* An update of a pool that leaves the type of its persistence out keeps it (octavia/api/v2/controllers/pool.py). */
static int complete_pool(json_t *body, const struct pool *pool)
{
	json_t *given = json_object_get(body, "session_persistence");
	json_auto_t *whole = NULL;

	if (!json_is_object(given) || is_given(given, "type") || !pool->session_persistence)
		return 0;
	whole = json_copy(given);
	if (!whole || set_new(whole, "type", json_string(persistence_type_names[pool->session_persistence->type])) < 0)
		return -ENOMEM;
	return json_object_set(body, "session_persistence", whole) < 0 ? -ENOMEM : 0;
}

/* What the client means, spelled out. "object" is what is there already, NULL: nothing. */
static int complete(const struct edit *edit, const void *object, json_t **ret, struct error *err)
{
	json_auto_t *body = json_is_object(edit->body) ? json_copy((json_t *)edit->body) : json_incref((json_t *)edit->body);
	int r = body ? 0 : -ENOMEM;

	if (r == 0 && json_is_object(body) && edit->kind == TREE_L7POLICY)
		r = complete_l7policy(body, err);
	if (r == 0 && json_is_object(body) && edit->kind == TREE_POOL && object)
		r = complete_pool(body, object);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(body);
	return 0;
}

static int parse_new(const struct edit *edit, void *object, struct error *err)
{
	const struct object_type *type = tree_kinds[edit->kind].type;
	struct location where = {NULL, type->name, 0};
	json_auto_t *body = NULL;
	int r;

	r = complete(edit, NULL, &body, err);
	if (r == 0)
		r = object_parse(type, body, &where, edit->defaults, object, err);
	if (r == 0 && !object_id(type, object)[0])
		snprintf(object_id(type, object), UUID_SIZE, "%s", edit->id);
	return r < 0 ? r : tree_give_ids(type, object);
}

static int create_load_balancer(struct edit *edit, struct load_balancer *before, struct load_balancer **ret,
	struct error *err)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	int r;

	if (before)
		return error_set(err, ERROR_CONFLICT, NULL, "Already an entity with that specified id.");
	lb = calloc(1, sizeof(*lb));
	if (!lb)
		return -ENOMEM;
	snprintf(edit->made_id, sizeof(edit->made_id), "%s", edit->id);
	r = parse_new(edit, lb, err);
	lb->references = 1;
	if (r == 0)
		r = definition_keep_secrets(lb, NULL, err);
	if (r == 0)
		r = definition_check(lb, edit->id, edit->defaults, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(lb);
	return 0;
}

static int insert(struct edit *edit, struct load_balancer *lb, void *object, struct tree_path *ret, struct error *err)
{
	enum tree_kind parent_kind = tree_kinds[edit->kind].parent;
	struct tree_path parent;
	int r;

	r = parse_new(edit, object, err);
	if (r < 0)
		return r;
	snprintf(edit->made_id, sizeof(edit->made_id), "%s", object_id(tree_kinds[edit->kind].type, object));
	if (parent_kind == TREE_LOAD_BALANCER)
		tree_find(lb, TREE_LOAD_BALANCER, NULL, lb->id, &parent);
	else if (!tree_find(lb, parent_kind, NULL, edit->parent_id, &parent))
		return edit_not_found(parent_kind, edit->parent_id, err);
	r = edit_check_new(edit, &parent, object, err);
	if (r == 0)
		r = edit_check_pools(lb, edit->kind, object, err);
	if (r == 0)
		r = tree_insert(&parent, edit->kind, object, ret, err);
	if (r == 0 && edit->kind == TREE_POOL)
		r = edit_link_pool(edit, lb, tree_object(ret), err);
	return r;
}

static int create(struct edit *edit, struct load_balancer *lb, struct tree_path *ret, struct error *err)
{
	const struct object_type *type = tree_kinds[edit->kind].type;
	void *object = calloc(1, type->size);
	int r;

	if (!object)
		return -ENOMEM;
	r = insert(edit, lb, object, ret, err);
	object_done(type, object);
	free(object);
	return r;
}

static int update(const struct edit *edit, struct load_balancer *lb, struct tree_path *path, struct error *err)
{
	const struct object_type *type = tree_kinds[edit->kind].type;
	struct location where = {NULL, type->name, 0};
	json_auto_t *body = NULL;
	int r;

	r = complete(edit, tree_object(path), &body, err);
	if (r == 0)
		r = object_update(type, body, &where, edit->defaults, tree_object(path), err);
	if (r == 0)
		r = edit_check_pools(lb, edit->kind, tree_object(path), err);
	/* Its place is looked for as if it came to those that are there (check_l7.c). */
	if (r == 0 && edit->kind == TREE_L7POLICY && is_given(body, "position"))
		tree_move_to_end(path);
	return r;
}

/* The place in the tree is not one in the request. */
static void translate_pointer(const struct edit_origin *origin, struct error *err)
{
	const char *rest = origin->pointer && err && err->pointer ? text_after_prefix(err->pointer, origin->pointer) : NULL;
	char *translated = NULL, *end;
	size_t index;

	if (!rest || (*rest && *rest != '/'))
		return;
	if (!origin->positions) {
		if (asprintf(&translated, "/%s%s", origin->name, rest) < 0)
			return;
	} else if (*rest) {
		index = strtoul(rest + 1, &end, 10);
		if (index >= origin->n || origin->positions[index] == (size_t)-1 ||
			asprintf(&translated, "/%s/%zu%s", origin->name, origin->positions[index], end) < 0)
			return;
	}
	if (!translated)
		return;
	free(err->pointer);
	err->pointer = translated;
}

/* Changes the copy of a tree. *ret_origin: where what was changed is. */
static int change(struct edit *edit, struct load_balancer *lb, struct edit_origin *ret_origin, struct error *err)
{
	struct tree_path path;
	int r;

	if (edit->action == EDIT_CREATE) {
		r = create(edit, lb, &path, err);
	} else {
		snprintf(edit->made_id, sizeof(edit->made_id), "%s", edit->id);
		if (!tree_find(lb, edit->kind, edit->parent_id, edit->id, &path))
			return edit_not_found(edit->kind, edit->id, err);
		if (edit->action == EDIT_REPLACE_MEMBERS)
			return edit_replace_members(edit, lb, &path, ret_origin, err);
		if (edit->action == EDIT_DELETE) {
			r = edit_unlink(lb, &path, err);
			if (r == 0)
				tree_remove(&path);
			return r;
		}
		r = update(edit, lb, &path, err);
	}
	ret_origin->name = tree_kinds[edit->kind].type->name;
	return r < 0 ? r : tree_pointer(&path, &ret_origin->pointer);
}

int edit_make(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	struct edit_origin origin = EDIT_ORIGIN_INIT;
	struct edit *edit = userdata;
	int r;

	if (edit->kind == TREE_LOAD_BALANCER && edit->action == EDIT_CREATE) {
		r = create_load_balancer(edit, before, ret, err);
		return r == -ENOMEM ? error_set_errno(err, r, "load balancer") : r;
	}
	if (!before) /* what is stored cannot be read */
		return edit_not_found(edit->kind, edit->id, err);
	r = tree_copy(before, &lb);
	if (r == 0)
		r = change(edit, lb, &origin, err);
	if (r == 0)
		r = definition_keep_secrets(lb, before, err);
	if (r == 0)
		r = definition_check(lb, before->id, edit->defaults, err);
	if (r < 0)
		translate_pointer(&origin, err);
	free(origin.pointer);
	free(origin.positions);
	if (r == -ENOMEM)
		return error_set_errno(err, r, "%s", tree_kinds[edit->kind].type->name);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(lb);
	return 0;
}
