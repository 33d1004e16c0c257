/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/kubernetes.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"

enum {
	DEFAULT_AFFINITY_TIMEOUT_S = 10800, /* core/v1, DefaultClientIPServiceAffinitySeconds */
	MAX_AFFINITY_TIMEOUT_S = 86400,
	MAX_PORT = 65535,
};

/* A string that must be one of some words; *ret stays as it is where it is absent. */
static int get_choice(const json_t *json, const char *name, const char *const *words,
	const struct place *where, size_t *ret, struct error *err)
{
	const struct place inner = {where, name, 0};
	_cleanup_text_ struct text list = TEXT_INIT;
	const char *value = NULL;
	int r = place_get_string(json, name, where, &value, err);

	if (r < 0 || !value)
		return r;
	for (size_t i = 0; words[i]; i++) {
		if (streq(words[i], value)) {
			*ret = i;
			return 0;
		}
		text_printf(&list, "%s%s", i ? ", " : "", words[i]);
	}
	return place_error(&inner, ERROR_INVALID, err, "must be one of %s", text_peek(&list));
}

static int read_port(
	const json_t *item, const struct place *where, struct kube_port *ret, struct error *err)
{
	struct kube_port port = {.name = "", .app_protocol = ""};
	size_t transport = TRANSPORT_TCP;
	int r = place_item_object(item, where, err);

	if (r == 0)
		r = place_get_string(item, "name", where, &port.name, err);
	if (r == 0)
		r = place_get_string(item, "appProtocol", where, &port.app_protocol, err);
	if (r == 0)
		r = get_choice(item, "protocol", transport_names, where, &transport, err);
	if (r == 0)
		r = place_get_integer(item, "port", 1, MAX_PORT, where, &port.port, err);
	if (r == 0)
		r = place_get_integer(item, "nodePort", 0, MAX_PORT, where, &port.node_port, err);
	if (r < 0)
		return r;
	port.transport = (enum transport)transport;
	*ret = port;
	return 0;
}

int kube_read_ports(const json_t *object, const struct place *where, bool numbered,
	struct kube_port **ret, size_t *ret_n, struct error *err)
{
	const struct place list = {where, "ports", 0};
	_cleanup_free_ struct kube_port *ports = NULL;
	const json_t *items = NULL, *item;
	size_t i;
	int r = place_get_array(object, "ports", KUBE_MAX_PORTS, where, &items, err);

	if (r < 0)
		return r;
	ports = calloc(json_array_size(items) + 1, sizeof(*ports));
	if (!ports)
		return -ENOMEM;
	json_array_foreach (items, i, item) {
		const struct place at = {&list, NULL, i}, number = {&at, "port", 0};

		r = read_port(item, &at, &ports[i], err);
		if (r < 0)
			return r;
		if (numbered && ports[i].port == 0)
			return place_error(&number, ERROR_INVALID, err, "is required");
		for (size_t j = 0; numbered && j < i; j++)
			if (ports[j].port == ports[i].port &&
				ports[j].transport == ports[i].transport)
				return place_error(&number, ERROR_CONFLICT, err,
					"%s port %lld is there twice",
					transport_names[ports[i].transport],
					(long long)ports[i].port);
	}
	*ret = TAKE_PTR(ports);
	*ret_n = json_array_size(items);
	return 0;
}

static int read_families(const json_t *spec, const struct place *where,
	struct kube_service *service, struct error *err)
{
	const struct place list = {where, "ipFamilies", 0};
	const json_t *items = NULL, *item;
	size_t i;
	int r = place_get_array(spec, "ipFamilies", _FAMILY_MAX, where, &items, err);

