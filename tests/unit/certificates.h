/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A certificate store with something of every kind in it, for tests of the rendering: the pairs "web", "www", "client" and
 * "ca-web", the CAs "users" and "members", the CRL "revoked".
 */

#include "agent/certificate/store.h"

struct test_certificates {
	char folder[64];
	struct certificate_store *store;
};

/* Fails the test if it cannot be made. */
struct test_certificates *test_certificates_new(void);
void test_certificates_free(struct test_certificates *certificates);
