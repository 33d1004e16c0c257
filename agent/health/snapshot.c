/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/snapshot.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

/* HAProxy's configuration manual, 2.2: what a proxy or server name is made of. */
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:"

/* Words of a checked server may be in HAProxy's: only printable ASCII gets here, so that it can
 * be JSON. */
static const char *copy_printable(struct arena *strings, const char *string)
{
	size_t length = strlen(string), plain = 0;
	_cleanup_free_ char *changed = NULL;

	while (string[plain] >= 0x20 && string[plain] <= 0x7e)
		plain++;
	if (plain == length)
		return arena_copy(strings, string, length);
	changed = strdup(string);
	for (char *c = changed; c && *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?';
	return changed ? arena_copy(strings, changed, length) : NULL;
}

bool snapshot_leaves_out(const char *proxy)
{
	static const char *const names[] = {"", "stats", "GLOBAL", "MASTER"};

	if (proxy[strspn(proxy, NAME_CHARACTERS)] != '\0')
		return true;
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(proxy, names[i]))
			return true;
	return strstr(proxy, "prometheus") != NULL;
}

const char *member_status_word(const char *status)
{
	/* What HAProxy's statistics call a server, management guide 9.1, and the heartbeat's word
	 * for it. */
	static const struct {
		const char *prefix, *word;
	} words[] = {
		{"UP", "UP"},
		{"DOWN", "DOWN"},
		{"DRAIN", "DRAIN"},
		{"NOLB", "DRAIN"},
		{"MAINT", "MAINT"},
		{"no check", "no check"},
	};

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		const char *rest = text_after_prefix(status, words[i].prefix);

		if (rest && (*rest == '\0' || *rest == ' '))
			return words[i].word;
	}
	return status;
}

static const char *status_of(const struct stats_row *row)
{
	/* Some versions of HAProxy call a server UP that is drained by its weight. */
	return row->weight == 0 && streq(member_status_word(row->status), "UP") ? "DRAIN" : row->status;
}

static const char *reason_of(struct arena *strings, const struct stats_row *row)
{
	const char *check = text_after_prefix(row->check_status, "* "); /* a check is under way */
	_cleanup_free_ char *both = NULL;

	if (!check)
		check = row->check_status;
	if (!*check || !*row->last_check)
		return copy_printable(strings, *check ? check : row->last_check);
	if (asprintf(&both, "%s: %s", check, row->last_check) < 0) {
		both = NULL; /* asprintf(3) leaves it undefined */
		return NULL;
	}
	return copy_printable(strings, both);
}

/* Nearly all members are in the state of the one before: what HAProxy's rows share, they share, too. */
static int member_from_row(struct arena *strings, const struct stats_row *row, const struct stats_row *former,
	const struct member_health *former_member, struct member_health *ret)
{
	bool same_status = former_member && former->status == row->status && (former->weight == 0) == (row->weight == 0);
	bool same_reason = former_member && former->check_status == row->check_status &&
			   former->last_check == row->last_check;

	ret->id = copy_printable(strings, row->name);
	ret->status = same_status ? former_member->status : copy_printable(strings, status_of(row));
	ret->reason = same_reason ? former_member->reason : reason_of(strings, row);
	return ret->id && ret->status && ret->reason ? 0 : -ENOMEM;
}

static int add_listener(struct health_snapshot *snapshot, const struct stats_row *row)
{
	struct listener_health *listener = &snapshot->listeners[snapshot->n_listeners++];

	listener->id = arena_string(&snapshot->strings, row->proxy);
	listener->status = copy_printable(&snapshot->strings, row->status);
	listener->current_connections = row->current_sessions > 0 ? row->current_sessions : 0;
	return listener->id && listener->status ? 0 : -ENOMEM;
}

static int add_members(struct arena *strings, struct pool_health *pool, const struct stats_row *rows, size_t n)
{
	const struct stats_row *former = NULL;
	int r;

	for (size_t i = 0; i < n; i++) {
		struct member_health *member = &pool->members[pool->n_members];

		if (rows[i].kind != STATS_SERVER)
			continue;
		r = member_from_row(strings, &rows[i], former, former ? member - 1 : NULL, member);
		if (r < 0)
			return r;
		former = &rows[i];
		pool->n_members++;
	}
	return 0;
}

static int add_pool(
	struct health_snapshot *snapshot, const struct stats_row *rows, size_t n, size_t n_servers)
{
	struct pool_health *pool = &snapshot->pools[snapshot->n_pools++];
	const char *status = "";

