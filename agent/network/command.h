/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The commands that an interface file names ("scripts"): they masquerade what LVS sends to members.
 */

#include "agent/base/error.h"

/* Runs the words of a command inside the namespace. The masquerading program is found in "tools_dir", if it is there,
 * under each of the names that versions of Octavia have given it. One that is not installed is logged and no failure:
 * only UDP and SCTP need it. */
int command_run(int namespace_fd, const char *tools_dir, const char *command, struct error *err);
