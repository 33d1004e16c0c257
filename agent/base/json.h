/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What jansson leaves to its users.
 */

#include <jansson.h>

/* What a value is, in a message for a person: "an object", "a number". */
const char *json_kind_name(const json_t *json);
