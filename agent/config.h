/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The configuration: INI files as Octavia writes them (oslo.config), one option table (config.c) for parsing, defaults,
 * checks and the man page (a test compares them). Later files win.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"

struct config {
	/* [DEFAULT] */
	bool debug;
	/* [haproxy_amphora] */
	char *base_path;
	char *base_cert_dir;
	char *bind_host;
	int64_t bind_port;
	char *haproxy_cmd;
	char *haproxy_stick_size;
	int64_t default_connection_limit;
	int64_t timeout_client_data_ms;
	int64_t timeout_member_connect_ms;
	int64_t timeout_member_data_ms;
	int64_t timeout_tcp_inspect_ms;
	bool connection_logging;
	/* [health_manager] */
	char *controller_ip_port_list;
	int64_t heartbeat_interval_s;
	char *heartbeat_key;
	/* [amphora_agent] */
	char *amphora_id;
	char *agent_server_ca;
	char *agent_server_cert;
	char *agent_tls_protocol;
	char *agent_server_network_dir;
	int64_t administrative_log_facility;
	int64_t user_log_facility;
	/* [controller_worker] */
	char *loadbalancer_topology;
	/* [amphorad] */
	char *listen;
	char *socket_group;
	char *supervisor;
	char *network_namespace;
	char *default_vip_address;
	char *template_dir;
	char *tools_dir;
	char *keepalived_cmd;
	char *run_dir;
	char *haproxy_user;
	char *haproxy_group;
	char *haproxy_log;
	bool runtime_updates;
	int64_t hard_stop_after_s;
	int64_t max_old_workers;
	int64_t worker_threads;
	int64_t max_connections;
};

enum option_type {
	OPTION_STRING,
	OPTION_BOOL,
	OPTION_INTEGER,
	OPTION_ACCEPTED, /* Octavia writes it, it means nothing here */
};

struct option_row {
	const char *section;
	const char *name;
	enum option_type type;
	size_t offset;
	int64_t minimum, maximum;
	const char *default_text; /* as it would stand in the file; NULL: empty */
	bool secret;              /* never printed */
	const char *help;         /* one line: what, and the unit */
};

/* Ends in a row without a name. */
extern const struct option_row config_options[];

/* All defaults. */
int config_new(struct config **ret, struct error *err);
/* Reads a file over what is there. ERROR_INVALID with "file:line". Unknown options of known sections are logged. */
int config_read(struct config *config, const char *path, struct error *err);
/* The same from memory; "name" stands for the file in messages. */
int config_read_text(struct config *config, const char *name, const char *text, size_t length, struct error *err);
/* The rules between options, after the last file; "auto" becomes what it means. */
int config_check(struct config *config, struct error *err);

/* A content that counts instead of a file's. */
struct config_replacement {
	const char *file;
	const char *text;
	size_t length;
};
/* All of this: defaults, "files" in their order (NULL: those of config_default_files that are there), and the rules.
 * "replacement" may be NULL. */
int config_load(char *const *files, const struct config_replacement *replacement, struct config **ret,
	struct error *err);

void config_free(struct config *config);
DEFINE_CLEANUP(struct config *, config_free);
#define _cleanup_config_ _cleanup_(config_freep)

/* The files that are read when none is named: where the build puts its own, and where every Octavia writes its. */
#define CONFIG_OWN_FILE SYSCONF_DIR "/amphorad/amphorad.conf"
#define CONFIG_OCTAVIA_FILE "/etc/octavia/amphora-agent.conf"
extern const char *const config_default_files[];
