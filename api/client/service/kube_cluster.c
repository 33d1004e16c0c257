/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/kubernetes.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/grammar.h"

/* Nodes and EndpointSlices. */

/* Of the service controller of k8s.io/cloud-provider (controllers/service/controller.go). */
#define TO_BE_DELETED_TAINT "ToBeDeletedByClusterAutoscaler"

/* An address of an endpoint or a node; 169.254.169.254 is the cloud's metadata service, which no
 * pool may have (reserved_ips of Octavia's configuration). */
static int read_address(
	const char *address, const struct place *where, char **ret, struct error *err)
{
	static const char metadata[] = "169.254.169.254";
	_cleanup_free_ char *canonical = NULL;
	int r = grammar_address(address, &canonical);

	if (r == -EINVAL)
		return place_error(where, ERROR_INVALID, err, "must be an IPv4 or IPv6 address");
	if (r < 0)
		return r;
	if (streq(canonical, metadata))
		return place_error(where, ERROR_INVALID, err, "%s cannot be a member", metadata);
	*ret = TAKE_PTR(canonical);
	return 0;
}

/* nodeAddressForLB() of OCCM: the first InternalIP of a family, else the first ExternalIP. */
static int read_addresses_of_type(const json_t *addresses, const char *wanted,
	const struct place *list, struct kube_node *node, struct error *err)
{
	const json_t *item;
	size_t i;

	json_array_foreach (addresses, i, item) {
		const struct place at = {list, NULL, i}, where = {&at, "address", 0};
		_cleanup_free_ char *canonical = NULL;
		const char *type = "", *address = "";
		enum family family;
		int r = place_item_object(item, &at, err);

		if (r == 0)
			r = place_get_string(item, "type", &at, &type, err);
		if (r == 0 && !streq(type, wanted))
			continue;
		if (r == 0)
			r = place_get_string(item, "address", &at, &address, err);
		if (r == 0)
			r = read_address(address, &where, &canonical, err);
		if (r < 0)
			return r;
		family = family_of(canonical);
		if (node->first == FAMILY_ANY)
			node->first = family;
		if (!node->address[family])
			node->address[family] = TAKE_PTR(canonical);
	}
	return 0;
}

static int read_status(
	const json_t *status, const struct place *where, struct kube_node *node, struct error *err)
{
	const struct place list = {where, "addresses", 0},
			   conditions_where = {where, "conditions", 0};
	const json_t *addresses = NULL, *conditions = NULL, *item;
	size_t i;
	int r = place_get_array(status, "addresses", KUBE_MAX_ADDRESSES, where, &addresses, err);

	if (r == 0)
		r = read_addresses_of_type(addresses, "InternalIP", &list, node, err);
	if (r == 0)
		r = read_addresses_of_type(addresses, "ExternalIP", &list, node, err);
	if (r == 0)
		r = place_get_array(
			status, "conditions", KUBE_MAX_ADDRESSES, where, &conditions, err);
	json_array_foreach (conditions, i, item) {
		const struct place at = {&conditions_where, NULL, i};
		const char *type = "", *value = "";

		if (r == 0)
			r = place_item_object(item, &at, err);
		if (r == 0)
			r = place_get_string(item, "type", &at, &type, err);
		if (r == 0)
			r = place_get_string(item, "status", &at, &value, err);
		if (r == 0 && streq(type, "Ready"))
			node->ready = streq(value, "True");
	}
	return r;
}

static int read_taints(
	const json_t *spec, const struct place *where, struct kube_node *node, struct error *err)
{
	const struct place list = {where, "taints", 0};
	const json_t *taints = NULL, *item;
	size_t i;
	int r = place_get_array(spec, "taints", KUBE_MAX_OBJECTS, where, &taints, err);

	json_array_foreach (taints, i, item) {
		const struct place at = {&list, NULL, i};
		const char *key = "";

		if (r == 0)
			r = place_item_object(item, &at, err);
		if (r == 0)
			r = place_get_string(item, "key", &at, &key, err);
		node->tainted |= streq(key, TO_BE_DELETED_TAINT);
	}
	return r;
}

int kube_read_node(const struct kube_object *object, struct kube_node *ret, struct error *err)
{
	const struct place spec_where = {object->where, "spec", 0},
			   status_where = {object->where, "status", 0};
	_cleanup_(kube_node_done) struct kube_node node = KUBE_NODE_INIT;
	const json_t *spec = NULL, *status = NULL;
	int r = kube_read_metadata(object, &node.metadata, err);

	node.object = object;
	if (r == 0)
		r = place_get_object(object->json, "spec", object->where, &spec, err);
	if (r == 0)
		r = place_get_object(object->json, "status", object->where, &status, err);
	if (r == 0)
		r = read_taints(spec, &spec_where, &node, err);
	if (r == 0)
		r = read_status(status, &status_where, &node, err);
	if (r < 0)
		return r;
	*ret = node;
	node = KUBE_NODE_INIT;
	return 0;
}

