/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/registry_internal.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/grammar.h"
#include "agent/definition/tree.h"
#include "agent/instance/references.h"

/* What one load balancer takes from another: ports of shared addresses, and ids. */

static bool is_wildcard(const char *address)
{
	return streq(address, "0.0.0.0") || streq(address, "::");
}

static bool addresses_overlap(const char *a, const char *b)
{
	return streq(a, b) || ((is_wildcard(a) || is_wildcard(b)) && grammar_is_ipv6(a) == grammar_is_ipv6(b));
}

/* The VIP, then the additional ones; NULL after the last. */
static const char *vip_of(const struct registry *registry, const struct load_balancer *lb, size_t index)
{
	if (index == 0)
		return lb->vip_address ? lb->vip_address : registry->settings->render.default_vip_address;
	return index <= lb->n_additional_vips ? lb->additional_vips[index - 1].ip_address : NULL;
}

/* The first address of "lb" that "other" has, too, or NULL. */
static const char *shared_vip(const struct registry *registry, const struct load_balancer *lb,
	const struct load_balancer *other)
{
	const char *a, *b;

	for (size_t i = 0; (a = vip_of(registry, lb, i)); i++)
		for (size_t j = 0; (b = vip_of(registry, other, j)); j++)
			if (addresses_overlap(a, b))
				return a;
	return NULL;
}

static bool ports_meet(const struct listener *a, const struct listener *b)
{
	return a->admin_state_up && b->admin_state_up && a->protocol_port == b->protocol_port &&
		streq(listener_transport(a), listener_transport(b));
}

static const char *page_address(const struct registry *registry, const struct load_balancer *lb)
{
	return lb->stats_page->address ? lb->stats_page->address : vip_of(registry, lb, 0);
}

/* The first listener that has the port of that address, or NULL. */
static const struct listener *listener_at(
	const struct registry *registry, const struct load_balancer *lb, const char *address, int64_t port)
{
	bool is_vip = false;
	const char *vip;

	for (size_t i = 0; (vip = vip_of(registry, lb, i)); i++)
		is_vip |= addresses_overlap(vip, address);
	for (size_t i = 0; is_vip && i < lb->n_listeners; i++) {
		const struct listener *listener = &lb->listeners[i];

		if (listener->admin_state_up && listener->protocol_port == port &&
			streq(listener_transport(listener), "TCP"))
			return listener;
	}
	return NULL;
}

/* The port of our statistics page. */
static int check_page(const struct registry *registry, const struct load_balancer *lb, const struct load_balancer *other,
	struct error *err)
{
	static const char pointer[] = "/loadbalancer/stats_page/port";
	const char *address = page_address(registry, lb);
	int64_t port = lb->stats_page->port;
	const struct listener *listener = listener_at(registry, other, address, port);

	if (listener)
		return error_set(err, ERROR_CONFLICT, pointer, "port %lld of %s is taken by listener %s of load balancer %s",
			(long long)port, address, listener->id, other->id);
	if (other->stats_page && other->stats_page->port == port &&
		addresses_overlap(address, page_address(registry, other)))
		return error_set(err, ERROR_CONFLICT, pointer,
			"port %lld of %s is taken by the statistics page of load balancer %s", (long long)port, address,
			other->id);
	return 0;
}

/* Statistics pages and what else is at their ports. HAProxy's own bind() says nothing of two processes at one port: both share it
 * (SO_REUSEPORT). */
static int check_pages(const struct registry *registry, const struct load_balancer *lb, const struct load_balancer *other,
	struct error *err)
{
	const struct listener *listener;
	char pointer[80];
	int r = 0;

	if (!lb->admin_state_up || !other->admin_state_up)
		return 0;
	if (lb->stats_page)
		r = check_page(registry, lb, other, err);
	if (r < 0 || !other->stats_page)
		return r;
	listener = listener_at(registry, lb, page_address(registry, other), other->stats_page->port);
	if (!listener)
		return 0;
	snprintf(pointer, sizeof(pointer), "/loadbalancer/listeners/%zu/protocol_port", (size_t)(listener - lb->listeners));
	return error_set(err, ERROR_CONFLICT, pointer,
		"port %lld of %s is taken by the statistics page of load balancer %s", (long long)listener->protocol_port,
		page_address(registry, other), other->id);
}

