/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One "server" line, taken apart: what HAProxy makes of it together with the "default-server" lines before it.
 *
 * Source: configuration manual, 5.2 "Server and default-server options"; struct srv_kw_list in HAProxy's src/server.c,
 * check.c, cfgparse-ssl.c and cfgparse-tcp.c at the first tag of each version from 2.4 to 3.4.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/haproxy/plan_internal.h"

/* The options that the planner knows by name; all others are rows of the table in plan_server.c. */
enum server_option {
	SERVER_ADDR, /* of the check */
	SERVER_AGENT_CHECK,
	SERVER_ALPN,
	SERVER_BACKUP,
	SERVER_CA_FILE,
	SERVER_CHECK,
	SERVER_CHECK_SEND_PROXY,
	SERVER_CHECK_SSL,
	SERVER_COOKIE,
	SERVER_CRL_FILE,
	SERVER_CRT,
	SERVER_DISABLED,
	SERVER_ERROR_LIMIT,
	SERVER_ID,
	SERVER_MAXCONN,
	SERVER_MINCONN,
	SERVER_OBSERVE,
	SERVER_ON_ERROR,
	SERVER_ON_MARKED_DOWN,
	SERVER_ON_MARKED_UP,
	SERVER_POOL_MAX_CONN,
	SERVER_POOL_PURGE_DELAY,
	SERVER_PORT, /* of the check */
	SERVER_PROTO,
	SERVER_PROXY_V2_OPTIONS,
	SERVER_SEND_PROXY,
	SERVER_SEND_PROXY_V2,
	SERVER_SEND_PROXY_V2_SSL,
	SERVER_SEND_PROXY_V2_SSL_CN,
	SERVER_SNI,
	SERVER_SSL,
	SERVER_TRACK,
	SERVER_WEIGHT,
	SERVER_N_NAMED,
	SERVER_N_OPTIONS = 112, /* with the unnamed ones */
};

/* Strings belong to the configuration that it was read from. */
struct server {
	const char *name;
	const char *address; /* "10.0.0.1:80"; NULL for "default-server" */
	/* Value of each option that is set, "" where it has none; NULL: not set. */
	const char *options[SERVER_N_OPTIONS];
	bool odd; /* something is in it whose meaning is not known here */
};

/* Adds what a line says to what is there already, from the default-server lines. */
void server_read(struct server *server, const struct cfg_line *line);

/* An IP address with a port; false for names, port offsets and all other kinds of addresses. */
struct plan_server_address {
	char ip[INET6_ADDRSTRLEN];
	uint16_t port;
};
bool plan_server_address(const struct server *server, struct plan_server_address *ret);
/* Also in another spelling. */
bool server_same_address(const struct server *a, const struct server *b);
bool server_is_ip(const char *text);
/* The same address, perhaps in another spelling; NULL is "-". */
bool server_is_same_ip(const char *a, const char *b);
/* 1 if none is given; -1 if it is none. */
int server_weight(const struct server *server);
/* Whether a check speaks PROXY or TLS: as the traffic does, unless it goes elsewhere (manual, "check-send-proxy"). */
bool server_check_sends_proxy(const struct server *server);
bool server_check_is_tls(const struct server *server);

/* The first option from "from" on in which the two differ, SERVER_N_OPTIONS if there is none. The address is none. */
size_t server_next_difference(const struct server *a, const struct server *b, size_t from);
const char *server_option_name(size_t option);

/* The option that keeps this version from adding such a server as it would be after a reload, NULL if there is none. */
const char *server_cannot_add(const struct server *server, const struct haproxy_version *version,
	const struct plan_capabilities *can);
/* "IP:PORT option …", the arguments of "add server". -EINVAL: some word cannot be said, or there are too many. */
int server_arguments(const struct server *server, const struct plan_capabilities *can, char **ret);
/* "server NAME ADDRESS option …" as a line of a configuration, NULL if a word would need quotes (or memory ran out). */
char *server_line(const struct server *server);
