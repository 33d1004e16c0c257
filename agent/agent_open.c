/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_internal.h"
#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/haproxy/check.h"
#include "agent/targets.h"

#define CERTIFICATE_FOLDER "certificates"

/* Programs that an agent was about to start when it was killed hold its lock until they are executed. */
enum { LOCK_WAIT_MS = 2000 };

/* Which user HAProxy's workers become; none unless we are root. */
static void choose_user(const struct config *config, struct instance_settings *settings)
{
	if (geteuid() != 0)
		return;
	settings->haproxy_user = config->haproxy_user;
	settings->haproxy_group = config->haproxy_group;
	if (!getpwnam(config->haproxy_user)) {
		log_warning("user %s (option haproxy_user) does not exist: HAProxy runs as nobody", config->haproxy_user);
		settings->haproxy_user = "nobody";
	}
	if (!getgrnam(config->haproxy_group)) {
		settings->haproxy_group = getgrnam("nogroup") ? "nogroup" : "nobody";
		log_warning("group %s (option haproxy_group) does not exist: HAProxy runs in group %s",
			config->haproxy_group, settings->haproxy_group);
	}
}

void agent_fill_settings(struct agent *agent)
{
	const struct config *config = agent->config;
	struct instance_settings *settings = &agent->instance_settings;

	agent->definition_defaults = (struct definition_defaults){
		.vip_address = config->default_vip_address,
		.timeout_client_data_ms = config->timeout_client_data_ms,
		.timeout_member_connect_ms = config->timeout_member_connect_ms,
		.timeout_member_data_ms = config->timeout_member_data_ms,
		.timeout_tcp_inspect_ms = config->timeout_tcp_inspect_ms,
	};
	settings->base_path = config->base_path;
	settings->run_dir = config->run_dir;
	settings->haproxy_cmd = config->haproxy_cmd;
	settings->network_namespace = config->network_namespace[0] ? config->network_namespace : NULL;
	settings->runtime_updates = config->runtime_updates;
	settings->hard_stop_after_s = config->hard_stop_after_s;
	settings->max_old_workers = config->max_old_workers;
	settings->template = agent->template;
	settings->lvs_template = agent->lvs_template;
	settings->render_lvs = (struct render_lvs_settings){
		.base_path = config->base_path,
		.network_namespace = config->network_namespace[0] ? config->network_namespace : NULL,
		.default_vip_address = config->default_vip_address,
	};
	settings->supervisor = agent->supervisor;
	settings->render = (struct render_settings){
		.default_vip_address = config->default_vip_address,
		.default_connection_limit = config->default_connection_limit,
		.timeouts = agent->definition_defaults,
		.stick_table_size = config->haproxy_stick_size,
		.tools_dir = config->tools_dir,
		.log_target = config->haproxy_log,
		.user_log_facility = config->user_log_facility,
		.administrative_log_facility = config->administrative_log_facility,
		.connection_logging = config->connection_logging,
		.certificates = agent->certificates,
		.haproxy_major = settings->version.major,
		.haproxy_minor = settings->version.minor,
	};
	choose_user(config, settings);
}

int agent_open_folders(struct agent *agent, struct error *err)
{
	const struct config *config = agent->config;
	int r;

	r = fileio_make_dirs(config->base_path, 0755);
	if (r < 0)
		return error_set_errno(err, r, "cannot create %s (option base_path)", config->base_path);
	r = fileio_make_dirs(config->run_dir, 0755);
	if (r < 0)
		return error_set_errno(err, r, "cannot create %s (option run_dir)", config->run_dir);
	agent->base_fd = open(config->base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (agent->base_fd < 0)
		return error_set_errno(err, -errno, "cannot open %s (option base_path)", config->base_path);
	return 0;
}

int agent_take_lock(struct agent *agent, struct error *err)
{
	char pid[16];
	int r;

	r = fileio_lock(agent->base_fd, AGENT_LOCK_FILE, LOCK_WAIT_MS, &agent->lock_fd);
	if (r == -EWOULDBLOCK)
		return error_set(err, ERROR_CONFLICT, NULL,
			"another amphorad works in %s: stop it first, or choose another base_path",
			agent->config->base_path);
	if (r < 0)
		return error_set_errno(err, r, "cannot lock %s/" AGENT_LOCK_FILE, agent->config->base_path);
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(agent->lock_fd, 0) < 0 || fileio_write_all(agent->lock_fd, pid, strlen(pid)) < 0)
		return error_set_errno(err, -errno, "cannot write %s/" AGENT_LOCK_FILE, agent->config->base_path);
	return 0;
}

