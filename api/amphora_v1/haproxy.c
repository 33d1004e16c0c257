/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/handlers.h"

#include <strings.h>

#include "agent/base/text.h"
#include "api/amphora_v1/answer.h"

/* Uploading, reading, starting, stopping and deleting the configuration of a load balancer. Source of statuses and bodies:
 * octavia/amphorae/backends/agent/api_server/loadbalancer.py. */

static int not_found(struct response *response, const char *lb_id, struct error *err)
{
	_cleanup_free_ char *details = NULL;

	if (asprintf(&details, "No loadbalancer with UUID: %s", lb_id) < 0)
		details = NULL;
	return amphora_answer(response, 404, "Loadbalancer Not Found", details, err);
}

/* 0 and *ret NULL when the answer (404) is written already. */
static int find(const struct request *request, struct response *response, struct instance **ret, struct error *err)
{
	*ret = NULL;
	if (registry_get(request->agent->registry, request->parameters[0], ret, NULL) < 0)
		return not_found(response, request->parameters[0], err);
	return 0;
}

int amphora_put_haproxy(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	const char *amphora_id = request->parameters[0], *lb_id = request->parameters[1];
	char md5[33];
	int r;

	if (!text_is_uuid(lb_id))
		return amphora_answer(response, 400, "Invalid request", "the load balancer's id is no UUID", err);
	r = registry_upload(request->agent->registry, lb_id, amphora_id, request->body, request->body_length, &problem);
	if (r < 0 && problem.code == ERROR_HAPROXY)
		return amphora_answer(response, 400, "Invalid request", error_message(&problem), err);
	if (r < 0) {
		error_done(err);
		*err = problem;
		problem = ERROR_INIT;
		return r;
	}
	r = amphora_add_etag(response, request->body, request->body_length, md5, err);
	return r < 0 ? r : amphora_answer(response, 202, "OK", NULL, err);
}

int amphora_get_haproxy(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *text = NULL;
	char md5[33];
	size_t length;
	int r;

	r = find(request, response, &instance, err);
	if (r < 0 || !instance)
		return r;
	r = instance_read_config(instance, &text, &length, err);
	if (r == 0)
		r = amphora_add_etag(response, text, length, md5, err);
	if (r < 0)
		return r;
	response_set_body(response, 200, "text/plain; charset=UTF-8", TAKE_PTR(text), length);
	return 0;
}

static const char *const action_names[] = {
	[INSTANCE_START] = "start", [INSTANCE_STOP] = "stop", [INSTANCE_RELOAD] = "reload"};

static int done_details(const char *lb_id, enum instance_action done, char **ret)
{
	if (done == INSTANCE_START)
		return asprintf(ret, "Configuration file is valid\nhaproxy daemon for %s started", lb_id);
	return asprintf(ret, "Listener %s %sed", lb_id, action_names[done]);
}

int amphora_put_action(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_(control_result_done) struct control_result result = CONTROL_RESULT_INIT;
	_cleanup_free_ char *words = NULL;
	const char *name = request->parameters[1];
	enum instance_action action = INSTANCE_START;
	int r;

	while (action < (enum instance_action)ELEMENTSOF(action_names) && strcasecmp(action_names[action], name) != 0)
		action++;
	/* Listeners of UDP and SCTP have ids of their own. A load balancer comes first, as with Octavia's agent. */
	if (registry_get(request->agent->registry, request->parameters[0], &instance, NULL) < 0 &&
		amphora_is_lvs(request, request->parameters[0]))
		return amphora_put_lvs_action(request, response, err);
	if (action == (enum instance_action)ELEMENTSOF(action_names)) {
		if (asprintf(&words, "Unknown action: %s", name) < 0)
			words = NULL;
		return amphora_answer(response, 400, "Invalid Request", words, err);
	}
	if (!instance)
		return not_found(response, request->parameters[0], err);
	/* Before: keepalived has to know of a HAProxy that is about to go, and waits for one that comes. */
	r = keepalived_update_checks(
		request->agent->keepalived, action == INSTANCE_STOP ? instance->id : NULL, err);
	if (r < 0)
		return r;
	r = instance_control(instance, action, &result, &problem);
	if (r < 0 && problem.code == ERROR_CONFLICT) {
		*err = problem;
		problem = ERROR_INIT;
		return r;
	}
	if (r < 0) {
		if (asprintf(&words, "Error %sing haproxy", action_names[action]) < 0)
			words = NULL;
		return amphora_answer(response, 500, words ? words : "Error", error_message(&problem), err);
	}
	if (result.done != INSTANCE_STOP &&
		response_add_header(response, "Amphorad-Apply", "%s", plan_action_name(result.plan.action)) < 0)
		return error_set_errno(err, -ENOMEM, "reply");
	if (done_details(instance->id, result.done, &words) < 0)
		words = NULL;
	return amphora_answer(response, 202, "OK", words, err);
}

/* The route's name is of the time when each listener had its HAProxy: the id is the load balancer's. */
int amphora_delete_listener(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	const char *lb_id = request->parameters[0];
	int r;

	if (registry_get(request->agent->registry, lb_id, &instance, NULL) < 0 && amphora_is_lvs(request, lb_id))
		return amphora_delete_lvs(request, response, err);
	r = registry_remove_upload(request->agent->registry, lb_id, err);
	if (r == 0 && instance)
		r = keepalived_update_checks(request->agent->keepalived, lb_id, err);
	if (r == 0 && text_is_uuid(lb_id))
		r = amphora_remove_certificates(request->agent, lb_id, err);
	if (r < 0)
		return r;
	if (text_is_uuid(lb_id))
		health_forget(request->agent->health, lb_id);
	return amphora_answer(response, 200, "OK", NULL, err);
}
