/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/definition/grammar.h"
#include "agent/haproxy/check.h"
#include "agent/haproxy/listeners.h"
#include "agent/health/sender.h"
#include "agent/keepalived/lvs_config.h"
#include "agent/network/advertise.h"
#include "agent/targets.h"

#define LOCK_FILE ".amphorad.lock"
#define CERTIFICATE_FOLDER "certificates"

enum {
	STOP_OTHER_TIMEOUT_MS = 60000,
	STOP_HAPROXY_GRACEFUL_MS = 0,
	LOOK_AFTER_INTERVAL_MS = 10000,
	FREE_MEMORY_MAX = 512 * 1024, /* bytes that the allocator may keep */
};

/* Rules that need more than the option table knows. */
static int check_config(const struct config *config, struct error *err)
{
	_cleanup_(sender_freep) struct sender *sender = NULL;
	_cleanup_free_ char *vip = NULL;
	int r;

	r = sender_new(config->controller_ip_port_list, &sender, err);
	if (r < 0)
		return error_wrap(err, r, "[health_manager] controller_ip_port_list");
	if (grammar_address(config->default_vip_address, &vip) < 0)
		return error_set(err, ERROR_INVALID, NULL, "[amphorad] default_vip_address must be an IP address");
	if (config->socket_group[0] && !getgrnam(config->socket_group))
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] socket_group: there is no group %s: create it (groupadd --system %s) or leave it empty",
			config->socket_group, config->socket_group);
	return 0;
}

/* A content that counts instead of a file's. */
struct replacement {
	const char *file; /* NULL: none */
	const char *text;
	size_t length;
};

static int read_files(char *const *files, const struct replacement *replacement, struct config **ret, struct error *err)
{
	_cleanup_config_ struct config *config = NULL;
	int r;

	r = config_new(&config, err);
	STRV_FOREACH(file, files ? files : (char *const *)config_default_files) {
		if (r == 0 && streq_null(*file, replacement->file))
			r = config_read_text(config, *file, replacement->text, replacement->length, err);
		else if (r == 0 && (files || access(*file, F_OK) == 0)) /* none of the default ones is needed */
			r = config_read(config, *file, err);
	}
	if (r == 0)
		r = config_check(config, err);
	if (r == 0)
		r = check_config(config, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(config);
	return 0;
}

int agent_read_config(char *const *files, struct config **ret, struct error *err)
{
	static const struct replacement none;

	return read_files(files, &none, ret, err);
}

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

static void fill_settings(struct agent *agent)
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

/* The supervisor has logged what happened; this adds what HAProxy said itself. */
static void on_haproxy_event(void *userdata, const struct supervisor_report *report)
{
	(void)userdata;
	if (report->event != SUPERVISOR_RESTARTED && report->messages[0])
		log_lb(LOG_ERR, report->lb_id, "last words of HAProxy: %s", report->messages);
}

int agent_health_target(struct instance *instance, struct health_target *ret)
{
	_cleanup_(health_target_done) struct health_target target = {0};

	memcpy(target.lb_id, instance->id, sizeof(target.lb_id));
	target.stats_socket = strdup(instance->stats_socket);
	target.master_socket = strdup(instance->master_socket);
	if (!target.stats_socket || !target.master_socket ||
		instance_leaving(instance, &target.leaving, &target.n_leaving) < 0)
		return -ENOMEM;
	*ret = target;
	target = (struct health_target){0};
	return 0;
}

/* The last look at a worker's counters before it is replaced. */
static void read_counters(void *userdata, const char *lb_id, const char *stats_socket, const char *master_socket)
{
	struct agent *agent = userdata;
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	_cleanup_(health_target_done) struct health_target target = {0};
	_cleanup_instance_ struct instance *instance = NULL;
	struct health_target bare = {
		.stats_socket = (char *)stats_socket, .master_socket = (char *)master_socket};
	bool known = registry_get(agent->registry, lb_id, &instance, NULL) == 0 &&
		agent_health_target(instance, &target) == 0;

	snprintf(bare.lb_id, sizeof(bare.lb_id), "%s", lb_id);
	health_snapshot(agent->health, known ? &target : &bare, 0, &snapshot, NULL);
}

/* Where the VIPs are now. Of two amphorae that share them, keepalived tells, which knows the one that has them. */
static void advertise_vips(void *userdata, const char *lb_id, const char *text, size_t length)
{
	const struct agent *agent = userdata;
	_cleanup_strv_ char **addresses = NULL;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	(void)lb_id;
	if (streq(agent->config->loadbalancer_topology, "ACTIVE_STANDBY"))
		return;
	if (cfg_parse(text, length, &cfg, NULL) == 0 && cfg_vip_addresses(&cfg, &addresses) == 0)
		advertise_addresses(agent->instance_settings.network_namespace, addresses);
}

/* The same of a listener of UDP or SCTP. */
static void advertise_lvs_vips(void *userdata, const char *listener_id)
{
	const struct agent *agent = userdata;
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	_cleanup_strv_ char **addresses = NULL;
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (keepalived_read_lvs(agent->keepalived, listener_id, &text, &length) == 0 &&
		lvs_config_parse(text, length, &config) == 0 && lvs_config_vips(&config, &addresses) == 0)
		advertise_addresses(agent->instance_settings.network_namespace, addresses);
}

static struct health_options health_options_of(struct agent *agent, const struct config *config)
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

static int open_folders(struct agent *agent, struct error *err)
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

/* One agent a base_path. The file also names our process, for --stop-all. */
static int take_lock(struct agent *agent, struct error *err)
{
	char pid[16];
	int r;

	r = fileio_lock(agent->base_fd, LOCK_FILE, &agent->lock_fd);
	if (r == -EWOULDBLOCK)
		return error_set(err, ERROR_CONFLICT, NULL,
			"another amphorad works in %s: stop it first, or choose another base_path",
			agent->config->base_path);
	if (r < 0)
		return error_set_errno(err, r, "cannot lock %s/" LOCK_FILE, agent->config->base_path);
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(agent->lock_fd, 0) < 0 || fileio_write_all(agent->lock_fd, pid, strlen(pid)) < 0)
		return error_set_errno(err, -errno, "cannot write %s/" LOCK_FILE, agent->config->base_path);
	return 0;
}

