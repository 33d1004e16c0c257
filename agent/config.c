/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/config_internal.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/secret.h"
#include "agent/base/text.h"

const char *const config_default_files[] = {CONFIG_OWN_FILE, CONFIG_OCTAVIA_FILE, NULL};

#define STRING(section, name, member, value, help)                                                 \
	{                                                                                          \
		section, name, OPTION_STRING, offsetof(struct config, member), 0, 0, value, false, help \
	}
#define SECRET(section, name, member, help)                                                        \
	{                                                                                          \
		section, name, OPTION_STRING, offsetof(struct config, member), 0, 0, NULL, true, help \
	}
#define BOOLEAN(section, name, member, value, help)                                                \
	{                                                                                          \
		section, name, OPTION_BOOL, offsetof(struct config, member), 0, 0, value, false, help \
	}
#define INTEGER(section, name, member, low, high, value, help)                                     \
	{                                                                                          \
		section, name, OPTION_INTEGER, offsetof(struct config, member), low, high, value, false, help \
	}

/* What HAProxy's timers hold, and what a definition may say (LIMIT_TIMEOUT_MS): 24 days. */
enum { MAX_TIMEOUT_MS = 24 * 24 * 60 * 60 * 1000 };

#define ACCEPTED(section, name, help)                                                             \
	{                                                                                          \
		section, name, OPTION_ACCEPTED, 0, 0, 0, NULL, false, help                         \
	}

/* Octavia's options and defaults: octavia/common/config.py. */
const struct option_row config_options[] = {
	BOOLEAN("DEFAULT", "debug", debug, "false", "log at level debug"),
	ACCEPTED("DEFAULT", "use_syslog", "the log goes to the journal or stderr"),
	ACCEPTED("DEFAULT", "syslog_log_facility", "the log goes to the journal or stderr"),

	STRING("haproxy_amphora", "base_path", base_path, "/var/lib/octavia",
		"folder of load balancers: definitions, configurations, counters"),
	STRING("haproxy_amphora", "base_cert_dir", base_cert_dir, "/var/lib/octavia/certs",
		"folder of certificates that a controller uploads"),
	STRING("haproxy_amphora", "bind_host", bind_host, "::",
		"address of the API with mutual TLS (see agent_server_cert)"),
	INTEGER("haproxy_amphora", "bind_port", bind_port, 0, 65535, "9443",
		"port of the API with mutual TLS; 0 picks a free one"),
	STRING("haproxy_amphora", "haproxy_cmd", haproxy_cmd, DEFAULT_HAPROXY_CMD, "the HAProxy program"),
	STRING("haproxy_amphora", "haproxy_stick_size", haproxy_stick_size, "10k",
		"entries of a stick table, with k or m"),
	INTEGER("haproxy_amphora", "default_connection_limit", default_connection_limit, 1, 1000000, "50000",
		"connections of a listener that sets no limit"),
	INTEGER("haproxy_amphora", "timeout_client_data", timeout_client_data_ms, 0, MAX_TIMEOUT_MS, "50000",
		"default of a listener's timeout_client_data, ms"),
	INTEGER("haproxy_amphora", "timeout_member_connect", timeout_member_connect_ms, 0, MAX_TIMEOUT_MS, "5000",
		"default of a listener's timeout_member_connect, ms"),
	INTEGER("haproxy_amphora", "timeout_member_data", timeout_member_data_ms, 0, MAX_TIMEOUT_MS, "50000",
		"default of a listener's timeout_member_data, ms"),
	INTEGER("haproxy_amphora", "timeout_tcp_inspect", timeout_tcp_inspect_ms, 0, MAX_TIMEOUT_MS, "0",
		"default of a listener's timeout_tcp_inspect, ms"),
	BOOLEAN("haproxy_amphora", "connection_logging", connection_logging, "true",
		"whether HAProxy logs connections (to haproxy_log)"),
	INTEGER("haproxy_amphora", "administrative_log_facility", administrative_log_facility, 0, 7, "1",
		"syslog facility localN of HAProxy's own messages"),
	INTEGER("haproxy_amphora", "user_log_facility", user_log_facility, 0, 7, "0",
		"syslog facility localN of connections"),
	ACCEPTED("haproxy_amphora", "respawn_count", "restarts follow a back-off of their own"),
	ACCEPTED("haproxy_amphora", "respawn_interval", "restarts follow a back-off of their own"),
	ACCEPTED("haproxy_amphora", "use_upstart", "there is no Upstart any more"),

	STRING("health_manager", "controller_ip_port_list", controller_ip_port_list, NULL,
		"controllers that get heartbeats in turn: ADDRESS:PORT, …; empty: none"),
	INTEGER("health_manager", "heartbeat_interval", heartbeat_interval_s, 1, 3600, "10",
		"time between heartbeats and between looks at HAProxy, s"),
	SECRET("health_manager", "heartbeat_key", heartbeat_key, "key that signs heartbeats"),

	STRING("amphora_agent", "amphora_id", amphora_id, NULL, "id of this amphora, in heartbeats"),
	STRING("amphora_agent", "agent_server_ca", agent_server_ca, NULL,
		"CA that signed the controllers' certificates, PEM; with agent_server_cert it opens the API with mutual TLS"),
	STRING("amphora_agent", "agent_server_cert", agent_server_cert, NULL,
		"this agent's private key and certificate in one PEM file"),
	STRING("amphora_agent", "agent_tls_protocol", agent_tls_protocol, "TLSv1.2",
		"lowest version of TLS: TLSv1.2 or TLSv1.3 (lower ones are raised)"),
	STRING("amphora_agent", "agent_server_network_dir", agent_server_network_dir, "/etc/octavia/interfaces",
		"folder of the files that describe the interfaces of the network namespace"),
	ACCEPTED("amphora_agent", "agent_request_read_timeout", "the server has time limits of its own"),
	ACCEPTED("amphora_agent", "amphora_udp_driver", "keepalived_lvs is the only one"),

	STRING("controller_worker", "loadbalancer_topology", loadbalancer_topology, "SINGLE",
		"SINGLE or ACTIVE_STANDBY"),

	STRING("amphorad", "listen", listen, "unix:/run/amphorad/amphorad.sock",
		"where the API is served: unix:PATH, http://127.0.0.1:PORT (loopback only), …"),
	STRING("amphorad", "socket_group", socket_group, NULL,
		"group that may use the unix socket; empty: the agent's own"),
	STRING("amphorad", "supervisor", supervisor, "auto", "who runs HAProxy: systemd, direct (amphorad itself), or auto"),
	STRING("amphorad", "network_namespace", network_namespace, CONFIG_AUTO,
		"network namespace of HAProxy: a name, empty for the agent's own, or auto"),
	STRING("amphorad", "default_vip_address", default_vip_address, "0.0.0.0",
		"VIP of a load balancer that names none"),
	STRING("amphorad", "template_dir", template_dir, TEMPLATE_DIR, "folder of the configuration templates"),
	STRING("amphorad", "tools_dir", tools_dir, TOOLS_DIR, "folder of ping-wrapper.sh and udp_check.sh"),
	STRING("amphorad", "keepalived_cmd", keepalived_cmd, DEFAULT_KEEPALIVED_CMD, "the keepalived program"),
	STRING("amphorad", "run_dir", run_dir, "/run/amphorad", "folder of sockets and process ids of HAProxy"),
	STRING("amphorad", "haproxy_user", haproxy_user, "haproxy",
		"user of HAProxy's workers, when amphorad runs as root"),
	STRING("amphorad", "haproxy_group", haproxy_group, "haproxy",
		"group of HAProxy's workers, when amphorad runs as root"),
	STRING("amphorad", "haproxy_log", haproxy_log, "/dev/log",
		"syslog target of HAProxy: a socket or ADDRESS:PORT; empty: no log"),
	BOOLEAN("amphorad", "runtime_updates", runtime_updates, "true",
		"change HAProxy without a reload where it can be changed so"),
	INTEGER("amphorad", "hard_stop_after_s", hard_stop_after_s, 1, 30 * 86400, "86400",
		"how long a replaced worker may finish its connections, s"),
	INTEGER("amphorad", "max_old_workers", max_old_workers, 1, 1000, "16",
		"replaced workers that may be left; of more, the oldest ones are ended"),
	INTEGER("amphorad", "worker_threads", worker_threads, 1, 64, "16", "requests handled at once"),
	INTEGER("amphorad", "max_connections", max_connections, 8, 65536, "512",
		"connections of each listening socket"),
	{.name = NULL},
};

