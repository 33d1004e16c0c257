/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Byte counters of the network interfaces of a network namespace.
 *
 * Source: /proc/PID/net/dev (proc(5)): the same 64-bit counters that rtnetlink gives as
 * IFLA_STATS64.
 */

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/cleanup.h"

struct machine_interface {
	char name[IF_NAMESIZE]; /* printable ASCII */
	uint64_t received;      /* bytes */
	uint64_t sent;
};

/* The file's text to interfaces whose name begins with "prefix", in the file's order; the caller
 * frees. Lines that the kernel would not write are left out. -ENOMEM only. */
int machine_parse_interfaces(
	const char *text, const char *prefix, struct machine_interface **ret, size_t *ret_n);

/* Those of the namespace that "namespace_path" names ("/run/netns/NAME", "/proc/PID/ns/net";
 * network_namespaces(7)); of our own for NULL. Entering another takes CAP_SYS_ADMIN and is done by
 * a thread that ends with it. -ENOENT if there is none. */
int machine_read_interfaces(const char *namespace_path, const char *prefix,
	struct machine_interface **ret, size_t *ret_n);
