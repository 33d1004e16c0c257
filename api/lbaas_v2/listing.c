/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/listing.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "agent/base/text.h"
#include "api/lbaas_v2/listing_query.h"

/* An object in its place: the values that it is sorted by, in the order of the query's keys. */
struct entry {
	json_t *object; /* the caller's */
	const json_t **values;
};

struct page {
	struct entry *entries; /* owned, with "values" */
	const json_t **values;
	size_t n_entries;
	json_t **objects; /* those that the reply has, in its order; owned, not the objects */
	size_t n;
};

static void page_done(struct page *page)
{
	free(page->entries);
	free(page->values);
	free(page->objects);
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
	const struct entry *left = a, *right = b;
	const struct listing_query *query = userdata;

	for (size_t i = 0; i < query->n_sort; i++) {
		int order = compare_values(left->values[i], right->values[i]);

		if (order != 0)
			return query->sort[i].descending ? -order : order;
	}
	return 0;
}

static int sort_objects(struct page *page, const struct listing_query *query, json_t *objects)
{
	size_t n = json_array_size(objects), i;
	json_t *object;

	/* One more, as nothing may be allocated as NULL. */
	page->entries = calloc(n + 1, sizeof(*page->entries));
	page->values = calloc((n + 1) * query->n_sort, sizeof(*page->values));
	page->objects = calloc(n + 1, sizeof(*page->objects));
	if (!page->entries || !page->values || !page->objects)
		return -ENOMEM;
	json_array_foreach(objects, i, object)
	{
		struct entry *entry = &page->entries[page->n_entries++];

		entry->object = object;
		entry->values = page->values + i * query->n_sort;
		for (size_t k = 0; k < query->n_sort; k++)
			entry->values[k] = json_object_get(object, query->sort[k].member);
	}
	qsort_r(page->entries, page->n_entries, sizeof(*page->entries), compare_entries, (void *)query);
	return 0;
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

/* Whether any of the filters for a member is met. */
static bool meets_any(const struct listing_query *query, const char *member, const json_t *object)
{
	const json_t *json = json_object_get(object, member);

	for (size_t i = 0; i < query->n_filters; i++)
		if (query->filters[i].member == member && value_is(json, query->filters[i].value))
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

static bool meets_tags(const struct listing_query *query, const json_t *object)
{
	const json_t *tags = json_object_get(object, "tags");
	size_t wanted[_TAG_FILTER_MAX] = {0}, found[_TAG_FILTER_MAX] = {0};

	for (size_t i = 0; i < query->n_tags; i++) {
		wanted[query->tags[i].filter]++;
		found[query->tags[i].filter] += has_tag(tags, &query->tags[i]);
	}
	return found[TAGS_ALL] == wanted[TAGS_ALL] && (wanted[TAGS_ANY] == 0 || found[TAGS_ANY] > 0) &&
	       (wanted[TAGS_NOT_ALL] == 0 || found[TAGS_NOT_ALL] < wanted[TAGS_NOT_ALL]) && found[TAGS_NOT_ANY] == 0;
}

static bool meets(const struct listing_query *query, const json_t *object)
{
	if (query->elsewhere)
		return false;
	for (size_t i = 0; i < query->n_filters; i++)
		if (!meets_any(query, query->filters[i].member, object))
			return false;
	return meets_tags(query, object);
}

static bool is_full(const struct page *page, const struct listing_query *query)
{
	return query->limit > 0 && (uint64_t)page->n >= (uint64_t)query->limit;
}

/* The objects after the marker, or those right before it. */
static void pick(struct page *page, const struct listing_query *query, size_t marker)
{
	if (!query->marker || !query->reverse) {
		for (size_t i = query->marker ? marker + 1 : 0; i < page->n_entries && !is_full(page, query); i++)
			if (meets(query, page->entries[i].object))
				page->objects[page->n++] = page->entries[i].object;
		return;
	}
	for (size_t i = marker; i-- > 0 && !is_full(page, query);)
		if (meets(query, page->entries[i].object))
			page->objects[page->n++] = page->entries[i].object;
	for (size_t i = 0; i < page->n / 2; i++) {
		json_t *object = page->objects[i];

		page->objects[i] = page->objects[page->n - 1 - i];
		page->objects[page->n - 1 - i] = object;
	}
}

static int make_page(const struct listing_type *type, const struct listing_query *query, json_t *objects,
	struct page *page, struct error *err)
{
	size_t marker = 0;

	if (sort_objects(page, query, objects) < 0)
		return error_set_errno(err, -ENOMEM, "%s", type->collection);
	if (query->marker) {
		while (marker < page->n_entries &&
			!value_is(json_object_get(page->entries[marker].object, type->id), query->marker))
			marker++;
		if (marker == page->n_entries)
			return error_set(err, ERROR_INVALID, NULL, "Supplied pagination marker '%.64s' is not valid.",
				query->marker);
	}
	pick(page, query, marker);
	return 0;
}

/* The names in all "fields" of the query, as the keys of an object; NULL if there is none. */
static int read_fields(const struct request *request, json_t **ret)
{
	json_auto_t *fields = NULL;
	const char *name, *value;

	for (size_t position = 0; request_query_next(request, &position, &name, &value);) {
		_cleanup_strv_ char **parts = NULL;

		if (!streq(name, "fields"))
			continue;
		if (!fields)
			fields = json_object();
		if (!fields || text_split(value, ',', &parts) < 0)
			return -ENOMEM;
		STRV_FOREACH(part, parts)
			if (json_object_set_new(fields, *part, json_true()) < 0)
				return -ENOMEM;
	}
	*ret = TAKE_PTR(fields);
	return 0;
}

/* The object with these fields, or all of it; a new reference. */
static json_t *choose_fields(const json_t *fields, json_t *object)
{
	json_auto_t *chosen = NULL;
	const char *name;
	json_t *value;

	if (!fields)
		return json_incref(object);
	chosen = json_object();
	json_object_foreach(object, name, value)
		if (json_object_get(fields, name) && json_object_set(chosen, name, value) < 0)
			return NULL;
	return TAKE_PTR(chosen);
}

/* Everything but what RFC 3986 calls unreserved, and what sort keys are written with, is encoded. */
static void append_parameter(struct text *href, const char *name, const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:,";

	text_append_char(href, strchr(text_peek(href), '?') ? '&' : '?');
	for (int part = 0; part < 2; part++) {
		for (const char *p = part ? value : name; *p; p++)
			if (strchr(plain, *p))
				text_append_char(href, *p);
			else
				text_printf(href, "%%%02X", (unsigned char)*p);
		if (part == 0)
			text_append_char(href, '=');
	}
}

/* The query again, for another page. Octavia's order: limit, sort, the rest, marker. */
static json_t *make_link(const struct request *request, const struct listing_type *type, const char *rel,
	const json_t *marker, bool reverse)
{
	static const char *const kept[] = {"limit", "sort", "sort_key", "sort_dir", "fields"};
	_cleanup_text_ struct text href = TEXT_INIT;
	const char *name, *value, *id = json_string_value(json_object_get(marker, type->id));

	request_append_origin(request, &href);
	text_append(&href, request->path);
	for (size_t i = 0; i < ELEMENTSOF(kept); i++)
		for (size_t position = 0; request_query_next(request, &position, &name, &value);)
			if (streq(name, kept[i]))
				append_parameter(&href, name, value);
	for (size_t position = 0; request_query_next(request, &position, &name, &value);)
		if (!listing_is_page_parameter(name))
			append_parameter(&href, name, value);
	append_parameter(&href, "marker", id ? id : "");
	if (reverse)
		append_parameter(&href, "page_reverse", "True");
	return href.failed ? NULL : json_pack("{s:s, s:s}", "rel", rel, "href", text_peek(&href));
}

static int add_links(const struct request *request, const struct listing_type *type, const struct listing_query *query,
	const struct page *page, json_t *body)
{
	json_t *links = json_array();
	bool has_next = query->limit > 0 && ((query->marker && query->reverse) || is_full(page, query));
	int r = 0;

	if (page->n > 0 && query->marker)
		r = json_array_append_new(links, make_link(request, type, "previous", page->objects[0], true));
	if (r == 0 && page->n > 0 && has_next)
		r = json_array_append_new(links, make_link(request, type, "next", page->objects[page->n - 1], false));
	if (r < 0) {
		json_decref(links);
		return -ENOMEM;
	}
	return json_object_set_new(body, type->links, links) < 0 ? -ENOMEM : 0;
}

static int make_body(const struct request *request, const struct listing_type *type, const struct listing_query *query,
	const struct page *page, json_t **ret)
{
	json_auto_t *body = json_object(), *list = json_array(), *fields = NULL;

	if (read_fields(request, &fields) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < page->n; i++)
		if (json_array_append_new(list, choose_fields(fields, page->objects[i])) < 0)
			return -ENOMEM;
	if (json_object_set(body, type->collection, list) < 0)
		return -ENOMEM;
	if (type->links && add_links(request, type, query, page, body) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(body);
	return 0;
}

static const struct listing_type *find_type(const char *name)
{
	const struct listing_type *type = listing_types;

	while (type->collection && !streq(type->collection, name))
		type++;
	assert(type->collection);
	return type;
}

int listing_answer(const struct request *request, const char *name, json_t *objects, struct response *response,
	struct error *err)
{
	_cleanup_listing_query_ struct listing_query query = LISTING_QUERY_INIT;
	const struct listing_type *type = find_type(name);
	_cleanup_(page_done) struct page page = {0};
	json_auto_t *all = objects;
	json_t *body;
	int r;

	if (!all)
		return error_set_errno(err, -ENOMEM, "%s", name);
	r = listing_query_parse(request, type, &query, err);
	if (r == 0)
		r = make_page(type, &query, all, &page, err);
	if (r < 0)
		return r;
	if (make_body(request, type, &query, &page, &body) < 0 || response_set_json(response, 200, body) < 0)
		return error_set_errno(err, -ENOMEM, "%s", name);
	return 0;
}

int listing_answer_one(const struct request *request, const char *name, json_t *object, struct response *response,
	struct error *err)
{
	json_auto_t *whole = object, *fields = NULL;
	json_t *chosen, *body;

	chosen = whole && read_fields(request, &fields) == 0 ? choose_fields(fields, whole) : NULL;
	body = chosen ? json_pack("{s:o}", name, chosen) : NULL;
	if (!body || response_set_json(response, 200, body) < 0)
		return error_set_errno(err, -ENOMEM, "%s", name);
	return 0;
}
