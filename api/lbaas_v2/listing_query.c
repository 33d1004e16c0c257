/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/listing_query.h"

#include <string.h>
#include <strings.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"

/* Each is compared with each tag of each object. */
enum { LIMIT_QUERY_TAGS = 2 * LIMIT_TAGS };

/* Errors are in the words of octavia/common/exceptions.py. */

/* PaginationHelper._auxiliary_arguments of octavia/api/common/pagination.py. */
enum page_parameter {
	PAGE_LIMIT,
	PAGE_MARKER,
	PAGE_REVERSE,
	PAGE_SORT,
	PAGE_SORT_KEY,
	PAGE_SORT_DIR,
	PAGE_FIELDS,
	_PAGE_PARAMETER_MAX,
};
static const char *const page_parameters[_PAGE_PARAMETER_MAX] = {
	[PAGE_LIMIT] = "limit",
	[PAGE_MARKER] = "marker",
	[PAGE_REVERSE] = "page_reverse",
	[PAGE_SORT] = "sort",
	[PAGE_SORT_KEY] = "sort_key",
	[PAGE_SORT_DIR] = "sort_dir",
	[PAGE_FIELDS] = "fields",
};

static const char *const tag_parameters[_TAG_FILTER_MAX] = {
	[TAGS_ALL] = "tags",
	[TAGS_ANY] = "tags-any",
	[TAGS_NOT_ALL] = "not-tags",
	[TAGS_NOT_ANY] = "not-tags-any",
};

/* constants.DEFAULT_SORT_KEYS */
static const char *const default_sort[] = {"created_at", "id"};

static int index_of(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (streq(names[i], name))
			return i;
	return -1;
}

bool listing_is_page_parameter(const char *name)
{
	return index_of(page_parameters, _PAGE_PARAMETER_MAX, name) >= 0;
}

/* A field by which a collection is filtered or sorted. */
struct named {
	const char *member;
	bool list;
	bool parent;
};

static bool find_in_model(const struct object_type *type, const char *name, struct named *ret)
{
	for (const struct field *field = type ? type->fields : NULL; field && field->name; field++)
		if (streq(field->name, name)) {
			/* What comes before in enum field_type is one value. */
			*ret = (struct named){field->name, field->type >= FIELD_CIDRS, false};
			return true;
		}
	return false;
}

static bool find_name(const struct listing_type *type, const char *name, struct named *ret)
{
	for (const struct listing_field *field = type->fields; field->name; field++)
		if (streq(field->name, name)) {
			*ret = (struct named){
				field->member ? field->member : field->name, field->list, field->parent};
			return true;
		}
	return find_in_model(type->object, name, ret);
}

/* Appends to an array that the parameters of a request bound. */
#define APPEND(array, n, ...)                                                                      \
	({                                                                                         \
		__typeof__(array) _grown = reallocarray(array, (n) + 1, sizeof(*(array)));         \
		if (_grown) {                                                                      \
			(array) = _grown;                                                          \
			(array)[(n)++] = (__typeof__(*(array)))__VA_ARGS__;                        \
		}                                                                                  \
		_grown != NULL;                                                                    \
	})

static int add_filter(struct listing_query *query, const struct request *request, const struct listing_type *type,
	const char *name, const char *value, struct error *err)
{
	struct named named;

	if (!find_name(type, name, &named))
		return error_set(err, ERROR_INVALID, NULL,
			"One or more arguments are either duplicate or invalid: %s have no field '%.64s'",
			type->collection, name);
	if (named.parent) {
		query->elsewhere |= !streq_null(request->parameters[0], value);
		return 0;
	}
	if (!APPEND(query->filters, query->n_filters, {named.member, value}))
		return error_set_errno(err, -ENOMEM, "filters");
	return 0;
}

static int add_tags(struct listing_query *query, const struct listing_type *type, enum tag_filter filter,
	const char *value, struct error *err)
{
	struct named named;

	if (!find_name(type, "tags", &named))
		return error_set(err, ERROR_INVALID, NULL,
			"One or more arguments are either duplicate or invalid: %s have no tags", type->collection);
	for (;;) {
		size_t length = strcspn(value, ",");

		if (query->n_tags == LIMIT_QUERY_TAGS)
			return error_set(err, ERROR_INVALID, NULL, "the query has more than %d tags", LIMIT_QUERY_TAGS);
		if (!APPEND(query->tags, query->n_tags, {filter, value, length}))
			return error_set_errno(err, -ENOMEM, "tags");
		if (!value[length])
			return 0;
		value += length + 1;
	}
}

/* PaginationHelper._parse_limit(); what is over our numbers is over every list. */
static int parse_limit(const char *value, int64_t *ret, struct error *err)
{
	int64_t limit = 0;

	if (!streq(value, "infinite") && text_to_int64(value, &limit) == -EINVAL)
		return error_set(err, ERROR_INVALID, NULL, "Supplied pagination limit '%.64s' is not valid.", value);
	*ret = limit < 0 ? 0 : limit;
	return 0;
}

