/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Mutexes held to the end of a scope.
 */

#include <pthread.h>

#include "agent/base/cleanup.h"

static inline void cleanup_unlock(pthread_mutex_t **mutex)
{
	if (*mutex)
		pthread_mutex_unlock(*mutex);
}

/* "name" tells nested locks of one function apart. */
#define HOLD(name, mutex)                                                                          \
	_unused_ _cleanup_(cleanup_unlock) pthread_mutex_t *name = (pthread_mutex_lock(mutex), (mutex))
