/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/targets.h"

#include <fcntl.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/haproxy/runtime.h"
#include "agent/health/activity.h"
#include "agent/health/pool_sample.h"
#include "agent/keepalived/lvs_config.h"

enum { CONFIG_LIMIT = 16 * 1024 * 1024 };

static int fill_lvs(const struct agent *agent, const struct keepalived_listener *listener, struct health_target *target)
{
	const char *namespace = agent->keepalived_settings.network_namespace;

	memcpy(target->lb_id, listener->id, sizeof(target->lb_id));
	target->lvs_config_file = strdup(listener->config_file);
	target->lvs_check_pid_file = strdup(listener->check_pid_file);
	target->lvs_namespace = namespace ? strdup(namespace) : NULL;
	return target->lvs_config_file && target->lvs_check_pid_file && (!namespace || target->lvs_namespace) ? 0
													     : -ENOMEM;
}

static int fill(const struct agent *agent, struct instance **instances, const struct keepalived_listener *listeners,
	size_t n_listeners, struct health_target *targets, size_t *ret_n)
{
	size_t n = 0;
	int r = 0;

	for (; r == 0 && *instances; instances++)
		if (instance_should_run(*instances))
			r = agent_health_target(*instances, &targets[n++]);
	for (size_t i = 0; r == 0 && i < n_listeners; i++)
		if (listeners[i].runs)
			r = fill_lvs(agent, &listeners[i], &targets[n++]);
	*ret_n = n;
	return r;
}

int targets_list(void *userdata, struct health_target **ret, size_t *ret_n)
{
	const struct agent *agent = userdata;
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	struct keepalived_listener *listeners = NULL;
	struct health_target *targets = NULL;
	size_t n_instances = 0, n_listeners = 0, n = 0;
	int r = -ENOMEM;

	if (registry_list(agent->registry, &instances) < 0 ||
		keepalived_list_lvs(agent->keepalived, &listeners, &n_listeners) < 0)
		return -ENOMEM;
	while (instances[n_instances])
		n_instances++;
	targets = calloc(n_instances + n_listeners + 1, sizeof(*targets));
	if (targets)
		r = fill(agent, instances, listeners, n_listeners, targets, &n);
	keepalived_listeners_free(listeners, n_listeners);
	if (r < 0) {
		health_targets_free(targets, n);
		return r;
	}
	*ret = targets;
	*ret_n = n;
	return 0;
}

static bool is_of(const char *lb_id, const struct keepalived_listener *listener)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	_cleanup_free_ char *text = NULL;
	size_t length;

	return listener->runs && fileio_read_own(AT_FDCWD, listener->config_file, CONFIG_LIMIT, &text, &length) == 0 &&
		lvs_config_parse(text, length, &config) == 0 && streq(config.lb_id, lb_id);
}

/* An answer of IPVS that fails leaves its listener out, as a keepalived that does not run does. */
static int append_lvs(const struct agent *agent, const struct keepalived_listener *listener, int64_t max_age_ms,
	struct health_snapshot *into, struct error *err)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	_cleanup_(health_target_done) struct health_target target = {0};
	int r;

	r = fill_lvs(agent, listener, &target);
	if (r < 0)
		return error_set_errno(err, r, "health");
	r = health_snapshot(agent->health, &target, max_age_ms, &snapshot, err);
	if (r == 0 && snapshot->answered && snapshot_append(into, snapshot) < 0)
		r = error_set_errno(err, -ENOMEM, "health");
	return r;
}

int targets_snapshot(const struct agent *agent, struct instance *instance, int64_t max_age_ms,
	struct health_snapshot **ret, struct error *err)
{
	_cleanup_(health_target_done) struct health_target target = {0};
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	struct keepalived_listener *listeners = NULL;
	size_t n = 0;
	int r;

	if (agent_health_target(instance, &target) < 0)
		return error_set_errno(err, -ENOMEM, "health");
	r = health_snapshot(agent->health, &target, max_age_ms, &snapshot, err);
	if (r < 0)
		return r;
	if (keepalived_list_lvs(agent->keepalived, &listeners, &n) < 0)
		return error_set_errno(err, -ENOMEM, "health");
	for (size_t i = 0; r == 0 && i < n; i++)
		if (is_of(instance->id, &listeners[i]))
			r = append_lvs(agent, &listeners[i], max_age_ms, snapshot, err);
	keepalived_listeners_free(listeners, n);
	if (r == 0)
		*ret = TAKE_PTR(snapshot);
	return r;
}

