/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/model.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/fields.h"
#include "agent/definition/limits.h"

struct load_balancer *load_balancer_ref(struct load_balancer *lb)
{
	if (lb)
		__atomic_add_fetch(&lb->references, 1, __ATOMIC_RELAXED);
	return lb;
}

void load_balancer_unref(struct load_balancer *lb)
{
	if (!lb || __atomic_sub_fetch(&lb->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	object_done(&load_balancer_type, lb);
	free(lb);
}

const struct pool *load_balancer_find_pool(const struct load_balancer *lb, const char *id)
{
	for (size_t i = 0; i < lb->n_pools; i++)
		if (streq(lb->pools[i].id, id))
			return &lb->pools[i];
	return NULL;
}

const char *l7policy_pool_id(const struct l7policy *policy)
{
	return policy->admin_state_up && policy->n_rules > 0 ? policy->redirect_pool_id : NULL;
}

bool listener_uses_pool(const struct listener *listener, const char *pool_id)
{
	if (streq_null(listener->default_pool_id, pool_id))
		return true;
	for (size_t i = 0; i < listener->n_l7policies; i++)
		if (streq_null(l7policy_pool_id(&listener->l7policies[i]), pool_id))
			return true;
	return false;
}

/* jansson's limit on nesting (2048) is far above ours and its parser is recursive only that deep. */
static bool is_deeper_than(const json_t *json, int depth)
{
	const char *key;
	json_t *item;
	size_t i;

	if (depth < 0)
		return true;
	json_object_foreach((json_t *)json, key, item)
		if (is_deeper_than(item, depth - 1))
			return true;
	json_array_foreach(json, i, item)
		if (is_deeper_than(item, depth - 1))
			return true;
	return false;
}

static int check_document(const json_t *document, const char *member, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(document) || is_deeper_than(document, LIMIT_JSON_DEPTH))
		return error_set(err, ERROR_INVALID, "", "must be an object with the member \"%s\", "
			"nested at most %d deep", member, LIMIT_JSON_DEPTH);
	json_object_foreach((json_t *)document, key, value)
	{
		struct location where = {NULL, key, 0};

		if (!streq(key, member))
			return location_error(&where, ERROR_INVALID, err, "unknown field of the document");
	}
	if (!json_object_get(document, member)) {
		struct location where = {NULL, member, 0};

		return location_error(&where, ERROR_INVALID, err, "is required");
	}
	return 0;
}

int document_read(const char *body, size_t length, const char *member, json_t **ret, struct error *err)
{
	json_auto_t *document = NULL;
	json_error_t problem;
	int r;

	if (length > LIMIT_BODY_BYTES)
		return error_set(err, ERROR_TOO_LARGE, "", "the document has more than %d bytes",
			LIMIT_BODY_BYTES);
	if (length == 0)
		return error_set(err, ERROR_INVALID, NULL, "a JSON document is needed, the body is empty");
	document = json_loadb(body, length, JSON_REJECT_DUPLICATES, &problem);
	if (!document)
		return error_set(err, ERROR_INVALID, "", "not a JSON document: line %d, column %d: %s",
			problem.line, problem.column, problem.text);
	r = check_document(document, member, err);
	if (r < 0)
		return r;
	*ret = json_incref(json_object_get(document, member));
	return 0;
}

/* What the member "loadbalancer" of a document says. */
static int parse_load_balancer(const char *lb_id, const json_t *json, const struct definition_defaults *defaults,
	struct load_balancer **ret, struct error *err)
{
	_cleanup_load_balancer_ struct load_balancer *lb = calloc(1, sizeof(*lb));
	struct location root = {NULL, "loadbalancer", 0};
	int r;

	if (!lb)
		return error_set_errno(err, -ENOMEM, "definition");
	r = object_parse(&load_balancer_type, json, &root, defaults, lb, err);
	lb->references = 1; /* object_done() of a failed parse leaves the count alone */
	if (r == 0)
		r = definition_check(lb, lb_id, defaults, err);
	if (r == -ENOMEM)
		return error_set_errno(err, r, "definition");
	if (r < 0)
		return r;
	*ret = TAKE_PTR(lb);
	return 0;
}

int definition_parse(const char *lb_id, const char *body, size_t length,
	const struct definition_defaults *defaults, struct load_balancer **ret, struct error *err)
{
	json_auto_t *json = NULL;
	int r;

	r = document_read(body, length, "loadbalancer", &json, err);
	return r < 0 ? r : parse_load_balancer(lb_id, json, defaults, ret, err);
}

int definition_parse_json(const char *lb_id, const json_t *document, const struct definition_defaults *defaults,
	struct load_balancer **ret, struct error *err)
{
	int r;

	r = check_document(document, "loadbalancer", err);
	return r < 0 ? r : parse_load_balancer(lb_id, json_object_get(document, "loadbalancer"), defaults, ret, err);
}

/* What is left out of a tree for each use of it. */
static const unsigned left_out[] = {
	[DEFINITION_WHOLE] = FIELD_STORED,
	[DEFINITION_STORED] = 0,
	[DEFINITION_SHOWN] = FIELD_STORED | FIELD_SECRET,
};

bool definition_equal(const struct load_balancer *a, const struct load_balancer *b)
{
	return object_equal(&load_balancer_type, a, b, true);
}

bool definition_renders_alike(const struct load_balancer *a, const struct load_balancer *b)
{
	return object_renders_alike(&load_balancer_type, a, b);
}

int definition_append(const struct load_balancer *lb, enum definition_use use, struct text *out)
{
	text_append(out, "\"loadbalancer\":");
	object_write(&load_balancer_type, lb, left_out[use], out);
	return out->failed ? -ENOMEM : 0;
}

int definition_to_text(const struct load_balancer *lb, enum definition_use use, char **ret_text, size_t *ret_length)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_append_char(&text, '{');
	definition_append(lb, use, &text);
	text_append_char(&text, '}');
	return text_finish(&text, ret_text, ret_length);
}
