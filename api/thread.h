/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Threads of the server. Signals are the main thread's: none is delivered to a thread that was
 * started here or while thread_block_signals() holds.
 */

#include <pthread.h>
#include <signal.h>

/* Most is taken by jansson's parser, which recurses 2048 deep before it refuses a document: 170 KiB on x86-64 with Debian's
 * flags, more where functions keep frame pointers (Fedora) or have larger frames. What is not used is not in memory. */
enum { THREAD_STACK_BYTES = 512 * 1024 };

/* Name: at most 15 characters (pthread_setname_np(3)). */
int thread_start(const char *name, void *(*run)(void *), void *argument, pthread_t *ret);

void thread_block_signals(sigset_t *ret_saved);
void thread_restore_signals(const sigset_t *saved);

/* A condition variable whose timed waits count monotonic time. */
int thread_condition_init(pthread_cond_t *condition);
/* The time "ms" milliseconds from now, for such waits. */
void thread_time_after(int ms, struct timespec *ret);
