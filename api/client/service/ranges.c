/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/grammar.h"
#include "agent/definition/limits.h"

enum { SHOWN = 8 };

#define FIELD "spec.loadBalancerSourceRanges"

/* Go's net.ParseCIDR(): a prefix is required. */
static int read_range(const char *text, const struct place *where, char **ret, struct error *err)
{
	_cleanup_strv_ char **words = NULL;
	int r = text_split(text, '\n', &words); /* trims */

	if (r == 0)
		r = strv_length(words) == 1 && strchr(words[0], '/') ? grammar_cidr(words[0], ret)
								     : -EINVAL;
	if (r == -EINVAL)
		return place_error(where, ERROR_INVALID, err,
			"\"%s\" is no network like 192.0.2.0/24 or 2001:db8::/32", text);
	return r;
}

static int read_field(const struct kube_service *service, char **ret, struct error *err)
{
	const struct place spec = {service->object->where, "spec", 0},
			   list = {&spec, "loadBalancerSourceRanges", 0};
	const json_t *item;
	size_t i;

	json_array_foreach (service->source_ranges, i, item) {
		const struct place where = {&list, NULL, i};
		const char *text = "";
		int r = place_item_string(item, &where, &text, err);

		if (r == 0)
			r = read_range(text, &where, &ret[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* cpoutil.SplitTrim(): commas and blanks separate. */
static int split(const char *text, char ***ret)
{
	_cleanup_free_ char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy; (p = strchr(p, ' ')); p++)
		*p = ',';
	return text_split(copy, ',', ret);
}

static int read_annotation(
	const struct kube_service *service, const char *text, char ***ret, struct error *err)
{
	const struct place metadata = {service->object->where, "metadata", 0},
			   list = {&metadata, "annotations", 0},
			   where = {&list, annotation_rows[ANNOTATION_SOURCE_RANGES].name, 0};
	_cleanup_strv_ char **words = NULL, **cidrs = NULL;
	size_t n;
	int r = split(text, &words);

	if (r < 0)
		return r;
	n = strv_length(words);
	if (n > LIMIT_CIDRS_PER_LISTENER)
		return place_error(&where, ERROR_TOO_LARGE, err, "has %zu networks, more than %d",
			n, LIMIT_CIDRS_PER_LISTENER);
	cidrs = calloc(n + 1, sizeof(*cidrs));
	if (!cidrs)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = read_range(words[i], &where, &cidrs[i], err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(cidrs);
	return 0;
}

static bool is_served(enum family family, const struct kube_service *service, char *const *vips)
{
	if (!vips)
		return service->n_families == 0 || service->families[0] == family;
	STRV_FOREACH (vip, vips)
		if (family_of(*vip) == family)
			return true;
	return false;
}

/* Frees those that nobody can match or that are there already, and closes the gaps. */
static int keep_served(const struct kube_service *service, char *const *vips, const char *source,
	char **cidrs, struct notes *notes)
{
	json_auto_t *seen = json_object();
	size_t kept = 0;
	int r = seen ? 0 : -ENOMEM;

	for (size_t i = 0; cidrs[i]; i++) {
		char *cidr = cidrs[i];
		bool served = is_served(family_of(cidr), service, vips);

		cidrs[i] = NULL;
		if (!served)
			notes_warn(notes, source,
				"%s is left out: the load balancer has no address of %s", cidr,
				family_names[family_of(cidr)]);
		if (!served || json_object_get(seen, cidr)) {
			free(cidr);
			continue;
		}
		cidrs[kept++] = cidr;
		if (json_object_set_new(seen, cidr, json_true()) < 0)
			r = -ENOMEM;
	}
	return r;
}

static void note_ranges(
	char *const *cidrs, char *const *vips, const char *source, struct notes *notes)
{
	_cleanup_text_ struct text list = TEXT_INIT;
	bool found[_FAMILY_MAX] = {false};
	size_t n = 0;

	STRV_FOREACH (cidr, cidrs) {
		if (n++ < SHOWN)
			text_printf(&list, "%s%s", list.length ? ", " : "", *cidr);
		found[family_of(*cidr)] = true;
	}
	if (n > SHOWN)
		text_printf(&list, " and %zu more", n - SHOWN);
	notes_mapped(notes, source, "listener allowed_cidrs", text_peek(&list),
		"only clients of these networks may connect; HAProxy enforces it");
	STRV_FOREACH (vip, vips)
		if (!found[family_of(*vip)])
			notes_warn(notes, source,
				"nobody can connect to %s: none of the networks is %s", *vip,
				family_names[family_of(*vip)]);
}

int ranges_read(const struct kube_service *service, const struct annotation_value *annotation,
	char *const *vips, struct notes *notes, char ***ret, struct error *err)
{
	const struct place spec = {service->object->where, "spec", 0},
			   metadata = {service->object->where, "metadata", 0},
			   field_where = {&spec, "loadBalancerSourceRanges", 0},
			   where = {&metadata, "annotations", 0};
	bool from_field = json_array_size(service->source_ranges) > 0;
	const char *source = from_field ? FIELD : annotation_rows[ANNOTATION_SOURCE_RANGES].name;
	_cleanup_strv_ char **cidrs = NULL;
	int r;

	if (from_field) {
		cidrs = calloc(json_array_size(service->source_ranges) + 1, sizeof(*cidrs));
		r = cidrs ? read_field(service, cidrs, err) : -ENOMEM;
	} else {
		r = read_annotation(service, annotation->text, &cidrs, err);
	}
	if (r < 0 || !cidrs[0])
		return r;
	r = keep_served(service, vips, source, cidrs, notes);
	if (r < 0)
		return r;
	/* An empty list would mean everyone. */
	if (!cidrs[0])
		return place_error(from_field ? &field_where : &where, ERROR_INVALID, err,
			"none of the source ranges is of the load balancer's IP version: nobody "
			"could "
			"connect");
	note_ranges(cidrs, vips, source, notes);
	*ret = TAKE_PTR(cidrs);
	return 0;
}
