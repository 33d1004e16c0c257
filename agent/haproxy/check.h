/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Asking the HAProxy program itself: its version, and its verdict on a configuration.
 */

#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/haproxy/runtime.h"

/* Runs "haproxy -v", in two steps: a start has something else to do meanwhile. */
int haproxy_begin_version(const char *haproxy_cmd, struct process_job *ret, struct error *err);
int haproxy_end_version(
	const char *haproxy_cmd, struct process_job *job, struct haproxy_version *ret, struct error *err);

/* Runs "haproxy -c" in "directory" on both files, in two steps: HAProxy reads meanwhile. *ret_verdict, HAProxy's words, is the
 * caller's and set on success only; a refusal is ERROR_HAPROXY with the words as its message. "peer_name" may be NULL. With "gate_fd", the reading end of a pipe, it starts at once and reads the two
 * files when the writing end is closed; until then they may be empty. -1: it does not wait. */
int haproxy_begin_check(const char *haproxy_cmd, const char *directory, const char *config, const char *own_config,
	const char *peer_name, int gate_fd, struct process_job *ret, struct error *err);
int haproxy_end_check(const char *haproxy_cmd, struct process_job *job, char **ret_verdict, struct error *err);
