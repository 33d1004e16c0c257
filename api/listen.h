/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Listening sockets: unix sockets, and TCP. Without TLS only loopback is ever listened on: whoever
 * reaches the API controls the load balancer. (listen_address_parse() is declared in server.h.)
 */

#include <stdbool.h>
#include <sys/types.h>

#include "api/server.h"

struct listening {
	int fd; /* owned */
	bool is_tcp;
	bool is_tls;
	char *name;   /* owned: "unix:/path" or "http://address:port", with https if is_tls */
	char *path;   /* owned: of a unix socket that was bound here, else NULL */
	dev_t device; /* of that socket, */
	ino_t inode;  /* so that a successor's is not removed */
};

#define LISTENING_INIT ((struct listening){.fd = -1})
#define _cleanup_listening_ _cleanup_(listening_done)

int listening_open(const struct listen_address *address, const char *socket_group,
	struct listening *ret, struct error *err);
/* Checks and describes a socket that was opened elsewhere, which is served without TLS; takes the
 * descriptor in any case. */
int listening_adopt(int fd, struct listening *ret, struct error *err);
/* Closes it and removes the unix socket if it is still the one that was bound here. */
void listening_done(struct listening *listening);
