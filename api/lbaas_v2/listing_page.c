/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/listing_page.h"

#include <string.h>
#include <strings.h>

#include "agent/base/text.h"

/* An object in its place. */
struct entry {
	size_t object;
	json_t **values; /* that it is sorted by, in the order of the query's keys; owned, with their references */
};
#define ENTRY_INIT ((struct entry){0})

/* What is on the page so far. */
struct selection {
	const struct listing_query *query;
	const struct listing_source *source;
	bool backwards; /* the last objects before the marker are wanted: the order is turned round */
	size_t most;    /* entries that the page may have */
	struct entry marker;
	struct entry *entries;
	size_t n, allocated;
	bool cut; /* the first "most" entries are in order, and full */
};

static void entry_done(struct entry *entry, size_t n_values)
{
	for (size_t i = 0; entry->values && i < n_values; i++)
		json_decref(entry->values[i]);
	free(entry->values);
	*entry = ENTRY_INIT;
}

static void selection_done(struct selection *selection)
{
	entry_done(&selection->marker, selection->query->n_sort);
	for (size_t i = 0; i < selection->n; i++)
		entry_done(&selection->entries[i], selection->query->n_sort);
	free(selection->entries);
}

/* Absent, booleans, numbers, texts. */
static int rank_of(const json_t *value)
{
	return json_is_boolean(value) ? 1 : json_is_number(value) ? 2 : json_is_string(value) ? 3 : 0;
}

static int compare_values(const json_t *a, const json_t *b)
{
	int a_rank = rank_of(a), b_rank = rank_of(b);

	if (a_rank != b_rank)
		return a_rank < b_rank ? -1 : 1;
	if (a_rank == 1)
		return (int)json_is_true(a) - (int)json_is_true(b);
	if (a_rank == 2 && json_is_integer(a) && json_is_integer(b))
		return (json_integer_value(a) > json_integer_value(b)) - (json_integer_value(a) < json_integer_value(b));
	if (a_rank == 2)
		return (json_number_value(a) > json_number_value(b)) - (json_number_value(a) < json_number_value(b));
	return a_rank == 3 ? strcmp(json_string_value(a), json_string_value(b)) : 0;
}

static int compare_entries(const void *a, const void *b, void *userdata)
{
	const struct selection *selection = userdata;
	const struct listing_query *query = selection->query;
	const struct entry *left = a, *right = b;
	int order = 0;

	for (size_t i = 0; order == 0 && i < query->n_sort; i++) {
		order = compare_values(left->values[i], right->values[i]);
		if (query->sort[i].descending)
			order = -order;
	}
	if (order == 0)
		order = (left->object > right->object) - (left->object < right->object);
	return selection->backwards ? -order : order;
}

/* The words of oslo.utils' bool_from_string(), which takes anything else for false. */
static bool means_true(const char *value)
{
	bool parsed = false;

	if (text_to_bool(value, &parsed) < 0)
		parsed = strcasecmp(value, "t") == 0 || strcasecmp(value, "y") == 0;
	return parsed;
}

static bool scalar_is(const json_t *json, const char *value)
{
	int64_t number;
	char *end;

	switch (json_typeof(json)) {
	case JSON_STRING:
		return streq(json_string_value(json), value);
	case JSON_INTEGER:
		return text_to_int64(value, &number) == 0 && number == json_integer_value(json);
	case JSON_REAL:
		return *value && strtod(value, &end) == json_real_value(json) && *end == '\0';
	case JSON_TRUE:
	case JSON_FALSE:
		return means_true(value) == json_is_true(json);
	default:
		return false;
	}
}

/* A list has a value as a member or as the id of one. */
static bool value_is(const json_t *json, const char *value)
{
	const json_t *item, *id;
	size_t i;

	if (!json)
		return false;
	if (!json_is_array(json))
		return scalar_is(json, value);
	json_array_foreach((json_t *)json, i, item)
	{
		id = json_object_get(item, "id");
		if (scalar_is(id ? id : item, value))
			return true;
	}
	return false;
}

/* Whether any of the filters for a member is met: 1 or 0. */
static int meets_any(const struct selection *selection, const char *member, size_t object)
{
	const struct listing_query *query = selection->query;
	json_auto_t *json = NULL;
	int r = selection->source->member(selection->source->userdata, object, member, &json);

	for (size_t i = 0; r == 0 && i < query->n_filters; i++)
		r = query->filters[i].member == member && value_is(json, query->filters[i].value);
	return r;
}

/* Those for the same member are judged together. */
static bool is_judged(const struct listing_query *query, size_t filter)
{
	for (size_t i = 0; i < filter; i++)
		if (query->filters[i].member == query->filters[filter].member)
			return true;
	return false;
}

static bool has_tag(const json_t *tags, const struct listing_tag *wanted)
{
	const json_t *tag;
	size_t i;

	json_array_foreach((json_t *)tags, i, tag)
		if (json_string_length(tag) == wanted->length &&
			memcmp(json_string_value(tag), wanted->start, wanted->length) == 0)
			return true;
	return false;
}

