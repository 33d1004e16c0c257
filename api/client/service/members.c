/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/members.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"

#define EXCLUDE_LABEL "node.kubernetes.io/exclude-from-external-load-balancers"
#define SERVICE_NAME_LABEL "kubernetes.io/service-name"

/* nodeIncludedPredicate(): the label excludes, unless it says "false" in a word of Go's
 * strconv.ParseBool(). */
static bool is_excluded(const struct kube_node *node)
{
	static const char *const off[] = {"0", "f", "F", "false", "FALSE", "False", NULL};
	const char *label = kube_label(&node->metadata, EXCLUDE_LABEL);

	for (const char *const *word = off; label && *word; word++)
		if (streq(label, *word))
			return false;
	return label;
}

/* Why the service controller does not hand a node on to any cloud provider; NULL: it does. */
static const char *why_not(const struct kube_node *node)
{
	if (node->metadata.deleting)
		return "the node is being deleted";
	if (is_excluded(node))
		return "the node has the label " EXCLUDE_LABEL;
	if (node->tainted)
		return "the cluster autoscaler is about to delete the node";
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	const struct kube_node *left = a, *right = b;

	return strcmp(left->metadata.name, right->metadata.name);
}

static void note_node(const struct kube_node *node, const char *because, struct notes *notes)
{
	_cleanup_free_ char *source = NULL;

	if (asprintf(&source, "node %s", node->metadata.name) < 0) {
		source = NULL;
		notes->failed = true;
		return;
	}
	notes_unused(notes, source, because);
}

static int read_nodes(const struct kube_objects *objects, struct targets *targets,
	struct notes *notes, struct error *err)
{
	targets->nodes = calloc(objects->n + 1, sizeof(*targets->nodes));
	if (!targets->nodes)
		return -ENOMEM;
	for (size_t i = 0; i < objects->n; i++) {
		struct kube_node *node = &targets->nodes[targets->n_nodes];
		const char *because;
		int r = kube_read_node(objects->list[i], node, err);

		if (r < 0)
			return r;
		because = why_not(node);
		if (!because) {
			targets->n_nodes++;
			continue;
		}
		note_node(node, because, notes);
		kube_node_done(node);
	}
	qsort(targets->nodes, targets->n_nodes, sizeof(*targets->nodes), by_name);
	for (size_t i = 1; i < targets->n_nodes; i++)
		if (by_name(&targets->nodes[i - 1], &targets->nodes[i]) == 0)
			return place_error(targets->nodes[i].object->where, ERROR_CONFLICT, err,
				"the node %s is there twice", targets->nodes[i].metadata.name);
	return 0;
}

static int read_slices(
	const struct kube_objects *objects, struct targets *targets, struct error *err)
{
	targets->slices = calloc(objects->n + 1, sizeof(*targets->slices));
	if (!targets->slices)
		return -ENOMEM;
	for (; targets->n_slices < objects->n; targets->n_slices++) {
		int r = kube_read_slice(
			objects->list[targets->n_slices], &targets->slices[targets->n_slices], err);

		if (r < 0)
			return r;
	}
	return 0;
}

int targets_read(
	const struct cluster *cluster, struct targets *ret, struct notes *notes, struct error *err)
{
	const struct kube_objects *nodes = &cluster->objects[KUBE_NODE],
				  *slices = &cluster->objects[KUBE_ENDPOINT_SLICE];
	_cleanup_targets_ struct targets targets = {
		.nodes_given = nodes->given, .slices_given = slices->given};
	int r = read_nodes(nodes, &targets, notes, err);

	if (r == 0)
		r = read_slices(slices, &targets, err);
	if (r < 0)
		return r;
	*ret = targets;
	targets = TARGETS_INIT;
	return 0;
}

void targets_done(struct targets *targets)
{
	for (size_t i = 0; i < targets->n_nodes; i++)
		kube_node_done(&targets->nodes[i]);
	for (size_t i = 0; i < targets->n_slices; i++)
		kube_slice_done(&targets->slices[i]);
	free(targets->nodes);
	free(targets->slices);
	*targets = TARGETS_INIT;
}

static bool is_slice_of(const struct kube_slice *slice, const struct kube_service *service)
{
	const char *namespace = *slice->metadata.namespace ? slice->metadata.namespace : "default";

	return streq_null(
		       kube_label(&slice->metadata, SERVICE_NAME_LABEL), service->metadata.name) &&
	       streq(namespace, service->metadata.namespace);
}

static bool is_of_family(enum family family, enum family wanted)
{
	return family != FAMILY_ANY && (wanted == FAMILY_ANY || family == wanted);
}

