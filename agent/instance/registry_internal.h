/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between registry.c, registry_conflicts.c and certificates.c.
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

/* Whether "lb" refers to what is there, and has its ports and ids to itself: ERROR_INVALID, ERROR_CONFLICT. Called with the
 * lock held: what is referred to cannot be removed from here on (certificates.h). */
int registry_check_conflicts(const struct registry *registry, const struct load_balancer *lb, struct error *err);
