/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/listeners.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/uuid.h"
#include "api/client/service/features.h"

enum { MIN_UDP_CONNECT_DELAY_S = 3 }; /* what amphorad and Octavia take */

static const struct annotation_value *value_of(
	const struct listeners_context *context, enum annotation annotation)
{
	return &context->values[annotation];
}

/* The name of a port in notes: "spec.ports[1]". */
enum { PORT_NAME_SIZE = 48 };
static void port_name(size_t index, const char *field, char ret[PORT_NAME_SIZE])
{
	snprintf(ret, PORT_NAME_SIZE, "spec.ports[%zu]%s", index, field);
}

/* What a TCP port's listener and pool speak; getListenerProtocol() and buildPoolCreateOpt(). */
struct protocols {
	const char *listener, *pool;
	bool forwarded, tls;
};

static struct protocols choose_protocols(const struct listeners_context *context,
	const struct features *features, const struct kube_port *port)
{
	struct protocols protocols = {
		.listener = transport_names[port->transport],
		.pool = transport_names[port->transport],
	};

	if (port->transport != TRANSPORT_TCP)
		return protocols;
	protocols.tls = features->tls;
	/* A listener of HTTP cannot read TLS that does not end here. */
	protocols.forwarded =
		features->forwarded && (features->tls || !streq(port->app_protocol, "https"));
	if (protocols.tls)
		protocols.listener = "TERMINATED_HTTPS";
	else if (protocols.forwarded)
		protocols.listener = "HTTP";
	if (features->proxy)
		protocols.pool =
			proxy_protocol_pools[value_of(context, ANNOTATION_PROXY_PROTOCOL)->number];
	else if (protocols.tls || protocols.forwarded)
		protocols.pool = "HTTP";
	return protocols;
}

static void warn_transport(const struct listeners_context *context, const struct features *features,
	const struct kube_port *port)
{
	const struct {
		bool given;
		enum annotation annotation;
		const char *what;
	} wishes[] = {
		{features->proxy, ANNOTATION_PROXY_PROTOCOL, "there is no PROXY header for it"},
		{features->forwarded, ANNOTATION_X_FORWARDED_FOR, "it carries no HTTP header"},
		{features->tls, ANNOTATION_TLS_CONTAINER, "TLS of a TCP listener is not for it"},
	};

	if (port->transport == TRANSPORT_TCP)
		return;
	for (size_t i = 0; i < ELEMENTSOF(wishes); i++)
		if (wishes[i].given)
			notes_warn(context->notes, annotation_rows[wishes[i].annotation].name,
				"%s port %lld goes without: %s", transport_names[port->transport],
				(long long)port->port, wishes[i].what);
	if (features->cidrs)
		notes_warn(context->notes, "spec.loadBalancerSourceRanges",
			"%s port %lld is open to everyone: HAProxy enforces the ranges, and it "
			"does not serve this port",
			transport_names[port->transport], (long long)port->port);
	if (!context->vips)
		notes_warn(context->notes, "spec.loadBalancerIP",
			"%s port %lld needs an address of its own, not 0.0.0.0: give "
			"--vip-address, "
			"or amphorad a default_vip_address",
			transport_names[port->transport], (long long)port->port);
}

static void note_app_protocol(const struct listeners_context *context,
	const struct protocols *protocols, const struct features *features,
	const struct kube_port *port, size_t index)
{
	char source[PORT_NAME_SIZE];
	bool https = streq(port->app_protocol, "https");

	port_name(index, ".appProtocol", source);
	if (!*port->app_protocol)
		return;
	if (https && features->forwarded && !protocols->forwarded &&
		port->transport == TRANSPORT_TCP)
		notes_warn(context->notes, source,
			"TLS goes through this port as it is, so X-Forwarded-For cannot be added "
			"(OCCM would make a listener of HTTP, which does not understand TLS)");
	else if (https && protocols->tls)
		notes_warn(context->notes, source,
			"TLS ends at the listener, and members get plain HTTP, as with OCCM: the "
			"port behind must not expect TLS");
	else if (streq(port->app_protocol, "kubernetes.io/h2c") && streq(protocols->pool, "HTTP"))
		notes_warn(context->notes, source,
			"members of a pool of HTTP are spoken to in HTTP/1.1, not in HTTP/2");
	else
		notes_unused(context->notes, source, "OCCM does not look at it");
}

static int derive(const struct listeners_context *context, const char *kind,
	const struct kube_port *port, char ret[37])
{
	char name[64];

	snprintf(name, sizeof(name), "kubernetes-%s:%s:%lld", kind,
		transport_names[port->transport], (long long)port->port);
	return uuid_derive(context->lb_id, name, ret);
}

/* cpoutil.Sprintf255() of OCCM; the parts are ASCII. */
static json_t *make_name(const char *kind, size_t index, const char *lb_name)
{
	char name[LIMIT_NAME + 1];

	if (snprintf(name, sizeof(name), "%s_%zu_%s", kind, index, lb_name) < 0)
		return NULL;
	return json_string(name);
}

