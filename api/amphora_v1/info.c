/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/handlers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/haproxy/listeners.h"
#include "agent/keepalived/lvs_config.h"
#include "agent/machine/facts.h"
#include "agent/machine/interfaces.h"
#include "agent/machine/packages.h"

/*
 * What a controller asks about the amphora. Keys, types and their order are those of the Python
 * agent (amphora_info.py and get_all_listeners_status() in loadbalancer.py): what it takes from
 * files of the kernel as words stays a string. "cpu_count" and "active_tuned_profiles" are
 * in newer agents only; controllers that know no such members do not look at them.
 */

#define API_VERSION "1.0"
enum { LVS_CONFIG_BYTES = 16 * 1024 * 1024 };

#define NETNS_DIR "/run/netns"

static int add(json_t *body, const char *key, json_t *value)
{
	return json_object_set_new(body, key, value) < 0 ? -ENOMEM : 0;
}

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *digits(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

static int add_hostname(json_t *body, struct error *err)
{
	_cleanup_free_ char *hostname = NULL;
	int r = machine_read_hostname(&hostname);

	if (r == 0)
		r = add(body, "hostname", json_string(hostname));
	return r < 0 ? error_set_errno(err, r, "host name") : 0;
}

/* The first members of both info and details. */
static int add_identity(const struct request *request, json_t *body, struct error *err)
{
	int r = add_hostname(body, err);

	if (r < 0)
		return r;
	r = add(body, "haproxy_version",
		json_string(request->agent->instance_settings.version.text));
	if (r == 0)
		r = add(body, "api_version", json_string(API_VERSION));
	return r < 0 ? error_set_errno(err, r, "versions") : 0;
}

/* The last members of both. A program that is not installed has none; the Python agent answers 500
 * then. */
static int add_packages(json_t *body, struct error *err)
{
	static const char *const keys[] = {"keepalived_version", "ipvsadm_version"};
	struct package packages[] = {{.name = "keepalived"}, {.name = "ipvsadm"}};
	int r = packages_read(packages, ELEMENTSOF(packages));

	if (r < 0)
		log_warning("cannot read the versions of packages: %s", strerror(-r));
	for (size_t i = 0; i < ELEMENTSOF(packages); i++)
		if (packages[i].version[0] &&
			add(body, keys[i], json_string(packages[i].version)) < 0)
			return error_set_errno(err, -ENOMEM, "versions");
	return 0;
}

int amphora_get_info(const struct request *request, struct response *response, struct error *err)
{
	json_auto_t *body = json_object();
	int r;

	r = add_identity(request, body, err);
	if (r == 0)
		r = add_packages(body, err);
	return r < 0 ? r : response_set_json(response, 200, TAKE_PTR(body));
}

static int add_listeners(json_t *list, const struct cfg *cfg)
{
	struct cfg_listener *listeners = NULL;
	size_t n = 0;
	int r;

	r = cfg_listeners(cfg, &listeners, &n);
	/* Always active: the statistics are not asked here, as the Python agent does not either. */
	for (size_t i = 0; r == 0 && i < n; i++)
		if (json_array_append_new(
			    list, json_pack("{s:s, s:s, s:s}", "status", "ACTIVE", "uuid",
					  listeners[i].id, "type", listeners[i].type)) < 0)
			r = -ENOMEM;
	cfg_listeners_free(listeners, n);
	return r;
}

/* A file that cannot be read hides the listeners of one load balancer, and not the answer: the
 * controller needs that to repair it. */
static int read_listeners(struct instance *instance, json_t *list)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = instance_read_config(instance, &text, &length, &problem);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = cfg_parse(text, length, &cfg, &problem);
	if (r == 0)
		return add_listeners(list, &cfg);
	if (r == -ENOMEM)
		return r;
	log_lb(LOG_WARNING, instance->id, "its listeners are not known: %s",
		error_message(&problem));
	return 0;
}

/* All listeners as /listeners shows them, and how many load balancers' HAProxy runs. */
static int gather_listeners(
	const struct request *request, json_t *list, size_t *ret_running, struct error *err)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	size_t running = 0;
	int r;

	r = registry_list(request->agent->registry, &instances);
	for (struct instance **item = instances; r == 0 && *item; item++) {
		struct instance *instance = *item;

		running += instance->settings->supervisor->operations->pid(instance->unit) != 0;
		r = read_listeners(instance, list);
	}
	if (r < 0)
		return error_set_errno(err, r, "listeners");
	*ret_running = running;
	return 0;
}

/* ACTIVE, OFFLINE (stopped, or nothing to serve) or ERROR (it has died), as get_all_lvs_listeners_status() in
 * keepalivedlvs.py tells; the type is UDP there whatever the protocol is. */
