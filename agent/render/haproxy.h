/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From a definition to the text of haproxy.cfg: decisions here, layout in templates/haproxy.cfg.mustache.
 *
 * Names are Octavia's: frontend = listener id, backend = "pool_id:listener_id", server = member id. Lists that can change
 * without the text (allowed networks) are files of their own, named relative to the load balancer's folder, where
 * HAProxy is started (-C).
 *
 * Source: octavia/common/jinja/haproxy/combined_listeners (what each object means), HAProxy configuration manual.
 */

#include <stddef.h>

#include "agent/base/error.h"
#include "agent/certificate/store.h"
#include "agent/definition/model.h"
#include "agent/render/template.h"

/* Name of the server state file, relative to the load balancer's folder. */
#define RENDER_STATE_FILE "servers-state"
/* Folder of list files, relative to the load balancer's folder. */
#define RENDER_LIST_DIR "lists"
/* Folder of the copies of the certificates that it uses: "<name>.pem"; "ca-<name>.pem" and "crl-<name>.pem". 0600. */
#define RENDER_CERTIFICATE_DIR "certificates"

struct render_settings {
	const char *default_vip_address;
	int64_t default_connection_limit;
	struct definition_defaults timeouts; /* stand in for a timeout of 0, as Octavia's rendering has it */
	const char *stick_table_size; /* "10k" */
	const char *tools_dir;        /* folder of ping-wrapper.sh */
	const char *log_target;       /* NULL or "": no log */
	int64_t user_log_facility;    /* local0 to local7 */
	int64_t administrative_log_facility;
	bool connection_logging;
	struct certificate_store *certificates; /* NULL: none are stored */
	unsigned haproxy_major, haproxy_minor; /* what may be written: "timeout client-hs" from 2.9 on */
};

struct rendered_file {
	char *name; /* "lists/<listener>.allowed", "certificates/<name>.pem" */
	char *content; /* may hold a key: freed through explicit_bzero() */
};

struct rendered {
	char *text; /* haproxy.cfg */
	size_t length;
	struct rendered_file *files;
	size_t n_files;
};

#define RENDERED_INIT ((struct rendered){0})
#define _cleanup_rendered_ _cleanup_(rendered_done)

/* ERROR_INVALID with a JSON Pointer into the stored document where it refers to a certificate that there is not. */
int render_haproxy(const struct template *template, const struct load_balancer *lb,
	const struct render_settings *settings, struct rendered *ret, struct error *err);
void rendered_done(struct rendered *rendered);
void rendered_file_done(struct rendered_file *file);
