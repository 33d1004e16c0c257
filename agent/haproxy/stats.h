/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The CSV of "show stat". Columns are found by the names in its first line, so any version will do.
 *
 * Source: HAProxy management guide, 9.1 "CSV format".
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

enum stats_kind {
	STATS_FRONTEND = 0, /* the values of the CSV's "type" column */
	STATS_BACKEND = 1,
	STATS_SERVER = 2,
	STATS_LISTENER = 3,
};

struct stats_row {
	enum stats_kind kind;
	const char *proxy;        /* pxname */
	const char *name;         /* svname */
	const char *status;       /* "OPEN", "UP", "DOWN 1/2", "no check", … */
	const char *check_status; /* "L4CON", "L7OK", … or "" */
	const char *last_check;   /* last_chk: words of the last check, or "" */
	int64_t weight;
	int64_t bytes_in, bytes_out;
	int64_t current_sessions; /* scur */
	int64_t total_sessions;   /* stot */
	int64_t request_errors;   /* ereq */
	int64_t requests;         /* req_tot: HTTP requests of frontends and backends */
};

struct stats_table {
	struct stats_row *rows; /* in HAProxy's order; strings point into storage */
	size_t n_rows;
	char *storage;
};

/* Takes "csv" (malloc'ed; owned by the table or freed on failure). Missing columns and rows that
 * are cut short are errors (ERROR_INTERNAL with a line number), but "req_tot"; missing numbers count as
 * 0. */
int stats_parse(char *csv, size_t length, struct stats_table *ret, struct error *err);
void stats_done(struct stats_table *table);
#define _cleanup_stats_ _cleanup_(stats_done)
