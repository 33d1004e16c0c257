/* SPDX-License-Identifier: Apache-2.0 */
#include "api/thread.h"

#include <errno.h>
#include <time.h>

void thread_block_signals(sigset_t *ret_saved)
{
	/* Those that the kernel raises for what a thread itself did wrong are never blocked: the
	 * process would die without a handler (a sanitizer's, a crash reporter's) having been
	 * asked. */
	static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
	sigset_t blocked;

	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(own_faults) / sizeof(own_faults[0]); i++)
		sigdelset(&blocked, own_faults[i]);
	pthread_sigmask(SIG_BLOCK, &blocked, ret_saved);
}

void thread_restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

int thread_start(const char *name, void *(*run)(void *), void *argument, pthread_t *ret)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t saved;
	int r;

	r = pthread_attr_init(&attributes);
	if (r != 0)
		return -r;
	r = pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	if (r == 0) {
		thread_block_signals(&saved);
		r = pthread_create(&thread, &attributes, run, argument);
		thread_restore_signals(&saved);
	}
	pthread_attr_destroy(&attributes);
	if (r != 0)
		return -r;
	pthread_setname_np(thread, name);
	*ret = thread;
	return 0;
}

int thread_condition_init(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;
	int r;

	r = pthread_condattr_init(&attributes);
	if (r != 0)
		return -r;
	r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
	return -r;
}

void thread_time_after(int ms, struct timespec *ret)
{
	clock_gettime(CLOCK_MONOTONIC, ret);
	ret->tv_sec += ms / 1000;
	ret->tv_nsec += (long)(ms % 1000) * 1000000L;
	if (ret->tv_nsec >= 1000000000L) {
		ret->tv_sec++;
		ret->tv_nsec -= 1000000000L;
	}
}