	for (size_t i = 0; i < n; i++)
		if (rows[i].kind == STATS_BACKEND)
			status = rows[i].status;
	pool->key = arena_string(&snapshot->strings, rows[0].proxy);
	pool->status = copy_printable(&snapshot->strings, status);
	if (!pool->key || !pool->status)
		return -ENOMEM;
	if (n_servers == 0)
		return 0;
	pool->members = calloc(n_servers, sizeof(*pool->members));
	return pool->members ? add_members(&snapshot->strings, pool, rows, n) : -ENOMEM;
}

/* The rows of one proxy: HAProxy writes its frontend, its servers, its backend. */
static int add_proxy(struct health_snapshot *snapshot, const struct stats_row *rows, size_t n)
{
	const struct stats_row *frontend = NULL;
	size_t n_servers = 0;
	bool backend = false;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (rows[i].kind == STATS_FRONTEND)
			frontend = &rows[i];
		if (rows[i].kind == STATS_SERVER)
			n_servers++;
		if (rows[i].kind == STATS_BACKEND)
			backend = true;
	}
	if (frontend) {
		r = add_listener(snapshot, frontend);
		if (r < 0)
			return r;
	}
	return backend || n_servers > 0 ? add_pool(snapshot, rows, n, n_servers) : 0;
}

static size_t proxy_rows(const struct stats_table *stats, size_t first)
{
	size_t end = first + 1;

	while (end < stats->n_rows && (stats->rows[end].proxy == stats->rows[first].proxy ||
					      streq(stats->rows[end].proxy, stats->rows[first].proxy)))
		end++;
	return end - first;
}

static int new_snapshot(
	const char *lb_id, size_t n_listeners, size_t n_pools, struct health_snapshot **ret)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;

	if (strlen(lb_id) >= sizeof(snapshot->lb_id))
		return -EINVAL;
	snapshot = calloc(1, sizeof(*snapshot));
	if (!snapshot)
		return -ENOMEM;
	memcpy(snapshot->lb_id, lb_id, strlen(lb_id) + 1);
	snapshot->listeners =
		n_listeners > 0 ? calloc(n_listeners, sizeof(*snapshot->listeners)) : NULL;
	snapshot->pools = n_pools > 0 ? calloc(n_pools, sizeof(*snapshot->pools)) : NULL;
	if ((n_listeners > 0 && !snapshot->listeners) || (n_pools > 0 && !snapshot->pools))
		return -ENOMEM;
	*ret = TAKE_PTR(snapshot);
	return 0;
}

int snapshot_from_stats(const char *lb_id, const struct stats_table *stats,
	struct health_snapshot **ret, struct error *err)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	size_t n_proxies = 0;
	int r;

	for (size_t i = 0; i < stats->n_rows; i += proxy_rows(stats, i))
		n_proxies++;
	r = new_snapshot(lb_id, n_proxies, n_proxies, &snapshot);
	if (r < 0)
		return error_set_errno(
			err, r, "cannot take a snapshot of load balancer '%s'", lb_id);
	snapshot->answered = true;
	snapshot->taken_ms = process_now_ms();
	for (size_t i = 0; i < stats->n_rows; i += proxy_rows(stats, i)) {
		if (snapshot_leaves_out(stats->rows[i].proxy))
			continue;
		r = add_proxy(snapshot, &stats->rows[i], proxy_rows(stats, i));
		if (r < 0)
			return error_set_errno(
				err, r, "cannot take a snapshot of load balancer '%s'", lb_id);
	}
	*ret = TAKE_PTR(snapshot);
	return 0;
}

static int copy_members(struct arena *strings, const struct pool_health *from, struct pool_health *to)
{
	const struct member_health *former = NULL;

	for (; to->n_members < from->n_members; to->n_members++) {
		const struct member_health *source = &from->members[to->n_members];
		struct member_health *copy = &to->members[to->n_members];

		copy->id = arena_string(strings, source->id);
		copy->status = former && former->status == source->status ? copy[-1].status
									   : arena_string(strings, source->status);
		copy->reason = former && former->reason == source->reason ? copy[-1].reason
									   : arena_string(strings, source->reason);
		if (!copy->id || !copy->status || !copy->reason)
			return -ENOMEM;
		former = source;
	}
	return 0;
}

static int copy_pool(struct arena *strings, const struct pool_health *from, struct pool_health *to)
{
	to->key = arena_string(strings, from->key);
	to->status = arena_string(strings, from->status);
	if (!to->key || !to->status)
		return -ENOMEM;
	if (from->n_members == 0)
		return 0;
	to->members = calloc(from->n_members, sizeof(*to->members));
	return to->members ? copy_members(strings, from, to) : -ENOMEM;
}

