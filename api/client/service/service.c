/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/service.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "api/client/document.h"
#include "api/client/service/listeners.h"
#include "api/client/service/pick.h"
#include "api/client/service/vips.h"

enum { NAME_SIZE = LIMIT_NAME + 1 };

struct conversion {
	const struct service_options *options;
	const char *cluster; /* its name */
	struct notes *notes;
	struct picked picked;
	struct targets targets;
	char **vips; /* NULL: not known */
	char lb_id[37];
	char lb_name[NAME_SIZE];
	struct annotation_value values[_ANNOTATION_MAX]; /* of the owner */
	json_t *tags, *listeners;
};

static void conversion_done(struct conversion *conversion)
{
	picked_done(&conversion->picked);
	targets_done(&conversion->targets);
	strv_free(conversion->vips);
	json_decref(conversion->tags);
	json_decref(conversion->listeners);
}

/* GetLoadBalancerName() of OCCM, cut as Sprintf255() does; all parts are ASCII. */
static void name_load_balancer(
	const struct conversion *c, const struct kube_service *service, char ret[NAME_SIZE])
{
	if (snprintf(ret, NAME_SIZE, "kube_service_%s_%s_%s", c->cluster,
		    service->metadata.namespace, service->metadata.name) < 0)
		ret[0] = '\0';
}

static int check_cluster(const char *cluster, struct error *err)
{
	size_t length = strlen(cluster);
	bool good = length > 0 && length <= SERVICE_MAX_CLUSTER_NAME;

	for (size_t i = 0; good && i < length; i++)
		good = cluster[i] > ' ' && cluster[i] < 0x7f;
	return good ? 0
		    : error_set(err, ERROR_INVALID, "--cluster-name",
			      "must be 1 to %d visible ASCII characters", SERVICE_MAX_CLUSTER_NAME);
}

/* At most: every port with every node, twice for IPVS with VIPs of both families, or with every
 * pod. */
static int check_size(const struct conversion *c, struct error *err)
{
	size_t members = 0, listeners = 0, endpoints = 0;

	for (size_t i = 0; i < c->targets.n_slices; i++)
		endpoints += c->targets.slices[i].n_endpoints;
	for (size_t i = 0; i < c->picked.n; i++)
		for (size_t j = 0; j < c->picked.services[i].n_ports; j++) {
			const struct kube_port *port = &c->picked.services[i].ports[j];

			listeners++;
			members += port->node_port == 0               ? endpoints
				   : port->transport == TRANSPORT_TCP ? c->targets.n_nodes
								      : 2 * c->targets.n_nodes;
		}
	if (c->picked.n > SERVICE_MAX_SHARED)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"%zu Services share the load balancer, more than %d", c->picked.n,
			SERVICE_MAX_SHARED);
	if (listeners > LIMIT_LISTENERS)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"%zu ports in all, more than the %d listeners that are allowed", listeners,
			LIMIT_LISTENERS);
	if (members > SERVICE_MAX_MEMBERS)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"%zu ports and %zu nodes would make %zu members, more than %d", listeners,
			c->targets.n_nodes, members, SERVICE_MAX_MEMBERS);
	return 0;
}

static int check_targets(const struct conversion *c, struct error *err)
{
	bool wanted = false;

	for (size_t i = 0; i < c->picked.n; i++)
		for (size_t j = 0; j < c->picked.services[i].n_ports; j++)
			wanted |= c->picked.services[i].ports[j].node_port > 0;
	if (!wanted || c->targets.n_nodes > 0)
		return check_size(c, err);
	if (!c->targets.nodes_given)
		return error_set(err, ERROR_NOT_FOUND, NULL,
			"there is no Node in the input; give the cluster's with --nodes");
	/* As OCCM has it: rather nothing than a load balancer that serves nobody any more. */
	return error_set(err, ERROR_INVALID, NULL,
		"no node can be a member: there is none, or all are excluded or being deleted");
}

