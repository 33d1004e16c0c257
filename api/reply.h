/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From a handler's response to one of libmicrohttpd.
 */

#include <microhttpd.h>
#include <stdbool.h>

#include "api/response.h"

/* Takes the response's body. "closing" asks the client to close the connection. NULL without
 * memory. */
struct MHD_Response *reply_new(struct response *response, const char *request_id, bool closing);