int agent_open_supervisor(struct agent *agent, struct error *err)
{
	const char *wanted = agent->config->supervisor;
	/* Only root may drive systemd's units. */
	bool systemd = streq(wanted, "systemd") ||
		(streq(wanted, "auto") && geteuid() == 0 && supervisor_systemd_is_running());
	int r;

	agent->keepalived_settings.systemd = systemd;
	r = systemd ? supervisor_systemd_new(agent_on_haproxy_event, agent, &agent->supervisor, err)
		    : supervisor_direct_new(agent_on_haproxy_event, agent, &agent->supervisor, err);
	return r < 0 ? error_wrap(err, r, "[amphorad] supervisor = %s", wanted) : 0;
}

static int open_certificates(struct agent *agent, struct error *err)
{
	_cleanup_free_ char *folder = NULL;

	if (asprintf(&folder, "%s/" CERTIFICATE_FOLDER, agent->config->base_path) < 0)
		return error_set_errno(err, -ENOMEM, "certificates");
	return certificate_store_open(folder, &agent->certificates, err);
}

static int end_version(struct agent *agent, struct process_job *job, struct error *err)
{
	int r = haproxy_end_version(agent->config->haproxy_cmd, job, &agent->instance_settings.version, err);

	if (r < 0)
		return r;
	if (!haproxy_version_at_least(&agent->instance_settings.version, 2, 4))
		return error_set(err, ERROR_INVALID, NULL, "HAProxy %s is too old: 2.4 or later is needed",
			agent->instance_settings.version.text);
	return 0;
}

int agent_open_haproxy(struct agent *agent, struct process_job *version, struct error *err)
{
	int r;

	r = agent_open_supervisor(agent, err);
	if (r == 0)
		r = open_certificates(agent, err);
	if (r == 0)
		r = end_version(agent, version, err);
	if (r < 0)
		return r;
	agent_fill_settings(agent);
	return registry_new(&agent->instance_settings, &agent->registry, err);
}

int agent_open_network(struct agent *agent, struct error *err)
{
	const struct config *config = agent->config;
	const struct network_settings settings = {
		.network_namespace = config->network_namespace[0] ? config->network_namespace : NULL,
		.interfaces_dir = config->agent_server_network_dir,
		.base_path = config->base_path,
		.tools_dir = config->tools_dir,
		.active_standby = streq(config->loadbalancer_topology, "ACTIVE_STANDBY"),
	};
	int r = network_new(&settings, &agent->network, err);

	return r < 0 ? r : network_prepare(agent->network, err);
}

int agent_open_keepalived(struct agent *agent, struct error *err)
{
	const struct config *config = agent->config;
	struct keepalived_settings *settings = &agent->keepalived_settings;
	int r;

	settings->base_path = config->base_path;
	settings->run_dir = config->run_dir;
	settings->tools_dir = config->tools_dir;
	settings->command = config->keepalived_cmd;
	settings->network_namespace = config->network_namespace[0] ? config->network_namespace : NULL;
	settings->log_facility = config->administrative_log_facility;
	settings->active_standby = streq(config->loadbalancer_topology, "ACTIVE_STANDBY");
	settings->list_sockets = targets_list_sockets;
	settings->userdata = agent;
	settings->after_remove = targets_forget_lvs;
	settings->after_start = settings->active_standby ? NULL : agent_advertise_lvs_vips;
	r = keepalived_new(settings, &agent->keepalived, err);
	agent->instance_settings.keepalived = agent->keepalived;
	return r;
}

int agent_load_templates(struct agent *agent, struct error *err)
{
	int r = template_load(agent->config->template_dir, "haproxy.cfg", &agent->template, err);

	if (r == 0)
		r = template_load(agent->config->template_dir, RENDER_LVS_TEMPLATE, &agent->lvs_template, err);
	return r < 0 ? error_wrap(err, r, "[amphorad] template_dir (where \"make install\" or a package puts the templates)") : 0;
}
