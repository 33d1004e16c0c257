/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/limits.h"
#include "api/common.h"
#include "api/lbaas_v2/handlers.h"
#include "api/router.h"

/* Every route of the agent. Handlers of the Amphora API 1.0 will be rows of their own below "/1.0". */

#define LB "/v2/lbaas/loadbalancers/{loadbalancer_id}"

const struct route routes[] = {
	{"GET", "/", common_get_versions, BODY_NONE, 0, ERROR_STYLE_LBAAS, "versions of the APIs"},
	{"GET", "/healthz", common_get_healthz, BODY_NONE, 0, ERROR_STYLE_LBAAS, "whether the agent answers"},

	{"GET", "/v2/lbaas/loadbalancers", lbaas_list_load_balancers, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"all load balancers"},
	{"GET", LB, lbaas_get_load_balancer, BODY_NONE, 0, ERROR_STYLE_LBAAS, "one load balancer"},
	{"GET", LB "/status", lbaas_get_status, BODY_NONE, 0, ERROR_STYLE_LBAAS, "its tree of operating statuses"},
	{"GET", LB "/stats", lbaas_get_stats, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"its statistics since it was created"},
	{"GET", LB "/haproxy.cfg", lbaas_get_haproxy_cfg, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the configuration that HAProxy runs"},
	{"PUT", LB "/definition", lbaas_put_definition, BODY_JSON, LIMIT_BODY_BYTES, ERROR_STYLE_LBAAS,
		"creates or replaces the whole load balancer"},
	{"GET", LB "/definition", lbaas_get_definition, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the whole load balancer as one document"},
	{"DELETE", LB "/definition", lbaas_delete_definition, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"deletes the whole load balancer"},
	{.method = NULL},
};