/* The nodes on which kube-proxy keeps connections to itself: those with a ready endpoint. */
static int find_local(const struct selection *selection, json_t *set)
{
	const struct targets *targets = selection->targets;

	for (size_t i = 0; i < targets->n_slices; i++) {
		const struct kube_slice *slice = &targets->slices[i];

		if (!is_slice_of(slice, selection->service) ||
			!is_of_family(slice->family, selection->family))
			continue;
		for (size_t j = 0; j < slice->n_endpoints; j++)
			if (slice->endpoints[j].ready &&
				json_object_set_new(set, slice->endpoints[j].node, json_true()) < 0)
				return -ENOMEM;
	}
	return 0;
}

/* matchNodeLabels(): "key=value" or "key" alone. */
static bool has_labels(const struct kube_node *node, char *const *selectors)
{
	STRV_FOREACH (selector, selectors) {
		const char *equals = strchr(*selector, '='), *key, *label;
		const json_t *value;
		bool found = false;

		json_object_foreach ((json_t *)node->metadata.labels, key, value) {
			size_t length = equals ? (size_t)(equals - *selector) : strlen(*selector);

			label = json_string_value(value);
			found |= label && strlen(key) == length &&
				 strncmp(key, *selector, length) == 0 &&
				 (!equals || !equals[1] || streq(equals + 1, label));
		}
		if (!found)
			return false;
	}
	return true;
}

/* Why this Service does not want a node; NULL: it does. */
static const char *why_unwanted(const struct selection *selection, const struct kube_node *node,
	char *const *selectors, const json_t *local)
{
	const struct kube_service *service = selection->service;
	enum family family = selection->family == FAMILY_ANY ? node->first : selection->family;

	if (!has_labels(node, selectors))
		return "the node has not all labels of node-selector";
	if (service->local && selection->targets->slices_given &&
		!json_object_get(local, node->metadata.name))
		return "externalTrafficPolicy is Local and no endpoint on the node is ready";
	if (!node->ready && !selection->monitored)
		return "the node is not ready, and no health monitor would notice (OCCM would "
		       "have it as a member)";
	if (family == FAMILY_ANY || !node->address[family])
		return "the node has no InternalIP or ExternalIP of the load balancer's family";
	return NULL;
}

static const char *address_of(const struct selection *selection, const struct kube_node *node)
{
	return node->address[selection->family == FAMILY_ANY ? node->first : selection->family];
}

static int choose(struct selection *selection, char *const *selectors, const json_t *local,
	struct notes *notes)
{
	const struct targets *targets = selection->targets;
	json_auto_t *addresses = json_object();

	for (size_t i = 0; i < targets->n_nodes; i++) {
		const struct kube_node *node = &targets->nodes[i];
		const char *because = why_unwanted(selection, node, selectors, local);

		if (!because && json_object_get(addresses, address_of(selection, node)))
			because = "another node has the same address";
		if (because) {
			note_node(node, because, notes);
			continue;
		}
		if (json_object_set_new(addresses, address_of(selection, node), json_true()) < 0)
			return -ENOMEM;
		selection->nodes[selection->n_nodes++] = node;
	}
	return 0;
}

int selection_choose(struct selection *selection, struct notes *notes)
{
	json_auto_t *local = json_object();
	_cleanup_strv_ char **selectors = NULL;
	int r;

	selection->nodes = calloc(selection->targets->n_nodes + 1, sizeof(*selection->nodes));
	if (!selection->nodes || !local)
		return -ENOMEM;
	r = text_split(selection->node_selector, ',', &selectors);
	if (r == 0)
		r = find_local(selection, local);
	return r < 0 ? r : choose(selection, selectors, local, notes);
}

void selection_done(struct selection *selection)
{
	free(selection->nodes);
	*selection = SELECTION_INIT;
}

static int append_member(const struct selection *selection, json_t *members, const char *name,
	const char *address, int64_t port, int64_t monitor_port)
{
	json_auto_t *member = json_object();
	int r = 0;

	if (*name)
		r |= json_object_set_new(member, "name", json_string(name));
	r |= json_object_set_new(member, "address", json_string(address));
	r |= json_object_set_new(member, "protocol_port", json_integer(port));
	if (monitor_port > 0)
		r |= json_object_set_new(member, "monitor_port", json_integer(monitor_port));
	if (selection->subnet_id)
		r |= json_object_set_new(member, "subnet_id", json_string(selection->subnet_id));
	r |= json_array_append(members, member);
	return r < 0 ? -ENOMEM : 0;
}

/* The node once more, with its address of the other family, for the VIPs of that family. The name
 * is one that no node can have. */
