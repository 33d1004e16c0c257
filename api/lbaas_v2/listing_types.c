/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/listing.h"

/*
 * What the collections can be asked for beyond the fields of the object model: octavia/api/v2/types/ and the names of
 * octavia/common/data_models.py by which Octavia filters.
 */

#define STATUSES                                                                                   \
	{.name = "provisioning_status"}, {.name = "operating_status"}, {.name = "created_at"},     \
	{                                                                                          \
		.name = "updated_at"                                                               \
	}
#define PROJECT                                                                                    \
	{.name = "project_id"},                                                                    \
	{                                                                                          \
		.name = "tenant_id"                                                                \
	}
/* An object that shows to whom it belongs as a list of {"id"}. */
#define LOAD_BALANCERS                                                                             \
	{.name = "loadbalancers", .list = true},                                                   \
		{.name = "loadbalancer_id", .member = "loadbalancers", .list = true},              \
	{                                                                                          \
		.name = "load_balancer_id", .member = "loadbalancers", .list = true                \
	}
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

static const struct listing_field load_balancer_names[] = {
	STATUSES,
	PROJECT,
	{.name = "vip_vnic_type"},
	{.name = "revision"},
	{.name = "trouble"},
	{.name = "owner"},
	END,
};

static const struct listing_field listener_names[] = {
	STATUSES,
	PROJECT,
	LOAD_BALANCERS,
	END,
};

static const struct listing_field pool_names[] = {
	STATUSES,
	PROJECT,
	LOAD_BALANCERS,
	{.name = "listeners", .list = true},
	{.name = "listener_id", .member = "listeners", .list = true},
	{.name = "healthmonitor_id"},
	{.name = "health_monitor_id", .member = "healthmonitor_id"}, /* openstacksdk's word */
	END,
};

static const struct listing_field member_names[] = {
	STATUSES,
	PROJECT,
	{.name = "vnic_type"},
	{.name = "pool_id", .parent = true},
	END,
};

static const struct listing_field health_monitor_names[] = {
	STATUSES,
	PROJECT,
	{.name = "pools", .list = true},
	{.name = "pool_id", .member = "pools", .list = true},
	END,
};

static const struct listing_field l7policy_names[] = {
	STATUSES,
	PROJECT,
	{.name = "listener_id"},
	END,
};

static const struct listing_field l7rule_names[] = {
	STATUSES,
	PROJECT,
	{.name = "l7policy_id", .parent = true},
	{.name = "rule_value", .member = "value"}, /* openstacksdk's word */
	END,
};

static const struct listing_field certificate_names[] = {
	{.name = "name"},
	{.name = "type"},
	{.name = "subject"},
	{.name = "issuer"},
	{.name = "dns_names", .list = true},
	{.name = "key_type"},
	{.name = "serial"},
	{.name = "not_before"},
	{.name = "not_after"},
	{.name = "sha256"},
	{.name = "count"},
	{.name = "used_by", .list = true},
	END,
};

static const struct listing_field amphora_names[] = {
	{.name = "id"},
	{.name = "loadbalancer_id"},
	{.name = "load_balancer_id", .member = "loadbalancer_id"},
	{.name = "compute_id"},
	{.name = "lb_network_ip"},
	{.name = "vrrp_ip"},
	{.name = "ha_ip"},
	{.name = "vrrp_port_id"},
	{.name = "ha_port_id"},
	{.name = "cert_expiration"},
	{.name = "cert_busy"},
	{.name = "role"},
	{.name = "status"},
	{.name = "vrrp_interface"},
	{.name = "vrrp_id"},
	{.name = "vrrp_priority"},
	{.name = "cached_zone"},
	{.name = "created_at"},
	{.name = "updated_at"},
	{.name = "image_id"},
	{.name = "compute_flavor"},
	END,
};

static const struct listing_field provider_names[] = {
	{.name = "name"},
	{.name = "description"},
	END,
};

static const struct listing_field flavor_names[] = {
	{.name = "id"},
	{.name = "name"},
	{.name = "description"},
	{.name = "enabled"},
	{.name = "flavor_profile_id"},
	END,
};

static const struct listing_field flavor_profile_names[] = {
	{.name = "id"},
	{.name = "name"},
	{.name = "provider_name"},
	{.name = "flavor_data"},
	END,
};

static const struct listing_field availability_zone_names[] = {
	{.name = "id", .member = "name"}, /* which the openstack command takes for one */
	{.name = "name"},
	{.name = "description"},
	{.name = "enabled"},
	{.name = "availability_zone_profile_id"},
	END,
};

static const struct listing_field availability_zone_profile_names[] = {
	{.name = "id"},
	{.name = "name"},
	{.name = "provider_name"},
	{.name = "availability_zone_data"},
	END,
};

static const struct listing_field quota_names[] = {
	PROJECT,
	{.name = "loadbalancer"},
	{.name = "load_balancer"},
	{.name = "listener"},
	{.name = "member"},
	{.name = "pool"},
	{.name = "healthmonitor"},
	{.name = "health_monitor"},
	{.name = "l7policy"},
	{.name = "l7rule"},
	END,
};

const struct listing_type listing_types[] = {
	{"loadbalancers", "loadbalancers_links", "id", &load_balancer_type, load_balancer_names},
	{"listeners", "listeners_links", "id", &listener_type, listener_names},
	{"pools", "pools_links", "id", &pool_type, pool_names},
	{"members", "members_links", "id", &member_type, member_names},
	{"healthmonitors", "healthmonitors_links", "id", &health_monitor_type, health_monitor_names},
	{"l7policies", "l7policies_links", "id", &l7policy_type, l7policy_names},
	{"rules", "rules_links", "id", &l7rule_type, l7rule_names},
	{"certificates", "certificates_links", "name", NULL, certificate_names},
	{"amphorae", "amphorae_links", "id", NULL, amphora_names},
	{"providers", NULL, "name", NULL, provider_names},
	{"flavor_capabilities", NULL, "name", NULL, provider_names},
	{"availability_zone_capabilities", NULL, "name", NULL, provider_names},
	{"flavors", "flavors_links", "id", NULL, flavor_names},
	/* Octavia's word for these links is in the singular: octavia/api/v2/types/flavor_profile.py. */
	{"flavorprofiles", "flavorprofile_links", "id", NULL, flavor_profile_names},
	{"availability_zones", "availability_zones_links", "name", NULL, availability_zone_names},
	{"availability_zone_profiles", "availability_zone_profile_links", "id", NULL, availability_zone_profile_names},
	{"quotas", "quotas_links", "project_id", NULL, quota_names},
	{.collection = NULL},
};
