/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The health thread against a real HAProxy, master and worker, and a controller that is a UDP socket.
 */

#include <jansson.h>
#include <pthread.h>

#include "agent/base/process.h"
#include "agent/haproxy/runtime.h"
#include "agent/health/monitor.h"

#define LB "11111111-0000-4000-8000-000000000001"
#define LISTENER "22222222-0000-4000-8000-000000000001"
#define POOL "33333333-0000-4000-8000-000000000001:" LISTENER
#define MEMBER "44444444-0000-4000-8000-000000000001"

enum { DEADLINE_MS = 20000, STEP_MS = 20, CONNECTIONS_MAX = 64 };

/* A server that reads what comes, and closes when the other side does. */
struct server {
	int listen_fd, stop_fd, stopped_fd; /* -1 while it does not run */
	unsigned port;
	pthread_t thread;
};

struct fixture {
	char folder[128], log[160];
	int folder_fd, saved_stderr;

	struct server member;
	unsigned frontend_port;
	int hung_worker_fd; /* stopped by a signal, or -1 */
	pid_t haproxy;
	int haproxy_pidfd;
	struct health_target target;

	int controller_fd;
	char controllers[64];
	struct health *health;
	size_t n_targets;
	int64_t received_bytes, received_connections; /* sums of all deltas */
};

void start_server(struct server *server);
void stop_server(struct server *server);
/* A connection through HAProxy that has sent 5 bytes and stays open. */
int client(const struct fixture *f);
void step(int64_t deadline_ms, const char *what);

/* Waits until an expression is true. */
#define EVENTUALLY(condition)                                                  \
	for (int64_t _deadline = process_now_ms() + DEADLINE_MS; !(condition); \
		step(_deadline, #condition))

void write_config(const struct fixture *f, unsigned extra_servers);
void start_haproxy(struct fixture *f);
void stop_haproxy(struct fixture *f);
struct health_options options(struct fixture *f, unsigned interval_s);
void start_health(struct fixture *f, unsigned interval_s);
struct health_snapshot *ask(struct fixture *f);
struct listener_health ask_listener(struct fixture *f);
pid_t ask_pid(struct fixture *f);
bool answers(struct fixture *f);
/* The next heartbeat, or NULL after "timeout_ms". */
json_t *receive(struct fixture *f, int timeout_ms);
const char *member_word(const json_t *message);
void await_member(struct fixture *f, const char *word);
void drain(struct fixture *f);
/* How often "words" stands in what was logged. */
size_t logged(const struct fixture *f, const char *words);
int setup(void **state);
int teardown(void **state);
