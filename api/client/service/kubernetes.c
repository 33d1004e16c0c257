/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/kubernetes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"

const char *const family_names[] = {"IPv4", "IPv6", NULL};
const char *const transport_names[] = {"TCP", "UDP", "SCTP", NULL};

static const struct {
	const char *kind, *list, *api_version;
} kinds[_KUBE_KIND_MAX] = {
	[KUBE_SERVICE] = {"Service", "ServiceList", "v1"},
	[KUBE_NODE] = {"Node", "NodeList", "v1"},
	[KUBE_ENDPOINT_SLICE] = {"EndpointSlice", "EndpointSliceList", "discovery.k8s.io/v1"},
};

static enum kube_kind find_kind(const char *kind, const char *api_version, bool list)
{
	enum kube_kind i;

	for (i = 0; i < _KUBE_KIND_MAX; i++)
		if (streq(kind, list ? kinds[i].list : kinds[i].kind) &&
			streq(api_version, kinds[i].api_version))
			break;
	return i;
}

static int parse(const char *name, const char *text, size_t length, json_t **ret, struct error *err)
{
	_cleanup_free_ char *pointer = NULL;
	const char *first = text + strspn(text, " \t\r\n");
	json_error_t problem;
	json_t *document = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);

	if (json_is_object(document)) {
		*ret = document;
		return 0;
	}
	if (document || *first != '{') {
		json_decref(document);
		return error_set(err, ERROR_INVALID, name,
			"is no JSON object; kubectl prints one with \"-o json\"");
	}
	if (asprintf(&pointer, "%s:%d", name, problem.line) < 0)
		pointer = NULL;
	return error_set(err, ERROR_INVALID, pointer, "%s", problem.text);
}

static int keep_document(struct cluster *cluster, json_t *document)
{
	json_t **grown =
		reallocarray(cluster->documents, cluster->n_documents + 1, sizeof(json_t *));

	if (!grown) {
		json_decref(document);
		return -ENOMEM;
	}
	cluster->documents = grown;
	cluster->documents[cluster->n_documents++] = document;
	return 0;
}

static int add_object(struct cluster *cluster, enum kube_kind kind, const char *file,
	const json_t *json, size_t index, bool listed)
{
	struct kube_objects *objects = &cluster->objects[kind];
	struct kube_object *object;

	if ((objects->n & (objects->n + 1)) == 0) { /* 0, 1, 3, 7 …: room for as many again */
		struct kube_object **grown = reallocarray(
			objects->list, 2 * objects->n + 1, sizeof(struct kube_object *));

		if (!grown)
			return -ENOMEM;
		objects->list = grown;
	}
	object = calloc(1, sizeof(*object));
	if (!object)
		return -ENOMEM;
	object->json = json;
	object->file = (struct place){NULL, file, 0};
	object->list = (struct place){&object->file, "items", 0};
	object->item = (struct place){&object->list, NULL, index};
	object->where = listed ? &object->item : &object->file;
	objects->list[objects->n++] = object;
	objects->given = true;
	return 0;
}

static int read_kind(const json_t *json, const struct place *where, const char **ret_kind,
	const char **ret_api_version, struct error *err)
{
	int r = place_get_string(json, "kind", where, ret_kind, err);

	return r < 0 ? r : place_get_string(json, "apiVersion", where, ret_api_version, err);
}

/* "kind": what the items of a typed list are; the API server leaves it out of them. */
static int add_items(struct cluster *cluster, const char *file, const json_t *document,
	enum kube_kind typed, struct error *err)
{
	const struct place root = {NULL, file, 0}, list = {&root, "items", 0};
	const json_t *items = NULL, *item;
	size_t i;
	int r = place_get_array(
		document, "items", KUBE_MAX_OBJECTS - cluster->n_objects, &root, &items, err);

	json_array_foreach (items, i, item) {
		const struct place where = {&list, NULL, i};
		const char *name = "", *api_version = "";
		enum kube_kind kind = typed;

		r = place_item_object(item, &where, err);
		if (r == 0 && typed == _KUBE_KIND_MAX)
			r = read_kind(item, &where, &name, &api_version, err);
		if (r == 0 && typed == _KUBE_KIND_MAX)
			kind = find_kind(name, api_version, false);
		if (r == 0 && kind < _KUBE_KIND_MAX)
			r = add_object(cluster, kind, file, item, i, true);
		if (r < 0)
			return r;
	}
	cluster->n_objects += json_array_size(items);
	return r;
}

