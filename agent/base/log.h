/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Logging: to the journal with fields where stderr is connected to it, to stderr elsewhere.
 *
 * Whoever decides what happens next logs, once. Never log keys, bodies or anything read from a secret file.
 * The level is the only mutable global state of the program (set once at start, and when the configuration is
 * replaced).
 */

#include <syslog.h>

#include "agent/base/cleanup.h"

enum log_target {
	LOG_TARGET_AUTO, /* the journal if JOURNAL_STREAM names our stderr (systemd.exec(5)), else stderr */
	LOG_TARGET_JOURNAL,
	LOG_TARGET_STDERR,
};

void log_open(enum log_target target);
/* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG of syslog(3). */
void log_set_level(int level);

/* Journal fields of one line; a NULL member is left out. */
struct log_fields {
	const char *lb_id;      /* LB_ID= */
	const char *request_id; /* REQUEST_ID= */
	const char *member_id;  /* MEMBER_ID= */
};

/* One line, no trailing newline. "fields" may be NULL. Control characters are written as '?'. Keeps errno. */
void log_line(int level, const struct log_fields *fields, const char *format, ...) _printf_(3, 4);

#define log_error(...) log_line(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, NULL, __VA_ARGS__)

/* The same about one load balancer. */
#define log_lb(level, id, ...) log_line(level, &(const struct log_fields){.lb_id = (id)}, __VA_ARGS__)