void kube_node_done(struct kube_node *node)
{
	for (size_t i = 0; i < _FAMILY_MAX; i++)
		free(node->address[i]);
	*node = KUBE_NODE_INIT;
}

static int read_target(
	const json_t *item, const struct place *where, const char **ret_pod, struct error *err)
{
	const struct place inner = {where, "targetRef", 0};
	const json_t *target = NULL;
	const char *kind = "", *name = "";
	int r = place_get_object(item, "targetRef", where, &target, err);

	if (r == 0)
		r = place_get_string(target, "kind", &inner, &kind, err);
	if (r == 0)
		r = place_get_string(target, "name", &inner, &name, err);
	if (r == 0 && streq(kind, "Pod") && strlen(name) <= KUBE_MAX_NAME)
		*ret_pod = name;
	return r;
}

static int read_endpoint(
	const json_t *item, const struct place *where, struct kube_endpoint *ret, struct error *err)
{
	const struct place list = {where, "addresses", 0}, first = {&list, NULL, 0},
			   inner = {where, "conditions", 0};
	const json_t *addresses = NULL, *conditions = NULL;
	const char *address = "";
	int r = place_item_object(item, where, err);

	*ret = (struct kube_endpoint){.node = "", .pod = "", .ready = true};
	if (r == 0)
		r = place_get_array(item, "addresses", KUBE_MAX_ADDRESSES, where, &addresses, err);
	if (r == 0 && json_array_size(addresses) == 0)
		return place_error(&list, ERROR_INVALID, err, "is required");
	/* All of an endpoint's addresses mean the same; consumers take the first. */
	if (r == 0)
		r = place_item_string(json_array_get(addresses, 0), &first, &address, err);
	if (r == 0)
		r = place_get_string(item, "nodeName", where, &ret->node, err);
	if (r == 0)
		r = place_get_object(item, "conditions", where, &conditions, err);
	if (r == 0) /* absent: ready */
		r = place_get_bool(conditions, "ready", &inner, &ret->ready, err);
	if (r == 0)
		r = read_target(item, where, &ret->pod, err);
	return r < 0 ? r : read_address(address, &first, &ret->address, err);
}

static int read_endpoints(
	const struct kube_object *object, struct kube_slice *slice, struct error *err)
{
	const struct place list = {object->where, "endpoints", 0};
	const json_t *items = NULL, *item;
	size_t i;
	int r = place_get_array(
		object->json, "endpoints", KUBE_MAX_ENDPOINTS, object->where, &items, err);

	if (r < 0 || slice->family == FAMILY_ANY)
		return r;
	slice->endpoints = calloc(json_array_size(items) + 1, sizeof(*slice->endpoints));
	if (!slice->endpoints)
		return -ENOMEM;
	json_array_foreach (items, i, item) {
		const struct place at = {&list, NULL, i};
		struct kube_endpoint *endpoint = &slice->endpoints[i];

		slice->n_endpoints = i + 1;
		r = read_endpoint(item, &at, endpoint, err);
		if (r < 0)
			return r;
		if (family_of(endpoint->address) != slice->family)
			return place_error(
				&at, ERROR_INVALID, err, "is not of the slice's addressType");
	}
	return 0;
}

int kube_read_slice(const struct kube_object *object, struct kube_slice *ret, struct error *err)
{
	const struct place where = {object->where, "addressType", 0};
	_cleanup_(kube_slice_done) struct kube_slice slice = KUBE_SLICE_INIT;
	const char *type = "";
	int r = kube_read_metadata(object, &slice.metadata, err);

	slice.object = object;
	if (r == 0)
		r = place_get_string(object->json, "addressType", object->where, &type, err);
	if (r < 0)
		return r;
	if (!*type)
		return place_error(&where, ERROR_INVALID, err, "is required");
	slice.family = streq(type, family_names[FAMILY_IPV4])   ? FAMILY_IPV4
		       : streq(type, family_names[FAMILY_IPV6]) ? FAMILY_IPV6
								: FAMILY_ANY;
	r = kube_read_ports(object->json, object->where, false, &slice.ports, &slice.n_ports, err);
	if (r == 0)
		r = read_endpoints(object, &slice, err);
	if (r < 0)
		return r;
	*ret = slice;
	slice = KUBE_SLICE_INIT;
	return 0;
}

void kube_slice_done(struct kube_slice *slice)
{
	for (size_t i = 0; i < slice->n_endpoints; i++)
		free(slice->endpoints[i].address);
	free(slice->endpoints);
	free(slice->ports);
	*slice = KUBE_SLICE_INIT;
}
