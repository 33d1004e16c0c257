/* SPDX-License-Identifier: Apache-2.0 */
#include "api/metrics.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/targets.h"
#include "config.h"

enum {
	SNAPSHOT_MAX_AGE_MS = 1000, /* scrapes and status requests share one look at HAProxy */
};

enum metric {
	METRIC_BUILD_INFO,
	METRIC_CPU_SECONDS,
	METRIC_MEMORY,
	METRIC_HEARTBEATS,
	METRIC_HEARTBEATS_FAILED,
	METRIC_LOAD_BALANCER_UP,
	METRIC_LOAD_BALANCER_TROUBLE,
	METRIC_REVISION,
	METRIC_CHANGES,
	METRIC_CHANGES_FAILED,
	METRIC_CHANGE_SECONDS,
	METRIC_OLD_WORKERS,
	METRIC_OLD_WORKER_AGE,
	METRIC_HAPROXY_MEMORY,
	METRIC_LEAVING_SERVERS,
	METRIC_LISTENER_OPEN,
	METRIC_CONNECTIONS,
	METRIC_CONNECTIONS_TOTAL,
	METRIC_BYTES_IN,
	METRIC_BYTES_OUT,
	METRIC_REQUEST_ERRORS,
	METRIC_POOL_UP,
	METRIC_MEMBER_UP,
	METRIC_MEMBER_STATUS,
	_METRIC_MAX,
};

static const struct {
	const char *name, *type, *help;
} metrics[_METRIC_MAX] = {
	[METRIC_BUILD_INFO] = {"amphorad_build_info", "gauge", "Versions of the agent and of HAProxy; always 1."},
	[METRIC_CPU_SECONDS] = {"process_cpu_seconds_total", "counter", "CPU time of the agent, in seconds."},
	[METRIC_MEMORY] = {"process_resident_memory_bytes", "gauge",
		"Memory of the agent, its share of what it has in common with others included."},
	[METRIC_HEARTBEATS] = {"amphorad_heartbeats_total", "counter", "Heartbeats sent to a controller."},
	[METRIC_HEARTBEATS_FAILED] = {"amphorad_heartbeats_failed_total", "counter",
		"Heartbeats that could not be sent."},
	[METRIC_LOAD_BALANCER_UP] = {"amphorad_load_balancer_up", "gauge", "Whether its HAProxy answers."},
	[METRIC_LOAD_BALANCER_TROUBLE] = {"amphorad_load_balancer_trouble", "gauge",
		"Whether HAProxy does not run what is stored."},
	[METRIC_REVISION] = {"amphorad_load_balancer_revision", "gauge",
		"Revision of the definition that is in force."},
	[METRIC_CHANGES] = {"amphorad_changes_total", "counter",
		"Changes since the agent was started, by what they took: none, runtime, reload, start."},
	[METRIC_CHANGES_FAILED] = {"amphorad_changes_failed_total", "counter",
		"Changes since the agent was started that were refused or taken back."},
	[METRIC_CHANGE_SECONDS] = {"amphorad_change_seconds_total", "counter",
		"Time that changes took, from the request to the answer, in seconds."},
	[METRIC_OLD_WORKERS] = {"amphorad_haproxy_old_workers", "gauge",
		"HAProxy workers that a reload replaced and that still serve connections."},
	[METRIC_OLD_WORKER_AGE] = {"amphorad_haproxy_old_worker_age_seconds", "gauge",
		"Time since the start of the oldest of them."},
	[METRIC_HAPROXY_MEMORY] = {"amphorad_haproxy_memory_bytes", "gauge",
		"Memory of all HAProxy workers, old ones included."},
	[METRIC_LEAVING_SERVERS] = {"amphorad_haproxy_leaving_servers", "gauge",
		"Removed members that still serve connections."},
	[METRIC_LISTENER_OPEN] = {"amphorad_listener_open", "gauge", "Whether HAProxy accepts connections on it."},
	[METRIC_CONNECTIONS] = {"amphorad_listener_connections", "gauge", "Connections now."},
	[METRIC_CONNECTIONS_TOTAL] = {"amphorad_listener_connections_total", "counter",
		"Connections since the load balancer was created."},
	[METRIC_BYTES_IN] = {"amphorad_listener_bytes_in_total", "counter", "Bytes received from clients."},
	[METRIC_BYTES_OUT] = {"amphorad_listener_bytes_out_total", "counter", "Bytes sent to clients."},
	[METRIC_REQUEST_ERRORS] = {"amphorad_listener_request_errors_total", "counter",
		"Requests that HAProxy could not understand."},
	[METRIC_POOL_UP] = {"amphorad_pool_up", "gauge", "Whether a member of it can be used."},
	[METRIC_MEMBER_UP] = {"amphorad_member_up", "gauge",
		"Whether new connections go to it: up, or without a monitor."},
	[METRIC_MEMBER_STATUS] = {"amphorad_member_status", "gauge",
		"Its status in the heartbeat's words, as a label; always 1."},
};

