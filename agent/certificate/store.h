/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The certificates that definitions refer to by name: <folder>/<name>.pem, 0600 in a folder 0700. A file holds what was put,
 * taken apart and put together again: leaf, key, then the chain in order (a bundle with a key), or certificates alone (a
 * CA), or CRLs alone. Keys are never given back.
 *
 * A load balancer has copies of its own of what it uses (render/), so replacing one here changes nothing that runs until its
 * load balancers are applied anew.
 *
 * Functions may be called from any thread. Sources: RFC 5280 (certificates, CRLs), RFC 7468 (PEM).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

enum {
	CERTIFICATE_NAME_MAX = 200,  /* bytes */
	CERTIFICATE_BODY_LIMIT = 1024 * 1024,
	CERTIFICATE_COUNT_MAX = 10000,
};

enum certificate_kind {
	CERTIFICATE_PAIR, /* key, certificate and chain: default_tls_container_ref, sni_container_refs, tls_container_ref */
	CERTIFICATE_CA,   /* one or more CA certificates: client_ca_tls_container_ref, ca_tls_container_ref */
	CERTIFICATE_CRL,  /* one or more CRLs: client_crl_container_ref, crl_container_ref */
	_CERTIFICATE_KIND_MAX,
};

/* "certificate", "ca", "crl": the API's words. */
extern const char *const certificate_kind_names[_CERTIFICATE_KIND_MAX];

/* What may be told of a stored one. */
struct certificate_info {
	char *name;
	enum certificate_kind kind;
	char *issuer;  /* RFC 4514; of the first certificate or CRL */
	char *subject; /* of the first certificate, NULL for CRLs; so are the following */
	char **dns_names; /* subject alternative names: DNS and IP, then the CN if there are none */
	char *key_type;   /* "RSA 2048", "EC P-256", "Ed25519", … */
	char *serial;     /* hexadecimal */
	int64_t not_before_s, not_after_s; /* seconds since 1970; CRL: this update, next update (0: none) */
	char *sha256;    /* of the first certificate or CRL (DER), hexadecimal */
	size_t n_certificates;
};
#define CERTIFICATE_INFO_INIT ((struct certificate_info){0})
void certificate_info_done(struct certificate_info *info);
#define _cleanup_certificate_info_ _cleanup_(certificate_info_done)

/* Takes a PEM apart, checks it (chain order, key match, expiry against "now_s", key type and size, no leftovers; an error
 * names what is wrong with which certificate of the bundle) and puts it together in the stored order. The text is the
 * caller's and holds a key: secret_free_bytes(). */
int certificate_normalise(const char *pem, size_t length, int64_t now_s, char **ret_pem, size_t *ret_length,
	struct certificate_info *ret, struct error *err);

struct certificate_store;

/* Creates the folder if it is missing. Files of a power cut that cannot be used are set aside as *.corrupt. */
int certificate_store_open(const char *folder, struct certificate_store **ret, struct error *err);
void certificate_store_free(struct certificate_store *store);
DEFINE_CLEANUP(struct certificate_store *, certificate_store_free);

/* Letters, digits, '.', '_' and '-', not beginning with '.'. */
bool certificate_name_is_valid(const char *name);

/* The name that a reference of a definition stands for: the reference, or the last segment of a URL. NULL if there is none. */
const char *certificate_reference_name(const char *reference);

/* What was stored before a change, so that it can be put back. */
struct certificate_backup {
	char *pem; /* NULL: nothing, or nothing that could be read */
	size_t length;
};
#define CERTIFICATE_BACKUP_INIT ((struct certificate_backup){0})
void certificate_backup_done(struct certificate_backup *backup);
#define _cleanup_certificate_backup_ _cleanup_(certificate_backup_done)

/* Creates or replaces. *ret_changed: the content differs from before, which is in *ret_before (may be NULL). */
int certificate_store_put(struct certificate_store *store, const char *name, const char *pem, size_t length,
	bool *ret_created, bool *ret_changed, struct certificate_backup *ret_before, struct error *err);
/* Puts back what was there, whatever is to be said of it by now. */
int certificate_store_restore(struct certificate_store *store, const char *name, const struct certificate_backup *before,
	struct error *err);
/* ERROR_NOT_FOUND. */
int certificate_store_delete(struct certificate_store *store, const char *name, struct error *err);
int certificate_store_info(struct certificate_store *store, const char *name, struct certificate_info *ret,
	struct error *err);
/* ERROR_NOT_FOUND, or ERROR_INVALID when it is not of that kind. */
int certificate_store_check(struct certificate_store *store, const char *name, enum certificate_kind kind, struct error *err);
/* Names in their order, NULL-terminated; the caller's. */
int certificate_store_list(struct certificate_store *store, char ***ret, struct error *err);

/* The PEM as HAProxy wants it. ERROR_NOT_FOUND, or ERROR_INVALID when it is not of that kind. The text holds a key for
 * CERTIFICATE_PAIR: secret_free_bytes(). */
int certificate_store_load(struct certificate_store *store, const char *name, enum certificate_kind kind,
	char **ret_pem, size_t *ret_length, struct error *err);
