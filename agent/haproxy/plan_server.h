/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One "server" line, taken apart: what HAProxy makes of it together with the "default-server" lines
 * before it.
 *
 * Source: configuration manual, 5.2 "Server and default-server options"; struct srv_kw_list in
 * HAProxy's src/server.c, check.c, cfgparse-ssl.c and cfgparse-tcp.c at the first tag of each
 * version from 2.4 to 3.4.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/haproxy/plan_internal.h"

/* The options that the planner knows by name; all others are rows of the table in plan_server.c. */
enum plan_option {
	PLAN_SERVER_ADDR, /* of the check */
	PLAN_SERVER_AGENT_CHECK,
	PLAN_SERVER_ALPN,
	PLAN_SERVER_BACKUP,
	PLAN_SERVER_CA_FILE,
	PLAN_SERVER_CHECK,
	PLAN_SERVER_CHECK_SEND_PROXY,
	PLAN_SERVER_CHECK_SSL,
	PLAN_SERVER_COOKIE,
	PLAN_SERVER_CRL_FILE,
	PLAN_SERVER_CRT,
	PLAN_SERVER_DISABLED,
	PLAN_SERVER_ERROR_LIMIT,
	PLAN_SERVER_ID,
	PLAN_SERVER_MAXCONN,
	PLAN_SERVER_MINCONN,
	PLAN_SERVER_OBSERVE,
	PLAN_SERVER_ON_ERROR,
	PLAN_SERVER_ON_MARKED_DOWN,
	PLAN_SERVER_ON_MARKED_UP,
	PLAN_SERVER_POOL_MAX_CONN,
	PLAN_SERVER_POOL_PURGE_DELAY,
	PLAN_SERVER_PORT, /* of the check */
	PLAN_SERVER_PROTO,
	PLAN_SERVER_PROXY_V2_OPTIONS,
	PLAN_SERVER_SEND_PROXY,
	PLAN_SERVER_SEND_PROXY_V2,
	PLAN_SERVER_SEND_PROXY_V2_SSL,
	PLAN_SERVER_SEND_PROXY_V2_SSL_CN,
	PLAN_SERVER_SNI,
	PLAN_SERVER_SSL,
	PLAN_SERVER_TRACK,
	PLAN_SERVER_WEIGHT,
	PLAN_SERVER_N_NAMED,
	PLAN_SERVER_N_OPTIONS = 112, /* with the unnamed ones */
};

/* Strings belong to the configuration that it was read from. */
struct plan_server {
	const char *name;
	const char *address; /* "10.0.0.1:80"; NULL for "default-server" */
	/* Value of each option that is set, "" where it has none; NULL: not set. */
	const char *options[PLAN_SERVER_N_OPTIONS];
	bool odd; /* something is in it whose meaning is not known here */
};

/* Adds what a line says to what is there already, from the default-server lines. */
void plan_server_read(struct plan_server *server, const struct cfg_line *line);

/* An IP address with a port; false for names, port offsets and all other kinds of addresses. */
struct plan_address {
	char ip[INET6_ADDRSTRLEN];
	uint16_t port;
};
bool plan_server_address(const struct plan_server *server, struct plan_address *ret);
/* Also in another spelling. */
bool plan_server_same_address(const struct plan_server *a, const struct plan_server *b);
/* An IP address, perhaps in brackets, in its usual spelling. */
bool plan_server_ip(const char *text, char ret[INET6_ADDRSTRLEN]);
/* The same address, perhaps in another spelling; NULL is "-". */
bool plan_server_is_same_ip(const char *a, const char *b);
/* 1 if none is given; -1 if it is none. */
int plan_server_weight(const struct plan_server *server);
/* Whether a check speaks PROXY or TLS: as the traffic does, unless it goes elsewhere (manual,
 * "check-send-proxy"). */
bool plan_server_check_sends_proxy(const struct plan_server *server);
bool plan_server_check_is_tls(const struct plan_server *server);

/* The first option from "from" on in which the two differ, PLAN_SERVER_N_OPTIONS if there is none.
 * The address is none. */
size_t plan_server_next_difference(
	const struct plan_server *a, const struct plan_server *b, size_t from);
const char *plan_server_option_name(size_t option);

/* The option that keeps this version from adding such a server as it would be after a reload, NULL
 * if there is none. */
const char *plan_server_cannot_add(const struct plan_server *server,
	const struct haproxy_version *version, const struct plan_capabilities *can);
/* "IP:PORT option …", the arguments of "add server". -EINVAL: some word cannot be said, or there
 * are too many. */
int plan_server_arguments(
	const struct plan_server *server, const struct plan_capabilities *can, char **ret);
/* "server NAME ADDRESS option …" as a line of a configuration, NULL if a word would need quotes (or
 * memory ran out). */
char *plan_server_line(const struct plan_server *server);
