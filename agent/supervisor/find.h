/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Finding the HAProxy processes of a load balancer in /proc.
 *
 * A number in a pid file proves nothing: it may be garbage, or have been given to another process
 * since. A process is taken for ours only if its command line has -W and "-S <our master socket>".
 * The master is the leader of its session, because it was started in one of its own; its workers
 * share the command line but lead nothing.
 */

#include <sys/types.h>

/* Finds the master, first at "hint" (the pid file's number, or 0), then among all processes. The
 * pidfd is the caller's. -ESRCH if there is none. */
int find_master(const char *master_socket, pid_t hint, pid_t *ret_pid, int *ret_pidfd);

/* Kills workers whose master is gone. HAProxy's workers leave by themselves when their master dies;
 * one that hangs would keep its share of the listening ports. Returns their number, or a negative
 * errno. */
int find_and_kill_orphans(const char *master_socket);
