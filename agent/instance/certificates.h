/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Changes of certificates that load balancers use. A replacement is one transaction over all of them: stored, every load
 * balancer that refers to it applied anew, or everything as it was.
 *
 * No race with changes of definitions: a definition counts as a user from the moment it is announced to the registry, which
 * is before its certificates are read. So a certificate is either seen to be in use, or gone when the definition is rendered; and
 * a definition that read the old content, or one that was taken back, is applied anew after that.
 */

#include "agent/instance/registry.h"

struct certificate_user {
	char lb_id[UUID_SIZE];
	char object_id[UUID_SIZE];
	const char *object, *field; /* static: "listener", "default_tls_container_ref" */
	char *name;                 /* of the certificate */
};

struct certificate_users {
	struct certificate_user *items; /* in the order of load balancers */
	size_t n;
};
#define CERTIFICATE_USERS_INIT ((struct certificate_users){0})
void certificate_users_done(struct certificate_users *users);
#define _cleanup_certificate_users_ _cleanup_(certificate_users_done)

/* What was done to one load balancer. */
struct certificate_applied {
	char lb_id[UUID_SIZE];
	enum plan_action action;
	char **reasons;
	int64_t duration_ms;
	char *trouble; /* it was in trouble before, and still is; NULL: all is well */
};

struct certificate_change {
	bool created, changed;
	enum plan_action action; /* the most that was done to a load balancer */
	int64_t duration_ms;
	struct certificate_applied *applied;
	size_t n_applied;
};
#define CERTIFICATE_CHANGE_INIT ((struct certificate_change){0})
void certificate_change_done(struct certificate_change *change);
#define _cleanup_certificate_change_ _cleanup_(certificate_change_done)

/* Who refers to that certificate, or to any if "name" is NULL. */
int registry_certificate_users(struct registry *registry, const char *name, struct certificate_users *ret, struct error *err);

/* Creates or replaces. ERROR_INVALID for what is wrong with the bundle, ERROR_CONFLICT if a load balancer needs another
 * kind, HAProxy's errors. */
int registry_put_certificate(struct registry *registry, const char *name, const char *pem, size_t length,
	struct certificate_change *ret, struct error *err);

/* ERROR_NOT_FOUND, ERROR_CONFLICT while it is in use. */
int registry_delete_certificate(struct registry *registry, const char *name, struct error *err);
