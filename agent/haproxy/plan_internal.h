/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parts of the planner share: plan.c compares sections, plan_pool.c the servers of a
 * backend, plan_server.c one server with another, plan_list.c and plan_certificate.c files. Each
 * finds changes, which get steps, and obstacles, which make the plan a reload. Running out of
 * memory is remembered and asked for once, at the end.
 */

#include <jansson.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg_files.h"
#include "agent/haproxy/plan.h"

/* What a version can do at run time; a row holds from its version on. */
struct plan_capabilities {
	unsigned major, minor;
	bool add_server; /* "add server", "del server" outside of the experimental mode, with checks
			    and TLS */
	bool equal_servers; /* an added server has the defaults that one of the configuration has */
	bool delete_http; /* "del server" sees every connection that an HTTP client's session holds
			   */
	bool ca_files;    /* "set ssl ca-file", "set ssl crl-file" */
	bool add_ca;      /* "add ssl ca-file": a CA file in pieces */
	bool random_by_default; /* "balance random" where a backend names no algorithm */
	bool sni_by_itself;     /* "sni-auto" is the default, and not for added servers */
};

const struct plan_capabilities *plan_capabilities_of(const struct haproxy_version *version);

struct plan_reasons {
	char *list[PLAN_MAX_REASONS];
	size_t n;     /* in the list */
	size_t total; /* found */
};

/* In this order whatever order the changes were found in: no pool is ever without a server that it
 * has before and after, and what can be refused comes before what cannot be undone. */
enum plan_phase {
	PLAN_PHASE_LIMIT,
	PLAN_PHASE_CERTIFICATE, /* before the servers and lists that may use it */
	PLAN_PHASE_LIST,
	PLAN_PHASE_ADD, /* more, or the same elsewhere */
	PLAN_PHASE_REPLACE,
	PLAN_PHASE_REMOVE, /* less */
	PLAN_PHASE_FORGET, /* what nothing uses any more */
	PLAN_N_PHASES,
};

enum plan_side {
	PLAN_SIDE_RUNNING,
	PLAN_SIDE_WANTED,
	PLAN_N_SIDES,
};

struct plan_phase_steps {
	struct plan_step *steps;
	size_t n;
};

struct planner {
	const struct plan_input *input;
	const struct plan_capabilities *can;
	struct cfg old, new;
	struct plan_reasons changes, obstacles;
	struct plan_phase_steps phases[PLAN_N_PHASES];
	struct plan_named {
		struct cfg_files files;
		json_t *index;        /* of each name in "files" */
		bool partial;         /* a crt-list is not among the files of the input */
	} named[PLAN_N_SIDES];        /* once plan_files() has begun */
	char **pools;                 /* whose servers change */
	struct plan_leaving *leaving; /* afterwards */
	size_t n_leaving;
	size_t command_limit; /* bytes of a command line with its payload */
	bool failed;          /* out of memory */
};

void planner_change(struct planner *planner, const char *format, ...) _printf_(2, 3);
void planner_obstacle(struct planner *planner, const char *format, ...) _printf_(2, 3);

/* Commands that answer nothing share a step as long as they fit. */
void planner_quiet_step(struct planner *planner, enum plan_phase phase, const char *format, ...)
	_printf_(3, 4);
void planner_step(struct planner *planner, enum plan_phase phase, enum plan_expect expect,
	const char *expected, const char *format, ...) _printf_(5, 6);
/* "payload" may hold a key; it follows the command after "<<" and a newline. */
void planner_payload_step(struct planner *planner, enum plan_phase phase, const char *expected,
	const char *command, const char *payload);
bool planner_has_step(const struct planner *planner, enum plan_phase phase, const char *command);
void planner_delete_step(
	struct planner *planner, enum plan_phase phase, const char *backend, const char *server);
/* Takes "line", which may be NULL. */
void planner_add_leaving(
	struct planner *planner, const char *backend, const char *server, char *line, bool keep);

/* Appends one word of a command, with the Runtime API's backslashes. false for what cannot be said
 * there: control characters, nothing at all, PLAN_VERSION_MARK. */
bool plan_append_word(struct text *text, const char *word);
/* The same into a new string; NULL for what cannot be said, and where memory ran out. */
char *plan_word(struct planner *planner, const char *word);

/* The "defaults" section that a proxy section takes its settings from, NULL if there is none. */
const struct cfg_section *plan_defaults_of(
	const struct cfg *cfg, const struct cfg_section *section);
/* The last line of that keyword (and second word, unless NULL) in the section, else in its
 * defaults, else NULL. */
const struct cfg_line *plan_setting(const struct cfg *cfg, const struct cfg_section *section,
	const char *keyword, const char *second);
/* Whether it has servers that the Runtime API knows. */
bool plan_is_pool(const struct cfg_section *section);
/* "mode http" of a proxy section. */
bool plan_is_http(const struct cfg *cfg, const struct cfg_section *section);
bool plan_must_keep(const struct plan_capabilities *can, bool http);

/* "backend server", as a key; the caller's, NULL where memory ran out. */
char *plan_server_key(const char *backend, const char *server);
/* The keys of all servers of a configuration, as members of an object. */
int plan_server_names(const struct cfg *cfg, json_t *names);
/* Reads "default-server" lines, also those of the section's defaults, into a server. false: server
 * lines do not say alone what servers there are, or what is in them, since a template or a
 * default-server comes among or after them. */
struct plan_server;
bool plan_read_defaults(
	const struct cfg *cfg, const struct cfg_section *section, struct plan_server *ret);
/* The servers of that backend that are up, in use and have a weight: their names, as members of a
 * new object. */
int plan_servers_up(const char *servers_state, const char *backend, json_t **ret);

/* plan_pool.c: the servers of one backend. */
void plan_pool(
	struct planner *planner, const struct cfg_section *before, const struct cfg_section *after);

/* plan_file.c: the files that differ. */
void plan_files(struct planner *planner);
/* What a configuration names a file for, also in its crt-lists as far as the input has them; NULL:
 * for nothing. */
const struct cfg_file *plan_named(
	const struct planner *planner, enum plan_side side, const char *name);
const struct plan_file *plan_find_file(const struct planner *planner, const char *name);

/* plan_list.c, plan_certificate.c: one of them, that is used so. */
void plan_pattern_file(struct planner *planner, const struct plan_file *file, bool is_map);
void plan_certificate(struct planner *planner, const struct plan_file *file);
void plan_crt_list(struct planner *planner, const struct plan_file *file);
void plan_ca_file(struct planner *planner, const struct plan_file *file, bool is_crl);
