/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kernel parameters of a network namespace, and the few of the machine that a load balancer needs. The table is
 * described in amphora-interface(8); a test compares them.
 */

#include <stdbool.h>

#include "agent/base/process.h"

struct sysctl_row {
	const char *name;  /* as sysctl(8) writes it: with dots */
	const char *value;
	bool of_machine;   /* there is only one, outside of the namespace: it is raised, never lowered */
};

/* Ends in a row without a name. */
extern const struct sysctl_row sysctl_rows[];

/* Writes one parameter inside the namespace; "path" is below /proc/sys. -ENOENT where the kernel does not know it. */
int sysctl_write(int namespace_fd, const char *path, const char *value);

/* Sets those of the table, and before that, with systemd-sysctl(8), those below "net." that the administrator has set for
 * the machine (sysctl.d(5)). "of_machine" says whether we are outside of the namespace and may set those, too. What the
 * kernel does not know is passed over. */
void sysctl_apply(int namespace_fd, bool of_machine);

/* The same in two steps, while systemd-sysctl runs. "job" begins with PROCESS_JOB_INIT; process_job_done() ends what
 * sysctl_end() was not called for. */
void sysctl_begin(int namespace_fd, struct process_job *job);
void sysctl_end(int namespace_fd, bool of_machine, struct process_job *job);
