/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A server with a small route table of its own, on a unix socket and on loopback, and clients that write bytes.
 */

#include <stdatomic.h>

#include "api/server.h"

enum {
	PATIENCE_MS = 20000, /* for what must happen at all */
	SMALL_BODY = 1000,
	LARGE_BODY = 4 * 1024 * 1024,
};

struct agent {
	atomic_bool gate_open; /* /slow waits for it */
	atomic_int entered;    /* handlers of /slow */
	atomic_int left;
};

extern struct agent agent;
extern char socket_path[96];
extern const struct route routes_here[];
struct server *start(unsigned workers, unsigned idle_timeout_s, size_t max_body_memory);
struct server *start_usual(void);

struct client {
	int fd;
	char buffer[64 * 1024]; /* received and not yet used */
	size_t length;
};

struct reply {
	int status; /* 0: the connection ended instead */
	char head[4096];
	char body[8192];
	size_t length;
};

struct client *dial(const struct server *server, size_t n);
void hang_up(struct client *client);
/* False when the server did not want to read it all. */
bool say_bytes(struct client *client, const char *bytes, size_t length);
bool say(struct client *client, const char *text);
/* Reads the next reply. "head" is for a reply to HEAD, which has no body. */
struct reply hear_kind(struct client *client, bool head);
struct reply hear(struct client *client);
bool is_closed(struct client *client);
/* One request on a connection of its own; "rest" is what follows the Host line. */
struct reply ask(const struct server *server, const char *line, const char *rest);
void assert_reply(
	const struct reply *reply, int status, const char *in_head, const char *in_body);
void assert_asked(const struct server *server, const char *line, const char *rest,
	int status, const char *in_head, const char *in_body);
int setup(void **state);
int teardown(void **state);
