/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/health/counters.h"

#define NAME "stats_counters.json"
#define LB "11111111-0000-4000-8000-000000000001"
#define LISTENER "22222222-0000-4000-8000-000000000001"

struct fixture {
	char path[256];
	int fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	if (!f)
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/counters-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(f->path))
		return -1;
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return f->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fileio_remove_tree(AT_FDCWD, f->path);
	close(f->fd);
	free(f);
	return 0;
}

static struct counters *load(const struct fixture *f)
{
	struct counters *counters = NULL;

	assert_int_equal(counters_new(f->fd, NAME, &counters, NULL), 0);
	return counters;
}

static void put(const struct fixture *f, const char *text)
{
	assert_int_equal(fileio_write(f->fd, NAME, text, strlen(text), 0600), 0);
}

static void sample(
	struct counters *c, pid_t pid, uint64_t start, uint64_t bytes_in, uint64_t connections)
{
	assert_int_equal(counters_sample(c, LB, LISTENER, pid, start,
				 &(struct listener_totals){
					 .bytes_in = bytes_in,
					 .bytes_out = 2 * bytes_in,
					 .total_connections = connections,
				 }),
		0);
}

static void assert_total(const struct counters *c, uint64_t bytes_in, uint64_t connections)
{
	struct listener_totals totals = counters_totals(c, LB, LISTENER);

	assert_int_equal(totals.bytes_in, bytes_in);
	assert_int_equal(totals.bytes_out, 2 * bytes_in);
	assert_int_equal(totals.total_connections, connections);
	assert_int_equal(totals.request_errors, 0);
}

static void test_workers(void **state)
{
	_cleanup_(counters_freep) struct counters *c = load(*state);

	assert_int_equal(counters_totals(c, LB, LISTENER).bytes_in, 0);
	sample(c, 100, 1, 10, 1);
	sample(c, 100, 1, 15, 2);
	assert_total(c, 15, 2);
	/* A reload: the new worker starts at 0, the old one goes on. */
	sample(c, 200, 2, 3, 1);
	sample(c, 100, 1, 16, 2);
	assert_total(c, 19, 3);
	/* "clear counters all". */
	sample(c, 200, 2, 1, 0);
	assert_total(c, 20, 3);
	/* The same number, another process. */
	sample(c, 200, 9, 5, 4);
	assert_total(c, 25, 7);
	/* A start time that could not be read is no other process. */
	sample(c, 200, 0, 6, 4);
	assert_int_equal(counters_totals(c, LB, LISTENER).bytes_in, 26);
}

static void test_ended_workers(void **state)
{
	_cleanup_(counters_freep) struct counters *c = load(*state);
	const pid_t pids[] = {200};
	const uint64_t starts[] = {2};

	sample(c, 100, 1, 10, 1);
	sample(c, 200, 2, 10, 1);
	counters_keep_workers(c, LB, pids, starts, 1);
	assert_total(c, 20, 2);
	sample(c, 200, 2, 12, 1);
	assert_total(c, 22, 2);
	/* Forgotten, so it is a new one. */
	sample(c, 100, 1, 10, 1);
	assert_total(c, 32, 3);
}

static void test_unsent(void **state)
{
	_cleanup_(counters_freep) struct counters *c = load(*state);
	struct listener_totals unsent;

	sample(c, 100, 1, 10, 1);
	unsent = counters_unsent(c, LB, LISTENER);
	assert_int_equal(unsent.bytes_in, 10);
	/* What comes between the message and its success stays unsent. */
	sample(c, 100, 1, 14, 3);
	counters_mark_sent(c, LB, LISTENER, &unsent);
	unsent = counters_unsent(c, LB, LISTENER);
	assert_int_equal(unsent.bytes_in, 4);
	assert_int_equal(unsent.total_connections, 2);
	assert_total(c, 14, 3);
	counters_mark_sent(c, LB, "unknown", &unsent);
	/* The next one is sent and does not arrive. */
	counters_mark_sent(c, LB, LISTENER, &unsent);
	assert_int_equal(counters_unsent(c, LB, LISTENER).bytes_in, 0);
	counters_mark_lost(c, LB, LISTENER, &unsent);
	counters_mark_lost(c, LB, "unknown", &unsent);
	assert_int_equal(counters_unsent(c, LB, LISTENER).bytes_in, 4);
	assert_int_equal(counters_unsent(c, LB, LISTENER).total_connections, 2);
	assert_int_equal(counters_totals(c, LB, "unknown").bytes_in, 0);
}

