/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/pick.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"

static int read_all(const struct kube_objects *objects, struct picked *ret, struct error *err)
{
	ret->services = calloc(objects->n + 1, sizeof(*ret->services));
	if (!ret->services)
		return -ENOMEM;
	for (; ret->n < objects->n; ret->n++) {
		int r = kube_read_service(objects->list[ret->n], &ret->services[ret->n], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_load_balancer(const struct kube_service *service)
{
	return streq(service->type, "LoadBalancer");
}

/* "" if it has none. */
static const char *shared_id(const struct kube_service *service)
{
	const json_t *id = json_object_get(
		service->metadata.annotations, annotation_rows[ANNOTATION_LOAD_BALANCER_ID].name);

	return json_is_string(id) ? json_string_value(id) : "";
}

static bool is_meant(const struct kube_service *service, const char *wanted, bool only_one)
{
	const char *rest;

	if (!wanted)
		return only_one || is_load_balancer(service);
	if (!strchr(wanted, '/'))
		return streq(service->metadata.name, wanted);
	rest = text_after_prefix(wanted, service->metadata.namespace);
	return rest && *rest == '/' && streq(rest + 1, service->metadata.name);
}

static int not_unique(const struct picked *all, const char *wanted, struct error *err)
{
	enum { SHOWN = 10 };
	_cleanup_text_ struct text list = TEXT_INIT;
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct kube_metadata *metadata = &all->services[i].metadata;

		if (is_meant(&all->services[i], wanted, false) && n++ < SHOWN)
			text_printf(&list, "%s%s/%s", n > 1 ? ", " : "", metadata->namespace,
				metadata->name);
	}
	return error_set(err, ERROR_CONFLICT, NULL,
		"%zu Services fit, name one with --service: %s%s", n, text_peek(&list),
		n > SHOWN ? " …" : "");
}

static int find(const struct picked *all, const char *wanted, const struct kube_service **ret,
	struct error *err)
{
	const struct kube_service *found = NULL;

	if (all->n == 0)
		return error_set(err, ERROR_NOT_FOUND, NULL, "there is no Service in the input");
	for (size_t i = 0; i < all->n; i++) {
		const struct kube_service *service = &all->services[i];

		if (!is_meant(service, wanted, all->n == 1))
			continue;
		/* Those that share a load balancer are one choice. */
		if (found && (wanted || !*shared_id(found) ||
				     !streq(shared_id(found), shared_id(service))))
			return not_unique(all, wanted, err);
		found = service;
	}
	if (!found && wanted)
		return error_set(err, ERROR_NOT_FOUND, NULL,
			"there is no Service \"%s\" in the input", wanted);
	if (!found)
		return error_set(err, ERROR_NOT_FOUND, NULL,
			"there is no Service of type LoadBalancer in the input");
	*ret = found;
	return 0;
}

/* RFC 3339 in UTC, as the API server writes it, sorts as text. */
static int by_age(const void *a, const void *b)
{
	const struct kube_metadata *left = &((const struct kube_service *)a)->metadata,
				   *right = &((const struct kube_service *)b)->metadata;
	int r = strcmp(left->created, right->created);

	if (r == 0)
		r = strcmp(left->namespace, right->namespace);
	return r != 0 ? r : strcmp(left->name, right->name);
}

static int check_usable(const struct kube_service *service, struct error *err)
{
	const struct place spec = {service->object->where, "spec", 0},
			   metadata = {service->object->where, "metadata", 0},
			   type = {&spec, "type", 0}, ports = {&spec, "ports", 0},
			   deleted = {&metadata, "deletionTimestamp", 0};

	if (!is_load_balancer(service) && !streq(service->type, "NodePort"))
		return place_error(&type, ERROR_INVALID, err,
			"is %s: a load balancer needs a Service of type LoadBalancer, or NodePort",
			service->type);
	if (service->metadata.deleting)
		return place_error(&deleted, ERROR_INVALID, err,
			"the Service is being deleted; \"amphoractl delete\" removes its load "
			"balancer");
	if (service->n_ports == 0)
		return place_error(&ports, ERROR_INVALID, err, "is required");
	return 0;
}

/* Two of one port cannot share an address; checkListenerPorts() of OCCM. */
static int check_ports(const struct picked *picked, struct error *err)
{
	json_auto_t *taken = json_object();

	for (size_t i = 0; i < picked->n; i++) {
		const struct kube_service *service = &picked->services[i];
		const struct place spec = {service->object->where, "spec", 0},
				   list = {&spec, "ports", 0};

		for (size_t j = 0; j < service->n_ports; j++) {
			const struct place where = {&list, NULL, j};
			char key[32];

			snprintf(key, sizeof(key), "%s %lld",
				transport_names[service->ports[j].transport],
				(long long)service->ports[j].port);
			if (json_object_get(taken, key))
				return place_error(&where, ERROR_CONFLICT, err,
					"another Service that shares the load balancer has %s",
					key);
			if (json_object_set_new(taken, key, json_true()) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

int pick_services(
	const struct cluster *cluster, const char *wanted, struct picked *ret, struct error *err)
{
	_cleanup_picked_ struct picked all = PICKED_INIT, picked = PICKED_INIT;
	const struct kube_service *found = NULL;
	int r = read_all(&cluster->objects[KUBE_SERVICE], &all, err);

	if (r == 0)
		r = find(&all, wanted, &found, err);
	if (r < 0)
		return r;
	picked.services = calloc(all.n, sizeof(*picked.services));
	if (!picked.services)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct kube_service *service = &all.services[i];
		bool shares = is_load_balancer(service) && *shared_id(found) &&
			      streq(shared_id(service), shared_id(found)) &&
			      !service->metadata.deleting;

		if (service != found && !shares)
			continue;
		r = check_usable(service, err);
		if (r == 0)
			r = kube_read_service(service->object, &picked.services[picked.n++], err);
	}
	if (r == 0)
		qsort(picked.services, picked.n, sizeof(*picked.services), by_age);
	if (r == 0)
		r = check_ports(&picked, err);
	if (r < 0)
		return r;
	*ret = picked;
	picked = PICKED_INIT;
	return 0;
}

void picked_done(struct picked *picked)
{
	for (size_t i = 0; i < picked->n; i++)
		kube_service_done(&picked->services[i]);
	free(picked->services);
	*picked = PICKED_INIT;
}
