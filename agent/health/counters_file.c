/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <jansson.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/health/counters_internal.h"

enum {
	FILE_VERSION = 1,
	FILE_LIMIT = 64 * 1024 * 1024, /* bytes: 1 000 listeners take about 0.5 MB */
};

static bool parse_values(const json_t *json, bool octavia, struct listener_totals *ret)
{
	if (!json_is_object(json))
		return false;
	COUNTERS_METRICS_FOREACH(metric)
	{
		const json_t *value =
			json_object_get(json, octavia ? metric->octavia_name : metric->name);

		/* Octavia's agent writes no counter that its HAProxy did not name. */
		if (!value && octavia)
			continue;
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return false;
		*counters_value(ret, metric) = (uint64_t)json_integer_value(value);
	}
	return true;
}

static int parse_worker(const json_t *json, struct counted_listener *entry)
{
	json_int_t pid = json_integer_value(json_object_get(json, "pid"));
	json_int_t start_time = json_integer_value(json_object_get(json, "start_time"));
	struct counted_worker worker = {.pid = (pid_t)pid, .start_time = (uint64_t)start_time};

	if (pid < 0 || pid > INT32_MAX || start_time < 0 ||
		!parse_values(json_object_get(json, "last"), false, &worker.last))
		return -EBADMSG;
	return counters_add_worker(entry, &worker);
}

static int parse_entry(struct counters *counters, const json_t *json, bool same_boot)
{
	const char *lb_id = json_string_value(json_object_get(json, "loadbalancer"));
	const char *listener_id = json_string_value(json_object_get(json, "listener"));
	const json_t *workers = json_object_get(json, "workers");
	struct listener_totals totals = {0}, sent = {0};
	const json_t *worker;
	struct counted_listener *entry;
	size_t i;
	int r;

	if (!lb_id || strlen(lb_id) >= COUNTERS_ID_SIZE || !listener_id ||
		!json_is_array(workers) ||
		!parse_values(json_object_get(json, "totals"), false, &totals) ||
		!parse_values(json_object_get(json, "sent"), false, &sent) ||
		!counters_not_behind(&totals, &sent) || counters_find(counters, lb_id, listener_id))
		return -EBADMSG;
	r = counters_ensure(counters, lb_id, listener_id, &entry);
	if (r < 0)
		return r;
	entry->totals = totals;
	entry->sent = sent;
	if (!same_boot)
		return 0;
	json_array_foreach (workers, i, worker) {
		r = parse_worker(worker, entry);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_ours(struct counters *counters, const json_t *json)
{
	const json_t *entries = json_object_get(json, "listeners");
	const char *boot_id = json_string_value(json_object_get(json, "boot_id"));
	const json_t *entry;
	size_t i;
	int r;

	if (json_integer_value(json_object_get(json, "version")) != FILE_VERSION || !boot_id ||
		!json_is_array(entries))
		return -EBADMSG;
	json_array_foreach (entries, i, entry) {
		r = parse_entry(counters, entry, streq(boot_id, counters->boot_id));
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_octavia(struct counters *counters, json_t *json)
{
	const char *listener_id;
	json_t *values;
	int r;

	json_object_foreach (json, listener_id, values) {
		struct listener_totals last = {0};
		struct counted_listener *entry;

		if (!parse_values(values, true, &last))
			return -EBADMSG;
		r = counters_ensure(counters, "", listener_id, &entry);
		if (r < 0)
			return r;
		entry->totals = last;
		entry->sent = last;
		r = counters_add_worker(entry, &(struct counted_worker){.last = last});
		if (r < 0)
			return r;
	}
	if (counters->n_entries > 0)
		log_notice("counters: going on from those of Octavia's agent (%zu listeners)",
			counters->n_entries);
	return 0;
}

static int parse(struct counters *counters, const char *text, size_t length)
{
	json_t *json;
	int r;

	json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json))
		r = -EBADMSG;
	else if (json_object_get(json, "version"))
		r = parse_ours(counters, json);
	else
		r = parse_octavia(counters, json);
	json_decref(json);
	return r;
}

static int set_aside(struct counters *counters)
{
	_cleanup_free_ char *name = NULL;
	int r;

	counters_clear(counters);
	if (asprintf(&name, "%s.corrupt", counters->name) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	r = fileio_rename(counters->dir_fd, counters->name, counters->dir_fd, name);
	if (r < 0)
		log_warning("counters: %s is not usable and could not be set aside (%s); counting "
			    "starts "
			    "anew",
			counters->name, strerror(-r));
	else
		log_warning("counters: %s is not usable; it is now %s, and counting starts anew",
			counters->name, name);
	return 0;
}

int counters_load(struct counters *counters)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = fileio_read(counters->dir_fd, counters->name, FILE_LIMIT, &text, &length);
	/* Octavia's agent creates its file empty, before it has anything to write. */
	if (r == -ENOENT || (r == 0 && length == 0))
		return 0;
	if (r == 0)
		r = parse(counters, text, length);
	if (r == -EBADMSG || r == -EFBIG || r == -EINVAL)
		return set_aside(counters);
	if (r < 0 && r != -ENOMEM) {
		log_warning("counters: %s cannot be read (%s); counting starts anew",
			counters->name, strerror(-r));
		return 0;
	}
	return r;
}

static json_t *values_to_json(const struct listener_totals *values)
{
	_cleanup_(json_decrefp) json_t *json = json_object();

	COUNTERS_METRICS_FOREACH(metric)
	{
		uint64_t value = counters_read(values, metric);

		if (json_object_set_new(json, metric->name,
			    json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value)) < 0)
			return NULL;
	}
	return TAKE_PTR(json);
}

static json_t *workers_to_json(const struct counted_listener *entry)
{
	_cleanup_(json_decrefp) json_t *json = json_array();

	for (size_t i = 0; i < entry->n_workers; i++) {
		const struct counted_worker *worker = &entry->workers[i];

		if (json_array_append_new(
			    json, json_pack("{s:i, s:I, s:o}", "pid", (int)worker->pid,
					  "start_time", (json_int_t)worker->start_time, "last",
					  values_to_json(&worker->last))) < 0)
			return NULL;
	}
	return TAKE_PTR(json);
}

static json_t *entry_to_json(const struct counted_listener *entry)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "loadbalancer", entry->lb_id, "listener",
		entry->listener_id, "totals", values_to_json(&entry->totals), "sent",
		values_to_json(&entry->sent), "workers", workers_to_json(entry));
}

