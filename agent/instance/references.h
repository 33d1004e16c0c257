/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a definition refers to certificates, whether or not what refers is enabled.
 */

#include "agent/certificate/store.h"
#include "agent/definition/model.h"

struct certificate_reference {
	const char *reference; /* as the definition has it */
	enum certificate_kind kind;
	const char *object;    /* "listener" or "pool" */
	const char *object_id;
	const char *field;
	char pointer[96];      /* JSON Pointer into the definition */
};

/* Goes on as long as it returns 0. */
typedef int (*certificate_reference_fn)(void *userdata, const struct certificate_reference *reference);

int references_visit(const struct load_balancer *lb, certificate_reference_fn visit, void *userdata);

/* ERROR_INVALID, with the pointer, unless everything that is referred to is there and of the right kind. */
int references_check(const struct load_balancer *lb, struct certificate_store *store, struct error *err);
