/* SPDX-License-Identifier: Apache-2.0 */

/* A datagram into a heartbeat message, without the check of its signature, which no fuzzer could
 * pass; and what it gave back through heartbeat_wrap(). */

#include <stdint.h>

#include "agent/health/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(json_decrefp) json_t *message = NULL, *again = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t length;

	if (heartbeat_unwrap(data, size, "key", &message, NULL) == 0)
		return 0;
	if (heartbeat_unwrap(data, size, NULL, &message, &err) < 0) {
		if (!err.message || message)
			abort();
		return 0;
	}
	if (heartbeat_wrap(message, "key", &bytes, &length, NULL) < 0 ||
		heartbeat_unwrap(bytes, length, "key", &again, NULL) < 0 ||
		!json_equal(message, again))
		abort();
	return 0;
}
