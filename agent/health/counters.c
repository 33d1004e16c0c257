/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/counters.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/health/counters_internal.h"

const struct counters_metric counters_metrics[] = {
	{"bytes_in", "bin", offsetof(struct listener_totals, bytes_in)},
	{"bytes_out", "bout", offsetof(struct listener_totals, bytes_out)},
	{"total_connections", "stot", offsetof(struct listener_totals, total_connections)},
	{"request_errors", "ereq", offsetof(struct listener_totals, request_errors)},
	{NULL, NULL, 0},
};

/* Octavia's database and JSON libraries count in signed 64 bits. */
static uint64_t add_saturated(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) || sum > INT64_MAX ? INT64_MAX : sum;
}

static struct listener_totals subtract(
	const struct listener_totals *a, const struct listener_totals *b)
{
	struct listener_totals result = {0};

	COUNTERS_METRICS_FOREACH(metric)
	{
		uint64_t from = counters_read(a, metric), minus = counters_read(b, metric);

		*counters_value(&result, metric) = from > minus ? from - minus : 0;
	}
	return result;
}

static bool add(struct listener_totals *to, const struct listener_totals *from)
{
	bool changed = false;

	COUNTERS_METRICS_FOREACH(metric)
	{
		uint64_t *value = counters_value(to, metric);

		changed |= counters_read(from, metric) != 0;
		*value = add_saturated(*value, counters_read(from, metric));
	}
	return changed;
}

bool counters_not_behind(
	const struct listener_totals *values, const struct listener_totals *earlier)
{
	COUNTERS_METRICS_FOREACH(metric)
	if (counters_read(values, metric) < counters_read(earlier, metric))
		return false;
	return true;
}

static void entry_done(struct counted_listener *entry)
{
	free(entry->listener_id);
	free(entry->workers);
}

