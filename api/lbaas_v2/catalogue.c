/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include "agent/base/text.h"
#include "api/lbaas_v2/listing.h"

/*
 * What clients of Octavia look up beside load balancers, as far as one amphora can answer: providers, flavors,
 * availability zones and quotas. There is one provider, itself, under the names that definitions take; nothing to
 * choose from, and nothing that is limited by project. All of it can be read, nothing changed.
 */

static const struct {
	const char *name;
	const char *description;
} providers[] = {
	{"amphorad", "HAProxy and keepalived on this amphora."},
	{"amphora", "The same under the name of Octavia's provider."},
	{"octavia", "The same under the older name of Octavia's provider."},
};

int lbaas_list_providers(const struct request *request, struct response *response, struct error *err)
{
	json_auto_t *list = json_array();

	for (size_t i = 0; i < ELEMENTSOF(providers); i++)
		if (json_array_append_new(list, json_pack("{s:s, s:s}", "name", providers[i].name, "description",
							providers[i].description)) < 0)
			return error_set_errno(err, -ENOMEM, "providers");
	return listing_answer(request, "providers", TAKE_PTR(list), response, err);
}

/* Nothing can be said in a flavor or availability zone; the error is that of Octavia's driver_factory.py. */
static int list_capabilities(
	const struct request *request, const char *collection, struct response *response, struct error *err)
{
	for (size_t i = 0; i < ELEMENTSOF(providers); i++)
		if (streq(providers[i].name, request->parameters[0]))
			return listing_answer(request, collection, json_array(), response, err);
	return error_set(err, ERROR_INVALID, NULL, "Provider '%.64s' is not enabled.", request->parameters[0]);
}

int lbaas_list_flavor_capabilities(const struct request *request, struct response *response, struct error *err)
{
	return list_capabilities(request, "flavor_capabilities", response, err);
}

int lbaas_list_zone_capabilities(const struct request *request, struct response *response, struct error *err)
{
	return list_capabilities(request, "availability_zone_capabilities", response, err);
}

int lbaas_list_flavors(const struct request *request, struct response *response, struct error *err)
{
	return listing_answer(request, "flavors", json_array(), response, err);
}

int lbaas_list_flavor_profiles(const struct request *request, struct response *response, struct error *err)
{
	return listing_answer(request, "flavorprofiles", json_array(), response, err);
}

int lbaas_list_zones(const struct request *request, struct response *response, struct error *err)
{
	return listing_answer(request, "availability_zones", json_array(), response, err);
}

int lbaas_list_zone_profiles(const struct request *request, struct response *response, struct error *err)
{
	return listing_answer(request, "availability_zone_profiles", json_array(), response, err);
}

/* In the words of octavia/common/exceptions.py, with the names of its database models. */
static int not_found(const struct request *request, const char *what, struct error *err)
{
	return error_set(err, ERROR_NOT_FOUND, NULL, "%s %s not found.", what, request->parameters[0]);
}

int lbaas_get_flavor(const struct request *request, struct response *response _unused_, struct error *err)
{
	return not_found(request, "Flavor", err);
}

int lbaas_get_flavor_profile(const struct request *request, struct response *response _unused_, struct error *err)
{
	return not_found(request, "Flavor Profile", err);
}

int lbaas_get_zone(const struct request *request, struct response *response _unused_, struct error *err)
{
	return not_found(request, "Availability Zone", err);
}

int lbaas_get_zone_profile(const struct request *request, struct response *response _unused_, struct error *err)
{
	return not_found(request, "Availability Zone Profile", err);
}

/* As with Octavia, only projects whose quotas were changed are in the list. */
int lbaas_list_quotas(const struct request *request, struct response *response, struct error *err)
{
	return listing_answer(request, "quotas", json_array(), response, err);
}

/* -1 is unlimited. The two names with '_' are misspelled and deprecated (octavia/api/v2/types/quotas.py), and
 * still there. */
static json_t *quota_json(void)
{
	static const char *const kinds[] = {"loadbalancer", "load_balancer", "listener", "member", "pool",
		"healthmonitor", "health_monitor", "l7policy", "l7rule"};
	json_auto_t *quota = json_object();

	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		if (json_object_set_new(quota, kinds[i], json_integer(-1)) < 0)
			return NULL;
	return TAKE_PTR(quota);
}

/* Of a project, or the defaults. */
int lbaas_get_quota(const struct request *request, struct response *response, struct error *err)
{
	const char *project = request->parameters[0];
	json_t *quota = quota_json();

	if (json_object_set_new(quota, "project_id", streq(project, "defaults") ? json_null() : json_string(project)) < 0) {
		json_decref(quota);
		return error_set_errno(err, -ENOMEM, "quota");
	}
	return listing_answer_one(request, "quota", quota, response, err);
}

/* ProviderNotImplementedError of octavia/common/exceptions.py. */
int lbaas_refuse_change(const struct request *request _unused_, struct response *response _unused_, struct error *err)
{
	return error_set(err, ERROR_UNSUPPORTED, NULL,
		"Provider 'amphorad' does not support a requested action: one amphora has no flavors, availability zones "
		"or quotas of its own; they are a matter of Octavia");
}
