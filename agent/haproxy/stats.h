/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The CSV of "show stat". Columns are found by the names in its first line, so any version will do.
 *
 * Source: HAProxy management guide, 9.1 "CSV format".
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/base/arena.h"
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
	struct stats_row *rows; /* in HAProxy's order; a string that is the former row's, too, is the same pointer */
	size_t n_rows;
	struct arena strings;
};

/* Missing columns and rows that are cut short are errors (ERROR_INTERNAL with a line number), but "req_tot"; missing
 * numbers count as 0. */
int stats_parse(const char *csv, size_t length, struct stats_table *ret, struct error *err);
void stats_done(struct stats_table *table);
#define _cleanup_stats_ _cleanup_(stats_done)

/* The same of a reply that comes in pieces: it has a quarter of a kilobyte for each server, of which little is kept. */
struct stats_reader;

int stats_reader_new(struct stats_reader **ret);
void stats_reader_free(struct stats_reader *reader);
DEFINE_CLEANUP(struct stats_reader *, stats_reader_free);
/* After a failure the reader is of no use any more. */
int stats_reader_feed(struct stats_reader *reader, const char *bytes, size_t length, struct error *err);
int stats_reader_finish(struct stats_reader *reader, struct stats_table *ret, struct error *err);
