/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/edit_internal.h"

#include <string.h>

#include "agent/definition/limits.h"

/*
 * PUT of pools/{id}/members: the members that a pool shall have. Those that are there already, by address and port, keep their
 * ids (octavia/api/v2/controllers/member.py, MembersController.put()).
 */

enum { NOT_IN_REQUEST = -1 };

static void endpoint_key(const struct member *member, char ret[80])
{
	snprintf(ret, 80, "%s|%lld", member->address, (long long)member->protocol_port);
}

/* Address and port -> position. */
static int index_members(const struct pool *pool, json_t **ret)
{
	json_auto_t *index = json_object();
	char key[80];

	for (size_t i = 0; index && i < pool->n_members; i++) {
		endpoint_key(&pool->members[i], key);
		if (json_object_set_new_nocheck(index, key, json_integer((json_int_t)i)) < 0)
			return -ENOMEM;
	}
	if (!index)
		return -ENOMEM;
	*ret = TAKE_PTR(index);
	return 0;
}

/* What a request may leave out is kept of a member that is there; anything else has a default. */
static int keep_unsaid(const json_t *json, const struct member *old, struct member *member)
{
	static const char *const kept[] = {"id", "name", "subnet_id", "tags"};
	_cleanup_free_ struct member *copy = calloc(1, sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	r = object_copy(&member_type, old, copy);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(kept); i++) {
		const struct field *field = object_find_field(&member_type, kept[i]);
		void *a = field_at(member, field->offset), *b = field_at(copy, field->offset);
		void *mine;

		if (field->type == FIELD_OWN_ID) {
			memcpy(a, b, UUID_SIZE);
		} else if (!json_object_get(json, kept[i])) {
			mine = *(void **)a;
			*(void **)a = *(void **)b;
			*(void **)b = mine;
		}
	}
	member->request_sriov = old->request_sriov;
	object_done(&member_type, copy);
	return r;
}

/* The list while it grows: the old members first, in their order. */
struct replacement {
	struct member *members;
	size_t *positions; /* in the request */
	size_t n;
};

static void replacement_done(struct replacement *replacement)
{
	for (size_t i = 0; i < replacement->n; i++)
		object_done(&member_type, &replacement->members[i]);
	free(replacement->members);
	free(replacement->positions);
}

static int take_member(const struct edit *edit, const json_t *json, size_t position, const struct pool *pool,
	json_t *index, struct replacement *replacement, struct error *err)
{
	struct location list = {NULL, "members", 0}, where = {&list, NULL, position};
	struct member *member = &replacement->members[replacement->n];
	const json_t *found;
	size_t place;
	char key[80];
	int r;

	r = object_parse(&member_type, json, &where, edit->defaults, member, err);
	replacement->positions[replacement->n++] = position;
	if (r < 0)
		return r;
	endpoint_key(member, key);
	found = json_object_get(index, key);
	if (!found) {
		if (json_object_set_new_nocheck(index, key, json_integer(NOT_IN_REQUEST)) < 0)
			return -ENOMEM;
		return tree_give_ids(&member_type, member);
	}
	if (json_integer_value(found) == NOT_IN_REQUEST)
		return error_set(err, ERROR_CONFLICT, NULL,
			"Another member on this pool is already using ip %s on protocol_port %lld", member->address,
			(long long)member->protocol_port);
	place = (size_t)json_integer_value(found);
	if (replacement->positions[place] != (size_t)NOT_IN_REQUEST)
		return error_set(err, ERROR_INVALID, NULL,
			"Validation failure: Member must be updated only once in the same request.");
	r = keep_unsaid(json, &pool->members[place], member);
	if (r < 0)
		return r;
	/* It takes the place that it had. */
	object_done(&member_type, &replacement->members[place]);
	replacement->members[place] = *member;
	replacement->positions[place] = position;
	memset(member, 0, sizeof(*member));
	replacement->n--;
	return 0;
}

/* Members that the request does not name go. */
static void drop_unnamed(struct replacement *replacement)
{
	size_t n = 0;

	for (size_t i = 0; i < replacement->n; i++) {
		if (replacement->positions[i] == (size_t)NOT_IN_REQUEST) {
			object_done(&member_type, &replacement->members[i]);
			continue;
		}
		if (n != i) {
			replacement->members[n] = replacement->members[i];
			memset(&replacement->members[i], 0, sizeof(*replacement->members));
		}
		replacement->positions[n++] = replacement->positions[i];
	}
	replacement->n = n;
}

static int replace(const struct edit *edit, struct pool *pool, struct replacement *replacement, struct error *err)
{
	size_t n_given = json_array_size(edit->body), n_most = pool->n_members + n_given;
	struct location list = {NULL, "members", 0};
	json_auto_t *index = NULL;
	int r;

	if (!json_is_array(edit->body))
		return location_error(&list, ERROR_INVALID, err, "must be an array of members");
	if (n_given > LIMIT_MEMBERS_PER_POOL)
		return location_error(&list, ERROR_TOO_LARGE, err,
			"has %zu items, more than the %d that are allowed", n_given, LIMIT_MEMBERS_PER_POOL);
	replacement->members = calloc(n_most + 1, sizeof(*replacement->members));
	replacement->positions = calloc(n_most + 1, sizeof(*replacement->positions));
	r = replacement->members && replacement->positions ? index_members(pool, &index) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < pool->n_members; i++) {
		replacement->positions[i] = (size_t)NOT_IN_REQUEST;
		replacement->n++;
		r = object_copy(&member_type, &pool->members[i], &replacement->members[i]);
	}
	for (size_t i = 0; r == 0 && i < n_given; i++)
		r = take_member(edit, json_array_get(edit->body, i), i, pool, index, replacement, err);
	if (r < 0)
		return r;
	if (!edit->additive_only)
		drop_unnamed(replacement);
	if (replacement->n > LIMIT_MEMBERS_PER_POOL)
		return error_set(err, ERROR_FORBIDDEN, NULL, "Quota has been met for resources: %s",
			tree_kinds[TREE_MEMBER].title);
	return 0;
}

int edit_replace_members(const struct edit *edit, struct load_balancer *lb, const struct tree_path *path,
	struct edit_origin *ret, struct error *err)
{
	_cleanup_(replacement_done) struct replacement replacement = {0};
	_cleanup_free_ char *pointer = NULL;
	struct pool *pool = tree_object(path);
	struct member *before = pool->members;
	size_t n_before = pool->n_members;
	int r;

	(void)lb;
	r = replace(edit, pool, &replacement, err);
	if (r == 0)
		r = tree_pointer(path, &pointer);
	if (r < 0)
		return r;
	if (asprintf(&ret->pointer, "%s/members", pointer) < 0) {
		ret->pointer = NULL;
		return -ENOMEM;
	}
	ret->name = "members";
	ret->positions = TAKE_PTR(replacement.positions);
	ret->n = replacement.n;
	pool->members = TAKE_PTR(replacement.members);
	pool->n_members = replacement.n;
	/* What was there is freed with the replacement. */
	replacement.members = before;
	replacement.n = n_before;
	return 0;
}