static int add_document(struct cluster *cluster, const char *file, const json_t *document,
	bool *ret_empty_list, struct error *err)
{
	const struct place root = {NULL, file, 0};
	const char *kind = "", *api_version = "";
	enum kube_kind typed;
	int r = read_kind(document, &root, &kind, &api_version, err);

	if (r < 0)
		return r;
	typed = find_kind(kind, api_version, true);
	*ret_empty_list = typed < _KUBE_KIND_MAX || streq(kind, "List");
	if (*ret_empty_list) {
		r = add_items(cluster, file, document, typed, err);
		*ret_empty_list = json_array_size(json_object_get(document, "items")) == 0;
		return r;
	}
	typed = find_kind(kind, api_version, false);
	if (typed == _KUBE_KIND_MAX)
		return place_error(&root, ERROR_INVALID, err,
			"is neither a Service, a Node or an EndpointSlice (discovery.k8s.io/v1), "
			"nor a list of them");
	if (cluster->n_objects >= KUBE_MAX_OBJECTS)
		return place_error(&root, ERROR_TOO_LARGE, err, "more than %d objects in all",
			KUBE_MAX_OBJECTS);
	cluster->n_objects++;
	return add_object(cluster, typed, file, document, 0, false);
}

int cluster_add(struct cluster *cluster, const char *name, const char *text, size_t length,
	enum kube_kind wanted, struct error *err)
{
	size_t before = wanted < _KUBE_KIND_MAX ? cluster->objects[wanted].n : 0;
	json_t *document = NULL;
	bool empty_list = false;
	int r = parse(name, text, length, &document, err);

	if (r == 0)
		r = keep_document(cluster, document);
	if (r == 0)
		r = add_document(cluster, name, document, &empty_list, err);
	if (r < 0 || wanted == _KUBE_KIND_MAX)
		return r;
	if (cluster->objects[wanted].n == before && !empty_list)
		return error_set(err, ERROR_INVALID, name, "has no %s (%s)", kinds[wanted].kind,
			kinds[wanted].api_version);
	cluster->objects[wanted].given = true;
	return 0;
}

void cluster_done(struct cluster *cluster)
{
	for (size_t kind = 0; kind < _KUBE_KIND_MAX; kind++) {
		for (size_t i = 0; i < cluster->objects[kind].n; i++)
			free(cluster->objects[kind].list[i]);
		free(cluster->objects[kind].list);
	}
	for (size_t i = 0; i < cluster->n_documents; i++)
		json_decref(cluster->documents[i]);
	free(cluster->documents);
	*cluster = CLUSTER_INIT;
}

/* RFC 1123 as Kubernetes has it: lower case, labels that begin and end with a letter or digit. */
static bool is_name(const char *name, size_t maximum)
{
	size_t length = strlen(name);

	if (length == 0 || length > maximum)
		return false;
	for (size_t i = 0; i < length; i++) {
		bool edge = i == 0 || i + 1 == length || name[i - 1] == '.' || name[i + 1] == '.';
		bool inner =
			!edge && (name[i] == '-' || (name[i] == '.' && maximum > KUBE_MAX_LABEL));

		if (!inner && !islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]))
			return false;
	}
	return true;
}

static int check_name(const char *field, const char *value, size_t maximum,
	const struct place *where, struct error *err)
{
	const struct place inner = {where, field, 0};

	if (is_name(value, maximum))
		return 0;
	return place_error(&inner, ERROR_INVALID, err,
		"must be a name as Kubernetes has it: at most %zu lower-case letters, digits and "
		"'-'%s",
		maximum, maximum > KUBE_MAX_LABEL ? " or '.'" : "");
}

int kube_read_metadata(
	const struct kube_object *object, struct kube_metadata *ret, struct error *err)
{
	const struct place where = {object->where, "metadata", 0};
	struct kube_metadata result = {.name = "", .namespace = "", .created = ""};
	const json_t *metadata = NULL;
	const char *deleted = "";
	int r = place_get_object(object->json, "metadata", object->where, &metadata, err);

	if (r == 0)
		r = place_get_string(metadata, "name", &where, &result.name, err);
	if (r == 0)
		r = place_get_string(metadata, "namespace", &where, &result.namespace, err);
	if (r == 0)
		r = place_get_string(metadata, "creationTimestamp", &where, &result.created, err);
	if (r == 0)
		r = place_get_string(metadata, "deletionTimestamp", &where, &deleted, err);
	if (r == 0)
		r = place_get_object(metadata, "labels", &where, &result.labels, err);
	if (r == 0)
		r = place_get_object(metadata, "annotations", &where, &result.annotations, err);
	if (r == 0)
		r = check_name("name", result.name, KUBE_MAX_NAME, &where, err);
	if (r == 0 && *result.namespace)
		r = check_name("namespace", result.namespace, KUBE_MAX_LABEL, &where, err);
	if (r < 0)
		return r;
	result.deleting = *deleted;
	*ret = result;
	return 0;
}

const char *kube_label(const struct kube_metadata *metadata, const char *name)
{
	return json_string_value(json_object_get(metadata->labels, name));
}
