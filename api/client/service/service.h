/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Kubernetes Service of type LoadBalancer, with the annotations of OCCM
 * (cloud-provider-openstack), as a definition for amphorad: what OCCM would ask of Octavia, in one
 * document.
 *
 * Names are OCCM's. Ids are derived from what OCCM tells objects apart by (a listener is its
 * protocol and port, a member its node), so that the same Service always gives the same objects, in
 * whatever order ports and nodes are listed. What is converted passes the agent's own check.
 */

#include "api/client/service/kubernetes.h"
#include "api/client/service/notes.h"

enum {
	SERVICE_MAX_MEMBERS = 100000, /* of all pools together */
	SERVICE_MAX_SHARED = 50,      /* as many tags as a load balancer may have */
	SERVICE_MAX_CLUSTER_NAME = 100,
};

struct service_options {
	const char *service;     /* NAME or NAMESPACE/NAME; NULL: the only one */
	const char *cluster;     /* --cluster-name of OCCM; NULL: "kubernetes" */
	const char *vip_address; /* one, or several separated by commas; NULL: the Service's own */
	bool create_monitor;     /* create-monitor of OCCM's configuration */
};

/* {"loadbalancer": {…}}, a new reference. ERROR_INVALID, ERROR_CONFLICT, ERROR_TOO_LARGE,
 * ERROR_NOT_FOUND. */
int service_convert(const struct cluster *cluster, const struct service_options *options,
	struct notes *notes, json_t **ret, struct error *err);
