/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files beside haproxy.cfg that a rendering collects: lists and copies of certificates. A file that several objects
 * use is there once.
 */

#include <jansson.h>

#include "agent/render/haproxy.h"

struct files {
	struct rendered_file *items; /* owned, until files_take() */
	size_t n, n_allocated;
	json_t *names; /* set of names */
};

int files_init(struct files *files);
void files_done(struct files *files);
#define _cleanup_files_ _cleanup_(files_done)

/* Gives the files away. */
void files_take(struct files *files, struct rendered *rendered);

/* One line each of a list, below RENDER_LIST_DIR: "<id>.<kind>". *ret_name is the caller's. */
int files_add_list(struct files *files, const char *id, const char *kind, char *const *lines, char **ret_name);

/* A certificate of the store that the field at "pointer" refers to. *ret_name, its name in the configuration, is the caller's.
 * ERROR_INVALID with the pointer if there is no such certificate, or one of another kind. */
int files_add_certificate(struct files *files, struct certificate_store *store, const char *reference,
	enum certificate_kind kind, const char *pointer, char **ret_name, struct error *err);