/* In two steps: a file that is not put in its place changes nothing, and is written again. */
static void test_two_steps(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = load(f);
	_cleanup_(counters_freep) struct counters *again = NULL;
	struct fileio_pending pending;

	sample(c, 100, 1, 10, 1);
	assert_int_equal(counters_save(c, NULL), 0);
	sample(c, 100, 1, 15, 1);
	assert_int_equal(counters_prepare(c, &pending, NULL), 0);
	again = load(f);
	assert_int_equal(counters_totals(again, LB, LISTENER).bytes_in, 10);
	counters_freep(&again);

	counters_abandon(c, &pending);
	assert_int_equal(counters_prepare(c, &pending, NULL), 0);
	assert_int_equal(counters_commit(c, &pending, NULL), 0);
	again = load(f);
	assert_int_equal(counters_totals(again, LB, LISTENER).bytes_in, 15);
	/* Nothing to write. */
	assert_int_equal(counters_prepare(c, &pending, NULL), 0);
	assert_null(pending.name);
	assert_int_equal(counters_commit(c, &pending, NULL), 0);
}

static void test_persistence(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = load(f);
	struct listener_totals unsent;
	struct stat st;

	/* Nothing counted, nothing written. */
	assert_int_equal(counters_save(c, NULL), 0);
	assert_int_equal(fstatat(f->fd, NAME, &st, 0), -1);

	sample(c, 100, 1, 10, 1);
	unsent = counters_unsent(c, LB, LISTENER);
	counters_mark_sent(c, LB, LISTENER, &unsent);
	sample(c, 100, 1, 15, 1);
	assert_int_equal(counters_save(c, NULL), 0);
	assert_int_equal(fstatat(f->fd, NAME, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	/* Unchanged, not written again. */
	assert_int_equal(unlinkat(f->fd, NAME, 0), 0);
	sample(c, 100, 1, 15, 1);
	assert_int_equal(counters_save(c, NULL), 0);
	assert_int_equal(fstatat(f->fd, NAME, &st, 0), -1);
	sample(c, 100, 1, 16, 1);
	assert_int_equal(counters_save(c, NULL), 0);

	counters_free(TAKE_PTR(c));
	c = load(f);
	assert_total(c, 16, 1);
	assert_int_equal(counters_unsent(c, LB, LISTENER).bytes_in, 6);
	/* The same worker goes on from what it had said. */
	sample(c, 100, 1, 20, 2);
	assert_total(c, 20, 2);
}

static void test_reboot(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = NULL;

	put(f, "{\"version\":1,\"boot_id\":\"00000000-0000-4000-8000-000000000000\",\"listeners\":["
	       "{"
	       "\"loadbalancer\":\"" LB "\",\"listener\":\"" LISTENER "\","
	       "\"totals\":{\"bytes_in\":10,\"bytes_out\":20,\"total_connections\":1,\"request_"
	       "errors\":"
	       "0},"
	       "\"sent\":{\"bytes_in\":10,\"bytes_out\":20,\"total_connections\":1,\"request_"
	       "errors\":0},"
	       "\"workers\":[{\"pid\":100,\"start_time\":1,\"last\":{\"bytes_in\":10,\"bytes_out\":"
	       "20,"
	       "\"total_connections\":1,\"request_errors\":0}}]}]}");
	c = load(f);
	assert_total(c, 10, 1);
	/* The same pid and start time after a reboot: another worker, all it says is new. */
	sample(c, 100, 1, 12, 2);
	assert_total(c, 22, 3);
}

static void test_octavia_same_worker(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = NULL;

	put(f, "{\"" LISTENER
	       "\": {\"bin\": 10, \"bout\": 20, \"stot\": 3, \"ereq\": 0}, \"gone\": {}}");
	c = load(f);
	sample(c, 100, 1, 12, 4);
	assert_total(c, 12, 4);
	assert_int_equal(counters_unsent(c, LB, LISTENER).bytes_in, 2);
	assert_int_equal(counters_unsent(c, LB, LISTENER).total_connections, 1);
	/* Survives in our own format, for listeners that were not seen yet as well. */
	assert_int_equal(
		counters_sample(c, LB, "gone", 100, 1, &(struct listener_totals){.bytes_in = 1}),
		0);
	assert_int_equal(counters_save(c, NULL), 0);
	counters_free(TAKE_PTR(c));
	c = load(f);
	sample(c, 100, 1, 13, 4);
	assert_total(c, 13, 4);
}

static void test_octavia_unseen_is_kept(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = NULL;

	put(f, "{\"" LISTENER "\": {\"bin\": 10, \"bout\": 20, \"stot\": 3, \"ereq\": 0}}");
	c = load(f);
	assert_int_equal(counters_sample(c, LB, "a", 100, 1, &(struct listener_totals){0}), 0);
	assert_int_equal(counters_save(c, NULL), 0);
	counters_free(TAKE_PTR(c));
	c = load(f);
	sample(c, 100, 1, 12, 4);
	assert_int_equal(counters_unsent(c, LB, LISTENER).bytes_in, 2);
}

static void test_octavia_other_worker(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = NULL;
	const pid_t pids[] = {300, 200};
	const uint64_t starts[] = {3, 2};

	put(f, "{\"" LISTENER "\": {\"bin\": 10, \"bout\": 20, \"stot\": 3, \"ereq\": 0}}");
	c = load(f);
	/* Reloaded meanwhile: the new worker is behind, the old one goes on from there. */
	sample(c, 200, 2, 4, 1);
	sample(c, 100, 1, 11, 3);
	assert_total(c, 15, 4);
	assert_int_equal(counters_unsent(c, LB, LISTENER).bytes_in, 5);
	/* It was taken: another worker cannot have it too. */
	counters_keep_workers(c, LB, pids, starts, 2);
	sample(c, 300, 3, 50, 9);
	assert_total(c, 65, 13);
}

static void test_set_aside(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"{",
		"[]",
		"{\"version\":2,\"boot_id\":\"\",\"listeners\":[]}",
		"{\"version\":1,\"boot_id\":\"\",\"listeners\":[{}]}",
		"{\"version\":1,\"boot_id\":\"\",\"listeners\":[{\"loadbalancer\":\"a\","
		"\"listener\":\"b\","
		"\"totals\":{\"bytes_in\":-1,\"bytes_out\":0,\"total_connections\":0,\"request_"
		"errors\":0},"
		"\"sent\":{\"bytes_in\":0,\"bytes_out\":0,\"total_connections\":0,\"request_"
		"errors\":0},"
		"\"workers\":[]}]}",
		"{\"" LISTENER "\": {\"bin\": 10}, \"other\": 5}",
		"{\"" LISTENER "\": {\"bin\": 1.5}}",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_(counters_freep) struct counters *c = NULL;
		_cleanup_free_ char *aside = NULL;
		struct stat st;

		put(f, bad[i]);
		c = load(f);
		assert_int_equal(counters_totals(c, LB, LISTENER).bytes_in, 0);
		assert_int_equal(fstatat(f->fd, NAME, &st, 0), -1);
		assert_int_equal(fileio_read(f->fd, NAME ".corrupt", 4096, &aside, NULL), 0);
		assert_string_equal(aside, bad[i]);
		sample(c, 100, 1, 10, 1);
		assert_total(c, 10, 1);
		assert_int_equal(counters_save(c, NULL), 0);
	}
}

static void test_empty_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = NULL;
	struct stat st;

	put(f, "");
	c = load(f);
	assert_int_equal(fstatat(f->fd, NAME ".corrupt", &st, 0), -1);
	sample(c, 100, 1, 10, 1);
	assert_total(c, 10, 1);
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = load(f);
	char id[16];

	/* In an order that is not the sorted one. */
	for (unsigned i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "%u", (i * 37) % 500);
		assert_int_equal(counters_sample(c, i % 2 ? "a" : "b", id, 1, 1,
					 &(struct listener_totals){.bytes_in = i}),
			0);
	}
	assert_int_equal(counters_save(c, NULL), 0);
	counters_free(TAKE_PTR(c));
	c = load(f);
	counters_forget(c, "a");
	for (unsigned i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "%u", (i * 37) % 500);
		assert_int_equal(counters_totals(c, i % 2 ? "a" : "b", id).bytes_in, i % 2 ? 0 : i);
	}
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	_cleanup_(counters_freep) struct counters *c = load(f);
	const struct listener_totals huge = {.bytes_in = UINT64_MAX};

	assert_int_equal(counters_sample(c, LB, LISTENER, 1, 1, &huge), 0);
	assert_int_equal(counters_sample(c, LB, LISTENER, 2, 1, &huge), 0);
	assert_int_equal(counters_totals(c, LB, LISTENER).bytes_in, INT64_MAX);
	assert_int_equal(counters_save(c, NULL), 0);
	counters_free(TAKE_PTR(c));
	c = load(f);
	assert_int_equal(counters_totals(c, LB, LISTENER).bytes_in, INT64_MAX);
	assert_int_equal(counters_sample(c, LB LB, LISTENER, 1, 1, &huge), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_workers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ended_workers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_persistence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reboot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_octavia_same_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_octavia_unseen_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_octavia_other_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
