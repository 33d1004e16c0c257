/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/references.h"

#include <jansson.h>

#include "agent/base/text.h"

enum { SINGLE = -1 };

struct field {
	const char *name;
	const char *reference; /* may be NULL */
	enum certificate_kind kind;
};

struct visitor {
	certificate_reference_fn visit;
	void *userdata;
	const char *object, *list;
	const char *object_id;
	size_t index;
};

static int visit_one(const struct visitor *visitor, const struct field *field, ssize_t item)
{
	struct certificate_reference reference = {
		.reference = field->reference,
		.kind = field->kind,
		.object = visitor->object,
		.object_id = visitor->object_id,
		.field = field->name,
	};

	if (!field->reference)
		return 0;
	if (item == SINGLE)
		snprintf(reference.pointer, sizeof(reference.pointer), "/loadbalancer/%s/%zu/%s", visitor->list,
			visitor->index, field->name);
	else
		snprintf(reference.pointer, sizeof(reference.pointer), "/loadbalancer/%s/%zu/%s/%zd", visitor->list,
			visitor->index, field->name, item);
	return visitor->visit(visitor->userdata, &reference);
}

static int visit_fields(const struct visitor *visitor, const struct field *fields, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = visit_one(visitor, &fields[i], SINGLE);
	return r;
}

static int visit_listener(struct visitor *visitor, const struct listener *listener)
{
	const struct field fields[] = {
		{"default_tls_container_ref", listener->default_tls_container_ref, CERTIFICATE_PAIR},
		{"client_ca_tls_container_ref", listener->client_ca_tls_container_ref, CERTIFICATE_CA},
		{"client_crl_container_ref", listener->client_crl_container_ref, CERTIFICATE_CRL},
	};
	ssize_t item = 0;
	int r;

	visitor->object_id = listener->id;
	r = visit_fields(visitor, fields, ELEMENTSOF(fields));
	STRV_FOREACH(reference, listener->sni_container_refs) {
		const struct field field = {"sni_container_refs", *reference, CERTIFICATE_PAIR};

		if (r == 0)
			r = visit_one(visitor, &field, item++);
	}
	return r;
}

static int visit_pool(struct visitor *visitor, const struct pool *pool)
{
	const struct field fields[] = {
		{"tls_container_ref", pool->tls_container_ref, CERTIFICATE_PAIR},
		{"ca_tls_container_ref", pool->ca_tls_container_ref, CERTIFICATE_CA},
		{"crl_container_ref", pool->crl_container_ref, CERTIFICATE_CRL},
	};

	visitor->object_id = pool->id;
	return visit_fields(visitor, fields, ELEMENTSOF(fields));
}

int references_visit(const struct load_balancer *lb, certificate_reference_fn visit, void *userdata)
{
	struct visitor listeners = {visit, userdata, "listener", "listeners", NULL, 0},
		       pools = {visit, userdata, "pool", "pools", NULL, 0};
	int r = 0;

	for (; r == 0 && listeners.index < lb->n_listeners; listeners.index++)
		r = visit_listener(&listeners, &lb->listeners[listeners.index]);
	for (; r == 0 && pools.index < lb->n_pools; pools.index++)
		r = visit_pool(&pools, &lb->pools[pools.index]);
	return r;
}

struct check {
	struct certificate_store *store;
	json_t *seen; /* what is known to be good: "kind:name" */
	struct error *err;
};

static int check_reference(void *userdata, const struct certificate_reference *reference)
{
	const char *name = certificate_reference_name(reference->reference);
	struct check *check = userdata;
	_cleanup_error_ struct error problem = ERROR_INIT;
	char key[CERTIFICATE_NAME_MAX + 16];
	int r;

	if (!name)
		return error_set(check->err, ERROR_INVALID, reference->pointer, "does not name a certificate");
	if (!check->store)
		return error_set(check->err, ERROR_INVALID, reference->pointer, "there is no certificate '%s'", name);
	snprintf(key, sizeof(key), "%d:%s", (int)reference->kind, name);
	if (json_object_get(check->seen, key))
		return 0;
	r = certificate_store_check(check->store, name, reference->kind, &problem);
	/* Whoever wrote the definition has named it. */
	if (r < 0)
		return error_set(check->err, problem.code == ERROR_NOT_FOUND ? ERROR_INVALID : problem.code,
			reference->pointer, "%s", error_message(&problem));
	return json_object_set_new(check->seen, key, json_true()) < 0 ? error_set_errno(check->err, -ENOMEM, "definition") : 0;
}

int references_check(const struct load_balancer *lb, struct certificate_store *store, struct error *err)
{
	json_auto_t *seen = json_object();
	struct check check = {store, seen, err};

	return seen ? references_visit(lb, check_reference, &check) : error_set_errno(err, -ENOMEM, "definition");
}
