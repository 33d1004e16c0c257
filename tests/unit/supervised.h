/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the tests of both supervisors have in common: a load balancer whose HAProxy answers with the pid of its worker.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/supervisor/supervisor.h"

enum {
	PATIENCE_MS = 300 * 1000, /* for an emulated processor of a busy machine */
	EVENTS_MAX = 64,
};

struct event {
	enum supervisor_event event;
	pid_t pid;
	int delay_ms;
	bool has_alert; /* messages hold HAProxy's "[ALERT]" */
};

struct fixture {
	char id[40];
	char directory[128], config[200], own_config[160], socket[160], pid_file[160], log_file[160];
	char haproxy[160];             /* direct: a link in our folder, so that HAProxy can be taken away */
	char unit_name[80], link[200]; /* systemd */
	uint16_t port;
	struct supervisor_spec spec;
	struct supervisor *supervisor;
	struct supervisor_unit *unit;
	struct event events[EVENTS_MAX];
	size_t n_events;
};

const struct supervisor_operations *ops(const struct fixture *f);

/* The supervisor's callback; "userdata" is a fixture. */
void on_event(void *userdata, const struct supervisor_report *report);

/* Lets the supervisor work for up to "timeout_ms", as a main loop does. */
void pump(struct fixture *f, int timeout_ms);
void wait_events(struct fixture *f, size_t n);

void write_file(const char *path, const char *content);
void write_config(const struct fixture *f, const char *extra);

/* What runs in the fixture's paths; the caller has filled them in. */
struct supervisor_spec spec_of(const struct fixture *f, const char *haproxy_cmd, const char *peer_name);
void adopt_unit(struct fixture *f);
/* Returns the worker that serves then. */
pid_t start(struct fixture *f);

/* -1: nobody listens. */
int connect_port(uint16_t port);
int send_text(int fd, const char *text);
/* The number in the body of a reply, which is the worker's pid; -1 if there was no good reply. */
pid_t read_reply(int fd);
pid_t request(uint16_t port);

/* Waits until another worker than "not" serves. */
pid_t wait_serving(struct fixture *f, pid_t not);
void wait_gone(pid_t pid);
