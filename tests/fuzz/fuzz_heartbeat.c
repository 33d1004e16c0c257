/* SPDX-License-Identifier: Apache-2.0 */

/* A datagram into a heartbeat message, without the check of its signature, which no fuzzer could
 * pass; and what it gave back through envelope_seal(), in two halves, twice. */

#include <stdint.h>

#include "agent/health/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct envelope *envelope, const json_t *message, const char *string, size_t cut)
{
	_cleanup_text_ struct text head = TEXT_INIT, tail = TEXT_INIT;
	_cleanup_(json_decrefp) json_t *again = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t length;

	text_append_bytes(&head, string, cut);
	text_append(&tail, string + cut);
	if (envelope_seal(envelope, &head, &tail, "key", &bytes, &length, NULL) < 0 ||
		envelope_open(bytes, length, "key", &again, NULL) < 0 || !json_equal(message, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(json_decrefp) json_t *message = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct envelope *envelope = NULL;
	char *string;

	if (envelope_open(data, size, "key", &message, NULL) == 0)
		return 0;
	if (envelope_open(data, size, NULL, &message, &err) < 0) {
		if (!err.message || message)
			abort();
		return 0;
	}
	string = json_dumps(message, JSON_COMPACT);
	if (!string || envelope_new(&envelope) < 0)
		abort();
	for (unsigned i = 0; i < 2; i++)
		check_round_trip(envelope, message, string, data[size - 1] % (strlen(string) + 1));
	envelope_free(envelope);
	free(string);
	return 0;
}
