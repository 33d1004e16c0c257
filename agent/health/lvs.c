/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/lvs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/namespace.h"
#include "agent/base/text.h"

enum {
	CONFIG_LIMIT = 16 * 1024 * 1024,
	/* The kernel counts, whichever keepalived runs: counters know it as one worker. */
	KERNEL_PID = 1,
};

void lvs_sample_done(struct lvs_sample *sample)
{
	lvs_config_done(&sample->config);
	free(sample->members);
	*sample = LVS_SAMPLE_INIT;
}

static bool is_there(const struct ipvs_destination *destination, const struct lvs_address *address)
{
	return destination->address.family == address->family && destination->address.port == address->port &&
		memcmp(&destination->address.v6, &address->v6,
			address->family == AF_INET ? sizeof(address->v4) : sizeof(address->v6)) == 0;
}

/* Adds what its destinations say of a member. */
static bool find_member(const struct lvs_member *member, const struct ipvs_service *const *services, size_t n_services,
	struct lvs_member_state *state)
{
	bool found = false;

	for (size_t i = 0; i < n_services; i++)
		for (size_t j = 0; services[i] && j < services[i]->n_destinations; j++) {
			const struct ipvs_destination *destination = &services[i]->destinations[j];

			if (!is_there(destination, &member->address))
				continue;
			found = true;
			state->weight = destination->weight;
			state->active_connections += destination->active_connections;
			state->counters.connections += destination->counters.connections;
			state->counters.bytes_in += destination->counters.bytes_in;
			state->counters.bytes_out += destination->counters.bytes_out;
		}
	return found;
}

static const char *member_status(const struct lvs_config *config, const struct lvs_member *member,
	const struct lvs_member_state *state, bool found, bool any_found, bool restarting)
{
	if (!member->address.family)
		return "MAINT";
	/* Nothing is served and nothing is checked: there is no telling. */
	if (!found && !any_found && !config->monitored)
		return "no check";
	if (!found)
		return restarting ? "RESTARTING" : "DOWN";
	if (state->weight == 0)
		return "DRAIN";
	return config->monitored ? "UP" : "no check";
}

static void add_services(struct lvs_sample *sample, const struct ipvs_service *const *services, bool *ret_any)
{
	*ret_any = false;
	for (size_t i = 0; i < sample->config.n_vips; i++) {
		if (!services[i])
			continue;
		sample->counters.connections += services[i]->counters.connections;
		sample->counters.bytes_in += services[i]->counters.bytes_in;
		sample->counters.bytes_out += services[i]->counters.bytes_out;
		for (size_t j = 0; j < services[i]->n_destinations; j++) {
			*ret_any = true;
			sample->active_connections += services[i]->destinations[j].active_connections;
		}
	}
}

int lvs_judge(struct lvs_config *config, const struct ipvs_service *const *services, bool restarting,
	struct lvs_sample *ret)
{
	struct lvs_sample sample = {.config = *config};
	bool any_found;

	*config = LVS_CONFIG_INIT;
	sample.members = calloc(sample.config.n_members + 1, sizeof(*sample.members));
	if (!sample.members) {
		lvs_sample_done(&sample);
		return -ENOMEM;
	}
	sample.n_members = sample.config.n_members;
	add_services(&sample, services, &any_found);
	/* Without an address of its own a listener has no pool that is served. */
	sample.has_pool = sample.config.pool_id[0] && sample.config.n_vips > 0;
	sample.pool_status = !any_found && sample.config.monitored && sample.n_members > 0 ? "DOWN" : "UP";
	for (size_t i = 0; i < sample.n_members; i++) {
		const struct lvs_member *member = &sample.config.members[i];
		struct lvs_member_state *state = &sample.members[i];
		bool found = find_member(member, services, sample.config.n_vips, state);

		state->id = member->id;
		state->status = member_status(&sample.config, member, state, found, any_found, restarting);
	}
	*ret = sample;
	return 0;
}

static bool is_newer(const char *config_file, const char *check_pid_file)
{
	struct stat config, check;

	if (stat(config_file, &config) < 0 || stat(check_pid_file, &check) < 0)
		return false;
	return config.st_mtim.tv_sec != check.st_mtim.tv_sec ? config.st_mtim.tv_sec > check.st_mtim.tv_sec
							      : config.st_mtim.tv_nsec > check.st_mtim.tv_nsec;
}

