/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The EnvironmentFile= of amphora-haproxy@.service: what to run for one load balancer. It is all
 * that differs between the instances of the unit, and is still there when the machine boots.
 *
 * Source: systemd.exec(5), "EnvironmentFile="; systemd.service(5), "COMMAND LINES".
 */

#include "agent/base/error.h"
#include "agent/supervisor/supervisor.h"

#define ENVIRONMENT_FILE "amphora-haproxy.env"

/* Writes "path", 0600, unless it says so already. "socket_argument" is that of -S. */
int environment_write(const char *path, const struct supervisor_spec *spec,
	const char *socket_argument, struct error *err);