static int add_id(void *ids, const struct tree_path *path)
{
	const char *id = object_id(tree_kinds[tree_kind_of(path)].type, tree_object(path));

	return json_object_set_new_nocheck(ids, id, json_true()) < 0 ? -ENOMEM : 0;
}

struct id_search {
	const json_t *ids;
	const char *found;
};

static int find_id(void *userdata, const struct tree_path *path)
{
	struct id_search *search = userdata;

	search->found = object_id(tree_kinds[tree_kind_of(path)].type, tree_object(path));
	return json_object_get(search->ids, search->found) ? 1 : 0;
}

/* Objects that are found by their ids alone have those to themselves. */
static int check_ids(const struct load_balancer *lb, const struct load_balancer *other, enum tree_kind kind,
	struct error *err)
{
	json_auto_t *ids = json_object();
	struct id_search search = {ids, NULL};
	_cleanup_free_ char *pointer = NULL;
	struct tree_path path;

	if (!ids || tree_each(lb, kind, add_id, ids) < 0)
		return error_set_errno(err, -ENOMEM, "load balancers");
	if (json_object_size(ids) == 0 || tree_each(other, kind, find_id, &search) == 0)
		return 0;
	if (!tree_find(lb, kind, NULL, search.found, &path) || tree_pointer(&path, &pointer) < 0)
		return error_set_errno(err, -ENOMEM, "load balancers");
	return error_set(err, ERROR_CONFLICT, pointer, "this id is taken by a %s of load balancer %s",
		tree_kinds[kind].title, other->id);
}

static int check_pair(const struct registry *registry, const struct load_balancer *lb,
	const struct load_balancer *other, struct error *err)
{
	const char *shared = lb->admin_state_up && other->admin_state_up ? shared_vip(registry, lb, other) : NULL;
	char pointer[80];
	int r;

	for (size_t i = 0; i < lb->n_listeners; i++)
		for (size_t j = 0; j < other->n_listeners; j++) {
			const struct listener *a = &lb->listeners[i], *b = &other->listeners[j];

			snprintf(pointer, sizeof(pointer), "/loadbalancer/listeners/%zu/protocol_port", i);
			if (shared && ports_meet(a, b))
				return error_set(err, ERROR_CONFLICT, pointer,
					"port %lld of %s is taken by listener %s of load balancer %s",
					(long long)a->protocol_port, shared, b->id, other->id);
			snprintf(pointer, sizeof(pointer), "/loadbalancer/listeners/%zu/id", i);
			if (streq(a->id, b->id))
				return error_set(err, ERROR_CONFLICT, pointer,
					"this id is taken by a listener of load balancer %s", other->id);
		}
	for (size_t i = 0; i < lb->n_pools; i++) {
		snprintf(pointer, sizeof(pointer), "/loadbalancer/pools/%zu/id", i);
		if (load_balancer_find_pool(other, lb->pools[i].id))
			return error_set(err, ERROR_CONFLICT, pointer,
				"this id is taken by a pool of load balancer %s", other->id);
	}
	r = check_pages(registry, lb, other, err);
	if (r == 0)
		r = check_ids(lb, other, TREE_HEALTH_MONITOR, err);
	return r < 0 ? r : check_ids(lb, other, TREE_L7POLICY, err);
}

int registry_check_conflicts(const struct registry *registry, const struct load_balancer *lb, struct error *err)
{
	int checked = references_check(lb, registry->settings->render.certificates, err);

	if (checked < 0)
		return checked;
	for (size_t i = 0; i < registry->n_entries; i++) {
		_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
		const struct entry *entry = &registry->entries[i];
		int r = 0;

		if (streq(entry->instance->id, lb->id))
			continue;
		if (instance_current(entry->instance, &stored, NULL) == 0)
			r = check_pair(registry, lb, stored.lb, err);
		if (r == 0 && entry->pending)
			r = check_pair(registry, lb, entry->pending, err);
		if (r < 0)
			return r;
	}
	return 0;
}
