/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What goes on in a load balancer, from two looks at it: rows with the status, the sessions and the rates of each object.
 * Pure.
 */

#include <jansson.h>

#include "api/client/terminal.h"

/*
 * "status" is the reply of GET …/status, "activity" the "activity" of GET …/activity, "before" an earlier one or NULL. *ret
 * is a list: {"kind": "load balancer", "listener", "pool" or "member", "depth", "path": "web/front/app/a", "id", "name",
 * "operating_status", "weight", "active_connections", "requests_per_s", "bytes_in_per_s", "bytes_out_per_s"}; null is what
 * is not known. Requests are connections where nobody counts requests. -ENOMEM.
 */
int watch_rows(const json_t *status, const json_t *activity, const json_t *before, double elapsed_s, json_t **ret);

/* For a person, with a heading. 0 or -ENOMEM. */
int watch_table(const json_t *rows, const struct terminal *terminal, struct text *out);

/* For a file or a pipe: one line each in columns, the path last; its heading. */
void watch_heading(struct text *out);
void watch_lines(const json_t *rows, const char *time, const struct terminal *terminal, struct text *out);
