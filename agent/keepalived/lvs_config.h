/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reads a keepalived configuration of an LVS listener as far as it tells what is what: the comments in it name the
 * objects of Octavia, the lines below them say where those are.
 *
 * Source: octavia/common/jinja/lvs/templates (the comments), octavia/amphorae/backends/utils/keepalivedlvs_query.py (what
 * Octavia's agent makes of them).
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

enum { LVS_ID_SIZE = 37 };

struct lvs_address {
	int family; /* AF_INET, AF_INET6; 0: none */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
	uint16_t port;
};

struct lvs_member {
	char id[LVS_ID_SIZE];
	struct lvs_address address; /* no family: it is disabled */
};

/* An id is "" where the file does not name one. */
struct lvs_config {
	char lb_id[LVS_ID_SIZE];
	char listener_id[LVS_ID_SIZE];
	char pool_id[LVS_ID_SIZE]; /* not that of a disabled one */
	bool rendered; /* by us, from a definition */
	bool listener_enabled;
	bool monitored;            /* some member is checked */
	int protocol;              /* IPPROTO_UDP, IPPROTO_SCTP; 0 without a virtual server */
	struct lvs_address *vips;  /* owned */
	size_t n_vips;
	struct lvs_member *members; /* owned */
	size_t n_members;
};
#define LVS_CONFIG_INIT ((struct lvs_config){0})
#define _cleanup_lvs_config_ _cleanup_(lvs_config_done)
void lvs_config_done(struct lvs_config *config);

/* What it does not know it passes over; only memory makes it fail. */
int lvs_config_parse(const char *text, size_t length, struct lvs_config *ret);

/* Its addresses as texts, each once; free with strv_free(). */
int lvs_config_vips(const struct lvs_config *config, char ***ret);
