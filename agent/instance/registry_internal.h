/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between registry.c and certificates.c.
 */

#include <pthread.h>

#include "agent/instance/registry.h"

/* "pending" is what a change under way wants: it counts in conflicts, and for the certificates in use, as what is stored
 * does. */
struct entry {
	struct instance *instance;
	struct load_balancer *pending;
};

struct registry {
	const struct instance_settings *settings;
	pthread_mutex_t certificates_lock; /* one change of a certificate at a time; taken before any other */
	pthread_mutex_t lock;
	struct entry *entries; /* in the order of ids */
	size_t n_entries;
};
