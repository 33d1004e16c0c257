/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Lists of the load-balancing API: filters, sorting, pages and fields, the same for every collection.
 *
 * A handler makes the objects of its collection as they are, all of them, and ends in listing_answer(); where they may be many, it
 * says how one is made, and ends in listing_answer_from(). What a collection can be asked for stands in listing_types: the field
 * tables of the object model, and what a reply has beyond them.
 *
 * Query parameters, as Octavia takes them (octavia/api/common/pagination.py):
 * - NAME=VALUE for any field: objects whose field is exactly that. A repeated NAME is met by any of its values, a
 *   list by any of its members or their ids; null meets nothing. Booleans are compared as such: what is no word
 *   for true is false.
 * - tags, tags-any, not-tags, not-tags-any: comma-separated or repeated: all, any, not all, none of them.
 * - sort=KEY[:asc|desc],…; or sort_key=KEY,… and sort_dir=asc|desc,…. Ties, and lists not sorted otherwise, go by
 *   created_at and id. Null comes first.
 * - limit=N, marker=ID: at most N objects after the one of that id, whether the filters meet it or not;
 *   page_reverse=true: before it. No limit, 0 or "infinite" is all of them.
 * - fields=NAME, repeated or comma-separated: these fields only. Unknown ones are left out.
 *
 * Beside the list stands NAME_links with "next" for a full page and "previous" after a marker. Octavia's links
 * forget the filters and fields, ours keep them; its reversed pages begin with the first object of the collection,
 * ours end right before the marker; and where it ends every page after 1000 objects, ours has as many as are asked
 * for.
 *
 * Anything else is ERROR_INVALID in Octavia's words.
 */

#include "agent/definition/fields.h"
#include "api/request.h"
#include "api/response.h"

/* What can be asked for beyond the fields of the object model. */
struct listing_field {
	const char *name;
	const char *member; /* of the objects; NULL: the same */
	bool list;          /* or an object: nothing to sort by */
	bool parent;        /* the id of what the list belongs to, the path's first parameter: it is in no object */
};

struct listing_type {
	const char *collection; /* the list's name in the reply */
	const char *links;      /* that of its links; NULL: it has none */
	const char *id;         /* the field that a marker has */
	const struct object_type *object;   /* NULL: none */
	const struct listing_field *fields; /* ends in a row without a name */
};

/* All collections; ends in a row without a name. */
extern const struct listing_type listing_types[];

/* Where the objects of a collection come from: what a page does not show of them is not made. */
struct listing_source {
	size_t n;
	/* A member of one object, a new reference; NULL: it has none. The same as object() shows. -ENOMEM. */
	int (*member)(const void *userdata, size_t i, const char *name, json_t **ret);
	/* The object, a new reference. -ENOMEM. */
	int (*object)(const void *userdata, size_t i, json_t **ret);
	const void *userdata;
};

/* Answers a GET of a collection: 200 with what the query asks for. "name" is that of a row of listing_types. */
int listing_answer_from(const struct request *request, const char *name, const struct listing_source *source,
	struct response *response, struct error *err);

/* The same of "objects", an array, whose reference it takes; NULL is no memory. */
int listing_answer(const struct request *request, const char *name, json_t *objects, struct response *response,
	struct error *err);

/* Answers a GET of one object: 200 with {name: object}, of which "fields" may pick some. Takes the reference; NULL is
 * no memory. */
int listing_answer_one(const struct request *request, const char *name, json_t *object, struct response *response,
	struct error *err);
