/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_internal.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/haproxy/listeners.h"
#include "agent/keepalived/lvs_config.h"
#include "agent/network/advertise.h"

/* The supervisor has logged what happened; this adds what HAProxy said itself. */
void agent_on_haproxy_event(void *userdata, const struct supervisor_report *report)
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

void agent_read_counters(void *userdata, const char *lb_id, const char *stats_socket, const char *master_socket)
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
void agent_advertise_vips(void *userdata, const char *lb_id, const char *text, size_t length)
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
void agent_advertise_lvs_vips(void *userdata, const char *listener_id)
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
