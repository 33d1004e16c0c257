/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>

#include "agent/agent_internal.h"
#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

enum {
	STOP_OTHER_TIMEOUT_MS = 60000,
	STOP_HAPROXY_GRACEFUL_MS = 0,
};

/* Ends the agent that holds the lock, if one does, and takes the lock over. */
static int stop_running_agent(struct agent *agent, struct error *err)
{
	int64_t deadline = process_now_ms() + STOP_OTHER_TIMEOUT_MS;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int pidfd = -1;
	int64_t pid;
	int r;

	r = agent_take_lock(agent, err);
	if (r != error_code_to_errno(ERROR_CONFLICT))
		return r;
	error_done(err);
	r = fileio_read(agent->base_fd, AGENT_LOCK_FILE, 64, &text, NULL);
	if (r < 0)
		return error_set_errno(err, r, "cannot read %s/" AGENT_LOCK_FILE, agent->config->base_path);
	text[strcspn(text, "\n")] = '\0';
	if (text_to_int64(text, &pid) < 0 || pid < 2 || process_open((pid_t)pid, &pidfd) < 0)
		return error_set(err, ERROR_CONFLICT, NULL, "an amphorad works in %s and its process is not known",
			agent->config->base_path);
	log_notice("stopping amphorad, process %lld", (long long)pid);
	r = process_signal(pidfd, SIGTERM);
	if (r == 0)
		r = process_wait_exit(pidfd, (int)(deadline - process_now_ms()));
	if (r < 0 && r != -ESRCH)
		return error_set_errno(err, r, "cannot stop amphorad, process %lld", (long long)pid);
	return agent_take_lock(agent, err);
}

/* VRRP gives the VIP away when nobody serves it any more, and not before. */
static int stop_keepalived(struct agent *agent, struct error *err)
{
	int r = agent_open_keepalived(agent, err);

	return r < 0 ? r : keepalived_stop_all(agent->keepalived, err);
}

int agent_stop_all(struct config *config, struct error *err)
{
	_cleanup_(agent_freep) struct agent *agent = NULL;
	int r;

	agent = agent_allocate(config);
	if (!agent)
		return error_set_errno(err, -ENOMEM, "agent");
	r = agent_open_folders(agent, err);
	if (r == 0)
		r = stop_running_agent(agent, err);
	if (r == 0)
		r = agent_open_supervisor(agent, err);
	if (r < 0)
		return r;
	agent_fill_settings(agent);
	r = registry_new(&agent->instance_settings, &agent->registry, err);
	if (r == 0)
		r = registry_load(agent->registry, false, err);
	if (r == 0)
		r = registry_stop_all(agent->registry, STOP_HAPROXY_GRACEFUL_MS, err);
	return r < 0 ? r : stop_keepalived(agent, err);
}
