/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * JSON written straight into a text, for what is too large to be built as a tree first. The same bytes as json_dumps() with
 * JSON_COMPACT writes (RFC 8259).
 */

#include <stdint.h>

#include <jansson.h>

#include "agent/base/text.h"

/* A byte that is no UTF-8, which json_string() refuses, reads '?'. */
void json_write_string(struct text *out, const char *string);
void json_write_integer(struct text *out, int64_t value);
/* A tree, compact; reals in as many digits as give them back: 1.1 is not 1.1000000000000001. NULL, or no memory, fails "out". */
void json_write(struct text *out, const json_t *json);