/* Where the entry is or would be inserted. */
static size_t position_of(const struct counters *counters, const char *lb_id,
	const char *listener_id, bool *ret_found)
{
	size_t low = 0, high = counters->n_entries;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct counted_listener *entry = &counters->entries[middle];
		int order = strcmp(entry->lb_id, lb_id);

		if (order == 0)
			order = strcmp(entry->listener_id, listener_id);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct counted_listener *counters_find(
	const struct counters *counters, const char *lb_id, const char *listener_id)
{
	bool found;
	size_t at = position_of(counters, lb_id, listener_id, &found);

	return found ? &counters->entries[at] : NULL;
}

int counters_ensure(struct counters *counters, const char *lb_id, const char *listener_id,
	struct counted_listener **ret)
{
	struct counted_listener *entry;
	bool found;
	size_t at = position_of(counters, lb_id, listener_id, &found);
	char *copy;

	if (found) {
		*ret = &counters->entries[at];
		return 0;
	}
	if (strlen(lb_id) >= COUNTERS_ID_SIZE)
		return -EINVAL;
	if (counters->n_entries == counters->allocated) {
		size_t wanted = counters->allocated ? counters->allocated * 2 : 16;

		entry = reallocarray(counters->entries, wanted, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		counters->entries = entry;
		counters->allocated = wanted;
	}
	copy = strdup(listener_id);
	if (!copy)
		return -ENOMEM;
	entry = &counters->entries[at];
	memmove(entry + 1, entry, (counters->n_entries - at) * sizeof(*entry));
	*entry = (struct counted_listener){.listener_id = copy};
	memcpy(entry->lb_id, lb_id, strlen(lb_id) + 1);
	counters->n_entries++;
	*ret = entry;
	return 0;
}

static void remove_entry(struct counters *counters, struct counted_listener *entry)
{
	size_t after = counters->n_entries - (size_t)(entry - counters->entries) - 1;

	entry_done(entry);
	memmove(entry, entry + 1, after * sizeof(*entry));
	counters->n_entries--;
	counters->dirty = true;
}

/* Gives what Octavia's agent left of a listener to the load balancer that turns out to have it. */
static void inherit(
	struct counters *counters, const char *listener_id, struct counted_listener *heir)
{
	struct counted_listener *left = counters_find(counters, "", listener_id);

	if (!left || left == heir)
		return;
	heir->totals = left->totals;
	heir->sent = left->sent;
	heir->workers = TAKE_PTR(left->workers);
	heir->n_workers = left->n_workers;
	remove_entry(counters, left);
}

int counters_add_worker(struct counted_listener *entry, const struct counted_worker *worker)
{
	struct counted_worker *grown;

	grown = reallocarray(entry->workers, entry->n_workers + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	entry->workers = grown;
	entry->workers[entry->n_workers++] = *worker;
	return 0;
}

static bool same_worker(const struct counted_worker *worker, pid_t pid, uint64_t start_time)
{
	return worker->pid == pid &&
	       (worker->start_time == start_time || worker->start_time == 0 || start_time == 0);
}

static struct counted_worker *find_worker(struct counted_listener *entry, pid_t pid,
	uint64_t start_time, const struct listener_totals *values)
{
	/* The newest first: with an unknown start time an older one of that pid has ended. */
	for (size_t i = entry->n_workers; i > 0; i--)
		if (same_worker(&entry->workers[i - 1], pid, start_time))
			return &entry->workers[i - 1];
	for (size_t i = 0; i < entry->n_workers; i++)
		if (entry->workers[i].pid == 0 &&
			counters_not_behind(values, &entry->workers[i].last))
			return &entry->workers[i];
	return NULL;
}

int counters_sample(struct counters *counters, const char *lb_id, const char *listener_id,
	pid_t pid, uint64_t start_time, const struct listener_totals *worker_values)
{
	struct listener_totals delta = {0};
	struct counted_worker *worker;
	struct counted_listener *entry;
	int r;

	entry = counters_find(counters, lb_id, listener_id);
	if (!entry) {
		r = counters_ensure(counters, lb_id, listener_id, &entry);
		if (r < 0)
			return r;
		inherit(counters, listener_id, entry);
		entry = counters_find(counters, lb_id, listener_id); /* inherit() moves entries */
		counters->dirty = true;
	}
	worker = find_worker(entry, pid, start_time, worker_values);
	if (!worker) {
		r = counters_add_worker(
			entry, &(struct counted_worker){.pid = pid, .start_time = start_time});
		if (r < 0)
			return r;
		worker = &entry->workers[entry->n_workers - 1];
		counters->dirty = true;
	}
	if (worker->pid != pid || (start_time != 0 && worker->start_time != start_time)) {
		worker->pid = pid;
		worker->start_time = start_time;
		counters->dirty = true;
	}
	COUNTERS_METRICS_FOREACH(metric)
	{
		uint64_t value = counters_read(worker_values, metric);
		uint64_t last = counters_read(&worker->last, metric);

		*counters_value(&delta, metric) = value >= last ? value - last : value;
		if (value != last)
			counters->dirty = true;
	}
	add(&entry->totals, &delta);
	worker->last = *worker_values;
	return 0;
}

void counters_keep_workers(struct counters *counters, const char *lb_id, const pid_t *pids,
	const uint64_t *start_times, size_t n)
{
	bool found;

	for (size_t at = position_of(counters, lb_id, "", &found);
		at < counters->n_entries && streq(counters->entries[at].lb_id, lb_id); at++) {
		struct counted_listener *entry = &counters->entries[at];
		size_t kept = 0;

		for (size_t i = 0; i < entry->n_workers; i++) {
			bool runs = false;

			for (size_t j = 0; j < n && !runs; j++)
				runs = same_worker(&entry->workers[i], pids[j], start_times[j]);
			if (runs)
				entry->workers[kept++] = entry->workers[i];
		}
		counters->dirty |= kept != entry->n_workers;
		entry->n_workers = kept;
	}
}

struct listener_totals counters_totals(
	const struct counters *counters, const char *lb_id, const char *listener_id)
{
	const struct counted_listener *entry = counters_find(counters, lb_id, listener_id);

	return entry ? entry->totals : (struct listener_totals){0};
}

struct listener_totals counters_unsent(
	const struct counters *counters, const char *lb_id, const char *listener_id)
{
	const struct counted_listener *entry = counters_find(counters, lb_id, listener_id);

	return entry ? subtract(&entry->totals, &entry->sent) : (struct listener_totals){0};
}

void counters_mark_sent(struct counters *counters, const char *lb_id, const char *listener_id,
	const struct listener_totals *sent)
{
	struct counted_listener *entry = counters_find(counters, lb_id, listener_id);

	if (entry && add(&entry->sent, sent))
		counters->dirty = true;
}

void counters_mark_lost(struct counters *counters, const char *lb_id, const char *listener_id,
	const struct listener_totals *sent)
{
	struct counted_listener *entry = counters_find(counters, lb_id, listener_id);

	if (!entry)
		return;
	entry->sent = subtract(&entry->sent, sent);
	counters->dirty = true;
}

void counters_forget(struct counters *counters, const char *lb_id)
{
	size_t kept = 0;

	for (size_t i = 0; i < counters->n_entries; i++) {
		if (streq(counters->entries[i].lb_id, lb_id)) {
			entry_done(&counters->entries[i]);
			counters->dirty = true;
		} else {
			counters->entries[kept++] = counters->entries[i];
		}
	}
	counters->n_entries = kept;
}

void counters_clear(struct counters *counters)
{
	for (size_t i = 0; i < counters->n_entries; i++)
		entry_done(&counters->entries[i]);
	counters->n_entries = 0;
}

static void read_boot_id(char ret[COUNTERS_ID_SIZE])
{
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (fileio_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 4096, &text, &length) < 0 ||
		length < COUNTERS_ID_SIZE - 1)
		return;
	text[COUNTERS_ID_SIZE - 1] = '\0';
	if (text_is_uuid(text))
		memcpy(ret, text, COUNTERS_ID_SIZE);
}

int counters_new(int dir_fd, const char *name, struct counters **ret, struct error *err)
{
	_cleanup_(counters_freep) struct counters *counters = NULL;
	int r;

	counters = calloc(1, sizeof(*counters));
	if (!counters)
		return error_set_errno(err, -ENOMEM, "counters");
	counters->dir_fd = dir_fd;
	counters->name = strdup(name);
	if (!counters->name)
		return error_set_errno(err, -ENOMEM, "counters");
	read_boot_id(counters->boot_id);
	r = counters_load(counters);
	if (r < 0)
		return error_set_errno(err, r, "counters: %s", name);
	*ret = TAKE_PTR(counters);
	return 0;
}

void counters_free(struct counters *counters)
{
	if (!counters)
		return;
	counters_clear(counters);
	free(counters->entries);
	free(counters->name);
	free(counters);
}
