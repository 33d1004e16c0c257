/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/pool_sample.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"

/* Management guide, 9.3: backends (type 2) and their servers (4). */
enum { BACKEND_AND_SERVERS = 2 + 4 };

int pool_sample(const char *socket_path, const char *lb_id, const char *backend, int timeout_ms,
	struct health_snapshot **ret, struct error *err)
{
	_cleanup_free_ char *command = NULL, *reply = NULL;
	_cleanup_stats_ struct stats_table stats = {0};
	size_t length = 0;
	bool answered;
	int r;

	if (asprintf(&command, "show stat %s %d -1", backend, BACKEND_AND_SERVERS) < 0) {
		command = NULL;
		return error_set_errno(err, -ENOMEM, "health of load balancer %s", lb_id);
	}
	r = runtime_command(socket_path, command, timeout_ms, &reply, &length, NULL);
	if (r == -ENOMEM)
		return error_set_errno(err, r, "health of load balancer %s", lb_id);
	answered = r == 0;
	/* Without the line of names it is no table: there is no such backend. */
	if (answered && text_after_prefix(reply, "# ")) {
		r = stats_parse(reply, length, &stats, err);
		if (r < 0)
			return r;
	}
	r = snapshot_from_stats(lb_id, &stats, ret, err);
	if (r == 0)
		(*ret)->answered = answered;
	return r;
}
