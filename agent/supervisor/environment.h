/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The EnvironmentFile= of amphora-haproxy@.service: what to run for one load balancer. It is all
 * that differs between the instances of the unit, and is still there when the machine boots.
 *
 * Source: systemd.exec(5), "EnvironmentFile="; systemd.service(5), "COMMAND LINES".
 */

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/supervisor/supervisor.h"

#define ENVIRONMENT_FILE "amphora-haproxy.env"

/* Writes "path", 0600, unless it says so already. "socket_argument" is that of -S. */
int environment_write(const char *path, const struct supervisor_spec *spec,
	const char *socket_argument, struct error *err);

/* The parts, for the environment of other units: one variable, which may hold anything but control characters; the
 * beginning of a command that enters a network namespace (AMPHORA_ENTER, NULL: none); whether env(1) would take the
 * command for something else; the file, written unless it says so already. environment_store() empties the text. */
int environment_append(struct text *text, const char *name, const char *value, struct error *err);
int environment_append_namespace(struct text *text, const char *network_namespace, struct error *err);
int environment_check_command(const char *command, struct error *err);
int environment_store(const char *path, struct text *text, struct error *err);
