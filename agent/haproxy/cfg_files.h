/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files that a haproxy.cfg names and that can be replaced in a running HAProxy: certificates, lists of certificates, CAs,
 * CRLs and patterns of ACLs and maps.
 *
 * Source: HAProxy configuration manual, 5.1 and 5.2 (crt, crt-list, ca-file, ca-verify-file, crl-file), 7.1 ("-f"), 7.3.1
 * (map and its relatives).
 */

#include "agent/haproxy/cfg.h"

enum cfg_file_kind {
	CFG_FILE_CERTIFICATE, /* holds a key */
	CFG_FILE_CERTIFICATE_LIST,
	CFG_FILE_CA,
	CFG_FILE_CRL,
	CFG_FILE_PATTERNS, /* of an ACL */
	CFG_FILE_MAP,
};

struct cfg_file {
	char *name; /* as the configuration, or the list of certificates, has it */
	enum cfg_file_kind kind;
	bool mixed; /* it is named for something else, too, which a change of that kind would not reach */
};

struct cfg_files {
	struct cfg_file *files; /* each name once */
	size_t n_files;
	/* The first word that names a file which is read at start alone ("errorfile", "lua-load", …), or names that are not
	 * taken as they are ("crt-base"); NULL if there is none. Static. */
	const char *other;
};

#define CFG_FILES_INIT ((struct cfg_files){0})
#define _cleanup_cfg_files_ _cleanup_(cfg_files_done)

/* -ENOMEM only. */
int cfg_files_find(const struct cfg *cfg, struct cfg_files *ret);
/* Adds the certificates that a list of certificates names, which are not there yet. */
int cfg_files_add_listed(struct cfg_files *files, const char *list);
const struct cfg_file *cfg_files_get(const struct cfg_files *files, const char *name);
void cfg_files_done(struct cfg_files *files);
