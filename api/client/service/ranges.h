/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which networks clients may come from: GetLoadBalancerSourceRanges() of OCCM.
 */

#include "api/client/service/annotations.h"

/* Of spec.loadBalancerSourceRanges, else of the annotation; canonical, each once. Those that are of
 * the IP version of none of the VIPs match nobody and are left out with a warning; if that is all
 * of them, it is an error. "vips" may be NULL: then the Service's first family counts, if it has
 * one. *ret is NULL where everyone may connect. */
int ranges_read(const struct kube_service *service, const struct annotation_value *annotation,
	char *const *vips, struct notes *notes, char ***ret, struct error *err);