int counters_prepare(struct counters *counters, struct fileio_pending *ret, struct error *err)
{
	_cleanup_(json_decrefp) json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	json_t *entries;
	int r;

	*ret = FILEIO_PENDING_INIT;
	if (!counters->dirty)
		return 0;
	json = json_pack("{s:i, s:s, s:[]}", "version", FILE_VERSION, "boot_id", counters->boot_id,
		"listeners");
	entries = json_object_get(json, "listeners");
	for (size_t i = 0; i < counters->n_entries; i++)
		if (json_array_append_new(entries, entry_to_json(&counters->entries[i])) < 0)
			return error_set_errno(err, -ENOMEM, "counters");
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!text)
		return error_set_errno(err, -ENOMEM, "counters");
	r = fileio_prepare(counters->dir_fd, counters->name, text, strlen(text), 0600, false, ret);
	if (r < 0)
		return error_set_errno(err, r, "counters: %s", counters->name);
	counters->dirty = false;
	return 0;
}

int counters_commit(struct counters *counters, struct fileio_pending *pending, struct error *err)
{
	int r = pending->name ? fileio_commit(pending, false) : 0;

	if (r == 0)
		return 0;
	counters->dirty = true;
	return error_set_errno(err, r, "counters: %s", counters->name);
}

void counters_abandon(struct counters *counters, struct fileio_pending *pending)
{
	counters->dirty |= pending->name != NULL;
	fileio_pending_done(pending);
}

int counters_save(struct counters *counters, struct error *err)
{
	struct fileio_pending pending;
	int r = counters_prepare(counters, &pending, err);

	return r < 0 ? r : counters_commit(counters, &pending, err);
}
