/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/tree.h"

#include <string.h>

#include "agent/base/text.h"

/* When objects were created and changed. A tree comes from a document or from a change of another tree, and neither has times:
 * they are told by the difference to the tree before. */

/* Finds objects of a list by id. Most stand where they stood, or where the one before them stood and one further. */
struct finder {
	const struct object_type *type;
	const void *items; /* NULL: there are none */
	size_t n;
	size_t next;
	json_t *index; /* id -> position; made when the guess was wrong */
};

static int make_index(struct finder *finder)
{
	finder->index = json_object();
	for (size_t i = 0; finder->index && i < finder->n; i++)
		if (json_object_set_new_nocheck(finder->index,
			    object_const_id(finder->type, field_const_at(finder->items, i * finder->type->size)),
			    json_integer((json_int_t)i)) < 0)
			return -ENOMEM;
	return finder->index ? 0 : -ENOMEM;
}

static int find(struct finder *finder, const char *id, const void **ret)
{
	const json_t *position;

	*ret = NULL;
	if (finder->n == 0)
		return 0;
	if (finder->next < finder->n) {
		*ret = field_const_at(finder->items, finder->next * finder->type->size);
		if (streq(object_const_id(finder->type, *ret), id)) {
			finder->next++;
			return 0;
		}
		*ret = NULL;
	}
	if (!finder->index && make_index(finder) < 0)
		return -ENOMEM;
	position = json_object_get(finder->index, id);
	if (!position)
		return 0;
	finder->next = (size_t)json_integer_value(position) + 1;
	*ret = field_const_at(finder->items, (finder->next - 1) * finder->type->size);
	return 0;
}

static int set_times(const struct object_type *type, const void *before, void *object, const char *now);

/* Of the children in one field. "before" is the parent as it was, NULL: it is new. */
static int set_times_of_children(const struct field *field, const void *before, void *object, const char *now)
{
	void *items = *(void **)field_at(object, field->offset);
	bool list = field->type == FIELD_LIST;
	size_t n = list ? *(size_t *)field_at(object, field->count_offset) : items != NULL;
	struct finder finder = {.type = field->object};
	int r = 0;

	if (before) {
		finder.items = *(void *const *)field_const_at(before, field->offset);
		finder.n = list ? *(const size_t *)field_const_at(before, field->count_offset) : finder.items != NULL;
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		void *child = field_at(items, i * field->object->size);
		const void *old;

		r = find(&finder, object_id(field->object, child), &old);
		if (r == 0)
			r = set_times(field->object, old, child, now);
	}
	json_decref(finder.index);
	return r;
}

static char *time_of(const struct object_type *type, const void *object, const char *name)
{
	const struct field *field = object_find_field(type, name);

	return field ? field_at((void *)object, field->offset) : NULL;
}

static int set_times(const struct object_type *type, const void *before, void *object, const char *now)
{
	char *created = time_of(type, object, "created_at"), *updated = time_of(type, object, "updated_at");
	int r = 0;

	if (created) { /* a load balancer's are kept by its store */
		memcpy(created, before ? time_of(type, before, "created_at") : now, DEFINITION_TIME_SIZE);
		if (!before)
			*updated = '\0';
		else
			memcpy(updated, object_equal(type, before, object, false) ? time_of(type, before, "updated_at") : now,
				DEFINITION_TIME_SIZE);
	}
	for (const struct field *field = type->fields; r == 0 && field->name; field++)
		if (field->object && object_type_has_id(field->object))
			r = set_times_of_children(field, before, object, now);
	return r;
}

int tree_set_times(const struct load_balancer *before, struct load_balancer *lb, const char now[DEFINITION_TIME_SIZE])
{
	return set_times(&load_balancer_type, before, lb, now);
}

static int set_missing(void *userdata, const struct tree_path *path)
{
	char *created = time_of(tree_kinds[tree_kind_of(path)].type, tree_object(path), "created_at");

	if (!*created)
		memcpy(created, userdata, DEFINITION_TIME_SIZE);
	return 0;
}

void tree_set_missing_times(struct load_balancer *lb, const char time[DEFINITION_TIME_SIZE])
{
	for (enum tree_kind kind = TREE_LISTENER; kind < _TREE_KIND_MAX; kind++)
		tree_each(lb, kind, set_missing, (void *)time);
}
