/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What all ports of a Service have in common: the features that annotations and fields switch on,
 * said once, with the nodes that follow from them.
 */

#include "api/client/service/listeners.h"

struct features {
	bool proxy, forwarded, tls;
	bool monitored;
	bool asks_kube_proxy; /* the monitor does, at healthCheckNodePort */
	char **cidrs;         /* owned; NULL: everyone */
};

#define FEATURES_INIT ((struct features){0})

/* Chooses the nodes of the context's selection, too. */
int features_choose(struct listeners_context *context, struct features *ret, struct error *err);
void features_done(struct features *features);