/* The samples of a metric have to stand together, so each has a text of its own. */
struct page {
	struct text samples[_METRIC_MAX];
};

static void page_done(struct page *page)
{
	for (size_t i = 0; i < _METRIC_MAX; i++)
		text_done(&page->samples[i]);
}

struct label {
	const char *name, *value;
};

static void append_label(struct text *text, const struct label *label)
{
	text_printf(text, "%s=\"", label->name);
	for (const char *p = label->value; *p; p++) {
		if (*p == '\\' || *p == '"')
			text_append_char(text, '\\');
		if (*p == '\n')
			text_append(text, "\\n");
		else
			text_append_char(text, *p);
	}
	text_append_char(text, '"');
}

/* "labels" ends in one without a name. */
static struct text *begin_sample(struct page *page, enum metric metric, const struct label *labels)
{
	struct text *text = &page->samples[metric];

	text_append(text, metrics[metric].name);
	for (const struct label *label = labels; label->name; label++) {
		text_append_char(text, label == labels ? '{' : ',');
		append_label(text, label);
	}
	if (labels->name)
		text_append_char(text, '}');
	return text;
}

static void add(struct page *page, enum metric metric, const struct label *labels, uint64_t value)
{
	text_printf(begin_sample(page, metric, labels), " %" PRIu64 "\n", value);
}

