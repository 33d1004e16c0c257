/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How to get from the configuration that runs to the one that is wanted. Pure: texts in, decision out; no input or output.
 * Nothing else decides. It reads the text of haproxy.cfg alone (cfg.h), so it serves rendered and uploaded configurations
 * alike.
 *
 * A plan is carried out by agent/instance/: its steps in their order, each answer compared with what is expected, then the
 * result read back (plan_compare_state()). Any surprise leads to a reload, which is always correct: the files on disk
 * say what is wanted before the first step is sent. PLAN_NONE may come with another text: it means the same to HAProxy, and
 * belongs on disk all the same.
 *
 * Sources: HAProxy management guide, 9.3; configuration manual, 5.2 (what "add server" takes); CHANGELOG of each version for
 * the table of capabilities (plan_capabilities.c).
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"
#include "agent/haproxy/runtime.h"

enum plan_action {
	PLAN_NONE,    /* nothing to do */
	PLAN_RUNTIME, /* by the Runtime API, the worker stays */
	PLAN_RELOAD,  /* a new worker takes over the listening sockets */
	PLAN_START,   /* HAProxy does not run yet */
	_PLAN_ACTION_MAX,
};

enum plan_expect {
	PLAN_EXPECT_NOTHING, /* an empty answer: newlines at most, one for each of the commands joined with ';' */
	PLAN_EXPECT_PREFIX,  /* an answer that begins with "expected" */
	PLAN_EXPECT_CONTAINS,
	PLAN_EXPECT_VERSION, /* "New version created: N": N replaces PLAN_VERSION_MARK in the steps that follow */
	/* "del server" of step.server, which is in maintenance and has to be gone before the next step: not sent before it is
	 * idle. One that is not within PLAN_DELETE_WAIT_MS is a surprise like any other. */
	PLAN_EXPECT_DELETED,
};

enum { PLAN_DELETE_WAIT_MS = 200 };

/* Stands in a command for the version that the last PLAN_EXPECT_VERSION step gave. */
#define PLAN_VERSION_MARK "@VERSION@"

struct plan_step {
	char *command; /* for runtime_command(): one command line, with its payload if any */
	char *shown;   /* the same for people and replies: without keys; NULL: as it is */
	enum plan_expect expect;
	const char *expected; /* static */
	struct plan_server_name {
		char *backend, *server; /* PLAN_EXPECT_DELETED, else NULL */
	} name;
};

/* A server that new connections no longer reach, to be deleted when its last one has gone, or by the next reload. */
struct plan_leaving {
	char *backend, *server;
	char *line; /* what it runs with, for a name that comes back; NULL: not known */
	/* Not to be deleted, only to be dropped by the next reload: up to 2.9 an HTTP client's session may hold a connection
	 * to it that no counter tells of ("do not delete srv referenced by session" in the CHANGELOG of 3.0). */
	bool keep;
};

struct plan {
	enum plan_action action;
	char **reasons; /* what made it so, in words; NULL-terminated */
	struct plan_step *steps; /* PLAN_RUNTIME */
	size_t n_steps;
	char **pools; /* PLAN_RUNTIME: the names of those whose servers the steps change; NULL-terminated, NULL if none */
	/* PLAN_NONE and PLAN_RUNTIME: all servers that are left to be deleted afterwards: those of the input that did not come
	 * back, and those that the steps put into maintenance for good. */
	struct plan_leaving *leaving;
	size_t n_leaving;
};

#define PLAN_INIT ((struct plan){0})
#define _cleanup_plan_ _cleanup_(plan_done)

enum { PLAN_MAX_REASONS = 20 }; /* the last one then counts the others */

/* A file that the configuration names (a list, a certificate), or that a crt-list names: its name as it stands there, and
 * its content before and after, NULL where it does not exist. */
struct plan_file {
	const char *name;
	const char *before, *after;
};

struct plan_input {
	const char *running; /* the text that HAProxy runs, NULL if it does not run */
	size_t running_length;
	const char *wanted;
	size_t wanted_length;
	/* Those that differ, and all crt-lists, which tell what the certificates are for; others may be there, too. */
	const struct plan_file *files;
	size_t n_files;
	struct haproxy_version version;
	bool runtime_updates; /* false: everything is a reload */
	unsigned hard_maxconn; /* "Hard_maxconn" of "show info"; 0: not known, then a higher global maxconn is a reload */
	/* Answer to "show servers state", or NULL: then no server is replaced (deleted and added again under its name), which
	 * takes another one that is up. */
	const char *servers_state;
	/* Servers of the running process that are in no configuration any more (their deletion was put off), so that their
	 * names are not free. */
	const struct plan_leaving *leaving;
	size_t n_leaving;
};

int plan_make(const struct plan_input *input, struct plan *ret, struct error *err);
void plan_done(struct plan *plan);

/* "none", "runtime", "reload", "start": the value of the header Amphorad-Apply. */
const char *plan_action_name(enum plan_action action);

/* What must be true of the running process when it runs "wanted": compares the answers to "show servers state" (may be
 * NULL: not asked) and says the first difference in words. Servers among "leaving" may be there, in maintenance. 0: all as
 * wanted; -EXDEV: differs, *ret_difference says how (the caller's). "pools": the names of those that were asked for, NULL for
 * all. */
int plan_compare_state(const char *wanted, size_t wanted_length, const char *servers_state, char *const *pools,
	const struct plan_leaving *leaving, size_t n_leaving, char **ret_difference, struct error *err);

/* Servers in "show servers state" that "wanted" does not have: those that wait for their deletion, also after a restart of
 * the agent. The array and its strings are the caller's: plan_leaving_free(). */
int plan_find_leaving(const char *wanted, size_t wanted_length, const char *servers_state,
	const struct haproxy_version *version, struct plan_leaving **ret, size_t *ret_n, struct error *err);
/* A copy, the caller's. */
int plan_leaving_copy(const struct plan_leaving *leaving, size_t n, struct plan_leaving **ret);
void plan_leaving_free(struct plan_leaving *leaving, size_t n);
