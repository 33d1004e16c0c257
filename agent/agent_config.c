/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_internal.h"
#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/definition/grammar.h"
#include "agent/health/sender.h"
#include "agent/targets.h"

/* Rules that need more than the option table knows. */
static int check_config(const struct config *config, struct error *err)
{
	_cleanup_(sender_freep) struct sender *sender = NULL;
	_cleanup_free_ char *vip = NULL;
	int r;

	r = sender_new(config->controller_ip_port_list, &sender, err);
	if (r < 0)
		return error_wrap(err, r, "[health_manager]");
	if (grammar_address(config->default_vip_address, &vip) < 0)
		return error_set(err, ERROR_INVALID, NULL, "[amphorad] default_vip_address must be an IP address");
	if (config->socket_group[0] && !getgrnam(config->socket_group))
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] socket_group: there is no group %s: create it (groupadd --system %s) or leave it empty",
			config->socket_group, config->socket_group);
	return 0;
}

static int read_files(char *const *files, const struct config_replacement *replacement, struct config **ret,
	struct error *err)
{
	_cleanup_config_ struct config *config = NULL;
	int r;

	r = config_load(files, replacement, &config, err);
	if (r == 0)
		r = check_config(config, err);
	if (r == 0)
		*ret = TAKE_PTR(config);
	return r;
}

int agent_read_config(char *const *files, struct config **ret, struct error *err)
{
	return read_files(files, NULL, ret, err);
}

struct health_options agent_health_options(struct agent *agent, const struct config *config)
{
	return (struct health_options){
		.amphora_id = config->amphora_id,
		.controllers = config->controller_ip_port_list,
		.heartbeat_key = config->heartbeat_key,
		.heartbeat_interval_s = (unsigned)config->heartbeat_interval_s,
		.state_dir_fd = agent->base_fd,
		.list_targets = targets_list,
		.may_send = targets_may_send,
		.userdata = agent,
	};
}

/* The file that belongs to a controller. */
static const char *controller_file(const struct agent *agent)
{
	char *const *files = agent->config_files ? agent->config_files : (char *const *)config_default_files;
	const char *last = NULL;

	STRV_FOREACH(file, files) {
		const char *slash = strrchr(*file, '/');

		last = *file;
		if (streq(slash ? slash + 1 : *file, "amphora-agent.conf"))
			break;
	}
	return last;
}

int64_t agent_heartbeat_interval_s(const struct agent *agent)
{
	return __atomic_load_n(&agent->heartbeat_interval_s, __ATOMIC_RELAXED);
}

static void set_log_level(const struct agent *agent, const struct config *config)
{
	log_set_level(agent->fixed_log_level >= 0 ? agent->fixed_log_level : config->debug ? LOG_DEBUG : LOG_INFO);
}

int agent_reconfigure(struct agent *agent, const char *replacement, size_t length, struct error *err)
{
	const struct config_replacement in_place = {controller_file(agent), replacement, length};
	_cleanup_config_ struct config *config = NULL;
	struct health_options options;
	int r;

	r = read_files(agent->config_files, replacement ? &in_place : NULL, &config, err);
	if (r < 0)
		return r;
	if (replacement) {
		r = fileio_write(AT_FDCWD, controller_file(agent), replacement, length, 0600);
		if (r < 0)
			return error_set_errno(err, r, "cannot write %s", controller_file(agent));
	}
	options = agent_health_options(agent, config);
	r = health_reconfigure(agent->health, &options, err);
	if (r < 0)
		return r;
	__atomic_store_n(&agent->heartbeat_interval_s, config->heartbeat_interval_s, __ATOMIC_RELAXED);
	set_log_level(agent, config);
	log_notice("configuration read again: heartbeats and log level follow it, the rest at the next start");
	return 0;
}
