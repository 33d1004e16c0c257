/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is different between two definitions of one load balancer, in its own terms: objects that are new, gone or changed,
 * by their ids. Pure.
 */

#include <jansson.h>

#include "api/client/terminal.h"

/*
 * "old" and "new" are the "loadbalancer" of definitions. *ret is a list, in the order of a definition:
 * {"change": "added", "removed" or "changed", "kind": "member", "id", "name", "of": "pool web",
 * "fields": {"weight": {"from": 5, "to": 0}}}. "of" and, but for "changed", "fields" are left out. -ENOMEM.
 */
int changes_find(const json_t *old, const json_t *new, json_t **ret);

/* One line each after "indent", at most "shown" of them. */
void changes_print(const json_t *changes, size_t shown, const char *indent, const struct terminal *terminal,
	struct text *out);

/* All in a few words for a table: the first one, and how many more. */
void changes_summarise(const json_t *changes, struct text *out);
