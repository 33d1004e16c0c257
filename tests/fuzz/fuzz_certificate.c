/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a bundle. What is taken is stored in a form that is taken again and stays as it is. */

#include <stdint.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/certificate/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A day on which the certificates of the corpus are valid. */
enum { NOW_S = 1800000000 };

static void check_info(const struct certificate_info *info)
{
	const char *const texts[] = {info->subject, info->issuer, info->key_type, info->serial, info->sha256};

	if (info->n_certificates == 0 || !info->sha256 || !info->issuer)
		abort();
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		if (texts[i] && text_has_control(texts[i], strlen(texts[i])))
			abort();
	STRV_FOREACH(name, info->dns_names)
		if (text_has_control(*name, strlen(*name)))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *copy = malloc(size ? size : 1), *stored = NULL, *again = NULL;
	size_t length, again_length;

	if (!copy)
		return 0;
	/* Of exactly that size, so that reading beyond it is seen. */
	if (size > 0)
		memcpy(copy, data, size);
	if (certificate_normalise(copy, size, NOW_S, &stored, &length, &info, &err) < 0) {
		if (!err.message || text_has_control(err.message, strlen(err.message)))
			abort();
		return 0;
	}
	check_info(&info);
	if (strlen(stored) != length || certificate_normalise(stored, length, NOW_S, &again, &again_length, NULL, &err) < 0 ||
		!streq(stored, again))
		abort();
	return 0;
}
