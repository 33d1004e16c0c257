/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prometheus_proxy/lvs.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/health/lvs.h"

#define CONFIG_PATTERN "octavia-keepalivedlvs-*.conf"

static int add(struct extra_samples *extra, const char *target, uint64_t value, const char *labels)
{
	struct extra_sample *grown, sample = {.target = target};

	if (asprintf(&sample.text, "%s{%s} %" PRIu64 "\n", target, labels, value) < 0)
		return -ENOMEM;
	grown = reallocarray(extra->items, extra->n + 1, sizeof(*grown));
	if (!grown) {
		free(sample.text);
		return -ENOMEM;
	}
	extra->items = grown;
	extra->items[extra->n++] = sample;
	return 0;
}

/* One sample a state, as HAProxy's exporter has it. */
static int add_states(struct extra_samples *extra, const char *target, const char *labels, const char *const *states,
	const char *state)
{
	for (; *states; states++) {
		char with_state[256];
		int r;

		snprintf(with_state, sizeof(with_state), "%s,state=\"%s\"", labels, *states);
		r = add(extra, target, streq(*states, state), with_state);
		if (r < 0)
			return r;
	}
	return 0;
}

/* HAProxy's words: what is not checked is up. */
static const char *member_state(const char *status)
{
	return streq(status, "no check") || streq(status, "RESTARTING") ? "UP" : status;
}

static int add_member(struct extra_samples *extra, const char *pool, const struct lvs_member_state *member)
{
	static const char *const states[] = {"DOWN", "UP", "MAINT", "DRAIN", NULL};
	char labels[192];
	int r;

	snprintf(labels, sizeof(labels), "pool=\"%s\",member=\"%s\"", pool, member->id);
	r = add_states(extra, "octavia_member_status", labels, states, member_state(member->status));
	if (r == 0)
		r = add(extra, "octavia_member_weight", member->weight, labels);
	if (r == 0)
		r = add(extra, "octavia_member_current_sessions", member->active_connections, labels);
	if (r == 0)
		r = add(extra, "octavia_member_sessions_total", member->counters.connections, labels);
	if (r == 0)
		r = add(extra, "octavia_member_bytes_in_total", member->counters.bytes_in, labels);
	return r < 0 ? r : add(extra, "octavia_member_bytes_out_total", member->counters.bytes_out, labels);
}

static int add_pool(struct extra_samples *extra, const struct lvs_sample *sample)
{
	static const char *const states[] = {"DOWN", "UP", NULL};
	char pool[2 * LVS_ID_SIZE], labels[96];
	uint64_t active = 0;
	int r;

	/* As a backend of HAProxy is called. */
	snprintf(pool, sizeof(pool), "%s:%s", sample->config.pool_id, sample->config.listener_id);
	snprintf(labels, sizeof(labels), "pool=\"%s\"", pool);
	for (size_t i = 0; i < sample->n_members; i++)
		active += streq(member_state(sample->members[i].status), "UP");
	r = add_states(extra, "octavia_pool_status", labels, states, sample->pool_status);
	if (r == 0)
		r = add(extra, "octavia_pool_active_members", active, labels);
	for (size_t i = 0; i < sample->n_members && r == 0; i++)
		r = add_member(extra, pool, &sample->members[i]);
	return r;
}

static int add_listener(struct extra_samples *extra, const struct lvs_sample *sample)
{
	static const char *const states[] = {"DOWN", "UP", NULL};
	char labels[64];
	int r;

	if (!sample->config.listener_id[0] || !sample->config.listener_enabled)
		return 0;
	snprintf(labels, sizeof(labels), "listener=\"%s\"", sample->config.listener_id);
	r = add_states(extra, "octavia_listener_status", labels, states, "UP");
	if (r == 0)
		r = add(extra, "octavia_listener_current_sessions", sample->active_connections, labels);
	if (r == 0)
		r = add(extra, "octavia_listener_sessions_total", sample->counters.connections, labels);
	if (r == 0)
		r = add(extra, "octavia_listener_connections_total", sample->counters.connections, labels);
	if (r == 0)
		r = add(extra, "octavia_listener_bytes_in_total", sample->counters.bytes_in, labels);
	if (r == 0)
		r = add(extra, "octavia_listener_bytes_out_total", sample->counters.bytes_out, labels);
	return r < 0 || !sample->has_pool ? r : add_pool(extra, sample);
}

static int add_file(struct extra_samples *extra, const char *lvs_dir, const char *name, const char *network_namespace)
{
	_cleanup_lvs_sample_ struct lvs_sample sample = LVS_SAMPLE_INIT;
	_cleanup_free_ char *config = NULL, *check_pid = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	struct lvs_source source;
	int r;

	if (asprintf(&config, "%s/%s", lvs_dir, name) < 0 ||
		asprintf(&check_pid, "%s/%.*s.check.pid", lvs_dir, (int)(strlen(name) - strlen(".conf")), name) < 0)
		return -ENOMEM;
	source = (struct lvs_source){config, check_pid, network_namespace};
	r = lvs_take(&source, &sample, &problem);
	if (r < 0 && r != -ENOMEM) {
		log_warning("%s: %s", name, error_message(&problem));
		return 0;
	}
	return r < 0 ? r : add_listener(extra, &sample);
}

int lvs_samples(const char *lvs_dir, const char *network_namespace, struct extra_samples *ret, struct error *err)
{
	_cleanup_(extra_samples_done) struct extra_samples extra = {0};
	_cleanup_closedir_ DIR *dir = opendir(lvs_dir);
	struct dirent *item;
	int r = 0;

	if (!dir && errno != ENOENT)
		return error_set_errno(err, -errno, "%s", lvs_dir);
	while (r == 0 && dir && (item = readdir(dir)))
		if (fnmatch(CONFIG_PATTERN, item->d_name, 0) == 0)
			r = add_file(&extra, lvs_dir, item->d_name, network_namespace);
	if (r < 0)
		return error_set_errno(err, r, "metrics of LVS listeners");
	*ret = extra;
	extra = (struct extra_samples){0};
	return 0;
}