static int64_t monitor_delay(
	const struct listeners_context *context, const struct kube_port *port, bool http)
{
	const struct annotation_value *delay = value_of(context, ANNOTATION_MONITOR_DELAY);

	if (http || port->transport != TRANSPORT_UDP || delay->number >= MIN_UDP_CONNECT_DELAY_S)
		return delay->number;
	notes_warn(context->notes, annotation_rows[ANNOTATION_MONITOR_DELAY].name,
		"UDP port %lld is checked every %d seconds at most", (long long)port->port,
		MIN_UDP_CONNECT_DELAY_S);
	return MIN_UDP_CONNECT_DELAY_S;
}

static int make_monitor(const struct listeners_context *context, const struct features *features,
	const struct kube_port *port, size_t index, json_t **ret)
{
	static const char *const types[_TRANSPORT_MAX] = {"TCP", "UDP-CONNECT", "SCTP"};
	bool http = features->asks_kube_proxy && port->node_port > 0;
	json_auto_t *monitor = json_object();
	const struct {
		const char *field;
		enum annotation annotation;
	} numbers[] = {
		{"timeout", ANNOTATION_MONITOR_TIMEOUT},
		{"max_retries", ANNOTATION_MONITOR_MAX_RETRIES},
		{"max_retries_down", ANNOTATION_MONITOR_MAX_RETRIES_DOWN},
	};
	int r = json_object_set_new(monitor, "name", make_name("monitor", index, context->name));

	r |= json_object_set_new(
		monitor, "type", json_string(http ? "HTTP" : types[port->transport]));
	r |= json_object_set_new(
		monitor, "delay", json_integer(monitor_delay(context, port, http)));
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
		r |= json_object_set_new(monitor, numbers[i].field,
			json_integer(value_of(context, numbers[i].annotation)->number));
	if (http) {
		r |= json_object_set_new(monitor, "http_method", json_string("GET"));
		r |= json_object_set_new(monitor, "url_path", json_string("/healthz"));
		r |= json_object_set_new(monitor, "expected_codes", json_string("200"));
	}
	if (r < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(monitor);
	return 0;
}

static json_t *make_persistence(const struct kube_service *service, const struct kube_port *port)
{
	/* Of pools of UDP and SCTP only: HAProxy's table has no such time. */
	if (port->transport != TRANSPORT_TCP)
		return json_pack("{s:s, s:I}", "type", "SOURCE_IP", "persistence_timeout",
			(json_int_t)service->affinity_timeout_s);
	return json_pack("{s:s}", "type", "SOURCE_IP");
}

/* SOURCE_IP_PORT is of the OVN provider; it spreads the connections of one client, too. */
static const char *algorithm(const struct listeners_context *context)
{
	const struct annotation_value *method = value_of(context, ANNOTATION_LB_METHOD);

	return !method->given || streq(method->text, "SOURCE_IP_PORT") ? "ROUND_ROBIN"
								       : method->text;
}

static int make_pool(const struct listeners_context *context, const struct features *features,
	const struct kube_port *port, size_t index, json_t **ret, struct error *err)
{
	const struct kube_service *service = context->service;
	struct protocols protocols = choose_protocols(context, features, port);
	json_auto_t *pool = json_object(), *members = NULL, *monitor = NULL;
	char id[37];
	int r = derive(context, "pool", port, id);

	if (r == 0)
		r = selection_members(&context->selection, port,
			features->asks_kube_proxy ? service->health_check_node_port : 0, &members,
			err);
	if (r == 0 && features->monitored)
		r = make_monitor(context, features, port, index, &monitor);
	if (r < 0)
		return r;
	r |= json_object_set_new(pool, "id", json_string(id));
	r |= json_object_set_new(pool, "name", make_name("pool", index, context->name));
	r |= json_object_set_new(pool, "protocol", json_string(protocols.pool));
	r |= json_object_set_new(pool, "lb_algorithm", json_string(algorithm(context)));
	if (service->affinity)
		r |= json_object_set_new(
			pool, "session_persistence", make_persistence(service, port));
	if (monitor)
		r |= json_object_set(pool, "healthmonitor", monitor);
	r |= json_object_set(pool, "members", members);
	if (r < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(pool);
	return 0;
}

static json_t *make_strings(char *const *strings)
{
	json_auto_t *list = json_array();
	int r = list ? 0 : -1;

	STRV_FOREACH (string, strings)
		r |= json_array_append_new(list, json_string(*string));
	return r < 0 ? NULL : TAKE_PTR(list);
}

/* The fields that are there only if an annotation is. */
static int put_options(const struct listeners_context *context, const struct kube_port *port,
	const struct features *features, json_t *listener)
{
	static const struct {
		const char *field;
		enum annotation annotation;
	} numbers[] = {
		{"connection_limit", ANNOTATION_CONNECTION_LIMIT},
		{"timeout_client_data", ANNOTATION_TIMEOUT_CLIENT_DATA},
		{"timeout_member_connect", ANNOTATION_TIMEOUT_MEMBER_CONNECT},
		{"timeout_member_data", ANNOTATION_TIMEOUT_MEMBER_DATA},
		{"timeout_tcp_inspect", ANNOTATION_TIMEOUT_TCP_INSPECT},
	};
	struct protocols protocols = choose_protocols(context, features, port);
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
		enum annotation annotation = numbers[i].annotation;
		bool fits = !(annotation_rows[annotation].flags & ANNOTATION_TCP_ONLY) ||
			    port->transport == TRANSPORT_TCP;

		if (value_of(context, annotation)->given && fits)
			r |= json_object_set_new(listener, numbers[i].field,
				json_integer(value_of(context, annotation)->number));
	}
	if (protocols.tls)
		r |= json_object_set_new(listener, "default_tls_container_ref",
			json_string(value_of(context, ANNOTATION_TLS_CONTAINER)->text));
	if (protocols.forwarded)
		r |= json_object_set_new(
			listener, "insert_headers", json_pack("{s:s}", "X-Forwarded-For", "true"));
	if (features->cidrs)
		r |= json_object_set_new(listener, "allowed_cidrs", make_strings(features->cidrs));
	return r < 0 ? -ENOMEM : 0;
}

static int make_listener(const struct listeners_context *context, const struct features *features,
	const struct kube_port *port, size_t index, json_t **ret, struct error *err)
{
	struct protocols protocols = choose_protocols(context, features, port);
	json_auto_t *listener = json_object(), *pool = NULL;
	char id[37];
	int r = derive(context, "listener", port, id);

	if (r == 0)
		r = make_pool(context, features, port, index, &pool, err);
	if (r < 0)
		return r;
	r |= json_object_set_new(listener, "id", json_string(id));
	r |= json_object_set_new(listener, "name", make_name("listener", index, context->name));
	r |= json_object_set_new(listener, "protocol", json_string(protocols.listener));
	r |= json_object_set_new(listener, "protocol_port", json_integer(port->port));
	r |= put_options(context, port, features, listener);
	r |= json_object_set_new(listener, "tags", json_pack("[s]", context->name));
	r |= json_object_set(listener, "default_pool", pool);
	if (r < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(listener);
	return 0;
}

static void note_port(const struct listeners_context *context, const struct features *features,
	const struct kube_port *port, size_t index)
{
	struct protocols protocols = choose_protocols(context, features, port);
	char source[PORT_NAME_SIZE], value[64];

	port_name(index, "", source);
	snprintf(value, sizeof(value), "%s %lld, pool of %s", protocols.listener,
		(long long)port->port, protocols.pool);
	notes_mapped(context->notes, source, "listener", value,
		"one port of a Service is one listener and one pool, as with OCCM");
	port_name(index, ".nodePort", source);
	snprintf(value, sizeof(value), "%lld", (long long)port->node_port);
	if (port->node_port > 0)
		notes_mapped(context->notes, source, "member protocol_port", value,
			"kube-proxy takes connections there, on every node");
	else if (context->selection.targets->slices_given)
		notes_warn(context->notes, source,
			"there is none, so the pods are the members: the load balancer must reach "
			"their addresses (OCCM would have no members)");
	else
		notes_warn(context->notes, source,
			"there is none, so the pool has no members, as with OCCM; with --endpoints "
			"the pods are the members");
	warn_transport(context, features, port);
	note_app_protocol(context, &protocols, features, port, index);
}

static void note_members(const struct listeners_context *context)
{
	enum { SHOWN = 8 };
	const struct selection *selection = &context->selection;
	_cleanup_text_ struct text list = TEXT_INIT;
	bool wanted = false;

	for (size_t i = 0; i < context->service->n_ports; i++)
		wanted |= context->service->ports[i].node_port > 0;
	if (!wanted)
		return;
	for (size_t i = 0; i < selection->n_nodes && i < SHOWN; i++)
		text_printf(&list, "%s%s", i ? ", " : "", selection->nodes[i]->metadata.name);
	if (selection->n_nodes > SHOWN)
		text_printf(&list, " and %zu more", selection->n_nodes - SHOWN);
	if (selection->n_nodes > 0)
		notes_mapped(context->notes, "nodes", "pool members", text_peek(&list),
			"the service controller would hand these to the cloud provider, and the "
			"Service wants them");
	else
		notes_warn(context->notes, "nodes",
			"none of them is a member (--explain says why): nobody is served");
}

int listeners_append(struct listeners_context *context, json_t *listeners, struct error *err)
{
	_cleanup_(features_done) struct features features = FEATURES_INIT;
	int r = features_choose(context, &features, err);

	if (r < 0)
		return r;
	note_members(context);
	for (size_t i = 0; i < context->service->n_ports; i++) {
		json_auto_t *listener = NULL;

		note_port(context, &features, &context->service->ports[i], i);
		r = make_listener(
			context, &features, &context->service->ports[i], i, &listener, err);
		if (r < 0)
			return r;
		if (json_array_append(listeners, listener) < 0)
			return -ENOMEM;
	}
	return 0;
}
