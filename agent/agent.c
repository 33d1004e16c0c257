/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "agent/agent_internal.h"
#include "agent/base/process.h"
#include "agent/haproxy/check.h"

enum {
	LOOK_AFTER_INTERVAL_MS = 10000,
	FREE_MEMORY_MAX = 128 * 1024, /* bytes that the allocator may keep */
};

struct agent *agent_allocate(struct config *config)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (!agent) {
		config_free(config);
		return NULL;
	}
	agent->config = config;
	agent->base_fd = agent->lock_fd = -1;
	return agent;
}

static int open_parts(struct agent *agent, struct error *err)
{
	_cleanup_(process_job_done) struct process_job version = PROCESS_JOB_INIT;
	int r;

	/* Two programs run beside the rest: "haproxy -v" and, from agent_open_network() on, systemd-sysctl. */
	r = haproxy_begin_version(agent->config->haproxy_cmd, &version, err);
	if (r == 0)
		r = agent_open_folders(agent, err);
	if (r == 0)
		r = agent_take_lock(agent, err);
	if (r == 0)
		r = agent_open_network(agent, err);
	if (r == 0)
		r = agent_load_templates(agent, err);
	if (r == 0)
		r = agent_open_haproxy(agent, &version, err);
	if (r == 0)
		r = agent_open_keepalived(agent, err);
	return r;
}

/* What is stored is brought to run. */
static int begin(struct agent *agent, struct error *err)
{
	int r;

	network_prepared(agent->network);
	r = registry_load(agent->registry, true, err);
	if (r == 0)
		r = keepalived_begin(agent->keepalived, err);
	return r == 0 ? health_start(agent->health, err) : r;
}

int agent_new(struct config *config, char **config_files, int fixed_log_level, struct agent **ret, struct error *err)
{
	_cleanup_(agent_freep) struct agent *agent = NULL;
	struct health_options options;
	int r;

	agent = agent_allocate(config);
	if (!agent)
		return error_set_errno(err, -ENOMEM, "agent");
	agent->config_files = config_files;
	agent->fixed_log_level = fixed_log_level;
	agent->heartbeat_interval_s = config->heartbeat_interval_s;
	agent->look_after_at_ms = process_now_ms() + LOOK_AFTER_INTERVAL_MS;
	r = open_parts(agent, err);
	if (r < 0)
		return r;
	options = agent_health_options(agent, config);
	r = health_new(&options, &agent->health, err);
	if (r < 0)
		return r;
	agent->instance_settings.before_reload = agent_read_counters;
	agent->instance_settings.after_reload = agent_read_counters;
	agent->instance_settings.after_start = agent_advertise_vips;
	agent->instance_settings.userdata = agent;
	r = begin(agent, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(agent);
	return 0;
}

/* What a large request left goes back to the machine: it may be the last one for weeks. */
static void trim_memory(void)
{
	struct mallinfo2 memory = mallinfo2();

	if (memory.fordblks > FREE_MEMORY_MAX)
		malloc_trim(0);
}

static void *look_after(void *userdata)
{
	struct agent *agent = userdata;

	registry_look_after(agent->registry);
	trim_memory();
	__atomic_store_n(&agent->looks_after, false, __ATOMIC_RELEASE);
	return NULL;
}

static void join_look_after(struct agent *agent)
{
	if (agent->look_after_joinable)
		pthread_join(agent->look_after_thread, NULL);
	agent->look_after_joinable = false;
}

void agent_look_after(struct agent *agent)
{
	int64_t now = process_now_ms();

	if (now < agent->look_after_at_ms || __atomic_load_n(&agent->looks_after, __ATOMIC_ACQUIRE))
		return;
	agent->look_after_at_ms = now + LOOK_AFTER_INTERVAL_MS;
	join_look_after(agent);
	__atomic_store_n(&agent->looks_after, true, __ATOMIC_RELEASE);
	agent->look_after_joinable = pthread_create(&agent->look_after_thread, NULL, look_after, agent) == 0;
	if (!agent->look_after_joinable)
		__atomic_store_n(&agent->looks_after, false, __ATOMIC_RELEASE);
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	join_look_after(agent);
	health_free(agent->health);
	keepalived_free(agent->keepalived);
	registry_free(agent->registry);
	certificate_store_free(agent->certificates);
	if (agent->supervisor)
		agent->supervisor->operations->free(agent->supervisor);
	network_free(agent->network);
	template_free(agent->template);
	template_free(agent->lvs_template);
	close_keep_errno(agent->base_fd);
	close_keep_errno(agent->lock_fd);
	config_free(agent->config);
	free(agent);
}
