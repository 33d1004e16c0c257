/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/vips.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/grammar.h"
#include "agent/definition/limits.h"

#define OPTION "--vip-address"
#define FIELD "spec.loadBalancerIP"

static bool has_family(const struct kube_service *service, enum family family)
{
	for (size_t i = 0; i < service->n_families; i++)
		if (service->families[i] == family)
			return true;
	return service->n_families == 0;
}

static int read_option(const char *option, char ***ret, struct error *err)
{
	_cleanup_strv_ char **words = NULL;
	size_t n;
	int r = text_split(option, ',', &words);

	if (r < 0)
		return r;
	n = strv_length(words);
	if (n == 0 || n > 1 + LIMIT_ADDITIONAL_VIPS)
		return error_set(err, ERROR_INVALID, OPTION, "must be 1 to %d IP addresses",
			1 + LIMIT_ADDITIONAL_VIPS);
	for (size_t i = 0; i < n; i++) {
		char *canonical = NULL;

		r = grammar_address(words[i], &canonical);
		if (r == -EINVAL)
			return error_set(err, ERROR_INVALID, OPTION,
				"\"%s\" is no IPv4 or IPv6 address", words[i]);
		if (r < 0)
			return r;
		free(words[i]);
		words[i] = canonical;
		for (size_t j = 0; j < i; j++)
			if (streq(words[j], canonical))
				return error_set(
					err, ERROR_INVALID, OPTION, "%s is there twice", canonical);
	}
	*ret = TAKE_PTR(words);
	return 0;
}

static int read_field(const struct kube_service *service, char ***ret, struct error *err)
{
	const struct place spec = {service->object->where, "spec", 0},
			   where = {&spec, "loadBalancerIP", 0};
	_cleanup_strv_ char **vips = calloc(2, sizeof(*vips));
	int r = vips ? grammar_address(service->load_balancer_ip, &vips[0]) : -ENOMEM;

	if (r == -EINVAL)
		return place_error(&where, ERROR_INVALID, err, "must be an IPv4 or IPv6 address");
	if (r < 0)
		return r;
	if (!has_family(service, family_of(vips[0])))
		return place_error(&where, ERROR_INVALID, err,
			"%s is not of the Service's ipFamilies", vips[0]);
	*ret = TAKE_PTR(vips);
	return 0;
}

/* The first address of the Service's first family becomes the first of all. */
static void order(const struct kube_service *service, char **vips)
{
	for (size_t i = 0; service->n_families > 0 && vips[i]; i++)
		if (family_of(vips[i]) == service->families[0]) {
			char *first = vips[i];

			memmove(&vips[1], &vips[0], i * sizeof(*vips));
			vips[0] = first;
			return;
		}
}

static void note_families(
	const struct kube_service *service, char *const *vips, struct notes *notes)
{
	for (size_t i = 0; i < service->n_families; i++) {
		const char *name = family_names[service->families[i]];
		bool found = false;

		STRV_FOREACH (vip, vips)
			found |= family_of(*vip) == service->families[i];
		if (found)
			notes_mapped(notes, "spec.ipFamilies",
				service->families[i] == family_of(vips[0])
					? "loadbalancer vip_address"
					: "loadbalancer additional_vips",
				name, "the first family is that of the VIP and of the members");
		else if (vips || i > 0 || service->families[i] == FAMILY_IPV6)
			notes_warn(notes, "spec.ipFamilies",
				"there is no address of %s; give one with " OPTION
				"=ADDRESS,ADDRESS (OCCM serves the first family only)",
				name);
	}
}

static void note_vips(const struct kube_service *service, char *const *vips, bool from_option,
	struct notes *notes)
{
	STRV_FOREACH (vip, vips)
		notes_mapped(notes, from_option ? OPTION : FIELD,
			vip == vips ? "loadbalancer vip_address" : "loadbalancer additional_vips",
			*vip,
			from_option ? "the command line says it; the machine must have the address"
				    : "it is the address that clients use, and the machine must "
				      "have it (OCCM makes it a floating IP, unless it is internal "
				      "or IPv6)");
	if (from_option && *service->load_balancer_ip)
		notes_unused(notes, FIELD, OPTION " says it instead");
	if (!vips)
		notes_unused(
			notes, FIELD, "it is empty, so that amphorad's default_vip_address counts");
}

int vips_read(const struct kube_service *service, const char *option, struct notes *notes,
	char ***ret, struct error *err)
{
	_cleanup_strv_ char **vips = NULL;
	int r = 0;

	if (option)
		r = read_option(option, &vips, err);
	else if (*service->load_balancer_ip)
		r = read_field(service, &vips, err);
	if (r < 0)
		return r;
	STRV_FOREACH (vip, vips)
		if (!has_family(service, family_of(*vip)))
			return error_set(err, ERROR_INVALID, OPTION,
				"%s is not of the Service's ipFamilies", *vip);
	if (vips)
		order(service, vips);
	note_vips(service, vips, option != NULL, notes);
	note_families(service, vips, notes);
	*ret = TAKE_PTR(vips);
	return 0;
}
