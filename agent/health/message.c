/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/message.h"

#include <inttypes.h>

#include "agent/base/json_write.h"

void heartbeat_text_done(struct heartbeat_text *text)
{
	text_done(&text->head);
	text_done(&text->tail);
}

/* A member of an object, up to its value. "first" is of that object. */
static void write_name(struct text *text, const char *name, bool *first)
{
	if (!*first)
		text_append_char(text, ',');
	*first = false;
	json_write_string(text, name);
	text_append_char(text, ':');
}

static void write_listener(struct text *text, const char *lb_id, const struct listener_health *listener,
	const struct counters *counters)
{
	struct listener_totals unsent = counters_unsent(counters, lb_id, listener->id);

	text_append(text, "{\"status\":");
	json_write_string(text, listener->status);
	text_printf(text,
		",\"stats\":{\"tx\":%" PRIu64 ",\"rx\":%" PRIu64 ",\"conns\":%" PRId64 ",\"totconns\":%" PRIu64
		",\"ereq\":%" PRIu64 "}}",
		unsent.bytes_out, unsent.bytes_in, listener->current_connections, unsent.total_connections,
		unsent.request_errors);
}

static void write_pool(struct text *text, const struct pool_health *pool)
{
	const char *status = NULL, *word = NULL;
	bool first = true;

	text_append(text, "{\"status\":");
	json_write_string(text, pool->status);
	text_append(text, ",\"members\":{");
	for (size_t i = 0; i < pool->n_members; i++) {
		write_name(text, pool->members[i].id, &first);
		if (pool->members[i].status != status) {
			status = pool->members[i].status;
			word = member_status_word(status);
		}
		json_write_string(text, word);
	}
	text_append(text, "}}");
}

int heartbeat_message(const char *amphora_id, uint64_t sequence, struct health_snapshot *const *snapshots,
	size_t n_snapshots, const struct counters *counters, struct heartbeat_text *ret)
{
	struct heartbeat_text text = HEARTBEAT_TEXT_INIT;
	bool first_listener = true, first_pool = true;

	text_append(&text.head, "{\"id\":");
	json_write_string(&text.head, amphora_id);
	text_printf(&text.head, ",\"seq\":%" PRIu64 ",\"listeners\":{", sequence);
	text_append(&text.tail, "},\"pools\":{");
	for (size_t i = 0; i < n_snapshots; i++) {
		const struct health_snapshot *s = snapshots[i];

		if (!s->answered)
			continue;
		for (size_t j = 0; j < s->n_listeners; j++) {
			write_name(&text.head, s->listeners[j].id, &first_listener);
			write_listener(&text.head, s->lb_id, &s->listeners[j], counters);
		}
		for (size_t j = 0; j < s->n_pools; j++) {
			write_name(&text.tail, s->pools[j].key, &first_pool);
			write_pool(&text.tail, &s->pools[j]);
		}
	}
	text_printf(&text.tail, "},\"ver\":%d}", HEARTBEAT_VERSION);
	if (text.head.failed || text.tail.failed) {
		heartbeat_text_done(&text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}
