/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which objects of a collection are on the page that a query asks for, and in which order. Of an object that is on none, no more is
 * made than what it is sorted and filtered by; of a short page of many objects, no more are kept and sorted than some pages' worth.
 */

#include "api/lbaas_v2/listing_query.h"

struct listing_page {
	size_t *objects; /* their indices in the source, in the order of the page; owned */
	size_t n;
	bool full; /* as many as the query's limit */
};

#define LISTING_PAGE_INIT ((struct listing_page){0})
#define _cleanup_listing_page_ _cleanup_(listing_page_done)
void listing_page_done(struct listing_page *page);

/* ERROR_INVALID for a marker that is no object's. */
int listing_page_make(const struct listing_type *type, const struct listing_query *query, const struct listing_source *source,
	struct listing_page *ret, struct error *err);