static void add_agent(struct page *page, const struct agent *agent)
{
	const struct label versions[] = {{"version", PACKAGE_VERSION},
		{"haproxy_version", agent->instance_settings.version.text}, {NULL, NULL}};
	static const struct label none[] = {{NULL, NULL}};
	uint64_t memory, sent, failed;
	struct rusage usage;

	add(page, METRIC_BUILD_INFO, versions, 1);
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		text_printf(begin_sample(page, METRIC_CPU_SECONDS, none), " %.3f\n",
			(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
				(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	if (process_memory(getpid(), &memory) == 0)
		add(page, METRIC_MEMORY, none, memory);
	health_heartbeats(agent->health, &sent, &failed);
	add(page, METRIC_HEARTBEATS, none, sent);
	add(page, METRIC_HEARTBEATS_FAILED, none, failed);
}

static void add_changes(struct page *page, struct instance *instance)
{
	struct label labels[] = {{"load_balancer", instance->id}, {NULL, NULL}, {NULL, NULL}};
	struct change_counts counts;

	instance_counts(instance, &counts);
	add(page, METRIC_CHANGES_FAILED, labels, counts.failed);
	for (enum plan_action action = 0; action < _PLAN_ACTION_MAX; action++) {
		labels[1] = (struct label){"action", plan_action_name(action)};
		add(page, METRIC_CHANGES, labels, counts.made[action]);
		text_printf(begin_sample(page, METRIC_CHANGE_SECONDS, labels), " %.3f\n",
			(double)counts.duration_ms[action] / 1e3);
	}
}

static void add_workers(struct page *page, struct instance *instance, const struct label *labels)
{
	_cleanup_free_ struct worker_figures *workers = NULL;
	uint64_t old = 0, memory = 0;
	int64_t oldest_s = 0;
	size_t n = 0;

	if (instance_workers(instance, &workers, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		memory += workers[i].memory_bytes;
		old += workers[i].old;
		if (workers[i].old && workers[i].uptime_s > oldest_s)
			oldest_s = workers[i].uptime_s;
	}
	add(page, METRIC_OLD_WORKERS, labels, old);
	add(page, METRIC_OLD_WORKER_AGE, labels, (uint64_t)oldest_s);
	add(page, METRIC_HAPROXY_MEMORY, labels, memory);
}

static void add_listener(struct page *page, const char *lb_id, const struct listener_health *listener)
{
	const struct label labels[] = {{"load_balancer", lb_id}, {"listener", listener->id}, {NULL, NULL}};

	add(page, METRIC_LISTENER_OPEN, labels, streq(listener->status, "OPEN"));
	add(page, METRIC_CONNECTIONS, labels,
		listener->current_connections > 0 ? (uint64_t)listener->current_connections : 0);
	add(page, METRIC_CONNECTIONS_TOTAL, labels, listener->totals.total_connections);
	add(page, METRIC_BYTES_IN, labels, listener->totals.bytes_in);
	add(page, METRIC_BYTES_OUT, labels, listener->totals.bytes_out);
	add(page, METRIC_REQUEST_ERRORS, labels, listener->totals.request_errors);
}

/* A pool behind several listeners is checked once for each of them: "pool_id:listener_id". */
static int add_pool(struct page *page, const char *lb_id, const struct pool_health *pool)
{
	_cleanup_free_ char *pool_id = strndup(pool->key, strcspn(pool->key, ":"));
	const char *listener = strchr(pool->key, ':');
	struct label labels[] = {{"load_balancer", lb_id}, {"pool", pool_id},
		{"listener", listener ? listener + 1 : ""}, {NULL, NULL}, {NULL, NULL}, {NULL, NULL}};

	if (!pool_id)
		return -ENOMEM;
	add(page, METRIC_POOL_UP, labels, streq(pool->status, "UP"));
	for (size_t i = 0; i < pool->n_members; i++) {
		const char *word = member_status_word(pool->members[i].status);

		labels[3] = (struct label){"member", pool->members[i].id};
		labels[4] = (struct label){NULL, NULL};
		add(page, METRIC_MEMBER_UP, labels, streq(word, "UP") || streq(word, "no check"));
		labels[4] = (struct label){"status", word};
		add(page, METRIC_MEMBER_STATUS, labels, 1);
	}
	return 0;
}

static int add_load_balancer(struct page *page, struct agent *agent, struct instance *instance, struct error *err)
{
	_cleanup_(health_target_done) struct health_target target = {0};
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_free_ char *trouble = instance_trouble(instance), *same = NULL;
	const struct label labels[] = {{"load_balancer", instance->id},
		{"owner", instance->owner == OWNER_CONTROLLER ? "controller" : "definition"}, {NULL, NULL}};
	int r;

	if (agent_health_target(instance, &target) < 0)
		return error_set_errno(err, -ENOMEM, "metrics");
	r = targets_snapshot(agent, instance, SNAPSHOT_MAX_AGE_MS, &snapshot, err);
	if (r < 0)
		return r;
	add(page, METRIC_LOAD_BALANCER_UP, labels, snapshot->answered);
	add(page, METRIC_LOAD_BALANCER_TROUBLE, labels, trouble != NULL);
	add(page, METRIC_LEAVING_SERVERS, labels, target.n_leaving);
	if (instance_current(instance, &stored, &same) == 0)
		add(page, METRIC_REVISION, labels, (uint64_t)stored.revision);
	add_changes(page, instance);
	if (snapshot->answered)
		add_workers(page, instance, labels);
	for (size_t i = 0; i < snapshot->n_listeners; i++)
		add_listener(page, instance->id, &snapshot->listeners[i]);
	for (size_t i = 0; r == 0 && i < snapshot->n_pools; i++)
		r = add_pool(page, instance->id, &snapshot->pools[i]);
	return r < 0 ? error_set_errno(err, r, "metrics") : 0;
}

static int finish(struct page *page, struct response *response, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *body;
	size_t length;

	for (size_t i = 0; i < _METRIC_MAX; i++) {
		if (page->samples[i].failed)
			return error_set_errno(err, -ENOMEM, "metrics");
		if (page->samples[i].length > 0)
			text_printf(&text, "# HELP %s %s\n# TYPE %s %s\n%s", metrics[i].name, metrics[i].help,
				metrics[i].name, metrics[i].type, text_peek(&page->samples[i]));
	}
	if (text_finish(&text, &body, &length) < 0)
		return error_set_errno(err, -ENOMEM, "metrics");
	response_set_body(response, 200, "text/plain; version=0.0.4; charset=utf-8", body, length);
	return 0;
}

int metrics_get(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	_cleanup_(page_done) struct page page = {0};
	int r = 0;

	if (registry_list(request->agent->registry, &instances) < 0)
		return error_set_errno(err, -ENOMEM, "metrics");
	add_agent(&page, request->agent);
	for (struct instance **instance = instances; r == 0 && *instance; instance++)
		r = add_load_balancer(&page, request->agent, *instance, err);
	return r < 0 ? r : finish(&page, response, err);
}
