/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/check.h"

#include <string.h>
#include <strings.h>

/* What a rule of each type looks like; octavia/common/validate.py, l7rule_data(). */
static const struct {
	bool key;                /* needed, otherwise refused */
	grammar_check key_check;
	unsigned compare_types;  /* bits */
	grammar_check value_check; /* of values that are no regular expression */
} rule_rules[_L7RULE_TYPE_MAX] = {
#define ANY ((1U << _L7RULE_COMPARE_MAX) - 1)
#define ONLY(type) (1U << (type))
	[L7RULE_HOST_NAME] = {false, NULL, ANY, grammar_header_value},
	[L7RULE_PATH] = {false, NULL, ANY, grammar_header_value},
	[L7RULE_FILE_TYPE] = {false, NULL, ONLY(L7RULE_REGEX) | ONLY(L7RULE_EQUAL_TO), grammar_header_value},
	[L7RULE_HEADER] = {true, grammar_header_name, ANY, grammar_header_value},
	[L7RULE_COOKIE] = {true, grammar_header_name, ANY, grammar_cookie_value},
	[L7RULE_SSL_CONN_HAS_CERT] = {false, NULL, ONLY(L7RULE_EQUAL_TO), NULL},
	[L7RULE_SSL_VERIFY_RESULT] = {false, NULL, ONLY(L7RULE_EQUAL_TO), NULL},
	[L7RULE_SSL_DN_FIELD] = {true, grammar_dn_field, ANY, NULL},
};

static int check_rule_value(const struct l7rule *rule, const struct location *where, struct error *err)
{
	struct location field = {where, "value", 0};
	const char *wanted = NULL;

	if (rule->type == L7RULE_SSL_CONN_HAS_CERT && strcasecmp(rule->value, "true") != 0)
		wanted = "must be True";
	else if (rule->type == L7RULE_SSL_VERIFY_RESULT)
		wanted = grammar_verify_result(rule->value);
	else if (rule->compare_type == L7RULE_REGEX)
		wanted = grammar_regex(rule->value);
	else if (rule_rules[rule->type].value_check)
		wanted = rule_rules[rule->type].value_check(rule->value);
	return wanted ? location_error(&field, ERROR_INVALID, err, "%s", wanted) : 0;
}

/* From what it says; the second, third … of a policy that says the same, from its number, too. "said" counts. */
static int derive_rule_id(const struct l7policy *policy, struct l7rule *rule, json_t *said)
{
	_cleanup_free_ char *natural = NULL, *numbered = NULL;
	json_int_t number;

	if (rule->id[0])
		return 0;
	if (asprintf(&natural, "%s %s %s%s %s", l7rule_type_names[rule->type],
		    l7rule_compare_type_names[rule->compare_type], rule->invert ? "not " : "",
		    rule->key ? rule->key : "", rule->value) < 0)
		return -ENOMEM;
	number = json_integer_value(json_object_get(said, natural)) + 1;
	if (json_object_set_new_nocheck(said, natural, json_integer(number)) < 0)
		return -ENOMEM;
	if (number == 1)
		return check_derive_id(rule->id, policy->id, "rule", natural);
	if (asprintf(&numbered, "%s\n%lld", natural, (long long)number) < 0) /* no value has a line break */
		return -ENOMEM;
	return check_derive_id(rule->id, policy->id, "rule", numbered);
}

static int check_rule(struct check *check, const struct l7policy *policy, struct l7rule *rule, json_t *said,
	const struct location *where, struct error *err)
{
	struct location key = {where, "key", 0}, compare = {where, "compare_type", 0}, id = {where, "id", 0};
	const char *type = l7rule_type_names[rule->type], *wanted;
	int r;

	if (rule_rules[rule->type].key && !rule->key)
		return location_error(&key, ERROR_INVALID, err, "is required with type %s", type);
	if (!rule_rules[rule->type].key && rule->key)
		return location_error(&key, ERROR_INVALID, err, "L7rule type %s does not use the \"key\" field.", type);
	wanted = rule->key ? rule_rules[rule->type].key_check(rule->key) : NULL;
	if (wanted)
		return location_error(&key, ERROR_INVALID, err, "%s", wanted);
	if (!(rule_rules[rule->type].compare_types & ONLY(rule->compare_type)))
		return location_error(&compare, ERROR_INVALID, err, "invalid comparison type for rule type %s", type);
	r = check_rule_value(rule, where, err);
	if (r < 0)
		return r;
	r = derive_rule_id(policy, rule, said);
	if (r < 0)
		return r;
	return check_unique(&check->l7_ids, rule->id, &id, ERROR_CONFLICT, "this id is taken", err);
}