static int add_lvs_listener(json_t *list, const struct keepalived_listener *listener)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	_cleanup_free_ char *text = NULL;
	const char *status = listener->runs ? "ACTIVE" : listener->has_pid_file ? "ERROR" : "OFFLINE";
	size_t length = 0;
	int r;

	r = fileio_read_own(AT_FDCWD, listener->config_file, LVS_CONFIG_BYTES, &text, &length);
	if (r == 0)
		r = lvs_config_parse(text, length, &config);
	if (r == -ENOMEM)
		return r;
	if (listener->runs && config.protocol == 0)
		status = "OFFLINE";
	return json_array_append_new(list,
		       json_pack("{s:s, s:s, s:s}", "status", status, "uuid", listener->id, "type", "UDP")) < 0
		? -ENOMEM
		: 0;
}

/* The listeners of UDP and SCTP, and how many of them have a keepalived. */
static int gather_lvs(const struct request *request, json_t *list, size_t *ret_running, struct error *err)
{
	struct keepalived_listener *listeners = NULL;
	size_t n = 0, running = 0;
	int r;

	r = keepalived_list_lvs(request->agent->keepalived, &listeners, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		running += listeners[i].runs;
		r = add_lvs_listener(list, &listeners[i]);
	}
	keepalived_listeners_free(listeners, n);
	if (r < 0)
		return error_set_errno(err, r, "UDP listeners");
	*ret_running = running;
	return 0;
}

int amphora_get_listeners(
	const struct request *request, struct response *response, struct error *err)
{
	json_auto_t *list = json_array();
	size_t running;
	int r;

	r = gather_listeners(request, list, &running, err);
	if (r == 0)
		r = gather_lvs(request, list, &running, err);
	return r < 0 ? r : response_set_json(response, 200, TAKE_PTR(list));
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static json_t *sorted_ids(const json_t *listeners)
{
	size_t n = json_array_size(listeners);
	_cleanup_free_ const char **ids = calloc(n + 1, sizeof(char *));
	json_auto_t *list = json_array();

	if (!ids)
		return NULL;
	for (size_t i = 0; i < n; i++)
		ids[i] = json_string_value(json_object_get(json_array_get(listeners, i), "uuid"));
	qsort(ids, n, sizeof(char *), by_text);
	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(list, json_string(ids[i])) < 0)
			return NULL;
	return TAKE_PTR(list);
}

/* Counters of the interfaces that carry traffic: eth1 and up. Not being able to tell is no reason
 * to fail: controllers read the rest of the answer before they send a configuration. */
static int read_networks(
	const char *network_namespace, struct machine_interface **ret, size_t *ret_n)
{
	char path[256];
	int r;

	if (!network_namespace)
		return machine_read_interfaces(NULL, "eth", ret, ret_n);
	if (strchr(network_namespace, '/') || (size_t)snprintf(path, sizeof(path), NETNS_DIR "/%s",
						      network_namespace) >= sizeof(path))
		return -EINVAL;
	r = machine_read_interfaces(path, "eth", ret, ret_n);
	if (r < 0 && r != -ENOENT && r != -ENOMEM)
		log_warning("cannot read the counters of %s: %s", path, strerror(-r));
	return r;
}

static int add_networks(const struct request *request, json_t *body, struct error *err)
{
	_cleanup_free_ struct machine_interface *interfaces = NULL;
	json_auto_t *networks = json_object();
	size_t n = 0;
	int r;

	if (read_networks(request->agent->instance_settings.network_namespace, &interfaces, &n) ==
		-ENOMEM)
		return error_set_errno(err, -ENOMEM, "networks");
	for (size_t i = 0; i < n; i++) {
		json_auto_t *counters = json_object();

		r = add(counters, "network_tx", number(interfaces[i].sent));
		if (r == 0)
			r = add(counters, "network_rx", number(interfaces[i].received));
		if (r == 0)
			r = add(networks, interfaces[i].name, TAKE_PTR(counters));
		if (r < 0)
			return error_set_errno(err, r, "networks");
	}
	r = add(body, "networks", TAKE_PTR(networks));
	return r < 0 ? error_set_errno(err, r, "networks") : 0;
}

static int add_cpu(json_t *body, struct error *err)
{
	json_auto_t *cpu = json_object();
	struct machine_cpu times;
	int r;

	r = machine_read_cpu(&times);
	if (r == 0)
		r = add(cpu, "total", number(times.total));
	if (r == 0)
		r = add(cpu, "user", digits(times.user));
	if (r == 0)
		r = add(cpu, "system", digits(times.system));
	if (r == 0)
		r = add(cpu, "soft_irq", digits(times.soft_irq));
	if (r == 0)
		r = add(body, "cpu", TAKE_PTR(cpu));
	return r < 0 ? error_set_errno(err, r, "processor times") : 0;
}

