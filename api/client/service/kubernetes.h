/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kubernetes' objects as "kubectl get -o json" prints them, as far as a load balancer needs them:
 * one object, or a list of any kinds. Objects of other kinds are passed over, also those that only
 * share a name, such as the Service of serving.knative.dev.
 *
 * Strings are borrowed from the documents, which live as long as the struct cluster.
 *
 * Source: Kubernetes API reference, Service v1, Node v1, EndpointSlice v1 discovery.k8s.io.
 */

#include "api/client/service/place.h"

enum {
	KUBE_MAX_FILE_BYTES = 64 * 1024 * 1024,
	KUBE_MAX_OBJECTS = 100000,
	KUBE_MAX_PORTS = 1000,       /* of a Service */
	KUBE_MAX_ENDPOINTS = 100000, /* of a slice; the API takes 1000 */
	KUBE_MAX_ADDRESSES = 100,
	KUBE_MAX_NAME = 253, /* RFC 1123 subdomain */
	KUBE_MAX_LABEL = 63,
};

enum family {
	FAMILY_ANY = -1,
	FAMILY_IPV4,
	FAMILY_IPV6,
	_FAMILY_MAX,
};

/* "IPv4", "IPv6", by enum value. */
extern const char *const family_names[];

static inline enum family family_of(const char *address)
{
	return __builtin_strchr(address, ':') ? FAMILY_IPV6 : FAMILY_IPV4;
}

enum transport {
	TRANSPORT_TCP,
	TRANSPORT_UDP,
	TRANSPORT_SCTP,
	_TRANSPORT_MAX,
};

/* "TCP" …, by enum value, NULL-terminated. */
extern const char *const transport_names[];

enum kube_kind {
	KUBE_SERVICE,
	KUBE_NODE,
	KUBE_ENDPOINT_SLICE,
	_KUBE_KIND_MAX,
};

struct kube_object {
	const json_t *json;
	struct place file, list, item;
	const struct place *where; /* one of these */
};

struct kube_objects {
	struct kube_object **list; /* owned, and each of them */
	size_t n;
	bool given; /* a file could have had them: none is not the same as not asked for */
};

struct cluster {
	json_t **documents; /* owned */
	size_t n_documents;
	size_t n_objects;
	struct kube_objects objects[_KUBE_KIND_MAX];
};

#define CLUSTER_INIT ((struct cluster){0})
#define _cleanup_cluster_ _cleanup_(cluster_done)
void cluster_done(struct cluster *cluster);

/* Adds what a file holds. "name" must outlive the cluster. With a kind below _KUBE_KIND_MAX the
 * file is for that kind: one that holds only others is ERROR_INVALID. */
int cluster_add(struct cluster *cluster, const char *name, const char *text, size_t length,
	enum kube_kind wanted, struct error *err);

struct kube_metadata {
	const char *name;
	const char *namespace; /* "" of Nodes */
	const char *created;   /* RFC 3339, "" if absent */
	bool deleting;
	const json_t *labels, *annotations; /* objects, or NULL */
};

int kube_read_metadata(
	const struct kube_object *object, struct kube_metadata *ret, struct error *err);

/* A string label, or NULL. */
const char *kube_label(const struct kube_metadata *metadata, const char *name);

struct kube_port {
	const char *name;         /* "" if absent */
	const char *app_protocol; /* "" if absent */
	enum transport transport;
	int64_t port;
	int64_t node_port; /* 0: none */
};

struct kube_service {
	const struct kube_object *object;
	struct kube_metadata metadata;
	const char *type;                                   /* "LoadBalancer" … */
	const char *load_balancer_class, *load_balancer_ip; /* "" if absent */
	const json_t *source_ranges;                        /* array, or NULL */
	struct kube_port *ports;                            /* owned */
	size_t n_ports;
	bool local;              /* externalTrafficPolicy */
	bool without_node_ports; /* allocateLoadBalancerNodePorts is false */
	bool affinity;           /* ClientIP */
	int64_t affinity_timeout_s;
	int64_t health_check_node_port; /* 0: none */
	enum family families[_FAMILY_MAX];
	size_t n_families; /* 0: not said */
};

/* The "ports" of a Service's spec or of a slice; only those of a slice may be without a number, and
 * those of one Service differ. */
int kube_read_ports(const json_t *object, const struct place *where, bool numbered,
	struct kube_port **ret, size_t *ret_n, struct error *err);

#define KUBE_SERVICE_INIT ((struct kube_service){0})
int kube_read_service(
	const struct kube_object *object, struct kube_service *ret, struct error *err);
void kube_service_done(struct kube_service *service);

struct kube_node {
	const struct kube_object *object;
	struct kube_metadata metadata;
	bool ready;
	bool tainted;               /* the cluster autoscaler is about to delete it */
	char *address[_FAMILY_MAX]; /* canonical, owned; NULL: none of that family */
	enum family first;          /* of its first address; FAMILY_ANY: it has none */
};

#define KUBE_NODE_INIT ((struct kube_node){.first = FAMILY_ANY})
int kube_read_node(const struct kube_object *object, struct kube_node *ret, struct error *err);
void kube_node_done(struct kube_node *node);

struct kube_endpoint {
	const char *node; /* "" if absent */
	const char *pod;  /* "" if it is none */
	char *address;    /* canonical, owned */
	bool ready;
};

struct kube_slice {
	const struct kube_object *object;
	struct kube_metadata metadata;
	enum family family;              /* FAMILY_ANY: of names (FQDN), without endpoints here */
	struct kube_endpoint *endpoints; /* owned */
	size_t n_endpoints;
	struct kube_port *ports; /* owned; "port" alone, 0: all */
	size_t n_ports;
};

#define KUBE_SLICE_INIT ((struct kube_slice){0})
int kube_read_slice(const struct kube_object *object, struct kube_slice *ret, struct error *err);
void kube_slice_done(struct kube_slice *slice);
