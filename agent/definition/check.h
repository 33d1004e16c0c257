/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between check.c (the load balancer), check_reference.c, check_pool.c, check_listener.c and check_l7.c: the rules between
 * fields and between objects.
 *
 * Sources: octavia/api/v2/controllers/, octavia/common/validate.py, octavia/db/prepare.py,
 * octavia/api/drivers/amphora_driver/v2/driver.py and the tables of octavia/common/constants.py.
 */

#include "agent/base/text.h"
#include "agent/definition/fields.h"
#include "agent/definition/limits.h"
#include "agent/definition/unique.h"

/* One run over a document. */
struct check {
	struct load_balancer *lb;
	const char *vip_address; /* its own, or the configured one, or NULL */
	struct unique pool_ids, member_ids, monitor_ids, listener_ids, l7_ids, ports;
	json_t *pools_by_id, *pools_by_name; /* places in the list; check_reference.c fills them when no pool is nested any more */
};

/* ERROR "code" with "what" and the first place if the key is there already. */
int check_unique(struct unique *set, const char *key, const struct location *where, enum error_code code, const char *what,
	struct error *err);

/* A port is taken once for each of "TCP", "UDP" and "SCTP"; L4_PROTOCOL_MAP of octavia/common/constants.py. */
int check_port(struct check *check, const char *transport, int64_t port, const struct location *where, struct error *err);

/* An object without an id gets the UUIDv5 of "kind:name" in the name space of its parent's id. */
int check_derive_id(char id[UUID_SIZE], const char *parent, const char *kind, const char *name);

static inline bool check_has_name(const char *name)
{
	return name && name[0];
}

/* Fills in a list that was not given. */
int check_default_strings(char ***list, const char *const *values);
int check_default_string(char **string, const char *value);

/* Octavia's defaults for new listeners and pools with TLS (octavia/common/config.py). */
extern const char *const check_default_ciphers;
extern const char *const check_default_tls_versions[];
extern const char *const check_default_alpn_protocols[];

/* Whether any VIP is of that IP version; true as well if none is known. */
bool check_vip_of_version(const struct check *check, bool ipv6);

/* check_pool.c: a pool that is defined here (not only referred to): its own rules, its id, its children. "unnamed" is the name
 * space of an id for a nested pool without name, NULL where it needs a name or an id. */
int check_pool(struct check *check, struct pool *pool, const char *unnamed, const struct location *where,
	struct error *err);

/* check_listener.c: what can be said without its pools. */
int check_listener(struct check *check, struct listener *listener, const struct location *where, struct error *err);

/* check_l7.c: the same of its policies and their rules. */
int check_l7policies(struct check *check, struct listener *listener, const struct location *where, struct error *err);
/* Brings them in the order of their positions, which become 1, 2, 3 …; places in the document are lost. */
int check_order_l7policies(struct listener *listener);

/* check_reference.c: first the one of every listener, then the other. */
int check_move_nested_pools(struct check *check, struct listener *listener, const struct location *where,
	struct error *err);
int check_resolve_pools(struct check *check, struct listener *listener, const struct location *where, struct error *err);