int config_set_option(const struct option_row *row, struct config *config, const char *value, const char *where,
	struct error *err)
{
	void *target = (char *)config + row->offset;
	int64_t number;
	bool on;
	char *copy;

	switch (row->type) {
	case OPTION_STRING:
		copy = strdup(value);
		if (!copy)
			return error_set_errno(err, -ENOMEM, "%s", row->name);
		free(*(char **)target);
		*(char **)target = copy;
		return 0;
	case OPTION_BOOL:
		if (text_to_bool(value, &on) < 0)
			return error_set(err, ERROR_INVALID, where, "[%s] %s must be true or false, not \"%s\"",
				row->section, row->name, value);
		*(bool *)target = on;
		return 0;
	case OPTION_INTEGER:
		if (text_to_int64(value, &number) < 0 || number < row->minimum || number > row->maximum)
			return error_set(err, ERROR_INVALID, where, "[%s] %s must be a number from %lld to %lld, not \"%s\"",
				row->section, row->name, (long long)row->minimum, (long long)row->maximum, value);
		*(int64_t *)target = number;
		return 0;
	case OPTION_ACCEPTED:
		return 0;
	}
	return -EINVAL;
}

int config_new(struct config **ret, struct error *err)
{
	_cleanup_config_ struct config *config = NULL;

	config = calloc(1, sizeof(*config));
	if (!config)
		return error_set_errno(err, -ENOMEM, "configuration");
	for (const struct option_row *row = config_options; row->name; row++) {
		int r = config_set_option(row, config, row->default_text ? row->default_text : "", "default", err);

		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(config);
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (const struct option_row *row = config_options; row->name; row++) {
		char *text = row->type == OPTION_STRING ? *(char **)((char *)config + row->offset) : NULL;

		if (row->secret)
			secret_free(text);
		else
			free(text);
	}
	free(config);
}

int config_read(struct config *config, const char *path, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = fileio_read(AT_FDCWD, path, 1024 * 1024, &text, &length);
	if (r < 0)
		return error_set_errno(err, r, "%s", path);
	r = config_read_text(config, path, text, length, err);
	explicit_bzero(text, length);
	return r;
}

int config_load(char *const *files, const struct config_replacement *replacement, struct config **ret,
	struct error *err)
{
	_cleanup_config_ struct config *config = NULL;
	int r;

	r = config_new(&config, err);
	STRV_FOREACH(file, files ? files : (char *const *)config_default_files) {
		if (r == 0 && replacement && streq_null(*file, replacement->file))
			r = config_read_text(config, *file, replacement->text, replacement->length, err);
		else if (r == 0 && (files || access(*file, F_OK) == 0)) /* none of the default ones is needed */
			r = config_read(config, *file, err);
	}
	if (r == 0)
		r = config_check(config, err);
	if (r == 0)
		*ret = TAKE_PTR(config);
	return r;
}