static int read_services(const struct lvs_source *source, const struct lvs_config *config, struct ipvs_service *services,
	const struct ipvs_service **found, struct error *err)
{
	_cleanup_close_ int namespace_fd = -1;
	_cleanup_ipvs_ struct ipvs *ipvs = NULL;
	int r;

	if (source->network_namespace) {
		r = namespace_open(source->network_namespace, &namespace_fd, err);
		if (r < 0)
			return r;
	}
	r = ipvs_open(namespace_fd, &ipvs, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < config->n_vips; i++) {
		struct ipvs_address address;

		memset(&address, 0, sizeof(address));
		address.family = config->vips[i].family;
		address.port = config->vips[i].port;
		memcpy(&address.v6, &config->vips[i].v6, sizeof(address.v6));
		r = ipvs_read(ipvs, config->protocol, &address, &services[i], err);
		if (r == 0)
			found[i] = &services[i];
		else if (r != -ESRCH)
			return r;
	}
	return 0;
}

static int judge_now(const struct lvs_source *source, struct lvs_config *config, struct lvs_sample *ret, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	size_t n = config->n_vips;
	_cleanup_free_ const struct ipvs_service **found = calloc(n + 1, sizeof(*found));
	struct ipvs_service *services = calloc(n + 1, sizeof(*services));
	int r = -ENOMEM;

	if (found && services) {
		r = read_services(source, config, services, found, &problem);
		if (r == -EOPNOTSUPP)
			r = 0;
		if (r == 0)
			r = lvs_judge(config, found, is_newer(source->config_file, source->check_pid_file), ret);
	}
	for (size_t i = 0; services && i < n; i++)
		ipvs_service_done(&services[i]);
	free(services);
	return r < 0 ? error_set_errno(err, r, "%s", problem.message ? problem.message : "LVS listener") : 0;
}

int lvs_take(const struct lvs_source *source, struct lvs_sample *ret, struct error *err)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = fileio_read(AT_FDCWD, source->config_file, CONFIG_LIMIT, &text, &length);
	if (r == 0)
		r = lvs_config_parse(text, length, &config);
	if (r < 0)
		return error_set_errno(err, r, "%s", source->config_file);
	return judge_now(source, &config, ret, err);
}

static int copy_members(const struct lvs_sample *sample, struct arena *strings, struct pool_health *pool)
{
	pool->members = calloc(sample->n_members + 1, sizeof(*pool->members));
	if (!pool->members)
		return -ENOMEM;
	for (size_t i = 0; i < sample->n_members; i++) {
		struct member_health *member = &pool->members[pool->n_members++];

		member->id = arena_string(strings, sample->members[i].id);
		member->status = arena_string(strings, sample->members[i].status);
		member->reason = "";
		if (!member->id || !member->status)
			return -ENOMEM;
	}
	return 0;
}

static int fill_snapshot(const struct lvs_sample *sample, struct health_snapshot *snapshot)
{
	snapshot->listeners = calloc(1, sizeof(*snapshot->listeners));
	snapshot->pools = calloc(1, sizeof(*snapshot->pools));
	if (!snapshot->listeners || !snapshot->pools)
		return -ENOMEM;
	if (!sample->config.listener_enabled)
		return 0;
	snapshot->n_listeners = 1;
	snapshot->listeners[0].id = arena_string(&snapshot->strings, sample->config.listener_id);
	snapshot->listeners[0].status = arena_string(&snapshot->strings, "OPEN");
	snapshot->listeners[0].current_connections = (int64_t)sample->active_connections;
	if (!snapshot->listeners[0].id || !snapshot->listeners[0].status)
		return -ENOMEM;
	if (!sample->has_pool)
		return 0;
	snapshot->n_pools = 1;
	snapshot->pools[0].key = arena_string(&snapshot->strings, sample->config.pool_id);
	snapshot->pools[0].status = arena_string(&snapshot->strings, sample->pool_status);
	if (!snapshot->pools[0].key || !snapshot->pools[0].status)
		return -ENOMEM;
	return copy_members(sample, &snapshot->strings, &snapshot->pools[0]);
}

int lvs_snapshot(const struct lvs_sample *sample, const char *target_id, struct health_snapshot **ret, struct error *err)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot || fill_snapshot(sample, snapshot) < 0)
		return error_set_errno(err, -ENOMEM, "health of listener %s", target_id);
	snprintf(snapshot->lb_id, sizeof(snapshot->lb_id), "%s", target_id);
	snapshot->answered = true;
	*ret = TAKE_PTR(snapshot);
	return 0;
}

int lvs_count(const struct lvs_sample *sample, struct counters *counters, struct health_snapshot *snapshot)
{
	const struct listener_totals values = {
		.bytes_in = sample->counters.bytes_in,
		.bytes_out = sample->counters.bytes_out,
		.total_connections = sample->counters.connections,
	};
	int r;

	for (size_t i = 0; i < snapshot->n_listeners; i++) {
		r = counters_sample(counters, snapshot->lb_id, snapshot->listeners[i].id, KERNEL_PID, 0, &values);
		if (r < 0)
			return r;
		snapshot->listeners[i].totals =
			counters_totals(counters, snapshot->lb_id, snapshot->listeners[i].id);
	}
	return 0;
}