static int open_supervisor(struct agent *agent, struct error *err)
{
	const char *wanted = agent->config->supervisor;
	/* Only root may drive systemd's units. */
	bool systemd = streq(wanted, "systemd") ||
		(streq(wanted, "auto") && geteuid() == 0 && supervisor_systemd_is_running());

	agent->keepalived_settings.systemd = systemd;
	return systemd ? supervisor_systemd_new(on_haproxy_event, agent, &agent->supervisor, err)
		       : supervisor_direct_new(on_haproxy_event, agent, &agent->supervisor, err);
}

static int open_certificates(struct agent *agent, struct error *err)
{
	_cleanup_free_ char *folder = NULL;

	if (asprintf(&folder, "%s/" CERTIFICATE_FOLDER, agent->config->base_path) < 0)
		return error_set_errno(err, -ENOMEM, "certificates");
	return certificate_store_open(folder, &agent->certificates, err);
}

static int open_haproxy(struct agent *agent, struct error *err)
{
	int r;

	r = haproxy_ask_version(agent->config->haproxy_cmd, &agent->instance_settings.version, err);
	if (r < 0)
		return r;
	if (!haproxy_version_at_least(&agent->instance_settings.version, 2, 4))
		return error_set(err, ERROR_INVALID, NULL, "HAProxy %s is too old: 2.4 or later is needed",
			agent->instance_settings.version.text);
	r = open_supervisor(agent, err);
	if (r == 0)
		r = open_certificates(agent, err);
	if (r < 0)
		return r;
	fill_settings(agent);
	return registry_new(&agent->instance_settings, &agent->registry, err);
}

/* Before the first HAProxy, which has to find its interfaces. */
static int open_network(struct agent *agent, struct error *err)
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

static int open_keepalived(struct agent *agent, struct error *err)
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
	settings->after_start = settings->active_standby ? NULL : advertise_lvs_vips;
	r = keepalived_new(settings, &agent->keepalived, err);
	agent->instance_settings.keepalived = agent->keepalived;
	return r;
}

static int load_template(struct agent *agent, struct error *err)
{
	int r = template_load(agent->config->template_dir, "haproxy.cfg", &agent->template, err);

	if (r == 0)
		r = template_load(agent->config->template_dir, RENDER_LVS_TEMPLATE, &agent->lvs_template, err);
	return r < 0 ? error_wrap(err, r, "[amphorad] template_dir") : 0;
}

/* Takes the configuration, also when there is no memory and NULL is returned. */
static struct agent *allocate(struct config *config)
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