static void note_service(
	const struct conversion *c, const struct kube_service *service, const char *name)
{
	notes_mapped(c->notes, "metadata.name", "loadbalancer name", name,
		"OCCM names load balancers after cluster, namespace and Service");
	if (!streq(service->type, "LoadBalancer"))
		notes_warn(c->notes, "spec.type",
			"OCCM serves LoadBalancer only; this %s is served all the same",
			service->type);
	if (*service->load_balancer_class)
		notes_warn(c->notes, "spec.loadBalancerClass",
			"OCCM leaves a Service with a class to others; this one is served all the "
			"same");
}

/* The first Service is the owner, whose annotations are those of the load balancer. */
static int begin(struct conversion *c, struct error *err)
{
	const struct kube_service *owner = &c->picked.services[0];
	const struct annotation_value *id = &c->values[ANNOTATION_LOAD_BALANCER_ID];
	int r = annotations_read(owner, true, c->values, c->notes, err);

	if (r < 0)
		return r;
	name_load_balancer(c, owner, c->lb_name);
	note_service(c, owner, c->lb_name);
	if (id->given)
		memcpy(c->lb_id, id->uuid, sizeof(c->lb_id));
	else
		r = document_derive_id(c->lb_name, c->lb_id, err);
	if (r == 0)
		r = vips_read(owner, c->options->vip_address, c->notes, &c->vips, err);
	return r;
}

static int add_service(struct conversion *c, size_t index, struct error *err)
{
	const struct kube_service *service = &c->picked.services[index];
	struct annotation_value values[_ANNOTATION_MAX];
	char name[NAME_SIZE];
	bool both = false;
	_cleanup_(selection_done) struct selection selection = SELECTION_INIT;
	int r = 0;

	name_load_balancer(c, service, name);
	if (index == 0)
		memcpy(values, c->values, sizeof(values));
	else
		r = annotations_read(service, false, values, c->notes, err);
	if (r < 0)
		return r;
	/* As OCCM has it: the others' addresses would make it public. */
	if (index > 0 && values[ANNOTATION_INTERNAL].number)
		return annotation_error(service, ANNOTATION_INTERNAL, err,
			"an internal Service cannot share another Service's load balancer");
	if (index > 0 && *service->load_balancer_ip)
		notes_unused(c->notes, "spec.loadBalancerIP",
			"the first Service of a shared load balancer says this for all");
	STRV_FOREACH (vip, c->vips)
		both |= family_of(*vip) != family_of(c->vips[0]);
	struct listeners_context context = {
		.service = service,
		.values = values,
		.lb_id = c->lb_id,
		.name = name,
		.vips = c->vips,
		.create_monitor = c->options->create_monitor,
		.notes = c->notes,
		.selection = {.targets = &c->targets,
			.both_families = both,
			.family = c->vips               ? family_of(c->vips[0])
				  : service->n_families ? service->families[0]
							: FAMILY_ANY},
	};

	r = listeners_append(&context, c->listeners, err);
	selection = context.selection;
	if (r == 0 && json_array_append_new(c->tags, json_string(name)) < 0)
		r = -ENOMEM;
	return r;
}

/* Neutron's objects: kept for whoever reads them, since nobody here takes an address from them. */
static int put_network(const struct conversion *c, json_t *lb)
{
	static const struct {
		const char *field;
		enum annotation annotation;
	} references[] = {
		{"vip_port_id", ANNOTATION_PORT_ID},
		{"vip_network_id", ANNOTATION_NETWORK_ID},
		{"vip_subnet_id", ANNOTATION_SUBNET_ID},
	};
	bool port = c->values[ANNOTATION_PORT_ID].given;
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(references); i++) {
		enum annotation annotation = references[i].annotation;
		const struct annotation_value *value = &c->values[annotation];
		const char *name = annotation_rows[annotation].name;

		if (!value->given)
			continue;
		if (!c->vips)
			notes_warn(c->notes, name,
				"no address is taken from there: amphorad asks no Neutron; give "
				"--vip-address");
		if (port && annotation != ANNOTATION_PORT_ID) {
			notes_unused(c->notes, name, "port-id takes its place, as with OCCM");
			continue;
		}
		if (annotation != ANNOTATION_PORT_ID)
			annotation_explain(annotation, value->uuid, c->notes);
		r |= json_object_set_new(lb, references[i].field, json_string(value->uuid));
	}
	return r;
}

