/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Client of HAProxy's Runtime API (a worker's stats socket) and of the master's CLI.
 *
 * Blocking, with a deadline for the whole exchange. A connection is opened per call: HAProxy closes
 * it after one command line. Replies are taken as hostile: bounded, and parsed without trust.
 *
 * Source: HAProxy management guide, 9.3 "Unix Socket commands" and 9.4 "Master CLI".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/error.h"

enum {
	RUNTIME_TIMEOUT_MS = 2000,
	RUNTIME_REPLY_LIMIT = 64 << 20, /* bytes: "show stat" of 100 000 servers is about 40 MB */
};

/* Sends one command line (several commands may be joined with ';'; no newline in it unless it
 * carries a payload: "… <<", then lines of which none is empty) and reads the reply until HAProxy
 * closes. -EINVAL, -ETIMEDOUT, -ECONNREFUSED, -ENOENT, -EFBIG …; the text is the caller's. */
int runtime_command(const char *socket_path, const char *command, int timeout_ms, char **ret_reply,
	size_t *ret_length, struct error *err);

/* The same, and the reply is given away as it comes, in pieces that end anywhere. "take" fails with a negative errno,
 * which ends the exchange. */
typedef int (*runtime_take)(void *userdata, const char *bytes, size_t length, struct error *err);
int runtime_command_pieces(const char *socket_path, const char *command, int timeout_ms, runtime_take take, void *userdata,
	struct error *err);

/* The same on the master's socket, which has no "non-interactive mode" (management guide,
 * "prompt"): it closes only after we have closed our direction, so runtime_command() would run into
 * its deadline there. While the master reloads it refuses connections for some milliseconds: try
 * again. */
int runtime_master_command(const char *master_socket, const char *command, int timeout_ms,
	char **ret_reply, size_t *ret_length, struct error *err);

/*
 * Many commands on one connection, each answered before the next one is sent: HAProxy's interactive
 * mode (management guide, 9.3, "prompt"). What cannot be told apart there, a command with a payload
 * or several joined with ';', gets a connection of its own, as with runtime_command().
 */
struct runtime_session;

int runtime_session_open(const char *socket_path, int timeout_ms, struct runtime_session **ret,
	struct error *err);
/* "timeout_ms" is for this exchange. The reply, without the newlines around it, is the caller's.
 * After a failure the session is of no use any more. */
int runtime_session_command(struct runtime_session *session, const char *command, int timeout_ms,
	char **ret_reply, struct error *err);
void runtime_session_close(struct runtime_session *session);
DEFINE_CLEANUP(struct runtime_session *, runtime_session_close);

struct runtime_worker {
	pid_t pid;
	unsigned reloads; /* reloads that this worker has lived through: 0 is the newest */
	int64_t uptime_s;
	bool old; /* listed under "# old workers": leaves when its connections are gone */
	char version[32];
};

/* The answer to the master's "show proc". */
struct runtime_processes {
	pid_t master_pid;
	unsigned reloads;               /* of the master */
	unsigned failed_reloads;        /* since the last good one; 0 where the version does not say
					   (before 2.5) */
	bool has_failed_reloads;        /* the version says */
	bool all_were_old;              /* as the master has it; from 3.1 on, after a reload that failed.
					   The newest is taken for the current one then */
	struct runtime_worker *workers; /* current worker first, then the old ones */
	size_t n_workers;
};

int runtime_parse_processes(const char *reply, struct runtime_processes *ret, struct error *err);
int runtime_processes(const char *master_socket, int timeout_ms, struct runtime_processes *ret,
	struct error *err);
void runtime_processes_done(struct runtime_processes *processes);
/* The worker that takes new connections, or NULL while there is none. From 3.1 on a worker is
 * listed before it has loaded its configuration: during a reload this is still the former one,
 * during the first start it is the one that loads. */
const struct runtime_worker *runtime_current_worker(const struct runtime_processes *processes);

/* HAProxy's version from "haproxy -v": "2.6.12-1+deb12u4". */
struct haproxy_version {
	unsigned major, minor;
	char text[48];
};

int haproxy_version_parse(const char *output, struct haproxy_version *ret, struct error *err);
static inline bool haproxy_version_at_least(
	const struct haproxy_version *v, unsigned major, unsigned minor)
{
	return v->major > major || (v->major == major && v->minor >= minor);
}
