/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <time.h>

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

static void put_empty_crl(struct test_certificates *certificates, const char *name, const struct identity *ca)
{
	static const unsigned char number[] = {1};
	_cleanup_free_ char *pem = NULL;
	gnutls_x509_crl_t crl;
	gnutls_datum_t datum;

	assert_int_equal(gnutls_x509_crl_init(&crl), 0);
	gnutls_x509_crl_set_version(crl, 2);
	gnutls_x509_crl_set_this_update(crl, time(NULL) - PKI_DAY_S);
	gnutls_x509_crl_set_next_update(crl, time(NULL) + 30 * PKI_DAY_S);
	gnutls_x509_crl_set_number(crl, number, sizeof(number));
	assert_int_equal(gnutls_x509_crl_sign2(crl, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &datum), 0);
	pem = strndup((const char *)datum.data, datum.size);
	assert_non_null(pem);
	gnutls_free(datum.data);
	gnutls_x509_crl_deinit(crl);
	put(certificates, name, pem);
}

struct test_certificates *test_certificates_new(void)
{
	static const char *const pairs[] = {"web", "www", "client", "ca-web"};
	struct test_certificates *certificates = calloc(1, sizeof(*certificates));
	_cleanup_identity_ struct identity *ca = NULL;

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
	put_empty_crl(certificates, "revoked", ca);
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
