/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/leaving.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"
#include "agent/haproxy/stats.h"

enum { ASK_AGAIN_MS = 5 };

struct leaving_worker {
	struct runtime_session *session;
};

int leaving_worker_keep(const char *stats_socket, struct leaving_worker **ret, struct error *err)
{
	_cleanup_(leaving_worker_releasep) struct leaving_worker *worker = calloc(1, sizeof(*worker));
	_cleanup_free_ char *reply = NULL;
	int r;

	if (!worker)
		return error_set_errno(err, -ENOMEM, "%s", stats_socket);
	r = runtime_session_open(stats_socket, RUNTIME_TIMEOUT_MS, &worker->session, err);
	/* Idle connections are closed after 10 s otherwise ("timeout stats"), and large configurations take a while to load. */
	if (r == 0)
		r = runtime_session_command(worker->session, "set timeout cli 120", RUNTIME_TIMEOUT_MS, &reply, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(worker);
	return 0;
}

/* A frontend that has stopped listening is "STOP"; up to 2.4 it is not told of any more. */
static bool listens(const struct stats_table *frontends)
{
	for (size_t i = 0; i < frontends->n_rows; i++)
		if (!streq(frontends->rows[i].status, "STOP"))
			return true;
	return false;
}

int leaving_worker_wait(struct leaving_worker *worker, int timeout_ms)
{
	int64_t deadline = process_now_ms() + timeout_ms;

	for (;;) {
		_cleanup_stats_ struct stats_table frontends = {0};
		_cleanup_text_ struct text csv = TEXT_INIT;
		_cleanup_free_ char *reply = NULL;
		int64_t left = deadline - process_now_ms();
		int r;

		if (left <= 0)
			return -ETIMEDOUT;
		r = runtime_session_command(worker->session, "show stat -1 1 -1", (int)left, &reply, NULL);
		if (r < 0)
			return r;
		text_printf(&csv, "%s\n", reply); /* the session trims the end of the last row */
		r = csv.failed ? -ENOMEM : stats_parse(csv.data, csv.length, &frontends, NULL);
		if (r < 0 || !listens(&frontends))
			return r;
		poll(NULL, 0, ASK_AGAIN_MS);
	}
}

void leaving_worker_release(struct leaving_worker *worker)
{
	if (!worker)
		return;
	runtime_session_close(worker->session);
	free(worker);
}
