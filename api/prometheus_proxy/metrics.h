/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which metrics of HAProxy's exporter are shown, and what they are called in the terms of Octavia.
 */

#include <stddef.h>

struct metric {
	const char *source; /* HAProxy's name */
	const char *target; /* Octavia's */
	const char *help;   /* NULL: HAProxy's own words */
};

/* Ends in a row without a name. */
extern const struct metric metrics[];

struct metric_name {
	const char *text; /* of that length */
	size_t length;
};

/* By HAProxy's name; NULL for one that is not shown. */
const struct metric *metric_find(const struct metric_name *name);
