/* SPDX-License-Identifier: Apache-2.0 */
#include "api/common.h"

#include "agent/agent.h"

/* One document for both kinds of client: Octavia's amphora driver reads "api_version", clients of the load-balancing API follow
 * the links of "versions". */
int common_get_versions(const struct request *request, struct response *response, struct error *err)
{
	json_t *body = json_pack("{s:s, s:[{s:s, s:s, s:[{s:s, s:s}]}]}", "api_version", "1.0", "versions", "id", "v2.0", "status", "CURRENT",
		"links", "href", "/v2", "rel", "self");

	(void)request;
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "versions");
}

/* 200 while requests are answered; it says nothing of the load balancers, whose states have routes of their own. */
int common_get_healthz(const struct request *request, struct response *response, struct error *err)
{
	json_t *body = json_pack("{s:s}", "status", "ok");

	(void)request;
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "healthz");
}
