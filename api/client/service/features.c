/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/features.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "api/client/service/ranges.h"

static const char *name_of(enum annotation annotation)
{
	return annotation_rows[annotation].name;
}

static bool has_port_of(const struct kube_service *service, bool tcp)
{
	for (size_t i = 0; i < service->n_ports; i++)
		if ((service->ports[i].transport == TRANSPORT_TCP) == tcp)
			return true;
	return false;
}

/* checkService() and makeSvcConf() of OCCM. */
static int choose_protocols(
	const struct listeners_context *context, struct features *features, struct error *err)
{
	const struct annotation_value *proxy = &context->values[ANNOTATION_PROXY_PROTOCOL],
				      *tls = &context->values[ANNOTATION_TLS_CONTAINER];

	features->proxy = proxy->given;
	features->forwarded = context->values[ANNOTATION_X_FORWARDED_FOR].number;
	features->tls = tls->given;
	if (features->proxy && features->forwarded)
		return annotation_error(context->service, ANNOTATION_X_FORWARDED_FOR, err,
			"cannot be used together with proxy-protocol");
	if (features->proxy)
		annotation_explain(ANNOTATION_PROXY_PROTOCOL, proxy_protocol_pools[proxy->number],
			context->notes);
	if (features->forwarded)
		annotation_explain(ANNOTATION_X_FORWARDED_FOR, "X-Forwarded-For", context->notes);
	else if (context->values[ANNOTATION_X_FORWARDED_FOR].given)
		notes_unused(
			context->notes, name_of(ANNOTATION_X_FORWARDED_FOR), "no header is wanted");
	if (!features->tls)
		return 0;
	annotation_explain(ANNOTATION_TLS_CONTAINER, tls->text, context->notes);
	if (strchr(tls->text, '/'))
		notes_warn(context->notes, name_of(ANNOTATION_TLS_CONTAINER),
			"no key manager is asked: store the certificate in amphorad first "
			"(amphoractl certificate add %s FILE...)",
			strrchr(tls->text, '/') + 1);
	return 0;
}

/* What is for TCP, in a Service without it. */
static void warn_without_tcp(const struct listeners_context *context)
{
	for (enum annotation i = ANNOTATION_TIMEOUT_CLIENT_DATA;
		i <= ANNOTATION_TIMEOUT_TCP_INSPECT; i++)
		if (context->values[i].given && !has_port_of(context->service, true))
			notes_warn(context->notes, name_of(i),
				"this is for TCP, and the Service has no such port");
}

static void choose_algorithm(const struct listeners_context *context)
{
	const struct annotation_value *method = &context->values[ANNOTATION_LB_METHOD];

	if (!method->given)
		return;
	if (streq(method->text, "SOURCE_IP_PORT"))
		notes_warn(context->notes, name_of(ANNOTATION_LB_METHOD),
			"SOURCE_IP_PORT is of Octavia's OVN provider; ROUND_ROBIN, which spreads "
			"the connections of a client, too, takes its place");
	else
		annotation_explain(ANNOTATION_LB_METHOD, method->text, context->notes);
}

static void choose_affinity(const struct listeners_context *context)
{
	enum { STANDARD_S = 10800 }; /* written into every Service that does not say */
	const struct kube_service *service = context->service;
	char value[64];

	if (!service->affinity)
		return;
	notes_mapped(context->notes, "spec.sessionAffinity", "pool session_persistence",
		"SOURCE_IP", "connections of one client address go to one member");
	snprintf(value, sizeof(value), "%lld", (long long)service->affinity_timeout_s);
	if (has_port_of(service, false))
		notes_mapped(context->notes, "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
			"session_persistence persistence_timeout", value,
			"IPVS, which serves UDP and SCTP, forgets a client after that time");
	if (has_port_of(service, true) && service->affinity_timeout_s != STANDARD_S)
		notes_warn(context->notes, "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
			"HAProxy, which serves TCP, does not forget a client after a time");
}

static void warn_about_local(
	const struct listeners_context *context, const struct features *features)
{
	const struct kube_service *service = context->service;
	const bool known = context->selection.targets->slices_given;

	if (!service->local)
		return;
	if (service->health_check_node_port == 0 && !known)
		notes_warn(context->notes, "spec.healthCheckNodePort",
			"there is none to ask, so nodes without an endpoint are members, and their "
			"connections are lost; give --endpoints");
	else if (!features->monitored && !known)
		notes_warn(context->notes, name_of(ANNOTATION_ENABLE_MONITOR),
			"without a monitor nodes without an endpoint are members, and their "
			"connections are lost: externalTrafficPolicy is Local");
	if (known)
		notes_mapped(context->notes, "spec.externalTrafficPolicy", "pool members",
			"nodes with a ready endpoint",
			"with Local a node serves its own pods only; apply again when they move");
}