static int append_other_family(const struct selection *selection, json_t *members, json_t *taken,
	const struct kube_node *node, int64_t port, int64_t monitor_port)
{
	enum family other = selection->family == FAMILY_IPV4 ? FAMILY_IPV6 : FAMILY_IPV4;
	const char *address = node->address[other];
	_cleanup_free_ char *name = NULL;

	if (!address || json_object_get(taken, address))
		return 0;
	if (asprintf(&name, "%s/%s", node->metadata.name, family_names[other]) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	if (json_object_set_new(taken, address, json_true()) < 0)
		return -ENOMEM;
	return append_member(selection, members, strlen(name) > LIMIT_NAME ? "" : name, address,
		port, monitor_port);
}

static int append_nodes(const struct selection *selection, const struct kube_port *port,
	int64_t monitor_port, json_t *members)
{
	bool both = selection->both_families && port->transport != TRANSPORT_TCP;
	json_auto_t *taken = json_object();
	int r = taken ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < selection->n_nodes; i++)
		r = append_member(selection, members, selection->nodes[i]->metadata.name,
			address_of(selection, selection->nodes[i]), port->node_port, monitor_port);
	for (size_t i = 0; r == 0 && both && i < selection->n_nodes; i++)
		r = append_other_family(selection, members, taken, selection->nodes[i],
			port->node_port, monitor_port);
	return r;
}

struct pod {
	const char *name, *address;
	int64_t port;
};

static int by_address(const void *a, const void *b)
{
	const struct pod *left = a, *right = b;
	int r = strcmp(left->name, right->name);

	return r != 0 ? r : strcmp(left->address, right->address);
}

/* The number that a slice has for a port of its Service; 0: none. */
static int64_t port_of(const struct kube_slice *slice, const struct kube_port *port)
{
	for (size_t i = 0; i < slice->n_ports; i++)
		if (streq(slice->ports[i].name, port->name) &&
			slice->ports[i].transport == port->transport)
			return slice->ports[i].port;
	return 0;
}

/* Without a node port the pods themselves are members, each once: during an update one can be in
 * two slices, and without a family to choose by it is there with an address of each. */
static int append_pods(
	const struct selection *selection, const struct kube_port *port, json_t *members)
{
	const struct targets *targets = selection->targets;
	_cleanup_free_ struct pod *pods = NULL;
	json_auto_t *names = json_object(), *addresses = json_object();
	size_t n = 0, room = 0;
	int r = names && addresses ? 0 : -ENOMEM;

	for (size_t i = 0; i < targets->n_slices; i++)
		room += targets->slices[i].n_endpoints;
	pods = calloc(room + 1, sizeof(*pods));
	if (!pods)
		return -ENOMEM;
	for (size_t i = 0; i < targets->n_slices; i++) {
		const struct kube_slice *slice = &targets->slices[i];
		int64_t number = port_of(slice, port);

		if (number == 0 || !is_slice_of(slice, selection->service) ||
			!is_of_family(slice->family, selection->family))
			continue;
		for (size_t j = 0; j < slice->n_endpoints; j++)
			if (slice->endpoints[j].ready)
				pods[n++] = (struct pod){slice->endpoints[j].pod,
					slice->endpoints[j].address, number};
	}
	qsort(pods, n, sizeof(*pods), by_address);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct pod *pod = &pods[i];

		if (json_object_get(addresses, pod->address) ||
			(*pod->name && json_object_get(names, pod->name)))
			continue;
		if (json_object_set_new(addresses, pod->address, json_true()) < 0 ||
			json_object_set_new(names, pod->name, json_true()) < 0)
			r = -ENOMEM;
		else
			r = append_member(
				selection, members, pod->name, pod->address, pod->port, 0);
	}
	return r;
}

int selection_members(const struct selection *selection, const struct kube_port *port,
	int64_t monitor_port, json_t **ret, struct error *err)
{
	const struct kube_service *service = selection->service;
	json_auto_t *members = json_array();
	int r = members ? 0 : -ENOMEM;

	if (r == 0 && port->node_port > 0)
		r = append_nodes(selection, port, monitor_port, members);
	else if (r == 0)
		r = append_pods(selection, port, members);
	if (r < 0)
		return r;
	if (json_array_size(members) > LIMIT_MEMBERS_PER_POOL)
		return place_error(service->object->where, ERROR_TOO_LARGE, err,
			"has %zu members, more than the %d that are allowed",
			json_array_size(members), LIMIT_MEMBERS_PER_POOL);
	*ret = TAKE_PTR(members);
	return 0;
}