/* Each action has a target of its own, and no other. */
static int check_action(const struct l7policy *policy, const struct location *where, struct error *err)
{
	const struct {
		const char *name;
		bool given;
		unsigned actions;
		bool required;
	} targets[] = {
		{"redirect_pool_id", policy->redirect_pool_id || policy->redirect_pool, ONLY(L7POLICY_REDIRECT_TO_POOL),
			true},
		{"redirect_url", policy->redirect_url, ONLY(L7POLICY_REDIRECT_TO_URL), true},
		{"redirect_prefix", policy->redirect_prefix, ONLY(L7POLICY_REDIRECT_PREFIX), true},
		{"redirect_http_code", policy->redirect_http_code != 0,
			ONLY(L7POLICY_REDIRECT_TO_URL) | ONLY(L7POLICY_REDIRECT_PREFIX), false},
	};
	static const int64_t codes[] = {0, 301, 302, 303, 307, 308};
	struct location code = {where, "redirect_http_code", 0};
	bool known = false;

	for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
		struct location field = {where, targets[i].name, 0};
		bool wanted = targets[i].actions & ONLY(policy->action);

		if (wanted && targets[i].required && !targets[i].given)
			return location_error(&field, ERROR_INVALID, err, "is required with action %s",
				l7policy_action_names[policy->action]);
		if (!wanted && targets[i].given)
			return location_error(&field, ERROR_INVALID, err, "is not allowed with action %s",
				l7policy_action_names[policy->action]);
	}
	for (size_t i = 0; i < ELEMENTSOF(codes); i++)
		known |= codes[i] == policy->redirect_http_code;
	if (!known)
		return location_error(&code, ERROR_INVALID, err, "must be one of 301, 302, 303, 307, 308");
	return 0;
}

static int check_policy(struct check *check, const struct listener *listener, struct l7policy *policy, size_t index,
	const struct location *where, struct error *err)
{
	struct location id = {where, "id", 0}, rules = {where, "rules", 0};
	json_auto_t *said = json_object();
	char natural[32];
	int r;

	if (!said)
		return -ENOMEM;
	r = check_action(policy, where, err);
	if (r < 0)
		return r;
	if ((policy->action == L7POLICY_REDIRECT_TO_URL || policy->action == L7POLICY_REDIRECT_PREFIX) &&
		!policy->redirect_http_code)
		policy->redirect_http_code = 302;
	snprintf(natural, sizeof(natural), "%zu", index + 1);
	r = check_derive_id(policy->id, listener->id, check_has_name(policy->name) ? "l7policy" : "l7policy-at",
		check_has_name(policy->name) ? policy->name : natural);
	if (r < 0)
		return r;
	r = check_unique(&check->l7_ids, policy->id, &id, ERROR_CONFLICT,
		"another policy has this id, or the same name and no id", err);
	for (size_t i = 0; r == 0 && i < policy->n_rules; i++) {
		struct location item = {&rules, NULL, i};

		r = check_rule(check, policy, &policy->rules[i], said, &item, err);
	}
	return r;
}

int check_l7policies(struct check *check, struct listener *listener, const struct location *where, struct error *err)
{
	struct location list = {where, "l7policies", 0};

	if (listener->n_l7policies == 0)
		return 0;
	if (listener->protocol == LISTENER_PROMETHEUS)
		return location_error(&list, ERROR_INVALID, err,
			"Protocol PROMETHEUS listeners can not have child objects.");
	if (listener->protocol != LISTENER_HTTP && listener->protocol != LISTENER_TERMINATED_HTTPS)
		return location_error(&list, ERROR_UNSUPPORTED, err, "%s protocol listeners do not support L7 policies",
			listener_protocol_names[listener->protocol]);
	for (size_t i = 0; i < listener->n_l7policies; i++) {
		struct location item = {&list, NULL, i};
		int r = check_policy(check, listener, &listener->l7policies[i], i, &item, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* As Octavia does when it takes the policies one after the other (octavia/db/repositories.py, L7PolicyRepository.create()):
 * each goes to its position, before one that is there already, or to the end. */
int check_order_l7policies(struct listener *listener)
{
	_cleanup_free_ const struct l7policy **order = NULL;
	size_t n = listener->n_l7policies;
	struct l7policy *ordered;

	if (n == 0)
		return 0;
	order = calloc(n, sizeof(*order));
	ordered = calloc(n, sizeof(*ordered));
	if (!order || !ordered) {
		free(ordered);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const struct l7policy *policy = &listener->l7policies[i];
		size_t place = policy->position - 1 < (int64_t)i ? (size_t)(policy->position - 1) : i;

		memmove(&order[place + 1], &order[place], (i - place) * sizeof(*order));
		order[place] = policy;
	}
	for (size_t i = 0; i < n; i++) {
		ordered[i] = *order[i];
		ordered[i].position = (int64_t)i + 1;
	}
	free(listener->l7policies); /* what they own belongs to their copies */
	listener->l7policies = ordered;
	return 0;
}