/* OCCM has no monitor unless it is told to; its documentation says that Local needs one, so that
 * Local is taken for telling. */
static void choose_monitor(const struct listeners_context *context, struct features *features)
{
	const struct kube_service *service = context->service;
	const struct annotation_value *enable = &context->values[ANNOTATION_ENABLE_MONITOR];
	bool local = service->local && service->health_check_node_port > 0;
	char value[64];

	features->monitored = enable->given ? enable->number : context->create_monitor || local;
	features->asks_kube_proxy = features->monitored && local;
	if (enable->given && !features->monitored)
		annotation_explain(ANNOTATION_ENABLE_MONITOR, "none", context->notes);
	else if (enable->given)
		annotation_explain(ANNOTATION_ENABLE_MONITOR,
			features->asks_kube_proxy ? "HTTP" : "of the port's protocol",
			context->notes);
	else if (features->monitored && !local)
		notes_mapped(context->notes, "--create-monitor", "pool healthmonitor",
			"of the port's protocol", "the command line asks for it");
	if (features->asks_kube_proxy) {
		snprintf(value, sizeof(value), "HTTP GET /healthz, member monitor_port = %lld",
			(long long)service->health_check_node_port);
		notes_mapped(context->notes, "spec.healthCheckNodePort", "pool healthmonitor",
			value,
			"with externalTrafficPolicy: Local kube-proxy says there whether a node "
			"has endpoints; such checks carry no PROXY header");
	}
	warn_about_local(context, features);
}

static void choose_monitor_numbers(
	const struct listeners_context *context, const struct features *features)
{
	const struct annotation_value *values = context->values;

	for (enum annotation i = ANNOTATION_MONITOR_DELAY; i <= ANNOTATION_MONITOR_MAX_RETRIES_DOWN;
		i++) {
		if (!values[i].given)
			continue;
		if (features->monitored)
			annotation_explain(i, values[i].text, context->notes);
		else
			notes_warn(context->notes, name_of(i),
				"there is no health monitor; enable-health-monitor makes one");
	}
	if (features->monitored &&
		values[ANNOTATION_MONITOR_TIMEOUT].number > values[ANNOTATION_MONITOR_DELAY].number)
		notes_warn(context->notes, name_of(ANNOTATION_MONITOR_TIMEOUT),
			"%lld seconds are more than the %lld between two checks",
			(long long)values[ANNOTATION_MONITOR_TIMEOUT].number,
			(long long)values[ANNOTATION_MONITOR_DELAY].number);
}

static int choose_nodes(struct listeners_context *context, const struct features *features)
{
	struct selection *selection = &context->selection;
	const struct annotation_value *values = context->values;
	const struct annotation_value *subnet = &values[ANNOTATION_MEMBER_SUBNET_ID];

	if (!subnet->given)
		subnet = &values[ANNOTATION_SUBNET_ID];
	selection->service = context->service;
	selection->node_selector = values[ANNOTATION_NODE_SELECTOR].text;
	selection->subnet_id = subnet->given ? subnet->uuid : NULL;
	selection->monitored = features->monitored;
	if (values[ANNOTATION_NODE_SELECTOR].given)
		annotation_explain(ANNOTATION_NODE_SELECTOR, values[ANNOTATION_NODE_SELECTOR].text,
			context->notes);
	return selection_choose(selection, context->notes);
}

int features_choose(struct listeners_context *context, struct features *ret, struct error *err)
{
	_cleanup_(features_done) struct features features = FEATURES_INIT;
	int r = choose_protocols(context, &features, err);

	if (r == 0)
		r = ranges_read(context->service, &context->values[ANNOTATION_SOURCE_RANGES],
			context->vips, context->notes, &features.cidrs, err);
	if (r < 0)
		return r;
	warn_without_tcp(context);
	choose_algorithm(context);
	choose_affinity(context);
	choose_monitor(context, &features);
	choose_monitor_numbers(context, &features);
	r = choose_nodes(context, &features);
	if (r < 0)
		return r;
	*ret = features;
	features = FEATURES_INIT;
	return 0;
}

void features_done(struct features *features)
{
	strv_free(features->cidrs);
	*features = FEATURES_INIT;
}
