/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From the page of HAProxy's exporter to the one that users of a PROMETHEUS listener read: other names, Octavia's words
 * for the labels, and the listeners that HAProxy does not know (UDP, SCTP) beside those of HAProxy.
 *
 * The page comes in pieces of any size and goes out as it comes. The samples of one metric stay together, as the format
 * wants them.
 *
 * Source: Prometheus, "Text-based format" (exposition formats); octavia/cmd/prometheus_proxy.py.
 */

#include <stdbool.h>

#include "agent/base/text.h"

/* A line that is longer is left out. */
enum { TRANSLATE_MAX_LINE = 64 * 1024 };

struct metric;

/* A sample of our own, ready to be written. */
struct extra_sample {
	const char *target; /* metric, Octavia's name */
	char *text;         /* owned: a whole line with its newline */
};

struct extra_samples {
	struct extra_sample *items; /* owned */
	size_t n;
};
void extra_samples_done(struct extra_samples *extra);

struct translation {
	const struct extra_samples *extra; /* NULL: none */
	struct text line;                  /* what came of the current line */
	const struct metric *metric;       /* whose lines come now */
	bool too_long;                     /* the current line */
	bool *written;                     /* one an extra sample; owned */
};

/* "extra" is the caller's and outlives the translation. -ENOMEM. */
int translation_init(struct translation *t, const struct extra_samples *extra);
void translation_done(struct translation *t);

/* Appends what can be said after these bytes. -ENOMEM. */
int translation_feed(struct translation *t, const char *bytes, size_t length, struct text *out);

/* After the last byte: what is left, with own HELP and TYPE lines where HAProxy had none. */
int translation_finish(struct translation *t, struct text *out);