/* A key and its direction as parts of longer texts; no direction is ascending. */
static int add_sort(struct listing_query *query, const struct listing_type *type, const char *key, size_t key_length,
	const char *dir, size_t dir_length, struct error *err)
{
	bool descending = dir_length == 4 && strncasecmp(dir, "desc", 4) == 0;
	char name[64];
	struct named named;

	if (dir && !descending && (dir_length != 3 || strncasecmp(dir, "asc", 3) != 0))
		return error_set(err, ERROR_INVALID, NULL, "Supplied sort direction '%.*s' is not valid.",
			(int)(dir_length < 64 ? dir_length : 64), dir);
	snprintf(name, sizeof(name), "%.*s", (int)(key_length < sizeof(name) ? key_length : sizeof(name)), key);
	if (key_length >= sizeof(name) || !find_name(type, name, &named) || named.list || named.parent)
		return error_set(err, ERROR_INVALID, NULL, "Supplied sort key '%s' is not valid.", name);
	/* Once sorted by a key, sorting by it again changes nothing. */
	for (size_t i = 0; i < query->n_sort; i++)
		if (query->sort[i].member == named.member)
			return 0;
	if (!APPEND(query->sort, query->n_sort, {named.member, descending}))
		return error_set_errno(err, -ENOMEM, "sort keys");
	return 0;
}

/* sort=KEY:DIR,KEY */
static int parse_sort(struct listing_query *query, const struct listing_type *type, const char *sort, struct error *err)
{
	for (;; sort++) {
		size_t length = strcspn(sort, ","), key = strcspn(sort, ":,");
		const char *dir = key < length ? sort + key + 1 : NULL;
		size_t dir_length = dir ? length - key - 1 : 0;
		int r;

		if (dir && memchr(dir, ':', dir_length))
			return error_set(err, ERROR_INVALID, NULL, "Supplied sort key '%.*s' is not valid.",
				(int)(length < 64 ? length : 64), sort);
		r = add_sort(query, type, sort, key, dir, dir_length, err);
		if (r < 0)
			return r;
		sort += length;
		if (!*sort)
			return 0;
	}
}

/* sort_key=KEY,KEY and sort_dir=DIR,DIR. Directions that are missing are ascending, those left over are not
 * looked at. */
static int parse_sort_keys(struct listing_query *query, const struct listing_type *type, const char *keys,
	const char *dirs, struct error *err)
{
	for (;; keys++) {
		size_t length = strcspn(keys, ","), dir_length = dirs ? strcspn(dirs, ",") : 0;
		int r = add_sort(query, type, keys, length, dirs, dir_length, err);

		if (r < 0)
			return r;
		if (dirs)
			dirs = dirs[dir_length] ? dirs + dir_length + 1 : NULL;
		keys += length;
		if (!*keys)
			return 0;
	}
}

static int add_default_sort(struct listing_query *query, const struct listing_type *type, struct error *err)
{
	struct named named;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(default_sort); i++)
		if (find_name(type, default_sort[i], &named))
			r = add_sort(query, type, default_sort[i], strlen(default_sort[i]), NULL, 0, err);
	return r < 0 ? r : add_sort(query, type, type->id, strlen(type->id), NULL, 0, err);
}

static int parse_page(struct listing_query *query, const struct listing_type *type, const char *const *page,
	struct error *err)
{
	int r = 0;

	if (page[PAGE_LIMIT])
		r = parse_limit(page[PAGE_LIMIT], &query->limit, err);
	if (r == 0 && page[PAGE_REVERSE] && *page[PAGE_REVERSE] &&
		text_to_bool(page[PAGE_REVERSE], &query->reverse) < 0)
		r = error_set(err, ERROR_INVALID, NULL, "page_reverse: '%.64s' is neither true nor false",
			page[PAGE_REVERSE]);
	if (r == 0 && page[PAGE_SORT] && *page[PAGE_SORT])
		r = parse_sort(query, type, page[PAGE_SORT], err);
	else if (r == 0 && page[PAGE_SORT_KEY] && *page[PAGE_SORT_KEY])
		r = parse_sort_keys(query, type, page[PAGE_SORT_KEY],
			page[PAGE_SORT_DIR] && *page[PAGE_SORT_DIR] ? page[PAGE_SORT_DIR] : NULL, err);
	query->marker = page[PAGE_MARKER];
	return r < 0 ? r : add_default_sort(query, type, err);
}

int listing_query_parse(const struct request *request, const struct listing_type *type, struct listing_query *ret,
	struct error *err)
{
	_cleanup_listing_query_ struct listing_query query = LISTING_QUERY_INIT;
	const char *page[_PAGE_PARAMETER_MAX] = {NULL};
	const char *name, *value;
	int r = 0;

	for (size_t position = 0; r == 0 && request_query_next(request, &position, &name, &value);) {
		int i = index_of(page_parameters, _PAGE_PARAMETER_MAX, name);
		int tags = index_of(tag_parameters, _TAG_FILTER_MAX, name);

		if (i == PAGE_FIELDS)
			continue; /* any number; listing.c */
		if (i >= 0 && page[i])
			return error_set(err, ERROR_INVALID, NULL,
				"One or more arguments are either duplicate or invalid: %s is given twice", name);
		if (i >= 0)
			page[i] = value;
		else if (tags >= 0)
			r = add_tags(&query, type, (enum tag_filter)tags, value, err);
		else
			r = add_filter(&query, request, type, name, value, err);
	}
	if (r == 0)
		r = parse_page(&query, type, page, err);
	if (r < 0)
		return r;
	*ret = query;
	query = LISTING_QUERY_INIT;
	return 0;
}

void listing_query_done(struct listing_query *query)
{
	free(query->filters);
	free(query->tags);
	free(query->sort);
	*query = LISTING_QUERY_INIT;
}
