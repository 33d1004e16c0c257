/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reports of a supervisor that wait until it holds no lock: the callback may call any operation.
 */

#include "agent/supervisor/supervisor.h"

struct pending_report;

struct report_queue {
	struct pending_report *first, *last;
};

#define REPORT_QUEUE_INIT ((struct report_queue){0})

/* HAProxy's words are either given ("messages", taken, may be NULL) or fetched when the report is delivered ("source", copied,
 * not NULL then). A report that finds no memory is lost; what it reports was logged. */
void report_enqueue(struct report_queue *queue, const struct supervisor_report *report, char *messages,
	const char *source, uint64_t since_us);

typedef int (*report_fetch)(const char *source, uint64_t since_us, char **ret_messages);

/* Empties the queue. "on_event" and, without sources, "fetch" may be NULL. */
void report_deliver(struct report_queue *queue, supervisor_callback on_event, void *userdata, report_fetch fetch);
