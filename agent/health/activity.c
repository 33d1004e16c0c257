/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/activity.h"

#include <string.h>

#include "agent/base/text.h"

json_t *activity_new(void)
{
	return json_pack("{s:b, s:b, s:[], s:[]}", "answered", 0, "complete", 0, "listeners", "pools");
}

/* What is being built. The indexes hold references to rows by name, so that old workers find theirs at once. */
struct builder {
	json_t *listeners, *pools; /* of the activity */
	json_t *listener_of;       /* frontend -> row */
	json_t *pool_of;           /* backend -> row */
	json_t *member_of;         /* backend, '/', server -> row */
};

static void builder_done(struct builder *builder)
{
	json_decref(builder->listener_of);
	json_decref(builder->pool_of);
	json_decref(builder->member_of);
}

static const struct {
	const char *key;
	size_t offset;
} figures[] = {
	{"active_connections", offsetof(struct stats_row, current_sessions)},
	{"total_connections", offsetof(struct stats_row, total_sessions)},
	{"bytes_in", offsetof(struct stats_row, bytes_in)},
	{"bytes_out", offsetof(struct stats_row, bytes_out)},
	{"requests", offsetof(struct stats_row, requests)},
};

/* Adds to what the workers before said. Servers count no requests of their own: the last one is not theirs. */
static int add_figures(json_t *object, const struct stats_row *row)
{
	size_t n = ELEMENTSOF(figures) - (row->kind == STATS_SERVER ? 1 : 0);

	for (size_t i = 0; i < n; i++) {
		int64_t value, before = json_integer_value(json_object_get(object, figures[i].key));

		memcpy(&value, (const char *)row + figures[i].offset, sizeof(value));
		if (value < 0 || value > INT64_MAX - before)
			value = 0;
		if (json_object_set_new(object, figures[i].key, json_integer(before + value)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* HAProxy's words may hold those of a checked server. */
static json_t *status_string(const char *status)
{
	_cleanup_free_ char *copy = strdup(status);

	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?';
	return copy ? json_string(copy) : NULL;
}

/* Appends the object to a list and to the index; *ret stays the list's. */
static int insert(json_t *list, json_t *index, const char *name, json_t *object, json_t **ret)
{
	json_auto_t *row = object;

	if (!row || json_array_append(list, row) < 0 || json_object_set(index, name, row) < 0)
		return -ENOMEM;
	*ret = row;
	return 0;
}

static int add_listener(struct builder *b, const struct stats_row *row, bool current)
{
	json_t *listener = json_object_get(b->listener_of, row->proxy);
	int r = 0;

	if (!listener)
		r = insert(b->listeners, b->listener_of, row->proxy,
			json_pack("{s:s, s:o}", "id", row->proxy, "status",
				status_string(current ? row->status : "STOP")),
			&listener);
	return r == 0 ? add_figures(listener, row) : r;
}

/* "pool_id:listener_id", as our and Octavia's renderings name backends. */
static int find_pool(struct builder *b, const char *backend, json_t **ret)
{
	const char *colon = strchr(backend, ':');
	json_t *pool = json_object_get(b->pool_of, backend);

	if (pool) {
		*ret = pool;
		return 0;
	}
	return insert(b->pools, b->pool_of, backend,
		json_pack("{s:s#, s:s?, s:[]}", "id", backend, (int)strcspn(backend, ":"), "listener_id",
			colon ? colon + 1 : NULL, "members"),
		ret);
}

static json_t *new_member(const struct stats_row *row, bool leaving)
{
	/* A drained server is UP in some versions; see snapshot.c. */
	const char *word = member_status_word(row->status);

	if (leaving)
		word = "DRAIN";
	else if (row->weight == 0 && streq(word, "UP"))
		word = "DRAIN";
	return json_pack("{s:s, s:o, s:I, s:b}", "id", row->name, "status", status_string(word), "weight",
		(json_int_t)(leaving ? 0 : row->weight), "leaving", leaving);
}

static int add_server(struct builder *b, const struct stats_row *row, bool leaving)
{
	_cleanup_text_ struct text key = TEXT_INIT;
	json_t *pool, *member;
	int r = find_pool(b, row->proxy, &pool);

	text_printf(&key, "%s/%s", row->proxy, row->name);
	if (r < 0 || key.failed)
		return -ENOMEM;
	member = json_object_get(b->member_of, text_peek(&key));
	if (!member) {
		/* What only an old worker has is of interest while it serves somebody. */
		if (leaving && row->current_sessions <= 0)
			return 0;
		r = insert(json_object_get(pool, "members"), b->member_of, text_peek(&key), new_member(row, leaving),
			&member);
	}
	return r == 0 ? add_figures(member, row) : r;
}

/* Those that leave are in maintenance: few are looked for. */
static bool is_leaving(const struct stats_row *row, const struct plan_leaving *leaving, size_t n)
{
	if (!text_after_prefix(row->status, "MAINT"))
		return false;
	for (size_t i = 0; i < n; i++)
		if (streq(leaving[i].backend, row->proxy) && streq(leaving[i].server, row->name))
			return true;
	return false;
}

static int add_worker(struct builder *b, const struct stats_table *stats, bool current,
	const struct plan_leaving *leaving, size_t n_leaving)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < stats->n_rows; i++) {
		const struct stats_row *row = &stats->rows[i];

		if (snapshot_leaves_out(row->proxy))
			continue;
		if (row->kind == STATS_FRONTEND)
			r = add_listener(b, row, current);
		else if (row->kind == STATS_SERVER && !snapshot_leaves_out(row->name))
			r = add_server(b, row, !current || is_leaving(row, leaving, n_leaving));
	}
	return r;
}

int activity_add_haproxy(json_t *activity, const struct haproxy_sample *sample, const struct plan_leaving *leaving,
	size_t n_leaving)
{
	_cleanup_(builder_done) struct builder builder = {
		.listeners = json_object_get(activity, "listeners"),
		.pools = json_object_get(activity, "pools"),
		.listener_of = json_object(),
		.pool_of = json_object(),
		.member_of = json_object(),
	};
	int r = 0;

	if (!builder.listener_of || !builder.pool_of || !builder.member_of)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < sample->n_workers; i++)
		r = add_worker(&builder, &sample->workers[i].stats, i == 0, leaving, n_leaving);
	if (r == 0 && (json_object_set_new(activity, "answered", json_true()) < 0 ||
			      json_object_set_new(activity, "complete", json_boolean(sample->whole)) < 0))
		r = -ENOMEM;
	return r;
}

static json_t *counted(const char *id, const char *status, const struct ipvs_counters *counters, uint64_t active)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "id", id, "status", status, "active_connections",
		(json_int_t)active, "total_connections", (json_int_t)counters->connections, "bytes_in",
		(json_int_t)counters->bytes_in, "bytes_out", (json_int_t)counters->bytes_out);
}

int activity_add_lvs(json_t *activity, const struct lvs_sample *sample)
{
	json_auto_t *members = json_array();
	json_t *listener;

	if (!sample->config.listener_enabled)
		return 0;
	listener = counted(sample->config.listener_id, "OPEN", &sample->counters, sample->active_connections);
	if (!listener || json_object_set_new(listener, "requests", json_integer(0)) < 0 ||
		json_array_append_new(json_object_get(activity, "listeners"), listener) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < sample->n_members; i++) {
		const struct lvs_member_state *state = &sample->members[i];
		json_t *member = counted(state->id, state->status, &state->counters, state->active_connections);

		if (!member || json_object_set_new(member, "weight", json_integer(state->weight)) < 0 ||
			json_object_set_new(member, "leaving", json_false()) < 0 ||
			json_array_append_new(members, member) < 0)
			return -ENOMEM;
	}
	if (!sample->has_pool)
		return 0;
	return json_array_append_new(json_object_get(activity, "pools"),
		       json_pack("{s:s, s:s, s:O}", "id", sample->config.pool_id, "listener_id",
			       sample->config.listener_id, "members", members)) < 0 ||
			json_object_set_new(activity, "answered", json_true()) < 0
		? -ENOMEM
		: 0;
}
