/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keys in memory: nothing of them is left when they are freed.
 */

#include <string.h>

#include "agent/base/cleanup.h"

static inline void secret_free_bytes(char *data, size_t length)
{
	if (data)
		explicit_bzero(data, length);
	free(data);
}

static inline void secret_free(char *text)
{
	secret_free_bytes(text, text ? strlen(text) : 0);
}
DEFINE_CLEANUP(char *, secret_free);
#define _cleanup_secret_ _cleanup_(secret_freep)
