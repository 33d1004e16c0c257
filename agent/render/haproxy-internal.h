/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between the parts of the rendering: haproxy.c (the whole), frontend.c, l7.c, backend.c, monitor.c, tls.c. Each makes a part of
 * the view that the template gets. They return -ENOMEM without words; whatever has words is in the error.
 */

#include "agent/render/files.h"
#include "agent/render/haproxy.h"
#include "agent/render/view.h"

/* One rendering. */
struct render {
	const struct load_balancer *lb;
	const struct render_settings *settings;
	struct files *files;
	bool external_check; /* set by whoever renders a check that is a program */
};

/* Room for the JSON Pointer of a listener's or pool's field in the stored document. */
enum { FIELD_POINTER_SIZE = 128 };

static inline int64_t render_or_default(int64_t timeout_ms, int64_t default_ms)
{
	return timeout_ms ? timeout_ms : default_ms;
}

static inline const char *render_vip(const struct render *render)
{
	return render->lb->vip_address ? render->lb->vip_address : render->settings->default_vip_address;
}

/* Enabled, and HAProxy's: UDP and SCTP are not. */
bool render_listener_runs(const struct render *render, const struct listener *listener);
bool render_listener_is_http(const struct listener *listener);
int64_t render_connection_limit(const struct render *render, const struct listener *listener);

/* frontend.c: with its backends */
int render_frontend(struct render *render, const struct listener *listener, struct view *list, struct error *err);

/* l7.c */
/* The pools that a listener uses: the default pool and those of its policies, each once, enabled ones only. The array is the
 * caller's. */
int render_pools_of(const struct render *render, const struct listener *listener, const struct pool ***ret,
	size_t *ret_n);
void render_l7(const struct render *render, const struct listener *listener, struct view *frontend);

/* backend.c */
void render_backend_name(struct view *view, const struct pool *pool, const struct listener *listener);
int render_backend(struct render *render, const struct listener *listener, const struct pool *pool, struct view *list,
	struct error *err);

/* monitor.c */
/* What the backend says of checks. */
int render_monitor(struct render *render, const struct pool *pool, struct view *backend);
/* What a server's line says of them, where it is not what render_no_check() says for all. */
void render_no_check(struct view *backend);
void render_check(const struct pool *pool, const struct member *member, struct view *server);

/* tls.c */
int render_bind_tls(struct render *render, const struct listener *listener, struct view *frontend, struct error *err);
int render_server_tls(struct render *render, const struct pool *pool, struct view *backend, struct error *err);
