/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * GET /openapi.yaml: the contract of this very program. It is part of the program (the Makefile makes a header of
 * openapi.yaml), so that it is there wherever amphorad runs and never that of another version.
 */

#include "api/request.h"
#include "api/response.h"

/* application/yaml (RFC 9512) with a strong ETag; 304 for an If-None-Match that has it. */
int openapi_get(const struct request *request, struct response *response, struct error *err);
