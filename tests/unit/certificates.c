/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "tests/unit/certificates.h"
#include "tests/unit/pki.h"

static void put(struct test_certificates *certificates, const char *name, const char *pem)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	bool created, changed;

	if (certificate_store_put(certificates->store, name, pem, strlen(pem), &created, &changed, NULL, &problem) < 0)
		fail_msg("%s: %s", name, error_message(&problem));
}

struct test_certificates *test_certificates_new(void)
{
	static const char *const pairs[] = {"web", "www", "client", "ca-web"};
	struct test_certificates *certificates = calloc(1, sizeof(*certificates));
	_cleanup_identity_ struct identity *ca = NULL;
	_cleanup_free_ char *crl = NULL;

	assert_non_null(certificates);
	snprintf(certificates->folder, sizeof(certificates->folder), "/tmp/amphorad-certificates-XXXXXX");
	assert_non_null(mkdtemp(certificates->folder));
	assert_int_equal(certificate_store_open(certificates->folder, &certificates->store, NULL), 0);
	ca = identity_new(&(struct identity_options){.name = "ca.example", .is_ca = true});
	for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
		_cleanup_identity_ struct identity *pair =
			identity_new(&(struct identity_options){.name = pairs[i], .issuer = ca});

		put(certificates, pairs[i], pair->pem);
	}
	put(certificates, "users", ca->certificate_pem);
	put(certificates, "members", ca->certificate_pem);
	crl = identity_crl(ca, 0, 0);
	put(certificates, "revoked", crl);
	return certificates;
}

void test_certificates_free(struct test_certificates *certificates)
{
	if (!certificates)
		return;
	certificate_store_free(certificates->store);
	fileio_remove_tree(AT_FDCWD, certificates->folder);
	free(certificates);
}
