/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/limits.h"
#include "api/amphora_v1/handlers.h"
#include "api/common.h"
#include "api/lbaas_v2/handlers.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/router.h"

/* Every route of the agent: the two doors, and what belongs to both. */

#define CERTIFICATE "/1.0/loadbalancer/{loadbalancer_id}/certificates/{filename}"
#define STORED "/v2/lbaas/certificates/{name}"
#define LB "/v2/lbaas/loadbalancers/{loadbalancer_id}"
#define POOL "/v2/lbaas/pools/{pool_id}"
#define POLICY "/v2/lbaas/l7policies/{l7policy_id}"
#define QUOTA "/v2/lbaas/quotas/{project_id}"
#define AMPHORA "/v2/octavia/amphorae/{amphora_id}"

/* The routes of one kind of object (lbaas_v2/resources.h). */
#define OBJECTS(all, one, singular, plural)                                                                            \
	{"GET", all, lbaas_list_objects, BODY_NONE, 0, ERROR_STYLE_LBAAS, "all " plural},                              \
		{"POST", all, lbaas_create_object, BODY_JSON, LIMIT_BODY_BYTES, ERROR_STYLE_LBAAS, "creates a " singular}, \
		{"GET", one, lbaas_get_object, BODY_NONE, 0, ERROR_STYLE_LBAAS, "one " singular},                      \
		{"PUT", one, lbaas_update_object, BODY_JSON, LIMIT_BODY_BYTES, ERROR_STYLE_LBAAS, "changes a " singular}, \
	{                                                                                                              \
		"DELETE", one, lbaas_delete_object, BODY_NONE, 0, ERROR_STYLE_LBAAS, "deletes a " singular             \
	}

/* A collection that clients look into and cannot change. */
#define READ_ONLY(all, list, one, get, what)                                                       \
	{"GET", all, list, BODY_NONE, 0, ERROR_STYLE_LBAAS, "the " what ": none"},                 \
		{"POST", all, lbaas_refuse_change, BODY_JSON, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_LBAAS, "refused"}, \
		{"GET", one, get, BODY_NONE, 0, ERROR_STYLE_LBAAS, "one of the " what},            \
		{"PUT", one, lbaas_refuse_change, BODY_JSON, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_LBAAS, "refused"},  \
	{                                                                                          \
		"DELETE", one, lbaas_refuse_change, BODY_NONE, 0, ERROR_STYLE_LBAAS, "refused"     \
	}

