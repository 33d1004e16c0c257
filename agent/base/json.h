/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What jansson leaves to its users.
 */

#include <jansson.h>

#include "agent/base/text.h"

/* What a value is, in a message for a person: "an object", "a number". */
const char *json_kind_name(const json_t *json);

/* Writes a string, quoted and escaped, for documents that are made so often that no tree is built of them: the same
 * bytes as json_dumps() with JSON_COMPACT would write. A byte that is no UTF-8, which json_string() refuses, reads '?'. */
void json_write_string(struct text *text, const char *string);
