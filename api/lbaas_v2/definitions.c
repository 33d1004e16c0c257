/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include <string.h>

#include "agent/base/json_write.h"
#include "agent/base/text.h"
#include "agent/haproxy/cfg.h"

/* The declarative door: PUT, GET and DELETE of a whole load balancer. */

int lbaas_find(const struct request *request, struct found_load_balancer *ret, struct error *err)
{
	_cleanup_found_ struct found_load_balancer found = {0};
	int r;

	r = registry_get(request->agent->registry, request->parameters[0], &found.instance, err);
	if (r < 0)
		return r;
	if (found.instance->owner == OWNER_CONTROLLER)
		return error_set(err, ERROR_NOT_FOUND, NULL,
			"Load Balancer %s has no definition: a controller uploads its configuration",
			request->parameters[0]);
	r = instance_current(found.instance, &found.stored, NULL);
	if (r < 0)
		return error_set(err, ERROR_NOT_FOUND, NULL, "Load Balancer %s not found.", request->parameters[0]);
	*ret = found;
	found = (struct found_load_balancer){0};
	return 0;
}

void lbaas_found_done(struct found_load_balancer *found)
{
	instance_unref(found->instance);
	stored_definition_done(&found->stored);
	*found = (struct found_load_balancer){0};
}

/* RFC 9110, 13.1.1: "*" matches what exists; revisions are strong tags of digits. *ret is -1 without the header. */
static int parse_if_match(const struct request *request, const char *lb_id, int64_t *ret, struct error *err)
{
	const char *header = request_header(request, "If-Match");
	_cleanup_free_ char *number = NULL;
	size_t length = header ? strlen(header) : 0;
	int64_t revision;

	*ret = -1;
	if (!header)
		return 0;
	if (streq(header, "*")) {
		_cleanup_instance_ struct instance *instance = NULL;

		if (registry_get(request->agent->registry, lb_id, &instance, NULL) < 0)
			return error_set(err, ERROR_STALE, NULL, "If-Match: * and there is no such load balancer");
		return 0;
	}
	if (length >= 2 && header[0] == '"' && header[length - 1] == '"')
		number = strndup(header + 1, length - 2);
	else
		number = strdup(header);
	if (!number)
		return error_set_errno(err, -ENOMEM, "If-Match");
	if (text_to_int64(number, &revision) < 0 || revision < 0)
		return error_set(err, ERROR_STALE, NULL, "If-Match: %s is no revision of this load balancer", header);
	*ret = revision;
	return 0;
}

int lbaas_if_match(const struct request *request, const char *lb_id, int64_t *ret, struct error *err)
{
	bool dry_run;
	int r;

	r = request_query_bool(request, "dry_run", &dry_run, err);
	if (r == 0 && dry_run)
		return error_set(err, ERROR_INVALID, NULL, "dry_run: only a definition and a rollback can be tried");
	return r < 0 ? r : parse_if_match(request, lb_id, ret, err);
}

static json_t *strings(char *const *list)
{
	json_t *array = json_array();

	STRV_FOREACH(string, list)
		json_array_append_new(array, json_string(*string));
	return array;
}

/* Without keys, which "shown" leaves out. */
static json_t *steps(const struct plan *plan)
{
	json_t *array = json_array();

	for (size_t i = 0; i < plan->n_steps; i++)
		json_array_append_new(
			array, json_string(plan->steps[i].shown ? plan->steps[i].shown : plan->steps[i].command));
	return array;
}

/* What keepalived would be given, by the ids of listeners; null for one that goes. */
static json_t *lvs_json(const struct lvs_change *lvs)
{
	json_t *object = json_object();

	for (size_t i = 0; i < lvs->n; i++)
		json_object_set_new(object, lvs->items[i].id,
			lvs->items[i].wanted ? json_string(lvs->items[i].wanted) : json_null());
	return object;
}

static json_t *dry_run_json(const struct apply_result *result)
{
	_cleanup_free_ char *text = strdup(result->rendered.text);
	size_t length = result->rendered.length;

	if (!text || cfg_hide_secrets(&text, &length, NULL) < 0)
		return NULL;
	return json_pack("{s:s, s:o, s:o, s:s#, s:s, s:o}", "action", plan_action_name(result->plan.action), "reasons",
		strings(result->plan.reasons), "commands", steps(&result->plan), "haproxy_cfg", text, (int)length,
		"haproxy_verdict", result->verdict, "keepalived", lvs_json(&result->lvs));
}

static json_t *apply_json(const struct apply_result *result)
{
	return json_pack("{s:s, s:o, s:I}", "action", plan_action_name(result->plan.action), "reasons",
		strings(result->plan.reasons), "duration_ms", (json_int_t)result->duration_ms);
}

