/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The answer to "show servers state": what the running process says of its servers. Of the columns only the names count,
 * not their places.
 *
 * Source: management guide, "show servers state"; enum srv_admin and srv_state in HAProxy's server-t.h, the same from 2.4
 * to 3.4.
 */

#include <stdint.h>

/* Of SERVER_STATE and SERVER_ADMIN. */
enum {
	SERVER_STATE_RUNNING = 2,
	SERVER_ADMIN_MAINTENANCE = 0x01 | 0x02 | 0x20, /* forced, inherited, no address; 0x04 only says how it began */
	SERVER_ADMIN_DRAIN = 0x08 | 0x10,
};

enum server_column {
	SERVER_BACKEND,
	SERVER_NAME,
	SERVER_ID,
	SERVER_ADDRESS,
	SERVER_PORT,
	SERVER_STATE,
	SERVER_ADMIN,
	SERVER_WEIGHT,
	SERVER_SSL,
	SERVER_CHECK_ADDRESS,
	SERVER_CHECK_PORT,
	N_SERVER_COLUMNS,
};

struct server_row {
	const char *values[N_SERVER_COLUMNS];
};

/* A number in a row; -1: it is none. */
int64_t server_row_number(const struct server_row *row, enum server_column column);

/* Calls for each row, until a result is not 0, and returns that. -EBADMSG for an answer without the line that names the
 * columns. */
typedef int (*server_row_callback)(void *userdata, const struct server_row *row);
int servers_state_each(const char *servers_state, server_row_callback callback, void *userdata);
