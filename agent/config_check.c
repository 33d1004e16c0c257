/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config_internal.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>

#include "agent/base/text.h"

#define AMPHORA_NAMESPACE "amphora-haproxy"

/* With the name of a load balancer's socket behind it, it is what HAProxy can bind (instance.c). */
enum { MAX_RUN_DIR = 52 };

static bool is_address(const char *value)
{
	uint8_t address[16];

	return inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1;
}

static bool is_plain_name(const char *value)
{
	return value[strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")] == '\0';
}

/* What can stand unquoted in a configuration of HAProxy as the name of a user or group. */
static int check_account(const char *name, const char *value, struct error *err)
{
	if (!value[0] || value[0] == '-' || !is_plain_name(value))
		return error_set(err, ERROR_INVALID, NULL, "%s must be a name of letters, digits, '_', '.' and '-'", name);
	return 0;
}

/* "auto": as Octavia's agent has it, where Octavia's file says which amphora this is. */
static int settle_namespace(struct config *config, struct error *err)
{
	const char *name = config->network_namespace;
	char *chosen;

	if (streq(name, CONFIG_AUTO)) {
		chosen = strdup(config->amphora_id[0] ? AMPHORA_NAMESPACE : "");
		if (!chosen)
			return error_set_errno(err, -ENOMEM, "network_namespace");
		free(config->network_namespace);
		config->network_namespace = chosen;
		return 0;
	}
	/* It becomes a file name, and an argument in a unit of systemd. */
	if (!is_plain_name(name) || strlen(name) > NAME_MAX || name[0] == '.' || name[0] == '-')
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] network_namespace must be a name of letters, digits, '_', '.' and '-', not \"%s\"",
			name);
	return 0;
}

static int check_absolute(const char *name, const char *value, struct error *err)
{
	if (value[0] != '/')
		return error_set(err, ERROR_INVALID, NULL, "%s must be an absolute path, not \"%s\"", name, value);
	if (text_has_control(value, strlen(value)) || strpbrk(value, " \"'\\$#"))
		return error_set(err, ERROR_INVALID, NULL, "%s must not have blanks, quotes, '\\', '$' or '#'",
			name);
	return 0;
}

int config_check(struct config *config, struct error *err)
{
	const struct {
		const char *name, *value;
	} paths[] = {
		{"[haproxy_amphora] base_path", config->base_path},
		{"[haproxy_amphora] base_cert_dir", config->base_cert_dir},
		{"[amphora_agent] agent_server_network_dir", config->agent_server_network_dir},
		{"[amphorad] template_dir", config->template_dir},
		{"[amphorad] tools_dir", config->tools_dir},
		{"[amphorad] run_dir", config->run_dir},
	};
	int r;

	for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
		r = check_absolute(paths[i].name, paths[i].value, err);
		if (r < 0)
			return r;
	}
	if (strlen(config->run_dir) > MAX_RUN_DIR)
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] run_dir must have at most %d bytes, since names of sockets are limited: %s is too long",
			(int)MAX_RUN_DIR, config->run_dir);
	if (!is_address(config->default_vip_address))
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] default_vip_address must be an IPv4 or IPv6 address, not \"%s\"",
			config->default_vip_address);
	r = check_account("[amphorad] haproxy_user", config->haproxy_user, err);
	if (r == 0)
		r = check_account("[amphorad] haproxy_group", config->haproxy_group, err);
	if (r < 0)
		return r;
	r = settle_namespace(config, err);
	if (r < 0)
		return r;
	if (config->controller_ip_port_list[0] && !config->heartbeat_key[0])
		return error_set(err, ERROR_INVALID, NULL,
			"[health_manager] heartbeat_key is needed to send heartbeats to controller_ip_port_list");
	if (config->controller_ip_port_list[0] && !config->amphora_id[0])
		return error_set(err, ERROR_INVALID, NULL,
			"[amphora_agent] amphora_id is needed to send heartbeats to controller_ip_port_list");
	if (!config->agent_server_ca[0] != !config->agent_server_cert[0])
		return error_set(err, ERROR_INVALID, NULL,
			"[amphora_agent] agent_server_ca and agent_server_cert are needed together");
	if (!streq(config->loadbalancer_topology, "SINGLE") && !streq(config->loadbalancer_topology, "ACTIVE_STANDBY"))
		return error_set(err, ERROR_INVALID, NULL,
			"[controller_worker] loadbalancer_topology must be SINGLE or ACTIVE_STANDBY");
	if (!streq(config->supervisor, "auto") && !streq(config->supervisor, "systemd") &&
		!streq(config->supervisor, "direct"))
		return error_set(err, ERROR_INVALID, NULL, "[amphorad] supervisor must be auto, systemd or direct");
	return 0;
}
