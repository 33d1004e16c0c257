/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The query of a list, read and judged; listing.h says what it means. All strings are the request's or the tables'.
 */

#include "api/lbaas_v2/listing.h"

struct listing_filter {
	const char *member; /* of the objects; equal pointers are the same member */
	const char *value;
};

enum tag_filter {
	TAGS_ALL,
	TAGS_ANY,
	TAGS_NOT_ALL,
	TAGS_NOT_ANY,
	_TAG_FILTER_MAX,
};

struct listing_tag {
	enum tag_filter filter;
	const char *start;
	size_t length;
};

struct listing_sort {
	const char *member;
	bool descending;
};

struct listing_query {
	struct listing_filter *filters; /* owned, as the next two */
	size_t n_filters;
	bool elsewhere; /* another parent is asked for than the path's: nothing is there */
	struct listing_tag *tags;
	size_t n_tags;
	struct listing_sort *sort; /* ends in what makes the order total */
	size_t n_sort;
	int64_t limit; /* 0: none */
	const char *marker; /* NULL: none */
	bool reverse;
};

#define LISTING_QUERY_INIT ((struct listing_query){0})
#define _cleanup_listing_query_ _cleanup_(listing_query_done)

int listing_query_parse(const struct request *request, const struct listing_type *type, struct listing_query *ret,
	struct error *err);
void listing_query_done(struct listing_query *query);

/* Whether a parameter is one of the page: what a link to another page says itself. */
bool listing_is_page_parameter(const char *name);
