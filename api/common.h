/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Routes that belong to no door: version discovery and liveness.
 */

#include "api/request.h"
#include "api/response.h"

int common_get_versions(const struct request *request, struct response *response, struct error *err);
int common_get_version(const struct request *request, struct response *response, struct error *err);
int common_get_healthz(const struct request *request, struct response *response, struct error *err);