int agent_new(struct config *config, char **config_files, int fixed_log_level, struct agent **ret, struct error *err)
{
	_cleanup_(agent_freep) struct agent *agent = NULL;
	struct health_options options;
	int r;

	agent = allocate(config);
	if (!agent)
		return error_set_errno(err, -ENOMEM, "agent");
	agent->config_files = config_files;
	agent->fixed_log_level = fixed_log_level;
	agent->heartbeat_interval_s = config->heartbeat_interval_s;
	agent->look_after_at_ms = process_now_ms() + LOOK_AFTER_INTERVAL_MS;
	r = open_folders(agent, err);
	if (r == 0)
		r = take_lock(agent, err);
	if (r == 0)
		r = load_template(agent, err);
	if (r == 0)
		r = open_network(agent, err);
	if (r == 0)
		r = open_haproxy(agent, err);
	if (r == 0)
		r = open_keepalived(agent, err);
	if (r < 0)
		return r;
	options = health_options_of(agent, config);
	r = health_new(&options, &agent->health, err);
	if (r < 0)
		return r;
	agent->instance_settings.before_reload = read_counters;
	agent->instance_settings.after_start = advertise_vips;
	agent->instance_settings.userdata = agent;
	r = registry_load(agent->registry, true, err);
	if (r == 0)
		r = keepalived_begin(agent->keepalived, err);
	if (r == 0)
		r = health_start(agent->health, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(agent);
	return 0;
}

const char *agent_controller_file(const struct agent *agent)
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

void agent_set_log_level(const struct agent *agent, const struct config *config)
{
	log_set_level(agent->fixed_log_level >= 0 ? agent->fixed_log_level : config->debug ? LOG_DEBUG : LOG_INFO);
}

int agent_reconfigure(struct agent *agent, const char *replacement, size_t length, struct error *err)
{
	const struct replacement in_place = {
		replacement ? agent_controller_file(agent) : NULL, replacement, length};
	_cleanup_config_ struct config *config = NULL;
	struct health_options options;
	int r;

	r = read_files(agent->config_files, &in_place, &config, err);
	if (r < 0)
		return r;
	if (replacement) {
		r = fileio_write(AT_FDCWD, agent_controller_file(agent), replacement, length, 0600);
		if (r < 0)
			return error_set_errno(err, r, "cannot write %s", agent_controller_file(agent));
	}
	options = health_options_of(agent, config);
	r = health_reconfigure(agent->health, &options, err);
	if (r < 0)
		return r;
	__atomic_store_n(&agent->heartbeat_interval_s, config->heartbeat_interval_s, __ATOMIC_RELAXED);
	agent_set_log_level(agent, config);
	log_notice("configuration read again: heartbeats and log level follow it, the rest at the next start");
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

/* Ends the agent that holds the lock, if one does, and takes the lock over. */
static int stop_running_agent(struct agent *agent, struct error *err)
{
	int64_t deadline = process_now_ms() + STOP_OTHER_TIMEOUT_MS;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int pidfd = -1;
	int64_t pid;
	int r;

	r = take_lock(agent, err);
	if (r != error_code_to_errno(ERROR_CONFLICT))
		return r;
	error_done(err);
	r = fileio_read(agent->base_fd, LOCK_FILE, 64, &text, NULL);
	if (r < 0)
		return error_set_errno(err, r, "cannot read %s/" LOCK_FILE, agent->config->base_path);
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
	return take_lock(agent, err);
}

/* VRRP gives the VIP away when nobody serves it any more, and not before. */
static int stop_keepalived(struct agent *agent, struct error *err)
{
	int r = open_keepalived(agent, err);

	return r < 0 ? r : keepalived_stop_all(agent->keepalived, err);
}

int agent_stop_all(struct config *config, struct error *err)
{
	_cleanup_(agent_freep) struct agent *agent = NULL;
	int r;

	agent = allocate(config);
	if (!agent)
		return error_set_errno(err, -ENOMEM, "agent");
	r = open_folders(agent, err);
	if (r == 0)
		r = stop_running_agent(agent, err);
	if (r == 0)
		r = open_supervisor(agent, err);
	if (r < 0)
		return r;
	fill_settings(agent);
	r = registry_new(&agent->instance_settings, &agent->registry, err);
	if (r == 0)
		r = registry_load(agent->registry, false, err);
	if (r == 0)
		r = registry_stop_all(agent->registry, STOP_HAPROXY_GRACEFUL_MS, err);
	return r < 0 ? r : stop_keepalived(agent, err);
}
