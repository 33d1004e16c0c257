/* SPDX-License-Identifier: Apache-2.0 */

/*
 * L7 policies. HAProxy evaluates "http-request deny" before "redirect" before "use_backend", whatever the order of the lines, and
 * warns of any other order; so they are written in that order, and among their like in that of their positions. It is
 * what Octavia promises: REJECT first, then the redirects to URLs, then those to pools.
 *
 * Sources: l7policy_macro and l7rule_macro of Octavia's macros.j2; HAProxy configuration manual, 7.1.
 */

#include "agent/render/haproxy-internal.h"

#include "agent/base/text.h"
#include "agent/render/quote.h"

/* What a rule looks at. One with a key has it as argument. */
static const struct rule_row {
	const char *fetch;
	bool has_key;
	bool ignores_case;
	/* NULL: compared as the rule says; "" has nothing to be compared with. */
	const char *operator;
} rule_rows[_L7RULE_TYPE_MAX] = {
	[L7RULE_HOST_NAME] = {.fetch = "req.hdr(host)", .ignores_case = true},
	[L7RULE_PATH] = {.fetch = "path"},
	[L7RULE_FILE_TYPE] = {.fetch = "path"},
	[L7RULE_HEADER] = {.fetch = "req.hdr", .has_key = true},
	[L7RULE_COOKIE] = {.fetch = "req.cook", .has_key = true},
	[L7RULE_SSL_CONN_HAS_CERT] = {.fetch = "ssl_c_used", .operator = ""},
	[L7RULE_SSL_VERIFY_RESULT] = {.fetch = "ssl_c_verify", .operator = "eq"},
	[L7RULE_SSL_DN_FIELD] = {.fetch = "ssl_c_s_dn", .has_key = true},
};

static const char *const compare_words[_L7RULE_COMPARE_MAX] = {
	[L7RULE_REGEX] = "reg",
	[L7RULE_STARTS_WITH] = "beg",
	[L7RULE_ENDS_WITH] = "end",
	[L7RULE_CONTAINS] = "sub",
	[L7RULE_EQUAL_TO] = "str",
};

/* A file type is the end of a path; "path_end -m str", as Octavia had it, compares the whole path. */
static const char *compare_word(const struct l7rule *rule)
{
	if (rule->type == L7RULE_FILE_TYPE && rule->compare_type == L7RULE_EQUAL_TO)
		return "end";
	return compare_words[rule->compare_type];
}

/* A value that stands between double quotes (it may have blanks then) is what is between them; grammar_header_value(). */
static void append_value(const struct l7rule *rule, struct view *words)
{
	size_t length = strlen(rule->value);
	_cleanup_free_ char *inner = NULL;

	if (rule->compare_type == L7RULE_REGEX || length < 2 || rule->value[0] != '"' ||
		rule->value[length - 1] != '"') {
		view_append_quoted(words, rule->value);
		return;
	}
	inner = strndup(rule->value + 1, length - 2);
	if (!inner)
		words->failure = -ENOMEM;
	else
		view_append_quoted(words, inner);
}

static void put_words(const struct l7rule *rule, const struct rule_row *row, struct view *acl)
{
	_cleanup_view_ struct view words = view_list();

	if (row->operator && row->operator[0]) {
		view_append_own(&words, row->operator);
		append_value(rule, &words);
	}
	if (!row->operator) {
		if (row->ignores_case)
			view_append_own(&words, "-i");
		view_append_own(&words, "-m");
		view_append_own(&words, compare_word(rule));
		/* What follows is no flag, even if it begins with a hyphen. */
		view_append_own(&words, "--");
		append_value(rule, &words);
	}
	view_put_view(acl, "words", &words);
}

static void append_acl(const struct l7rule *rule, struct view *acls)
{
	const struct rule_row *row = &rule_rows[rule->type];
	_cleanup_view_ struct view acl = view_object();
	_cleanup_free_ char *fetch = NULL;
	int r = 0;

	if (row->has_key)
		r = quote_haproxy_call(row->fetch, rule->key, &fetch);
	if (r < 0)
		acl.failure = r;
	view_put_own(&acl, "rule", rule->id);
	view_put_own(&acl, "fetch", row->has_key ? fetch : row->fetch);
	put_words(rule, row, &acl);
	view_append_view(acls, &acl);
}

