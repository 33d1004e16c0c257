/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Name-based UUIDs (version 5, SHA-1), RFC 9562 section 5.5.
 */

#include "agent/definition/model.h"

/* Namespace of load balancers that have a name and no id. */
#define UUID_NAMESPACE_DNS "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

/* 0, -EINVAL for a namespace that is no UUID, -EIO if the hash is not available. */
int uuid_derive(const char *namespace_uuid, const char *name, char ret[UUID_SIZE]);

/* A random one (version 4), RFC 9562 section 5.4. */
int uuid_random(char ret[UUID_SIZE]);

/* A UUID as clients write it, in capitals or without its hyphens, into its one form; what Python's uuid.UUID(), and so Octavia's
 * API, takes. 0, -EINVAL if it is none. */
int uuid_read(const char *text, char ret[UUID_SIZE]);
