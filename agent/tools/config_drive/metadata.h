/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * openstack/latest/meta_data.json of a config drive (nova/api/metadata/base.py writes it; "Metadata" in nova's user guide).
 */

#include "agent/base/error.h"

enum { METADATA_MAX = 1024 * 1024 };

/* A file that nova was asked to inject ("personality"). */
struct metadata_file {
	char *path;
	char *content; /* the name of a file in openstack/content */
};

struct metadata {
	char *instance_id;           /* "uuid": letters, digits and -_. only */
	char *hostname;              /* without its domain; NULL if there is none */
	char **keys;                 /* public keys for SSH, a line each; NULL: none */
	struct metadata_file *files; /* "files" */
	size_t n_files;
};

int metadata_parse(const char *json, size_t length, struct metadata *ret, struct error *err);
void metadata_done(struct metadata *metadata);
#define METADATA_INIT ((struct metadata){0})
#define _cleanup_metadata_ _cleanup_(metadata_done)
