/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Running other programs, from a process with threads: posix_spawn, pidfds, no signal handler, no shell.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/cleanup.h"

struct process_result {
	bool timed_out;   /* killed after timeout_ms */
	int exit_status;  /* 0 to 255, or -1 if it died of a signal */
	int signal;       /* that signal, else 0 */
	char *output;     /* stdout and stderr together as written, NUL-terminated, cut at max_output; owned */
	size_t length;
};

#define PROCESS_RESULT_INIT ((struct process_result){0})
void process_result_done(struct process_result *result);

/* Runs argv[0] (found in PATH if it has no slash) to its end, stdin from /dev/null. "directory" may be NULL. A negative
 * errno means that it could not be run at all; whatever it said and returned is in the result. */
int process_run(const char *const *argv, const char *directory, int timeout_ms, size_t max_output,
	struct process_result *ret);

struct process_options {
	int namespace_fd;      /* network namespace, -1: ours */
	const char *directory; /* NULL: ours */
	int input_fd;          /* stdin, -1: /dev/null */
	const char *variable;  /* "NAME=VALUE" in its environment, which else is ours; NULL: none */
};
#define PROCESS_OPTIONS_INIT ((struct process_options){.namespace_fd = -1, .input_fd = -1})

/* The same with more to choose. */
int process_run_with(const char *const *argv, const struct process_options *options, int timeout_ms,
	size_t max_output, struct process_result *ret);

/* The same in two steps, for a caller that has something else to do meanwhile. */
struct process_job {
	pid_t pid; /* 0: none */
	int output_fd;
	int64_t deadline_ms; /* of process_now_ms() */
};
#define PROCESS_JOB_INIT ((struct process_job){.output_fd = -1})
int process_begin(
	const char *const *argv, const struct process_options *options, int timeout_ms, struct process_job *ret);
/* Waits for it. Nothing is left of the job afterwards, whatever is returned. */
int process_end(struct process_job *job, size_t max_output, struct process_result *ret);
/* Kills and reaps what was not waited for. */
void process_job_done(struct process_job *job);

/* Starts a program in a session of its own that outlives us, stdin from /dev/null, stdout and stderr to "output_fd".
 * The pidfd is the caller's. */
int process_spawn_detached(const char *const *argv, int output_fd, pid_t *ret_pid, int *ret_pidfd);

/* The same with more to choose; "directory" and "input_fd" are not. */
int process_spawn_detached_with(const char *const *argv, const struct process_options *options, int output_fd,
	pid_t *ret_pid, int *ret_pidfd);

/* The same in a network namespace, -1: ours. */
int process_spawn_detached_in(
	int namespace_fd, const char *const *argv, int output_fd, pid_t *ret_pid, int *ret_pidfd);

/* pidfd_open(2): refers to that very process even after its number is reused. -ESRCH if there is none. */
int process_open(pid_t pid, int *ret_pidfd);

/* The number in a pid file; 0 if there is none, or something else. It may be another program's by now. */
pid_t process_read_pid_file(const char *path);

/* pidfd_send_signal(2). */
int process_signal(int pidfd, int signal);

/* Waits until the process has ended: 0, or -ETIMEDOUT. A child of ours is reaped. */
int process_wait_exit(int pidfd, int timeout_ms);

/* Start time in clock ticks since boot (proc(5), field 22 of stat). With the pid it names a process for as long as the
 * machine runs. */
int process_start_time(pid_t pid, uint64_t *ret_ticks);

/* Memory that a process has for itself, and its share of what it has in common with others (PSS, proc(5), smaps_rollup); all
 * that it has (RSS) where that may not be read. */
int process_memory(pid_t pid, uint64_t *ret_bytes);

int process_parent(pid_t pid, pid_t *ret_parent);

/* Monotonic time in milliseconds. */
int64_t process_now_ms(void);