static int put_vips(const struct conversion *c, json_t *lb)
{
	json_auto_t *additional = json_array();
	int r = additional ? 0 : -1;

	if (!c->vips)
		return r;
	r |= json_object_set_new(lb, "vip_address", json_string(c->vips[0]));
	for (size_t i = 1; c->vips[i]; i++)
		r |= json_array_append_new(
			additional, json_pack("{s:s}", "ip_address", c->vips[i]));
	if (json_array_size(additional) > 0)
		r |= json_object_set(lb, "additional_vips", additional);
	return r;
}

/* createOctaviaLoadBalancer() of OCCM. */
static int make_document(const struct conversion *c, json_t **ret)
{
	const struct kube_metadata *owner = &c->picked.services[0].metadata;
	const struct annotation_value *flavor = &c->values[ANNOTATION_FLAVOR_ID],
				      *zone = &c->values[ANNOTATION_AVAILABILITY_ZONE];
	json_auto_t *lb = json_object();
	char description[NAME_SIZE];
	json_t *document;
	int r = snprintf(description, sizeof(description),
			"Kubernetes external service %s/%s from cluster %s", owner->namespace,
			owner->name, c->cluster) < 0;

	r |= json_object_set_new(lb, "id", json_string(c->lb_id));
	r |= json_object_set_new(lb, "name", json_string(c->lb_name));
	r |= json_object_set_new(lb, "description", json_string(description));
	r |= put_vips(c, lb);
	r |= put_network(c, lb);
	if (flavor->given)
		r |= json_object_set_new(lb, "flavor_id", json_string(flavor->uuid));
	if (zone->given)
		r |= json_object_set_new(lb, "availability_zone", json_string(zone->text));
	r |= json_object_set(lb, "tags", c->tags);
	r |= json_object_set(lb, "listeners", c->listeners);
	document = r == 0 ? json_pack("{s:O}", "loadbalancer", lb) : NULL;
	if (!document)
		return -ENOMEM;
	*ret = document;
	return 0;
}

/* "shop/web: " before what is said about one of several. */
static int convert_services(struct conversion *c, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->picked.n; i++) {
		const struct kube_metadata *metadata = &c->picked.services[i].metadata;
		_cleanup_free_ char *prefix = NULL;

		if (asprintf(&prefix, "%s/%s: ", metadata->namespace, metadata->name) < 0) {
			prefix = NULL;
			return -ENOMEM;
		}
		c->notes->prefix = c->picked.n > 1 ? prefix : NULL;
		if (i == 0)
			r = begin(c, err);
		if (r == 0)
			r = add_service(c, i, err);
		c->notes->prefix = NULL;
	}
	return r;
}

int service_convert(const struct cluster *cluster, const struct service_options *options,
	struct notes *notes, json_t **ret, struct error *err)
{
	_cleanup_(conversion_done) struct conversion c = {
		.options = options,
		.cluster = options->cluster ? options->cluster : "kubernetes",
		.notes = notes,
		.tags = json_array(),
		.listeners = json_array(),
	};
	json_auto_t *document = NULL;
	int r = c.tags && c.listeners ? check_cluster(c.cluster, err) : -ENOMEM;

	if (r == 0)
		r = pick_services(cluster, options->service, &c.picked, err);
	if (r == 0)
		r = targets_read(cluster, &c.targets, notes, err);
	if (r == 0)
		r = check_targets(&c, err);
	if (r == 0)
		r = convert_services(&c, err);
	if (r == 0)
		r = make_document(&c, &document);
	if (r == 0 && notes->failed)
		r = -ENOMEM;
	if (r < 0)
		return err && err->message ? r
					   : error_set_errno(err, r, "cannot convert the Service");
	if (json_dumpb(document, NULL, 0, JSON_COMPACT) > LIMIT_BODY_BYTES)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"the definition is larger than %d bytes", LIMIT_BODY_BYTES);
	*ret = TAKE_PTR(document);
	return 0;
}
