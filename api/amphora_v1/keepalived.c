/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/handlers.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/keepalived/lvs_config.h"
#include "api/amphora_v1/answer.h"

/* keepalived: VRRP, and the listeners of UDP and SCTP (LVS). Source of statuses and bodies:
 * octavia/amphorae/backends/agent/api_server/keepalived.py and keepalivedlvs.py. */

static const char *const action_names[_KEEPALIVED_ACTION_MAX + 1] = {
	[KEEPALIVED_START] = "start", [KEEPALIVED_STOP] = "stop", [KEEPALIVED_RELOAD] = "reload"};

/* 0 and false when the answer (400) is written already. */
static int parse_action(const char *name, struct response *response, enum keepalived_action *ret, bool *ret_known,
	struct error *err)
{
	_cleanup_free_ char *lower = strdup(name), *details = NULL;

	if (!lower)
		return error_set_errno(err, -ENOMEM, "action");
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	*ret_known = true;
	for (size_t i = 0; i < _KEEPALIVED_ACTION_MAX; i++)
		if (streq(lower, action_names[i])) {
			*ret = (enum keepalived_action)i;
			return 0;
		}
	*ret_known = false;
	if (asprintf(&details, "Unknown action: %s", lower) < 0)
		details = NULL;
	return amphora_answer(response, 400, "Invalid Request", details, err);
}

/* What keepalived refuses is the request's fault, all else is ours. */
static int refuse(struct response *response, struct error *problem, int r, struct error *err)
{
	if (problem->code == ERROR_INVALID)
		return amphora_answer(response, 400, "Invalid request", error_message(problem), err);
	error_done(err);
	*err = *problem;
	*problem = ERROR_INIT;
	return r;
}

static int taken(const struct request *request, struct response *response, struct error *err)
{
	char md5[33];
	int r = amphora_add_etag(response, request->body, request->body_length, md5, err);

	return r < 0 ? r : amphora_answer(response, 200, "OK", NULL, err);
}

int amphora_put_vrrp(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	r = keepalived_put_vrrp(request->agent->keepalived, request->body, request->body_length, &problem);
	return r < 0 ? refuse(response, &problem, r, err) : taken(request, response, err);
}

int amphora_put_vrrp_action(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *words = NULL;
	enum keepalived_action action, done;
	bool known;
	int r;

	r = parse_action(request->parameters[0], response, &action, &known, err);
	if (r < 0 || !known)
		return r;
	r = keepalived_control_vrrp(request->agent->keepalived, action, &done, &problem);
	if (r < 0) {
		if (asprintf(&words, "Failed to %s octavia-keepalived service", action_names[action]) < 0)
			words = NULL;
		return amphora_answer(response, 500, words ? words : "Error", error_message(&problem), err);
	}
	if (asprintf(&words, "keepalived %sed", action_names[done]) < 0)
		words = NULL;
	return amphora_answer(response, 202, "OK", words, err);
}

/* A listener of a definition is the definition's. */
static int check_owner(const struct request *request, const char *listener_id, struct error *err)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (keepalived_read_lvs(request->agent->keepalived, listener_id, &text, &length) < 0)
		return 0;
	if (lvs_config_parse(text, length, &config) < 0)
		return error_set_errno(err, -ENOMEM, "listener %s", listener_id);
	if (config.rendered)
		return error_set(err, ERROR_CONFLICT, NULL,
			"listener %s belongs to load balancer %s, which has a definition; delete it before a controller "
			"takes over",
			listener_id, config.lb_id);
	return 0;
}

int amphora_put_lvs(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	const char *listener_id = request->parameters[1];
	int r;

	if (!text_is_uuid(listener_id))
		return amphora_answer(response, 400, "Invalid request", "the listener's id is no UUID", err);
	r = check_owner(request, listener_id, err);
	if (r < 0)
		return r;
	r = keepalived_put_lvs(
		request->agent->keepalived, listener_id, request->body, request->body_length, &problem);
	if (r == 0)
		r = keepalived_update_checks(request->agent->keepalived, NULL, &problem);
	return r < 0 ? refuse(response, &problem, r, err) : taken(request, response, err);
}

int amphora_get_lvs(const struct request *request, struct response *response, struct error *err)
{
	const char *listener_id = request->parameters[0];
	_cleanup_free_ char *text = NULL, *details = NULL;
	char md5[33];
	size_t length;
	int r;

	r = keepalived_read_lvs(request->agent->keepalived, listener_id, &text, &length);
	if (r == -ENOENT) {
		if (asprintf(&details, "No UDP listener with UUID: %s", listener_id) < 0)
			details = NULL;
		return amphora_answer(response, 404, "UDP Listener Not Found", details, err);
	}
	if (r < 0)
		return error_set_errno(err, r, "UDP listener %s", listener_id);
	r = amphora_add_etag(response, text, length, md5, err);
	if (r < 0)
		return r;
	response_set_body(response, 200, "text/plain; charset=UTF-8", TAKE_PTR(text), length);
	return 0;
}

bool amphora_is_lvs(const struct request *request, const char *id)
{
	return text_is_uuid(id) && keepalived_has_lvs(request->agent->keepalived, id);
}

int amphora_put_lvs_action(const struct request *request, struct response *response, struct error *err)
{
	const char *listener_id = request->parameters[0];
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *words = NULL;
	enum keepalived_action action, done;
	bool known;
	int r;

	r = parse_action(request->parameters[1], response, &action, &known, err);
	if (r < 0 || !known)
		return r;
	r = check_owner(request, listener_id, err);
	if (r < 0)
		return r;
	r = keepalived_control_lvs(request->agent->keepalived, listener_id, action, &done, &problem);
	if (r < 0) {
		if (asprintf(&words, "Failed to %s keepalivedlvs listener %s", action_names[action], listener_id) < 0)
			words = NULL;
		return amphora_answer(response, 500, words ? words : "Error", error_message(&problem), err);
	}
	if (asprintf(&words, "keepalivedlvs listener %s %sed", listener_id, action_names[done]) < 0)
		words = NULL;
	return amphora_answer(response, 202, "OK", words, err);
}

int amphora_delete_lvs(const struct request *request, struct response *response, struct error *err)
{
	const char *listener_id = request->parameters[0];
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	r = check_owner(request, listener_id, err);
	if (r < 0)
		return r;
	r = keepalived_remove_lvs(request->agent->keepalived, listener_id, &problem);
	if (r == 0)
		r = keepalived_update_checks(request->agent->keepalived, NULL, &problem);
	if (r < 0)
		return amphora_answer(response, 500, "Error stopping keepalivedlvs", error_message(&problem), err);
	return amphora_answer(response, 200, "OK", NULL, err);
}
