/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/handlers.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "api/amphora_v1/answer.h"

/* Ports that the controller has plugged into this amphora. Source of statuses and bodies:
 * octavia/amphorae/backends/agent/api_server/plug.py, and server.py for what it checks first. */

static int refuse(struct response *response, enum plug_mistake mistake, const char *information,
	const struct error *problem, struct error *err)
{
	static const char *const words[] = {
		[PLUG_INVALID_VIP] = "Invalid VIP",
		[PLUG_INVALID_VRRP_ADDRESS] = "Invalid VRRP Address",
		[PLUG_INVALID_FIXED_IP] = "Invalid network port",
	};
	_cleanup_free_ char *message = NULL, *details = NULL;

	if (mistake == PLUG_INVALID_INFORMATION)
		return amphora_bad_request(response, information, problem, err);
	if (asprintf(&details, "%s: %s", problem->pointer ? problem->pointer : "", error_message(problem)) < 0)
		details = NULL;
	if (mistake == PLUG_INVALID_FIXED_IP)
		return amphora_answer(response, 400, words[mistake], details, err);
	if (asprintf(&message, "%s: %s", words[mistake], details ? details : "") < 0)
		message = NULL;
	return amphora_answer(response, 400, message ? message : words[mistake], NULL, err);
}

/* What went wrong when the machine was changed. */
static int fail(struct response *response, const char *words, const struct error *problem, struct error *err)
{
	json_t *body;

	if (problem->code == ERROR_CONFLICT)
		return amphora_answer(response, 409, error_message(problem), NULL, err);
	if (problem->code == ERROR_NOT_FOUND) {
		/* A controller tries again as long as it reads this. */
		body = json_pack("{s:s}", "details", error_message(problem));
		return body ? response_set_json(response, 404, body) : error_set_errno(err, -ENOMEM, "reply");
	}
	log_error("%s: %s", words, error_message(problem));
	return amphora_answer(response, problem->code == ERROR_UNSUPPORTED ? 501 : 500, words, error_message(problem), err);
}

static json_t *parse_body(const struct request *request, struct error *problem)
{
	json_error_t reason;
	json_t *json = json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES, &reason);

	if (!json)
		error_set(problem, ERROR_INVALID, NULL, "no JSON: line %d: %s", reason.line, reason.text);
	return json;
}

static int answer_vips(struct response *response, const struct plug *plug, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_append(&text, "VIPs plugged on interface " NETWORK_VIP_INTERFACE ": ");
	for (size_t i = 0; i < plug->n_vips; i++) {
		char vip[IP_TEXT_SIZE];

		ip_format_exploded(&plug->vips[i].address, vip);
		text_printf(&text, "%s%s", i ? ", " : "", vip);
	}
	return amphora_answer(response, 202, "OK", text_peek(&text), err);
}

int amphora_post_vip(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	enum plug_mistake mistake = PLUG_INVALID_INFORMATION;
	_cleanup_plug_ struct plug plug = {0};
	json_auto_t *json = parse_body(request, &problem);

	if (!json || plug_parse_vip(json, request->parameters[0], &plug, &mistake, &problem) < 0)
		return refuse(response, mistake, "Invalid subnet information", &problem, err);
	if (network_plug_vip(request->agent->network, &plug, &problem) < 0)
		return fail(response, "Error plugging VIP", &problem, err);
	return answer_vips(response, &plug, err);
}

int amphora_post_network(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	enum plug_mistake mistake = PLUG_INVALID_INFORMATION;
	_cleanup_plug_ struct plug plug = {0};
	json_auto_t *json = parse_body(request, &problem);
	char name[IF_NAMESIZE], details[64];
	bool updated;

	if (!json || plug_parse_network(json, &plug, &mistake, &problem) < 0)
		return refuse(response, mistake, "Invalid port information", &problem, err);
	if (network_plug_port(request->agent->network, &plug, name, &updated, &problem) < 0)
		return fail(response, "Error plugging network", &problem, err);
	snprintf(details, sizeof(details), "%s %s", updated ? "Updated existing interface" : "Plugged on interface", name);
	return amphora_answer(response, 202, "OK", details, err);
}

int amphora_get_interface(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	char name[IF_NAMESIZE];
	struct ip address;
	json_t *body;
	int r;

	if (ip_parse(request->parameters[0], &address) < 0)
		return amphora_answer(response, 400, "Invalid IP address", NULL, err);
	r = network_find_interface(request->agent->network, &address, name, &problem);
	if (r < 0 && problem.code == ERROR_NOT_FOUND)
		return amphora_answer(response, 404, "Error interface not found for IP address", NULL, err);
	if (r < 0)
		return fail(response, "Error finding the interface", &problem, err);
	body = json_pack("{s:s, s:s}", "message", "OK", "interface", name);
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "reply");
}
