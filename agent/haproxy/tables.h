/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Stick tables over a reload: which client belongs to which server, read from the worker that goes and told to the one that
 * comes. Servers are matched by name, since the numbers that HAProxy gives change with their order.
 *
 * HAProxy's own means is a peers section with the local peer. Up to 2.8 a worker teaches its successor only when it has
 * itself finished looking for teachers, which takes a first worker 5 to 10 s, and configurations that Octavia uploads have
 * such a section in an ACTIVE_STANDBY pair only; this works at any time and for all of them. (HAProxy commit
 * b372f16d352b, "Don't start resync on reload if local peer is not up-to-date".)
 *
 * Source: HAProxy management guide, "show table", "set table", "show servers state".
 */

#include <stddef.h>

enum {
	TABLES_LINE_LIMIT = 12000, /* bytes of a command line: HAProxy reads 16 KiB at once */
	TABLES_KEY_LIMIT = 512,
};

/* Names of the tables that have entries, from the answer to "show table". NULL-terminated, the caller's. */
int tables_with_entries(const char *reply, char ***ret_names);

/* Command lines for the new worker that put in the entries of one table: "dump" is the answer to "show table NAME" and the
 * states are the answers to "show servers state" of the old and the new worker. Entries whose server is gone, whose key could
 * not be written in a command or which are no clients of servers are left out. NULL-terminated, the caller's. */
int tables_commands(const char *table, const char *dump, const char *old_state, const char *new_state,
	char ***ret_commands, size_t *ret_entries);