/* "swap_used" is the kernel's SwapCached: so the Python agent has it. */
static int add_memory(json_t *body, struct error *err)
{
	json_auto_t *memory = json_object();
	struct machine_memory kb = {0};
	const struct {
		const char *key;
		uint64_t *value;
	} rows[] = {
		{"total", &kb.total_kb},
		{"free", &kb.free_kb},
		{"buffers", &kb.buffers_kb},
		{"cached", &kb.cached_kb},
		{"swap_used", &kb.swap_cached_kb},
		{"shared", &kb.shared_kb},
		{"slab", &kb.slab_kb},
	};
	int r;

	r = machine_read_memory(&kb);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(rows); i++)
		r = add(memory, rows[i].key, number(*rows[i].value));
	if (r == 0)
		r = add(body, "memory", TAKE_PTR(memory));
	return r < 0 ? error_set_errno(err, r, "memory") : 0;
}

static int add_disk(json_t *body, struct error *err)
{
	json_auto_t *disk = json_object();
	struct machine_disk bytes;
	int r;

	r = machine_read_disk("/", &bytes);
	if (r == 0)
		r = add(disk, "used", number(bytes.used));
	if (r == 0)
		r = add(disk, "available", number(bytes.available));
	if (r == 0)
		r = add(body, "disk", TAKE_PTR(disk));
	return r < 0 ? error_set_errno(err, r, "disk") : 0;
}

static int add_tuned_profiles(json_t *body, struct error *err)
{
	_cleanup_free_ char *profiles = NULL;
	int r;

	r = machine_read_tuned_profiles(MACHINE_TUNED_PROFILES, &profiles);
	if (r == 0)
		r = add(body, "active_tuned_profiles", json_string(profiles));
	return r < 0 ? error_set_errno(err, r, "TuneD profiles") : 0;
}

static int add_load(json_t *body, struct error *err)
{
	json_auto_t *list = json_array();
	struct machine_load load;
	int r;

	r = machine_read_load(&load);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(load.average); i++)
		if (json_array_append_new(list, json_string(load.average[i])) < 0)
			r = -ENOMEM;
	if (r == 0)
		r = add(body, "load", TAKE_PTR(list));
	return r < 0 ? error_set_errno(err, r, "load") : 0;
}

/* Topology and packages are constants of the Python agent. */
static int add_load_balancing(
	json_t *body, const json_t *listeners, size_t lvs_running, struct error *err)
{
	if (add(body, "topology", json_string("SINGLE")) < 0 ||
		add(body, "topology_status", json_string("OK")) < 0 ||
		add(body, "listeners", sorted_ids(listeners)) < 0 ||
		add(body, "packages", json_object()) < 0 ||
		add(body, "lvs_listener_process_count",
			json_integer((json_int_t)lvs_running)) < 0)
		return error_set_errno(err, -ENOMEM, "details");
	return 0;
}

static int add_machine(json_t *body, struct error *err)
{
	int r;

	if (add(body, "cpu_count", json_integer((json_int_t)machine_cpu_count())) < 0)
		return error_set_errno(err, -ENOMEM, "details");
	r = add_cpu(body, err);
	if (r == 0)
		r = add_memory(body, err);
	if (r == 0)
		r = add_disk(body, err);
	if (r == 0)
		r = add_tuned_profiles(body, err);
	return r < 0 ? r : add_load(body, err);
}

int amphora_get_details(const struct request *request, struct response *response, struct error *err)
{
	json_auto_t *body = json_object(), *listeners = json_array();
	size_t running, lvs_running = 0;
	int r;

	r = gather_listeners(request, listeners, &running, err);
	if (r == 0)
		r = gather_lvs(request, listeners, &lvs_running, err);
	if (r == 0)
		r = add_identity(request, body, err);
	if (r == 0)
		r = add_networks(request, body, err);
	if (r < 0)
		return r;
	if (add(body, "active", json_true()) < 0 ||
		add(body, "haproxy_count", json_integer((json_int_t)running)) < 0)
		return error_set_errno(err, -ENOMEM, "details");
	r = add_machine(body, err);
	if (r == 0)
		r = add_load_balancing(body, listeners, lvs_running, err);
	if (r == 0)
		r = add_packages(body, err);
	return r < 0 ? r : response_set_json(response, 200, TAKE_PTR(body));
}
