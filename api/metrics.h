/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * GET /metrics: the agent and its load balancers in the text format of Prometheus. What each metric means stands in its
 * "# HELP" line and in amphorad(8).
 *
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
 */

#include "api/request.h"
#include "api/response.h"

int metrics_get(const struct request *request, struct response *response, struct error *err);
