/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/annotations.h"

#include <string.h>

#include "agent/definition/grammar.h"
#include "agent/definition/limits.h"

/* "false" and what is misspelt is off. */
static const char *const proxy_protocol_words[] = {"true", "v1", "v2", NULL};
const char *const proxy_protocol_pools[] = {"PROXY", "PROXY", "PROXYV2"};

static const char *const lb_methods[] = {
	"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT", NULL};

static const char *check_length(const char *value)
{
	return strlen(value) <= LIMIT_NAME ? NULL : "must be at most 255 bytes long";
}

static const char *check_certificate(const char *value)
{
	const char *wanted = check_length(value);

	return wanted ? wanted : grammar_certificate_reference(value);
}

/* Ranges are those of the definition (agent/definition/fields.c), defaults those of OCCM. */
#define TIMEOUT(words, field, explained)                                                  \
	{                                                                                 \
		OCCM_PREFIX "timeout-" words, ANNOTATION_INTEGER, ANNOTATION_TCP_ONLY,    \
			"listener timeout_" field, explained, .maximum = LIMIT_TIMEOUT_MS \
	}
#define MONITOR(words, field, most, default_value, explained)                            \
	{                                                                                \
		.name = OCCM_PREFIX "health-monitor-" words, .kind = ANNOTATION_INTEGER, \
		.flags = ANNOTATION_EXPLAINED_LATER, .target = "healthmonitor " field,   \
		.explanation = explained, .minimum = 1, .maximum = (most),               \
		.standard = (default_value)                                              \
	}
#define KEPT_UUID(words, object_field, more_flags, explained)                   \
	{                                                                       \
		OCCM_PREFIX words, ANNOTATION_UUID, (more_flags), object_field, \
			.explanation = explained                                \
	}
#define NO_FLOATING_IP(words)                                                                    \
	{                                                                                        \
		OCCM_PREFIX words, ANNOTATION_REFUSED, ANNOTATION_OF_OWNER,                      \
			.explanation =                                                           \
				"no floating IP is made or kept: amphorad asks no Neutron, and " \
				"clients reach the load balancer at its VIP address"             \
	}

