/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The server's replies as a person reads them. Pure: JSON in, text out. A member that is missing or
 * of another type shows as nothing; a definition may be NULL where it only adds names and details.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "api/client/table.h"
#include "api/client/terminal.h"

/* A string member, "" if it is none. */
const char *view_string(const json_t *object, const char *key);

/* The object of an array that has that id, or NULL. */
const json_t *view_find(const json_t *array, const char *id);

/* GET loadbalancers: one row each. All functions: 0 or -ENOMEM; text that cannot grow shows in
 * "out". */
int view_list(const json_t *reply, const struct terminal *terminal, struct text *out);

/* GET loadbalancers/{id}: one field a line. "revision" may be "". */
int view_resource(const json_t *reply, const json_t *definition, const char *revision,
	const struct terminal *terminal, struct text *out);

/* GET …/status as a tree. */
int view_status(const json_t *reply, const json_t *definition, const struct terminal *terminal,
	struct text *out);

/* GET …/stats: adds the load balancer's rows to a table of view_stats_table(). */
int view_stats_table(struct table **ret);
int view_stats(struct table *table, const char *id, const json_t *reply, const json_t *definition);

/* GET certificates: one row each. Those that expire within 30 days of "now_s" stand out. */
int view_certificates(const json_t *reply, int64_t now_s, const struct terminal *terminal,
	struct text *out);

/* GET certificates/{name}: one field a line. */
int view_certificate(const json_t *reply, int64_t now_s, const struct terminal *terminal,
	struct text *out);

/* Reply of PUT certificates/{name}: a line, and one for each load balancer that uses it. */
void view_certificate_applied(const char *name, const json_t *reply, bool created,
	const struct terminal *terminal, struct text *out);

/* Colour of none, runtime, reload, start; a list of strings, all but the first few counted. */
enum colour view_action_colour(const char *action);
void view_items(const json_t *list, size_t shown, const char *indent, const char *separator,
	enum colour colour, const struct terminal *terminal, struct text *out);

/* "web (id)", or the id alone where the name is "". */
void view_subject(
	const char *id, const char *name, const struct terminal *terminal, struct text *out);

/* Reply of PUT …/definition: one line. "action" is used where the body does not name one. */
void view_applied(const char *id, const json_t *reply, bool created, const char *action,
	const struct terminal *terminal, struct text *out);

/* Reply of a dry run: the plan, its reasons and commands, and what HAProxy says. */
void view_plan(
	const char *id, const json_t *reply, const struct terminal *terminal, struct text *out);

/* JSON Pointers (RFC 6901), one a line after "indent", at which two documents differ; a member that
 * only one of them has counts as equal. Returns how many there are; all but the first few are only
 * counted. */
size_t view_differences(const json_t *old, const json_t *new, const char *indent,
	const struct terminal *terminal, struct text *out);
