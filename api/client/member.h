/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the commands about members share: which members, changing one, and the weight that a drained one had.
 */

#include "api/client/target.h"

enum { WEIGHT_UNKNOWN = -1 };

/* A pool, and those of its members that were named, in that order. */
struct members {
	struct target pool;
	const json_t **list; /* within pool; NULL-terminated, owned */
	size_t n;
};

#define MEMBERS_INIT ((struct members){0})
#define _cleanup_members_ _cleanup_(members_done)
void members_done(struct members *members);

/* arguments[0] names the pool, the others its members. Exit statuses, here and below. */
int members_find(struct client *client, char *const *arguments, size_t n_arguments, struct members *ret);

/* The load balancer's id: checked, so that it can be part of a path. */
const char *members_lb_id(const struct members *members);

/* PUT of that member with these fields, a new reference that is taken, and the report: "member a of pool web: weight 0,
 * runtime". */
int member_change(struct client *client, const struct target *pool, const json_t *member, json_t *fields,
	const char *what);

/* Asks and reports; the body is a new reference that is taken, or NULL. "member" is for the report. */
int member_request(struct client *client, const char *method, const struct target *pool, const json_t *member,
	const char *path, json_t *body, const char *what);

/* /v2/lbaas/pools/{pool_id}/members, and /{member_id} unless "member" is NULL. CLIENT_UNREACHABLE if the server's ids
 * are none. */
int member_path(struct client *client, const struct target *pool, const json_t *member, char ret[CLIENT_PATH_SIZE]);

/* Draining a member leaves a tag that says what weight it had. The member's tags without it, and with one for that
 * weight unless that is WEIGHT_UNKNOWN, or there are too many; a new reference, NULL without memory. */
json_t *member_tags(const json_t *member, json_int_t weight);
/* Of one row of a pool of an "activity". */
json_int_t member_row_sessions(const json_t *row);
/* The sessions that a member serves, behind all listeners, by the "activity" of GET …/activity. Those of one that is
 * not in it are 0. */
json_int_t member_sessions(const json_t *activity, const char *pool_id, const char *member_id);

/* command_member_list.c, command_member_drain.c */
extern const struct option_row drain_options[];
int member_list(struct client *client, char *const *arguments, size_t n_arguments);
int member_drain(struct client *client, char *const *arguments, size_t n_arguments);

/* The weight that the tag tells, WEIGHT_UNKNOWN without one. */
json_int_t member_tagged_weight(const json_t *member);
