/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/report.h"

#include <string.h>

struct pending_report {
	struct pending_report *next;
	struct supervisor_report report; /* lb_id is owned */
	char *messages;
	char *source;
	uint64_t since_us;
};

static void report_free(struct pending_report *pending)
{
	free((char *)pending->report.lb_id);
	free(pending->messages);
	free(pending->source);
	free(pending);
}

void report_enqueue(struct report_queue *queue, const struct supervisor_report *report, char *messages,
	const char *source, uint64_t since_us)
{
	struct pending_report *pending = calloc(1, sizeof(*pending));

	if (!pending) {
		free(messages);
		return;
	}
	pending->report = *report;
	pending->report.lb_id = strdup(report->lb_id);
	pending->messages = messages;
	pending->source = source ? strdup(source) : NULL;
	pending->since_us = since_us;
	if (!pending->report.lb_id || (source && !pending->source)) {
		report_free(pending);
		return;
	}
	if (queue->last)
		queue->last->next = pending;
	else
		queue->first = pending;
	queue->last = pending;
}

void report_deliver(struct report_queue *queue, supervisor_callback on_event, void *userdata, report_fetch fetch)
{
	while (queue->first) {
		struct pending_report *pending = queue->first;

		queue->first = pending->next;
		if (on_event) {
			if (pending->source && fetch(pending->source, pending->since_us, &pending->messages) < 0)
				pending->messages = NULL;
			pending->report.messages = pending->messages ? pending->messages : "";
			on_event(userdata, &pending->report);
		}
		report_free(pending);
	}
	queue->last = NULL;
}
