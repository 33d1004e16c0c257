/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which nodes, or pods, are the members of a Service's pools.
 *
 * Source: the service controller that OCCM runs (k8s.io/cloud-provider,
 * controllers/service/controller.go, stableNodeSetPredicates) and OCCM's filterNodes() and
 * nodeAddressForLB().
 */

#include "api/client/service/kubernetes.h"
#include "api/client/service/notes.h"

/* What the input holds, read. */
struct targets {
	struct kube_node
		*nodes; /* owned; those that the service controller would hand on, by name */
	size_t n_nodes;
	bool nodes_given;
	struct kube_slice *slices; /* owned */
	size_t n_slices;
	bool slices_given;
};

#define TARGETS_INIT ((struct targets){0})
#define _cleanup_targets_ _cleanup_(targets_done)
int targets_read(
	const struct cluster *cluster, struct targets *ret, struct notes *notes, struct error *err);
void targets_done(struct targets *targets);

/* What a Service asks of its members. */
struct selection {
	const struct targets *targets;
	const struct kube_service *service;
	const char *node_selector;      /* "" for all; borrowed */
	const char *subnet_id;          /* NULL: none; borrowed */
	enum family family;             /* of members' addresses */
	bool monitored;                 /* a node that is not ready is the monitor's matter */
	bool both_families;             /* of IPVS's members: the VIPs are of both */
	const struct kube_node **nodes; /* owned */
	size_t n_nodes;
};

#define SELECTION_INIT ((struct selection){0})
#define _cleanup_selection_ _cleanup_(selection_done)
/* Fills in the nodes; the rest is the caller's. */
int selection_choose(struct selection *selection, struct notes *notes);
void selection_done(struct selection *selection);

/* The members of the pool of a port, a new reference to an array. "monitor_port": 0 for none. */
int selection_members(const struct selection *selection, const struct kube_port *port,
	int64_t monitor_port, json_t **ret, struct error *err);