const struct route routes[] = {
	{"GET", "/", common_get_versions, BODY_NONE, 0, ERROR_STYLE_AMPHORA, "versions of the APIs"},
	{"GET", "/v2", common_get_version, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the newest version of the load-balancing API"},
	{"GET", "/healthz", common_get_healthz, BODY_NONE, 0, ERROR_STYLE_AMPHORA, "whether the agent answers"},
	{"GET", "/metrics", metrics_get, BODY_NONE, 0, ERROR_STYLE_AMPHORA,
		"the agent and its load balancers, for Prometheus"},
	{"GET", "/openapi.yaml", openapi_get, BODY_NONE, 0, ERROR_STYLE_AMPHORA, "this API, as OpenAPI 3.1"},

	{"GET", "/v2/lbaas/loadbalancers", lbaas_list_load_balancers, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"all load balancers"},
	{"POST", "/v2/lbaas/loadbalancers", lbaas_create_object, BODY_JSON, LIMIT_BODY_BYTES, ERROR_STYLE_LBAAS,
		"creates a load balancer, with all that is in it if it is given"},
	{"GET", LB, lbaas_get_load_balancer, BODY_NONE, 0, ERROR_STYLE_LBAAS, "one load balancer"},
	{"PUT", LB, lbaas_update_object, BODY_JSON, LIMIT_BODY_BYTES, ERROR_STYLE_LBAAS, "changes a load balancer"},
	{"DELETE", LB, lbaas_delete_load_balancer, BODY_NONE, 0, ERROR_STYLE_LBAAS, "deletes a load balancer"},
	{"PUT", LB "/failover", lbaas_failover, BODY_ANY, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_LBAAS, "is not offered"},
	{"GET", LB "/status", lbaas_get_status, BODY_NONE, 0, ERROR_STYLE_LBAAS, "its tree of operating statuses"},
	{"GET", LB "/statuses", lbaas_get_status, BODY_NONE, 0, ERROR_STYLE_LBAAS, "the same by its older name"},
	{"GET", LB "/stats", lbaas_get_stats, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"its statistics since it was created"},
	{"GET", LB "/activity", lbaas_get_activity, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"its sessions and weights of this moment, down to the members"},
	{"GET", LB "/haproxy.cfg", lbaas_get_haproxy_cfg, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the configuration that HAProxy runs"},
	{"PUT", LB "/definition", lbaas_put_definition, BODY_JSON, LIMIT_BODY_BYTES, ERROR_STYLE_LBAAS,
		"creates or replaces the whole load balancer"},
	{"GET", LB "/definition", lbaas_get_definition, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the whole load balancer as one document"},
	{"DELETE", LB "/definition", lbaas_delete_definition, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"deletes the whole load balancer"},
	{"GET", LB "/revisions", lbaas_list_revisions, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the revisions of its definition that are kept"},
	{"GET", LB "/revisions/{revision}", lbaas_get_revision, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the definition as it was"},
	{"POST", LB "/rollback", lbaas_post_rollback, BODY_JSON, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_LBAAS,
		"back to a revision"},

	OBJECTS("/v2/lbaas/listeners", "/v2/lbaas/listeners/{listener_id}", "listener", "listeners"),
	{"GET", "/v2/lbaas/listeners/{listener_id}/stats", lbaas_get_listener_stats, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"its statistics since it was created"},
	OBJECTS("/v2/lbaas/pools", POOL, "pool", "pools"),
	OBJECTS(POOL "/members", POOL "/members/{member_id}", "member", "members of a pool"),
	{"PUT", POOL "/members", lbaas_put_members, BODY_JSON, LIMIT_BODY_BYTES, ERROR_STYLE_LBAAS,
		"replaces the members of a pool"},
	OBJECTS("/v2/lbaas/healthmonitors", "/v2/lbaas/healthmonitors/{healthmonitor_id}", "health monitor",
		"health monitors"),
	OBJECTS("/v2/lbaas/l7policies", POLICY, "L7 policy", "L7 policies"),
	OBJECTS(POLICY "/rules", POLICY "/rules/{rule_id}", "rule", "rules of an L7 policy"),

	{"GET", "/v2/lbaas/certificates", lbaas_list_certificates, BODY_NONE, 0, ERROR_STYLE_LBAAS, "all certificates"},
	{"PUT", STORED, lbaas_put_certificate, BODY_PEM, CERTIFICATE_BODY_LIMIT, ERROR_STYLE_LBAAS,
		"stores or replaces a certificate"},
	{"GET", STORED, lbaas_get_certificate, BODY_NONE, 0, ERROR_STYLE_LBAAS, "what a certificate says"},
	{"DELETE", STORED, lbaas_delete_certificate, BODY_NONE, 0, ERROR_STYLE_LBAAS, "removes a certificate"},

	{"GET", "/v2/lbaas/providers", lbaas_list_providers, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the names under which definitions mean this agent"},
	{"GET", "/v2/lbaas/providers/{provider}/flavor_capabilities", lbaas_list_flavor_capabilities, BODY_NONE, 0,
		ERROR_STYLE_LBAAS, "what its flavors can say: nothing"},
	{"GET", "/v2/lbaas/providers/{provider}/availability_zone_capabilities", lbaas_list_zone_capabilities, BODY_NONE,
		0, ERROR_STYLE_LBAAS, "what its availability zones can say: nothing"},
	READ_ONLY("/v2/lbaas/flavors", lbaas_list_flavors, "/v2/lbaas/flavors/{flavor_id}", lbaas_get_flavor,
		"flavors"),
	READ_ONLY("/v2/lbaas/flavorprofiles", lbaas_list_flavor_profiles,
		"/v2/lbaas/flavorprofiles/{flavor_profile_id}", lbaas_get_flavor_profile, "flavor profiles"),
	READ_ONLY("/v2/lbaas/availabilityzones", lbaas_list_zones, "/v2/lbaas/availabilityzones/{name}", lbaas_get_zone,
		"availability zones"),
	READ_ONLY("/v2/lbaas/availabilityzoneprofiles", lbaas_list_zone_profiles,
		"/v2/lbaas/availabilityzoneprofiles/{availability_zone_profile_id}", lbaas_get_zone_profile,
		"availability zone profiles"),
	{"GET", "/v2/lbaas/quotas", lbaas_list_quotas, BODY_NONE, 0, ERROR_STYLE_LBAAS, "projects with quotas: none"},
	{"GET", QUOTA, lbaas_get_quota, BODY_NONE, 0, ERROR_STYLE_LBAAS, "the quotas of a project: unlimited"},
	{"GET", QUOTA "/default", lbaas_get_quota, BODY_NONE, 0, ERROR_STYLE_LBAAS, "the default quotas of a project"},
	{"PUT", QUOTA, lbaas_refuse_change, BODY_JSON, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_LBAAS, "refused"},
	{"DELETE", QUOTA, lbaas_refuse_change, BODY_NONE, 0, ERROR_STYLE_LBAAS, "refused"},

	{"GET", "/v2/octavia/amphorae", lbaas_list_amphorae, BODY_NONE, 0, ERROR_STYLE_LBAAS, "this amphora"},
	{"GET", AMPHORA, lbaas_get_amphora, BODY_NONE, 0, ERROR_STYLE_LBAAS, "this amphora"},
	{"GET", AMPHORA "/stats", lbaas_get_amphora_stats, BODY_NONE, 0, ERROR_STYLE_LBAAS,
		"the statistics of all its listeners"},
	{"DELETE", AMPHORA, lbaas_refuse_amphora_change, BODY_NONE, 0, ERROR_STYLE_LBAAS, "refused"},
	{"PUT", AMPHORA "/config", lbaas_refuse_amphora_change, BODY_JSON, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_LBAAS,
		"refused"},
	{"PUT", AMPHORA "/failover", lbaas_refuse_amphora_change, BODY_JSON, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_LBAAS,
		"refused"},

	{"GET", "/1.0/info", amphora_get_info, BODY_NONE, 0, ERROR_STYLE_AMPHORA, "versions of this amphora"},
	{"GET", "/1.0/details", amphora_get_details, BODY_NONE, 0, ERROR_STYLE_AMPHORA,
		"versions, resources and listeners of this amphora"},
	{"GET", "/1.0/listeners", amphora_get_listeners, BODY_NONE, 0, ERROR_STYLE_AMPHORA, "all listeners"},
	{"PUT", "/1.0/loadbalancer/{amphora_id}/{loadbalancer_id}/haproxy", amphora_put_haproxy, BODY_ANY,
		LIMIT_BODY_BYTES, ERROR_STYLE_AMPHORA, "uploads a haproxy.cfg"},
	{"GET", "/1.0/loadbalancer/{loadbalancer_id}/haproxy", amphora_get_haproxy, BODY_NONE, 0,
		ERROR_STYLE_AMPHORA, "the uploaded haproxy.cfg"},
	{"PUT", "/1.0/loadbalancer/{loadbalancer_id}/{action}", amphora_put_action, BODY_ANY, LIMIT_SMALL_BODY_BYTES,
		ERROR_STYLE_AMPHORA, "start, stop or reload HAProxy"},
	{"DELETE", "/1.0/listeners/{loadbalancer_id}", amphora_delete_listener, BODY_ANY, LIMIT_SMALL_BODY_BYTES,
		ERROR_STYLE_AMPHORA, "deletes an uploaded load balancer"},
	{"PUT", "/1.0/listeners/{amphora_id}/{listener_id}/udp_listener", amphora_put_lvs, BODY_ANY, LIMIT_BODY_BYTES,
		ERROR_STYLE_AMPHORA, "uploads the keepalived configuration of a UDP or SCTP listener"},
	{"GET", "/1.0/listeners/{listener_id}/udp_listener", amphora_get_lvs, BODY_NONE, 0, ERROR_STYLE_AMPHORA,
		"the uploaded keepalived configuration of a UDP or SCTP listener"},
	{"PUT", "/1.0/vrrp/upload", amphora_put_vrrp, BODY_ANY, LIMIT_CONFIG_BYTES, ERROR_STYLE_AMPHORA,
		"uploads the keepalived configuration of VRRP"},
	{"PUT", "/1.0/vrrp/{action}", amphora_put_vrrp_action, BODY_ANY, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_AMPHORA,
		"start, stop or reload keepalived for VRRP"},
	{"PUT", CERTIFICATE, amphora_put_certificate, BODY_ANY, LIMIT_BODY_BYTES, ERROR_STYLE_AMPHORA,
		"stores a certificate"},
	{"GET", CERTIFICATE, amphora_get_certificate, BODY_NONE, 0, ERROR_STYLE_AMPHORA,
		"the MD5 sum of a stored certificate"},
	{"DELETE", CERTIFICATE, amphora_delete_certificate, BODY_ANY, LIMIT_SMALL_BODY_BYTES, ERROR_STYLE_AMPHORA,
		"deletes a stored certificate"},
	{"POST", "/1.0/plug/vip/{vip}", amphora_post_vip, BODY_ANY, LIMIT_CONFIG_BYTES, ERROR_STYLE_AMPHORA,
		"takes the VIP's port into the network namespace"},
	{"POST", "/1.0/plug/network", amphora_post_network, BODY_ANY, LIMIT_CONFIG_BYTES, ERROR_STYLE_AMPHORA,
		"takes another port into the network namespace, or changes one that is there"},
	{"GET", "/1.0/interface/{ip}", amphora_get_interface, BODY_NONE, 0, ERROR_STYLE_AMPHORA,
		"the name of the interface that has an address"},
	{"PUT", "/1.0/interface/{ip}/rules", amphora_put_rules, BODY_ANY, LIMIT_BODY_BYTES, ERROR_STYLE_AMPHORA,
		"replaces the firewall rules of an interface"},
	{"PUT", "/1.0/config", amphora_put_config, BODY_SECRET, LIMIT_CONFIG_BYTES, ERROR_STYLE_AMPHORA,
		"replaces amphora-agent.conf"},
	{"PUT", "/1.0/certificate", amphora_put_server_certificate, BODY_SECRET, LIMIT_CONFIG_BYTES,
		ERROR_STYLE_AMPHORA, "replaces this agent's certificate"},
	{.method = NULL},
};
