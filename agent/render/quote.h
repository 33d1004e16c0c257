/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one place that quotes for HAProxy.
 *
 * Source: HAProxy configuration manual, 2.2 "Quoting and escaping": between single quotes every character stands for
 * itself, '$' and '\' included; a single quote itself is written as '\'' (close, escaped quote, open).
 */

#include <stdbool.h>

#include "agent/base/cleanup.h"

/* One word of a configuration line that HAProxy reads as exactly "value". Values of plain characters stay as they are.
 * -EINVAL for a value with a control character: no quoting can keep a newline from ending the line. */
int quote_haproxy(const char *value, char **ret_word);

/* Whether the value is a word as it is. */
bool quote_is_plain(const char *value);

/* The sample expression "function(argument)" as one word. The argument is quoted for the expression (manual, 2.2: quotes
 * have a second level inside arguments), then the whole for the line. -EINVAL for a double quote or '\\' in the argument,
 * which that level cannot carry, and for control characters. */
int quote_haproxy_call(const char *function, const char *argument, char **ret_word);

/* A good URL path (grammar_url_path()) as one word of a keepalived configuration: what is special there ("!", "$" and
 * "'": keepalived.conf(5)) becomes %XX, which means the same (RFC 3986, 2.1). */
int quote_keepalived_path(const char *path, char **ret_word);
