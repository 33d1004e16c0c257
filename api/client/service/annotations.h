/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The annotations of OCCM, the cloud provider for OpenStack, as a table: one row each, with what
 * becomes of it here and why. amphoractl-service(1) describes the same rows, and a test compares
 * them.
 *
 * A value is read as OCCM reads it: what is no integer or no boolean counts as absent (with a
 * warning); what Octavia would refuse is an error.
 *
 * Source: OCCM, pkg/openstack/loadbalancer.go, and its documentation
 * expose-applications-using-loadbalancer-type-service.md.
 */

#include "api/client/service/kubernetes.h"
#include "api/client/service/notes.h"

#define OCCM_PREFIX "loadbalancer.openstack.org/"

/* Timeouts stand together, and so do the numbers of a monitor: features.c walks over them. */
enum annotation {
	ANNOTATION_PROXY_PROTOCOL,
	ANNOTATION_X_FORWARDED_FOR,
	ANNOTATION_TLS_CONTAINER,
	ANNOTATION_CONNECTION_LIMIT,
	ANNOTATION_LB_METHOD,
	ANNOTATION_TIMEOUT_CLIENT_DATA,
	ANNOTATION_TIMEOUT_MEMBER_CONNECT,
	ANNOTATION_TIMEOUT_MEMBER_DATA,
	ANNOTATION_TIMEOUT_TCP_INSPECT,
	ANNOTATION_ENABLE_MONITOR,
	ANNOTATION_MONITOR_DELAY,
	ANNOTATION_MONITOR_TIMEOUT,
	ANNOTATION_MONITOR_MAX_RETRIES,
	ANNOTATION_MONITOR_MAX_RETRIES_DOWN,
	ANNOTATION_SOURCE_RANGES,
	ANNOTATION_NODE_SELECTOR,
	ANNOTATION_LOAD_BALANCER_ID,
	ANNOTATION_NETWORK_ID,
	ANNOTATION_SUBNET_ID,
	ANNOTATION_MEMBER_SUBNET_ID,
	ANNOTATION_PORT_ID,
	ANNOTATION_FLAVOR_ID,
	ANNOTATION_AVAILABILITY_ZONE,
	ANNOTATION_INTERNAL,
	ANNOTATION_KEEP_FLOATINGIP,
	ANNOTATION_FLOATING_NETWORK_ID,
	ANNOTATION_FLOATING_SUBNET,
	ANNOTATION_FLOATING_SUBNET_ID,
	ANNOTATION_FLOATING_SUBNET_TAGS,
	ANNOTATION_CLASS,
	ANNOTATION_HOSTNAME,
	ANNOTATION_LOAD_BALANCER_ADDRESS,
	_ANNOTATION_MAX,
};

enum annotation_kind {
	ANNOTATION_BOOL,    /* number: 0 or 1 */
	ANNOTATION_INTEGER, /* number: minimum to maximum */
	ANNOTATION_WORD,    /* text: one of words */
	ANNOTATION_TEXT,    /* text: what "check" takes */
	ANNOTATION_UUID,    /* uuid */
	ANNOTATION_REFUSED, /* cannot be honoured: a warning, unless it says "false" */
	ANNOTATION_OUTPUT,  /* OCCM writes it, nobody reads it */
};

enum annotation_flags {
	/* Of the load balancer, not of a listener: that of its first Service counts. */
	ANNOTATION_OF_OWNER = 1 << 0,
	/* Of listeners that HAProxy serves. */
	ANNOTATION_TCP_ONLY = 1 << 1,
	/* Kept and shown by amphorad, without effect on what it does: a warning. */
	ANNOTATION_KEPT = 1 << 2,
	/* More than the value decides what it becomes: whoever builds the definition explains it. */
	ANNOTATION_EXPLAINED_LATER = 1 << 3,
};

struct annotation_row {
	const char *name;
	enum annotation_kind kind;
	unsigned flags;
	const char *target;      /* object and field; NULL: none */
	const char *explanation; /* the words after "because" */
	int64_t minimum, maximum;
	int64_t standard; /* what an absent one counts for */
	const char *const *words;
	const char *(*check)(const char *value);
};

extern const struct annotation_row annotation_rows[_ANNOTATION_MAX];

/* The pool protocols that the values of ANNOTATION_PROXY_PROTOCOL stand for. */
extern const char *const proxy_protocol_pools[];

struct annotation_value {
	bool given;       /* and not empty, and of the right kind */
	int64_t number;   /* the default where it is not given */
	const char *text; /* "" where it is not given; borrowed */
	char uuid[37];
};

/* "values": _ANNOTATION_MAX of them. Explains them, too, except those whose effect depends on more
 * than the value, which whoever builds the definition explains. "owner": the Service is the load
 * balancer's first; what is ANNOTATION_OF_OWNER of another is not given. */
int annotations_read(const struct kube_service *service, bool owner,
	struct annotation_value *values, struct notes *notes, struct error *err);

/* Why a given annotation is mapped: its name, its target and its explanation. */
void annotation_explain(enum annotation annotation, const char *value, struct notes *notes);

/* ERROR_INVALID about an annotation of the Service. */
int annotation_error(const struct kube_service *service, enum annotation annotation,
	struct error *err, const char *format, ...) _printf_(4, 5);
