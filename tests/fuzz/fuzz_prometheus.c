/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api/prometheus_proxy/translate.h"

/* The page of an exporter, whole and in pieces: the same comes of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *translate(const uint8_t *data, size_t size, size_t piece)
{
	static const struct extra_sample items[] = {
		{"octavia_listener_status", (char *)"octavia_listener_status{listener=\"u\"} 1\n"}};
	const struct extra_samples extra = {(struct extra_sample *)items, 1};
	_cleanup_text_ struct text out = TEXT_INIT;
	struct translation translation;
	char *result;

	if (translation_init(&translation, &extra) < 0)
		abort();
	for (size_t at = 0; at < size; at += piece)
		if (translation_feed(&translation, (const char *)data + at, size - at < piece ? size - at : piece, &out) < 0)
			abort();
	if (translation_finish(&translation, &out) < 0)
		abort();
	translation_done(&translation);
	if (text_finish(&out, &result, NULL) < 0)
		abort();
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *whole = translate(data, size, size + 1), *pieces = translate(data, size, 7);

	if (strcmp(whole, pieces) != 0 || !strstr(whole, "listener=\"u\""))
		abort();
	return 0;
}