	json_array_foreach (items, i, item) {
		const struct place at = {&list, NULL, i};
		const char *name = "";

		r = place_item_string(item, &at, &name, err);
		if (r < 0)
			return r;
		if (!streq(name, family_names[FAMILY_IPV4]) &&
			!streq(name, family_names[FAMILY_IPV6]))
			return place_error(&at, ERROR_INVALID, err, "must be IPv4 or IPv6");
		service->families[i] =
			streq(name, family_names[FAMILY_IPV6]) ? FAMILY_IPV6 : FAMILY_IPV4;
		if (i > 0 && service->families[0] == service->families[i])
			return place_error(&at, ERROR_INVALID, err, "is there twice");
		service->n_families = i + 1;
	}
	return r;
}

static int read_affinity(const json_t *spec, const struct place *where,
	struct kube_service *service, struct error *err)
{
	static const char *const affinities[] = {"None", "ClientIP", NULL};
	const struct place config_where = {where, "sessionAffinityConfig", 0};
	const struct place client_where = {&config_where, "clientIP", 0};
	const json_t *config = NULL, *client = NULL;
	size_t affinity = 0;
	int r = get_choice(spec, "sessionAffinity", affinities, where, &affinity, err);

	service->affinity = affinity;
	service->affinity_timeout_s = DEFAULT_AFFINITY_TIMEOUT_S;
	if (r == 0)
		r = place_get_object(spec, "sessionAffinityConfig", where, &config, err);
	if (r == 0)
		r = place_get_object(config, "clientIP", &config_where, &client, err);
	if (r == 0)
		r = place_get_integer(client, "timeoutSeconds", 1, MAX_AFFINITY_TIMEOUT_S,
			&client_where, &service->affinity_timeout_s, err);
	return r;
}

static int read_traffic(const json_t *spec, const struct place *where, struct kube_service *service,
	struct error *err)
{
	static const char *const policies[] = {"Cluster", "Local", NULL};
	size_t policy = 0;
	bool allocate = true;
	int r = get_choice(spec, "externalTrafficPolicy", policies, where, &policy, err);

	if (r == 0)
		r = place_get_integer(spec, "healthCheckNodePort", 0, MAX_PORT, where,
			&service->health_check_node_port, err);
	if (r == 0)
		r = place_get_bool(spec, "allocateLoadBalancerNodePorts", where, &allocate, err);
	if (r == 0)
		r = place_get_array(spec, "loadBalancerSourceRanges", LIMIT_CIDRS_PER_LISTENER,
			where, &service->source_ranges, err);
	service->local = policy;
	service->without_node_ports = !allocate;
	return r;
}

int kube_read_service(const struct kube_object *object, struct kube_service *ret, struct error *err)
{
	const struct place where = {object->where, "spec", 0};
	_cleanup_(kube_service_done) struct kube_service service = {.object = object,
		.type = "ClusterIP",
		.load_balancer_class = "",
		.load_balancer_ip = ""};
	const json_t *spec = NULL;
	int r = kube_read_metadata(object, &service.metadata, err);

	if (r == 0)
		r = place_get_object(object->json, "spec", object->where, &spec, err);
	if (r == 0)
		r = place_get_string(spec, "type", &where, &service.type, err);
	if (r == 0)
		r = place_get_string(
			spec, "loadBalancerClass", &where, &service.load_balancer_class, err);
	if (r == 0)
		r = place_get_string(
			spec, "loadBalancerIP", &where, &service.load_balancer_ip, err);
	if (r == 0)
		r = kube_read_ports(spec, &where, true, &service.ports, &service.n_ports, err);
	if (r == 0)
		r = read_families(spec, &where, &service, err);
	if (r == 0)
		r = read_affinity(spec, &where, &service, err);
	if (r == 0)
		r = read_traffic(spec, &where, &service, err);
	if (r < 0)
		return r;
	if (!*service.metadata.namespace)
		service.metadata.namespace = "default";
	*ret = service;
	service = KUBE_SERVICE_INIT;
	return 0;
}

void kube_service_done(struct kube_service *service)
{
	free(service->ports);
	*service = KUBE_SERVICE_INIT;
}