/* The backend that stands for the pool where several listeners use it: see snapshot_find_pool(). */
static const struct listener *first_user(const struct load_balancer *lb, const struct pool *pool)
{
	for (size_t i = 0; lb->admin_state_up && pool->admin_state_up && i < lb->n_listeners; i++)
		if (lb->listeners[i].admin_state_up && listener_is_haproxy(&lb->listeners[i]) &&
			listener_uses_pool(&lb->listeners[i], pool->id))
			return &lb->listeners[i];
	return NULL;
}

int targets_pool_snapshot(struct instance *instance, const struct load_balancer *lb, const struct pool *pool,
	struct health_snapshot **ret, struct error *err)
{
	const struct listener *listener = first_user(lb, pool);
	char backend[2 * UUID_SIZE];

	*ret = NULL;
	if (!listener)
		return 0;
	snprintf(backend, sizeof(backend), "%s:%s", pool->id, listener->id);
	return pool_sample(instance->stats_socket, lb->id, backend, RUNTIME_TIMEOUT_MS, ret, err);
}

static int add_haproxy(struct instance *instance, json_t *activity)
{
	_cleanup_(health_target_done) struct health_target target = {0};
	_cleanup_sample_ struct haproxy_sample sample = HAPROXY_SAMPLE_INIT;

	if (!instance_should_run(instance))
		return json_object_set_new(activity, "complete", json_true()) < 0 ? -ENOMEM : 0;
	if (agent_health_target(instance, &target) < 0)
		return -ENOMEM;
	if (sample_take_servers(&target, RUNTIME_TIMEOUT_MS, &sample, NULL) < 0)
		return 0;
	return activity_add_haproxy(activity, &sample, target.leaving, target.n_leaving);
}

static int add_lvs(const struct agent *agent, const struct keepalived_listener *listener, json_t *activity)
{
	const struct lvs_source source = {listener->config_file, listener->check_pid_file,
		agent->keepalived_settings.network_namespace};
	_cleanup_lvs_sample_ struct lvs_sample sample = LVS_SAMPLE_INIT;

	return lvs_take(&source, &sample, NULL) < 0 ? 0 : activity_add_lvs(activity, &sample);
}

int targets_activity(const struct agent *agent, struct instance *instance, json_t **ret, struct error *err)
{
	struct keepalived_listener *listeners = NULL;
	json_auto_t *activity = activity_new();
	size_t n = 0;
	int r;

	if (!activity)
		return error_set_errno(err, -ENOMEM, "activity");
	r = add_haproxy(instance, activity);
	if (r == 0)
		r = keepalived_list_lvs(agent->keepalived, &listeners, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (is_of(instance->id, &listeners[i]))
			r = add_lvs(agent, &listeners[i], activity);
	keepalived_listeners_free(listeners, n);
	if (r < 0)
		return error_set_errno(err, r, "activity");
	*ret = TAKE_PTR(activity);
	return 0;
}

void targets_forget_lvs(void *userdata, const char *listener_id)
{
	const struct agent *agent = userdata;

	if (agent->health)
		health_forget(agent->health, listener_id);
}

bool targets_may_send(void *userdata)
{
	const struct agent *agent = userdata;

	return keepalived_vrrp_is_fine(agent->keepalived);
}

/* That which an uploaded configuration names is Octavia's; ours is for definitions. */
static char *socket_of(const struct instance *instance)
{
	char *path;

	if (instance->owner == OWNER_DEFINITION)
		return strdup(instance->stats_socket);
	return asprintf(&path, "%s/%s.sock", instance->settings->base_path, instance->id) < 0 ? NULL : path;
}

int targets_list_sockets(void *userdata, const char *leaving, char ***ret_sockets, bool *ret_any)
{
	const struct agent *agent = userdata;
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	_cleanup_strv_ char **sockets = NULL;
	size_t n = 0;

	if (registry_list(agent->registry, &instances) < 0)
		return -ENOMEM;
	while (instances[n])
		n++;
	sockets = calloc(n + 1, sizeof(*sockets));
	if (!sockets)
		return -ENOMEM;
	n = 0;
	for (struct instance **instance = instances; *instance; instance++) {
		if (leaving && streq((*instance)->id, leaving))
			continue;
		sockets[n] = socket_of(*instance);
		if (!sockets[n++])
			return -ENOMEM;
	}
	*ret_any = instances[0] != NULL;
	*ret_sockets = TAKE_PTR(sockets);
	return 0;
}
