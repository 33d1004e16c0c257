/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Plans carried out on the real HAProxy: a process that was brought from one configuration to another at run time must be like
 * one that was started from the other.
 */

#include "agent/haproxy/plan.h"

enum {
	DEADLINE_MS = 10000,
	STEP_MS = 5000,
	N_SERVERS = 6,
	N_SEQUENCES = 6,
	N_CHANGES = 15,
};

struct haproxy {
	char folder[64], socket[96];
	pid_t pid;
	int pidfd;
};

char *format_text(const char *format, ...) _printf_(1, 2);
void write_file(const struct haproxy *haproxy, const char *name, const char *content);
char *ask(const struct haproxy *haproxy, const char *command);
void make_folder(struct haproxy *haproxy);
/* One process without a master, with what the test configurations share. The folder is there, with
 * its files. */
void start(struct haproxy *haproxy, const char *text);
void stop(struct haproxy *haproxy);
void remove_folder(struct haproxy *haproxy);
/* As whoever carries plans out: in order, each answer as it is expected. */
void apply(const struct haproxy *haproxy, const struct plan *plan);

struct situation {
	const char *running, *wanted;
	const struct plan_file *files;
	size_t n_files;
	const struct plan_leaving *leaving;
	size_t n_leaving;
	unsigned hard_maxconn;
};

struct plan make_plan(const struct haproxy *haproxy, const struct situation *situation);
void check_state(const struct haproxy *haproxy, const char *wanted,
	const struct plan_leaving *leaving, size_t n_leaving);
/* The process that was changed beside a fresh one. */
void compare_with_fresh(const struct haproxy *haproxy, const char *wanted,
	const struct plan_leaving *leaving, size_t n_leaving);
bool haproxy_is_there(void);