int snapshot_copy(const struct health_snapshot *snapshot, struct health_snapshot **ret)
{
	_cleanup_snapshot_ struct health_snapshot *copy = NULL;
	int r;

	r = new_snapshot(snapshot->lb_id, snapshot->n_listeners, snapshot->n_pools, &copy);
	if (r < 0)
		return r;
	copy->answered = snapshot->answered;
	copy->taken_ms = snapshot->taken_ms;
	copy->worker_pid = snapshot->worker_pid;
	for (size_t i = 0; i < snapshot->n_listeners; i++) {
		struct listener_health *listener = &copy->listeners[copy->n_listeners++];

		*listener = snapshot->listeners[i];
		listener->id = arena_string(&copy->strings, snapshot->listeners[i].id);
		listener->status = arena_string(&copy->strings, snapshot->listeners[i].status);
		if (!listener->id || !listener->status)
			return -ENOMEM;
	}
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		r = copy_pool(&copy->strings, &snapshot->pools[i], &copy->pools[copy->n_pools++]);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(copy);
	return 0;
}

/* The last one first: what was added last stands last in HAProxy's answer, too. */
static void remove_member(struct pool_health *pool, const char *id)
{
	for (size_t i = pool->n_members; i > 0; i--) {
		struct member_health *member = &pool->members[i - 1];

		if (!streq(member->id, id))
			continue;
		memmove(member, member + 1, (pool->n_members - i) * sizeof(*member));
		pool->n_members--;
		return;
	}
}

void snapshot_leave_out_servers(
	struct health_snapshot *snapshot, const struct plan_leaving *servers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < snapshot->n_pools; j++)
			if (streq(snapshot->pools[j].key, servers[i].backend))
				remove_member(&snapshot->pools[j], servers[i].server);
}

void snapshot_free(struct health_snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->n_pools; i++)
		free(snapshot->pools[i].members);
	arena_done(&snapshot->strings);
	free(snapshot->listeners);
	free(snapshot->pools);
	free(snapshot);
}

const struct listener_health *snapshot_find_listener(
	const struct health_snapshot *s, const char *id)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (streq(s->listeners[i].id, id))
			return &s->listeners[i];
	return NULL;
}

int snapshot_append(struct health_snapshot *into, struct health_snapshot *from)
{
	struct listener_health *listeners = reallocarray(
		into->listeners, into->n_listeners + from->n_listeners + 1, sizeof(*listeners));
	struct pool_health *pools;

	if (!listeners)
		return -ENOMEM;
	into->listeners = listeners;
	pools = reallocarray(into->pools, into->n_pools + from->n_pools + 1, sizeof(*pools));
	if (!pools)
		return -ENOMEM;
	into->pools = pools;
	for (size_t i = 0; i < from->n_listeners; i++)
		listeners[into->n_listeners++] = from->listeners[i];
	for (size_t i = 0; i < from->n_pools; i++)
		pools[into->n_pools++] = from->pools[i];
	from->n_listeners = from->n_pools = 0;
	arena_join(&into->strings, &from->strings);
	return 0;
}

const struct pool_health *snapshot_find_pool(const struct health_snapshot *s, const char *pool_id)
{
	for (size_t i = 0; i < s->n_pools; i++) {
		const char *rest = text_after_prefix(s->pools[i].key, pool_id);

		if (rest && (*rest == ':' || *rest == '\0'))
			return &s->pools[i];
	}
	return NULL;
}

const struct member_health *pool_health_find_member_near(
	const struct pool_health *p, const char *id, size_t *position)
{
	size_t start = *position < p->n_members ? *position : 0;

	for (size_t i = 0; i < p->n_members; i++) {
		size_t at = start + i < p->n_members ? start + i : start + i - p->n_members;

		if (streq(p->members[at].id, id)) {
			*position = at + 1;
			return &p->members[at];
		}
	}
	return NULL;
}

void snapshot_log_changes(const struct health_snapshot *before, const struct health_snapshot *now)
{
	for (size_t i = 0; i < now->n_pools; i++) {
		const struct pool_health *pool = &now->pools[i];
		const struct pool_health *earlier = snapshot_find_pool(before, pool->key);
		size_t position = 0;

		for (size_t j = 0; earlier && j < pool->n_members; j++) {
			const struct member_health *member = &pool->members[j];
			const struct member_health *was =
				pool_health_find_member_near(earlier, member->id, &position);
			const char *word;

			if (!was || streq(was->status, member->status))
				continue;
			word = member_status_word(member->status);
			if (streq(member_status_word(was->status), word))
				continue;
			log_line(streq(word, "DOWN") ? LOG_WARNING : LOG_NOTICE,
				&(const struct log_fields){
					.lb_id = now->lb_id, .member_id = member->id},
				"member %s of pool %s: %s -> %s%s%s", member->id, pool->key,
				member_status_word(was->status), word, *member->reason ? ": " : "",
				member->reason);
		}
	}
}