/* 1 or 0 */
static int meets_tags(const struct selection *selection, size_t object)
{
	const struct listing_query *query = selection->query;
	size_t wanted[_TAG_FILTER_MAX] = {0}, found[_TAG_FILTER_MAX] = {0};
	json_auto_t *tags = NULL;
	int r;

	if (query->n_tags == 0)
		return 1;
	r = selection->source->member(selection->source->userdata, object, "tags", &tags);
	if (r < 0)
		return r;
	for (size_t i = 0; i < query->n_tags; i++) {
		wanted[query->tags[i].filter]++;
		found[query->tags[i].filter] += has_tag(tags, &query->tags[i]);
	}
	return found[TAGS_ALL] == wanted[TAGS_ALL] && (wanted[TAGS_ANY] == 0 || found[TAGS_ANY] > 0) &&
	       (wanted[TAGS_NOT_ALL] == 0 || found[TAGS_NOT_ALL] < wanted[TAGS_NOT_ALL]) && found[TAGS_NOT_ANY] == 0;
}

/* 1 or 0 */
static int meets(const struct selection *selection, size_t object)
{
	const struct listing_query *query = selection->query;
	int r = !query->elsewhere;

	for (size_t i = 0; r == 1 && i < query->n_filters; i++)
		if (!is_judged(query, i))
			r = meets_any(selection, query->filters[i].member, object);
	return r == 1 ? meets_tags(selection, object) : r;
}

/* Fills the values of an entry, which may have those of another object. */
static int read_entry(const struct selection *selection, size_t object, struct entry *entry)
{
	const struct listing_query *query = selection->query;
	int r = 0;

	if (!entry->values)
		entry->values = calloc(query->n_sort, sizeof(json_t *));
	if (!entry->values)
		return -ENOMEM;
	entry->object = object;
	for (size_t i = 0; r == 0 && i < query->n_sort; i++) {
		json_t *value = NULL;

		r = selection->source->member(selection->source->userdata, object, query->sort[i].member, &value);
		json_decref(entry->values[i]);
		entry->values[i] = value;
	}
	return r;
}

static void sort_entries(struct selection *selection)
{
	if (selection->n > 1)
		qsort_r(selection->entries, selection->n, sizeof(*selection->entries), compare_entries, selection);
}

/* Leaves those that come first. */
static void cut_entries(struct selection *selection)
{
	sort_entries(selection);
	while (selection->n > selection->most)
		entry_done(&selection->entries[--selection->n], selection->query->n_sort);
	selection->cut = true;
}

/* Takes the entry if it may be on the page. */
static int add_entry(struct selection *selection, struct entry *entry)
{
	int r;

	if (selection->marker.values && compare_entries(&selection->marker, entry, selection) >= 0)
		return 0;
	if (selection->cut && compare_entries(&selection->entries[selection->most - 1], entry, selection) < 0)
		return 0;
	r = meets(selection, entry->object);
	if (r <= 0)
		return r;
	if (selection->n == selection->allocated && selection->n / 2 >= selection->most)
		cut_entries(selection);
	if (selection->n == selection->allocated) {
		size_t allocated = selection->allocated ? 2 * selection->allocated : 16;
		struct entry *grown = reallocarray(selection->entries, allocated, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		selection->entries = grown;
		selection->allocated = allocated;
	}
	selection->entries[selection->n++] = *entry;
	*entry = ENTRY_INIT;
	return 0;
}

static int find_marker(struct selection *selection, const struct listing_type *type, struct error *err)
{
	const struct listing_source *source = selection->source;

	for (size_t i = 0; i < source->n; i++) {
		json_auto_t *id = NULL;
		int r = source->member(source->userdata, i, type->id, &id);

		if (r == 0 && value_is(id, selection->query->marker))
			return read_entry(selection, i, &selection->marker);
		if (r < 0)
			return r;
	}
	return error_set(err, ERROR_INVALID, NULL, "Supplied pagination marker '%.64s' is not valid.",
		selection->query->marker);
}

static int select_entries(struct selection *selection)
{
	struct entry entry = ENTRY_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < selection->source->n; i++) {
		r = read_entry(selection, i, &entry);
		if (r == 0)
			r = add_entry(selection, &entry);
	}
	entry_done(&entry, selection->query->n_sort);
	if (r == 0)
		cut_entries(selection);
	return r;
}

int listing_page_make(const struct listing_type *type, const struct listing_query *query, const struct listing_source *source,
	struct listing_page *ret, struct error *err)
{
	bool limited = query->limit > 0 && (uint64_t)query->limit <= (uint64_t)source->n;
	_cleanup_(selection_done) struct selection selection = {.query = query,
		.source = source,
		.backwards = query->marker && query->reverse,
		.most = limited ? (size_t)query->limit : source->n};
	struct listing_page page = LISTING_PAGE_INIT;
	int r = 0;

	if (query->marker)
		r = find_marker(&selection, type, err);
	if (r == 0)
		r = select_entries(&selection);
	if (r == 0) {
		page.objects = calloc(selection.n + 1, sizeof(*page.objects)); /* nothing may be allocated as NULL */
		r = page.objects ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r == -ENOMEM ? error_set_errno(err, r, "%s", type->collection) : r;
	page.n = selection.n;
	page.full = limited && page.n == selection.most;
	for (size_t i = 0; i < page.n; i++)
		page.objects[selection.backwards ? page.n - 1 - i : i] = selection.entries[i].object;
	*ret = page;
	return 0;
}

void listing_page_done(struct listing_page *page)
{
	free(page->objects);
	*page = LISTING_PAGE_INIT;
}