/* Takes the reference. */
static void append_member(struct text *text, const char *name, json_t *json)
{
	text_printf(text, ",\"%s\":", name);
	json_write(text, json);
	json_decref(json);
}

int lbaas_answer_apply(
	const struct apply_result *result, bool dry_run, struct response *response, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	int r = 0;

	text_append_char(&text, '{');
	definition_append(result->lb, DEFINITION_SHOWN, &text);
	if (dry_run) {
		append_member(&text, "dry_run", dry_run_json(result));
	} else {
		append_member(&text, "revision", json_integer(result->revision));
		append_member(&text, "apply", apply_json(result));
		r = response_add_header(response, "ETag", "\"%lld\"", (long long)result->revision);
	}
	text_append_char(&text, '}');
	if (r == 0 && !dry_run)
		r = response_add_header(response, "Amphorad-Apply", "%s", plan_action_name(result->plan.action));
	if (r == 0)
		r = response_set_text(
			response, !dry_run && result->created ? 201 : 200, "application/json", &text);
	return r < 0 ? error_set_errno(err, -ENOMEM, "reply") : 0;
}

int lbaas_apply_options(const struct request *request, struct apply_options *ret, struct error *err)
{
	struct apply_options options = {.if_match = -1};
	int r;

	r = request_query_bool(request, "dry_run", &options.dry_run, err);
	if (r == 0)
		r = parse_if_match(request, request->parameters[0], &options.if_match, err);
	if (r == 0)
		*ret = options;
	return r;
}

/* The document is read and the change is made while a HAProxy that is going to judge it starts. */
static int read_and_apply(const struct request *request, const struct apply_options *options, struct apply_result *ret,
	struct error *err)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	int r = definition_parse(request->parameters[0], request->body, request->body_length,
		&request->agent->definition_defaults, &lb, err);

	return r < 0 ? r : registry_apply(request->agent->registry, lb, options, ret, err);
}

int lbaas_put_definition(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_instance_ struct instance *instance = NULL;
	struct apply_options options;
	const char *lb_id = request->parameters[0];
	int r;

	if (!text_is_uuid(lb_id))
		return error_set(err, ERROR_INVALID, NULL,
			"the load balancer's id in the path must be a UUID in lower case");
	r = lbaas_apply_options(request, &options, err);
	if (r < 0)
		return r;
	if (registry_get(request->agent->registry, lb_id, &instance, NULL) == 0)
		instance_expect_change(instance);
	r = read_and_apply(request, &options, &result, err);
	if (r < 0 && instance)
		instance_expect_no_change(instance);
	if (r < 0)
		return r;
	return lbaas_answer_apply(&result, options.dry_run, response, err);
}

int lbaas_get_definition(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_found_ struct found_load_balancer found = {0};
	char *text;
	size_t length;
	int r;

	r = lbaas_find(request, &found, err);
	if (r < 0)
		return r;
	if (response_add_header(response, "ETag", "\"%lld\"", (long long)found.stored.revision) < 0 ||
		definition_to_text(found.stored.lb, DEFINITION_SHOWN, &text, &length) < 0)
		return error_set_errno(err, -ENOMEM, "definition");
	response_set_body(response, 200, "application/json", text, length);
	return 0;
}

int lbaas_delete_definition(const struct request *request, struct response *response, struct error *err)
{
	int64_t if_match;
	int r;

	r = lbaas_if_match(request, request->parameters[0], &if_match, err);
	return r < 0 ? r : lbaas_delete_whole(request, if_match, response, err);
}

int lbaas_delete_whole(const struct request *request, int64_t if_match, struct response *response, struct error *err)
{
	int r = registry_delete(request->agent->registry, request->parameters[0], if_match, err);

	if (r < 0)
		return r;
	health_forget(request->agent->health, request->parameters[0]);
	response->status = 204;
	return response_add_header(response, "Amphorad-Apply", "stop") < 0 ? error_set_errno(err, -ENOMEM, "reply") : 0;
}

int lbaas_get_haproxy_cfg(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = registry_get(request->agent->registry, request->parameters[0], &instance, err);
	/* An uploaded one has no revisions. */
	if (r == 0 && instance_current(instance, &stored, NULL) == 0 &&
		response_add_header(response, "ETag", "\"%lld\"", (long long)stored.revision) < 0)
		r = error_set_errno(err, -ENOMEM, "reply");
	if (r == 0)
		r = instance_read_config(instance, &text, &length, err);
	if (r == 0)
		r = cfg_hide_secrets(&text, &length, err);
	if (r < 0)
		return r;
	response_set_body(response, 200, "text/plain; charset=utf-8", TAKE_PTR(text), length);
	return 0;
}
