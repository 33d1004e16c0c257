/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/handlers.h"

#include "agent/base/log.h"
#include "agent/network/firewall.h"
#include "api/amphora_v1/answer.h"

/* Firewall rules of an interface. Source of statuses and bodies: set_interface_rules() in
 * octavia/amphorae/backends/agent/api_server/server.py, get_interface() in amphora_info.py. */

static int parse_rules(const struct request *request, struct firewall_rules *ret, struct error *problem)
{
	json_error_t reason;
	json_auto_t *document = json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES, &reason);

	if (!document)
		return error_set(problem, ERROR_INVALID, NULL, "no JSON: line %d: %s", reason.line, reason.text);
	return firewall_rules_parse(document, ret, problem);
}

/* 0 and *ret_answered when there is no such interface and the reply says so. */
static int find_interface(const struct request *request, struct response *response, char ret_name[static IF_NAMESIZE],
	bool *ret_answered, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	struct ip address;
	int r;

	*ret_answered = true;
	if (ip_parse(request->parameters[0], &address) < 0)
		return amphora_answer(response, 400, "Invalid IP address", NULL, err);
	r = network_find_interface(request->agent->network, &address, ret_name, &problem);
	if (r < 0 && problem.code == ERROR_NOT_FOUND)
		return amphora_answer(response, 404, "Error interface not found for IP address", NULL, err);
	if (r < 0)
		return amphora_answer(response, 500, "Error finding the interface", error_message(&problem), err);
	*ret_answered = false;
	return 0;
}

int amphora_put_rules(const struct request *request, struct response *response, struct error *err)
{
	const struct firewall_settings settings = {
		request->agent->instance_settings.network_namespace, request->agent->config->base_path};
	_cleanup_firewall_rules_ struct firewall_rules rules = FIREWALL_RULES_INIT;
	_cleanup_error_ struct error problem = ERROR_INIT;
	char interface[IF_NAMESIZE];
	bool answered;
	int r;

	r = find_interface(request, response, interface, &answered, err);
	if (r < 0 || answered)
		return r;
	r = parse_rules(request, &rules, &problem);
	if (r < 0 && (problem.code == ERROR_INVALID || problem.code == ERROR_TOO_LARGE))
		return amphora_bad_request(response, "Invalid rules information", &problem, err);
	if (r == 0)
		r = firewall_set(&settings, interface, &rules, &problem);
	if (r < 0) {
		log_error("%s: the firewall is left as it was: %s", interface, error_message(&problem));
		return amphora_answer(response, problem.code == ERROR_UNSUPPORTED ? 501 : 500, "Error setting the rules",
			error_message(&problem), err);
	}
	log_notice("%s: %zu firewall rules are in force", interface, rules.n);
	return amphora_answer(response, 200, "OK", NULL, err);
}
