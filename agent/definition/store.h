/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Definitions on disk: <base_path>/<load balancer>/definition/<revision>.json, the last LIMIT_REVISIONS of them. The
 * highest revision that can be read is the current one. A write is atomic and durable (fileio.h); a file that cannot be
 * read is set aside as *.corrupt, and the revision before it counts.
 */

#include <stdint.h>

#include "agent/base/fileio.h"
#include "agent/definition/model.h"

enum { STORE_TIME_SIZE = DEFINITION_TIME_SIZE };

struct stored_definition {
	int64_t revision; /* from 1 */
	char created_at[STORE_TIME_SIZE]; /* UTC */
	char updated_at[STORE_TIME_SIZE];
	struct load_balancer *lb; /* one reference */
};

#define STORED_DEFINITION_INIT ((struct stored_definition){0})
void stored_definition_done(struct stored_definition *stored);
#define _cleanup_stored_ _cleanup_(stored_definition_done)

/* The time of now in the store's form. */
void store_now(char ret[STORE_TIME_SIZE]);

/* -ENOENT if there is no definition; -EBADMSG (ERROR_INTERNAL) if there are some and none can be used: they are kept for a
 * person to look at. "lb_dir_fd" is the load balancer's folder. */
int store_read_current(int lb_dir_fd, const char *lb_id, struct stored_definition *ret, struct error *err);

/* One revision as it was. ERROR_NOT_FOUND if it is not kept (any more). */
int store_read_revision(
	int lb_dir_fd, const char *lb_id, int64_t revision, struct stored_definition *ret, struct error *err);

/* Writes the revision and removes those that are too old. */
int store_write(int lb_dir_fd, const struct stored_definition *stored, struct error *err);

/* The same in two steps: the first has no effect that lasts, and takes nearly all of the time. */
struct store_pending {
	int folder_fd;
	struct fileio_pending file;
};
#define STORE_PENDING_INIT ((struct store_pending){-1, FILEIO_PENDING_INIT})
int store_prepare(int lb_dir_fd, const struct stored_definition *stored, struct store_pending *ret, struct error *err);
int store_commit(int lb_dir_fd, const struct stored_definition *stored, struct store_pending *pending, struct error *err);
void store_pending_done(struct store_pending *pending);

/* Revision numbers, newest first; the array is the caller's. Files that are not ours are left out. */
int store_revisions(int lb_dir_fd, int64_t **ret, size_t *ret_n);