/* " rule !rule …": all must hold. */
static void put_condition(const struct l7policy *policy, struct view *view)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	for (size_t i = 0; i < policy->n_rules; i++)
		if (policy->rules[i].admin_state_up)
			text_printf(&text, "%s%s%s", text.length ? " " : "", policy->rules[i].invert ? "!" : "",
				policy->rules[i].id);
	if (text.failed)
		view->failure = -ENOMEM;
	view_put_own(view, "condition", text_peek(&text));
}

static bool has_enabled_rule(const struct l7policy *policy)
{
	for (size_t i = 0; i < policy->n_rules; i++)
		if (policy->rules[i].admin_state_up)
			return true;
	return false;
}

static const struct pool *enabled_pool(const struct render *render, const char *id)
{
	const struct pool *pool = id ? load_balancer_find_pool(render->lb, id) : NULL;

	return pool && pool->admin_state_up ? pool : NULL;
}

/* A policy without rules does nothing, and so does one to a pool that is switched off. */
static bool is_used(const struct render *render, const struct l7policy *policy)
{
	return policy->admin_state_up && has_enabled_rule(policy) &&
		(policy->action != L7POLICY_REDIRECT_TO_POOL || enabled_pool(render, policy->redirect_pool_id));
}

static bool speaks_l7(const struct listener *listener)
{
	return listener->protocol == LISTENER_HTTP || listener->protocol == LISTENER_TERMINATED_HTTPS;
}

/* Whether the members of its pool are checked, and so have a status. As Octavia has it: also while all its rules are
 * switched off. */
static bool is_listed(const struct listener *listener, const struct l7policy *policy)
{
	return speaks_l7(listener) && policy->admin_state_up && policy->n_rules > 0 &&
		policy->action == L7POLICY_REDIRECT_TO_POOL;
}

int render_pools_of(const struct render *render, const struct listener *listener, const struct pool ***ret,
	size_t *ret_n)
{
	_cleanup_free_ const struct pool **pools = calloc(listener->n_l7policies + 2, sizeof(*pools));
	json_auto_t *seen = json_object();
	size_t n = 0;

	if (!pools || !seen)
		return -ENOMEM;
	for (size_t i = 0; i <= listener->n_l7policies && listener->protocol != LISTENER_PROMETHEUS; i++) {
		const struct l7policy *policy = i > 0 ? &listener->l7policies[i - 1] : NULL;
		const struct pool *pool =
			enabled_pool(render, policy ? policy->redirect_pool_id : listener->default_pool_id);

		if (!pool || json_object_get(seen, pool->id) || (policy && !is_listed(listener, policy)))
			continue;
		if (json_object_set_new_nocheck(seen, pool->id, json_true()) < 0)
			return -ENOMEM;
		pools[n++] = pool;
	}
	*ret = TAKE_PTR(pools);
	*ret_n = n;
	return 0;
}

/* The target of the keyword "redirect" is text, unlike that of "http-request redirect", which is a log format. */
static void put_redirect(const struct l7policy *policy, struct view *view)
{
	bool prefix = policy->action == L7POLICY_REDIRECT_PREFIX;

	view_put_unless_zero(view, "code", policy->redirect_http_code);
	view_put_own(view, "kind", prefix ? "prefix" : "location");
	view_put_quoted(view, "target", prefix ? policy->redirect_prefix : policy->redirect_url);
}

void render_l7(const struct render *render, const struct listener *listener, struct view *frontend)
{
	_cleanup_view_ struct view acls = view_list(), denies = view_list(), redirects = view_list(),
				   choices = view_list();

	for (size_t i = 0; speaks_l7(listener) && i < listener->n_l7policies; i++) {
		const struct l7policy *policy = &listener->l7policies[i];
		_cleanup_view_ struct view action = view_object();

		if (!is_used(render, policy))
			continue;
		for (size_t j = 0; j < policy->n_rules; j++)
			if (policy->rules[j].admin_state_up)
				append_acl(&policy->rules[j], &acls);
		put_condition(policy, &action);
		switch (policy->action) {
		case L7POLICY_REJECT:
			view_append_view(&denies, &action);
			break;
		case L7POLICY_REDIRECT_TO_POOL:
			render_backend_name(&action, enabled_pool(render, policy->redirect_pool_id), listener);
			view_append_view(&choices, &action);
			break;
		default:
			put_redirect(policy, &action);
			view_append_view(&redirects, &action);
			break;
		}
	}
	view_put_view(frontend, "acls", &acls);
	view_put_view(frontend, "denies", &denies);
	view_put_view(frontend, "redirects", &redirects);
	view_put_view(frontend, "choices", &choices);
}
