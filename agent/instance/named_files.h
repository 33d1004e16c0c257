/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files that an uploaded configuration names, and the record of those that HAProxy has read. Of a certificate, whose file
 * holds a key, the record has a digest; of lists, CAs and CRLs the content.
 */

#include <jansson.h>

#include "agent/haproxy/cfg_files.h"
#include "agent/haproxy/plan.h"

struct named_file {
	char *name;
	enum cfg_file_kind kind;
	char digest[65]; /* SHA-256 */
	char *content;   /* NULL: not known any more, or it must not be kept */
};

struct named_files {
	struct named_file *files;
	size_t n_files;
	char *other; /* what is named and read by a reload alone; NULL: nothing */
};

#define NAMED_FILES_INIT ((struct named_files){0})
#define _cleanup_named_files_ _cleanup_(named_files_done)

/* Relative names are below "dir_fd". A file that is not there is left out. */
int named_files_read(int dir_fd, const char *text, size_t length, struct named_files *ret, struct error *err);
void named_files_done(struct named_files *files);

/* The record, without secrets. New reference. -EBADMSG for what is none. */
int named_files_write_record(const struct named_files *files, json_t **ret);
int named_files_read_record(const json_t *record, struct named_files *ret);

/* What differs, and all certificate lists. The array is the caller's, its strings belong to the two sets. */
int named_files_compare(const struct named_files *before, const struct named_files *now, struct plan_file **ret,
	size_t *ret_n);