const struct annotation_row annotation_rows[_ANNOTATION_MAX] = {
	[ANNOTATION_PROXY_PROTOCOL] = {OCCM_PREFIX "proxy-protocol", ANNOTATION_WORD,
		ANNOTATION_TCP_ONLY | ANNOTATION_EXPLAINED_LATER, "pool protocol",
		"each member gets the client's address in a PROXY header (\"true\" and \"v1\" mean "
		"version 1); the listener stays TCP",
		.words = proxy_protocol_words},
	[ANNOTATION_X_FORWARDED_FOR] = {OCCM_PREFIX "x-forwarded-for", ANNOTATION_BOOL,
		ANNOTATION_TCP_ONLY | ANNOTATION_EXPLAINED_LATER, "listener insert_headers",
		.explanation =
			"the client's address goes to the members as a header, which takes a "
			"listener and a pool that speak HTTP"},
	[ANNOTATION_TLS_CONTAINER] = {OCCM_PREFIX "default-tls-container-ref", ANNOTATION_TEXT,
		ANNOTATION_TCP_ONLY | ANNOTATION_EXPLAINED_LATER,
		"listener default_tls_container_ref",
		"TLS ends at the listener, with the certificate that amphorad stores under the "
		"last segment of the reference",
		.check = check_certificate},
	[ANNOTATION_CONNECTION_LIMIT] = {OCCM_PREFIX "connection-limit", ANNOTATION_INTEGER,
		.target = "listener connection_limit",
		.explanation = "it is how many connections the listener serves at once (-1: as "
			       "many as amphorad's configuration says)",
		.minimum = -1, .maximum = 1000000, .standard = -1},
	[ANNOTATION_LB_METHOD] = {OCCM_PREFIX "lb-method", ANNOTATION_WORD,
		ANNOTATION_EXPLAINED_LATER, .target = "pool lb_algorithm",
		.explanation = "it says how connections are spread over the members",
		.words = lb_methods},
	[ANNOTATION_TIMEOUT_CLIENT_DATA] = TIMEOUT(
		"client-data", "client_data", "a client may be silent for that many milliseconds"),
	[ANNOTATION_TIMEOUT_MEMBER_CONNECT] = TIMEOUT("member-connect", "member_connect",
		"connecting to a member may take that many milliseconds"),
	[ANNOTATION_TIMEOUT_MEMBER_DATA] = TIMEOUT(
		"member-data", "member_data", "a member may be silent for that many milliseconds"),
	[ANNOTATION_TIMEOUT_TCP_INSPECT] = TIMEOUT("tcp-inspect", "tcp_inspect",
		"the first bytes of a connection are waited for that many milliseconds"),
	[ANNOTATION_ENABLE_MONITOR] = {OCCM_PREFIX "enable-health-monitor", ANNOTATION_BOOL,
		ANNOTATION_EXPLAINED_LATER, .target = "pool healthmonitor",
		.explanation = "it says whether members are checked"},
	[ANNOTATION_MONITOR_DELAY] =
		MONITOR("delay", "delay", 86400, 5, "it is the time between checks, in seconds"),
	[ANNOTATION_MONITOR_TIMEOUT] = MONITOR(
		"timeout", "timeout", 86400, 3, "a check that takes longer has failed, in seconds"),
	[ANNOTATION_MONITOR_MAX_RETRIES] = MONITOR("max-retries", "max_retries", 10, 1,
		"it is how many good checks in a row bring a member back"),
	[ANNOTATION_MONITOR_MAX_RETRIES_DOWN] = MONITOR("max-retries-down", "max_retries_down", 10,
		3, "it is how many failed checks in a row take a member out"),
	[ANNOTATION_SOURCE_RANGES] = {"service.beta.kubernetes.io/load-balancer-source-ranges",
		ANNOTATION_TEXT, ANNOTATION_EXPLAINED_LATER, .target = "listener allowed_cidrs",
		.explanation = "only clients of these networks may connect; it counts where "
			       "spec.loadBalancerSourceRanges is empty"},
	[ANNOTATION_NODE_SELECTOR] = {OCCM_PREFIX "node-selector", ANNOTATION_TEXT,
		ANNOTATION_EXPLAINED_LATER, .target = "pool members",
		.explanation = "only nodes with all of these labels are members"},
	[ANNOTATION_LOAD_BALANCER_ID] = KEPT_UUID("load-balancer-id", "loadbalancer id", 0,
		"OCCM keeps the id of the load balancer there; Services with the same id share it, "
		"and all of them must be in the input"),
	[ANNOTATION_NETWORK_ID] = KEPT_UUID("network-id", "loadbalancer vip_network_id",
		ANNOTATION_OF_OWNER | ANNOTATION_EXPLAINED_LATER,
		"it is kept and shown; amphorad plugs no ports"),
	[ANNOTATION_SUBNET_ID] = KEPT_UUID("subnet-id", "loadbalancer vip_subnet_id",
		ANNOTATION_OF_OWNER | ANNOTATION_EXPLAINED_LATER,
		"it is kept and shown, also as the members' unless member-subnet-id is given"),
	[ANNOTATION_MEMBER_SUBNET_ID] = KEPT_UUID("member-subnet-id", "member subnet_id", 0,
		"it is kept and shown; amphorad plugs no ports"),
	[ANNOTATION_PORT_ID] = KEPT_UUID("port-id", "loadbalancer vip_port_id", ANNOTATION_OF_OWNER,
		"it is kept and shown; as with OCCM it takes the place of network-id and "
		"subnet-id"),
	[ANNOTATION_FLAVOR_ID] = KEPT_UUID("flavor-id", "loadbalancer flavor_id",
		ANNOTATION_OF_OWNER | ANNOTATION_KEPT,
		"it is kept and shown, without effect: this machine exists already"),
	[ANNOTATION_AVAILABILITY_ZONE] = {OCCM_PREFIX "availability-zone", ANNOTATION_TEXT,
		ANNOTATION_OF_OWNER | ANNOTATION_KEPT, "loadbalancer availability_zone",
		"it is kept and shown, without effect: this machine exists already",
		.check = check_length},
	[ANNOTATION_INTERNAL] = {"service.beta.kubernetes.io/openstack-internal-load-balancer",
		ANNOTATION_BOOL,
		.explanation = "a load balancer of amphorad has its VIP address and no floating "
			       "IP, whatever this says"},
	[ANNOTATION_KEEP_FLOATINGIP] = NO_FLOATING_IP("keep-floatingip"),
	[ANNOTATION_FLOATING_NETWORK_ID] = NO_FLOATING_IP("floating-network-id"),
	[ANNOTATION_FLOATING_SUBNET] = NO_FLOATING_IP("floating-subnet"),
	[ANNOTATION_FLOATING_SUBNET_ID] = NO_FLOATING_IP("floating-subnet-id"),
	[ANNOTATION_FLOATING_SUBNET_TAGS] = NO_FLOATING_IP("floating-subnet-tags"),
	[ANNOTATION_CLASS] = {OCCM_PREFIX "class", ANNOTATION_REFUSED, ANNOTATION_OF_OWNER,
		.explanation = "classes stand in the cloud provider's configuration, which is not "
			       "read; give network-id, subnet-id or member-subnet-id themselves"},
	[ANNOTATION_HOSTNAME] = {OCCM_PREFIX "hostname", ANNOTATION_REFUSED,
		.explanation = "it belongs into the Service's status, and the cluster is not "
			       "written to: kubectl patch --subresource=status does that"},
	[ANNOTATION_LOAD_BALANCER_ADDRESS] = {OCCM_PREFIX "load-balancer-address",
		ANNOTATION_OUTPUT,
		.explanation = "OCCM writes there which address it got; the VIP address comes "
			       "from spec.loadBalancerIP or --vip-address"},
};
