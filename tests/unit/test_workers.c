/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/fileio.h"
#include "agent/base/lock.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "api/thread.h"
#include "api/workers.h"

/*
 * How many threads there are, that nothing waits for one that may be started, and that those that hang are seen.
 */

enum { MAX = 3, JOBS = 10, WAIT_S = 20 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned inside, most, done; /* jobs */
	bool open;                   /* they may end */
	unsigned turns;              /* that the job that moves was given, and has taken */
	unsigned moved;
	pid_t stuck_tid;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static pthread_mutex_t never = PTHREAD_MUTEX_INITIALIZER;

struct job {
	struct work work;
	bool moves; /* or waits for "never" */
};

static void pass(struct work *work)
{
	(void)work;
	HOLD(lock, &gate.lock);
	gate.inside++;
	if (gate.inside > gate.most)
		gate.most = gate.inside;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.open)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.inside--;
	gate.done++;
	pthread_cond_broadcast(&gate.changed);
}

static bool wait_for(const unsigned *value, unsigned wanted)
{
	struct timespec until;
	int r = 0;

	HOLD(lock, &gate.lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	while (*value != wanted && r == 0)
		r = pthread_cond_timedwait(&gate.changed, &gate.lock, &until);
	return *value == wanted;
}

static void set_open(bool open)
{
	HOLD(lock, &gate.lock);
	gate.open = open;
	pthread_cond_broadcast(&gate.changed);
}

static unsigned count_threads(void)
{
	_cleanup_closedir_ DIR *folder = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(folder);
	for (struct dirent *entry; (entry = readdir(folder));)
		n += entry->d_name[0] != '.';
	return n;
}

static int set_up(void **state)
{
	struct workers *workers = NULL;

	gate.inside = gate.most = gate.done = 0;
	gate.open = false;
	if (workers_new(MAX, pass, &workers) < 0)
		return -1;
	*state = workers;
	return 0;
}

/* The first test: a thread that has been joined may still be shown for a moment. */
static void test_one_to_begin_with(void **state)
{
	unsigned before = count_threads();

	assert_int_equal(set_up(state), 0);
	assert_int_equal(count_threads(), before + 1);
	workers_free(*state);
}

static void test_as_many_as_are_busy(void **state)
{
	struct workers *workers = *state;
	struct work jobs[JOBS];

	for (unsigned i = 0; i < MAX; i++)
		workers_push(workers, &jobs[i]);
	assert_true(wait_for(&gate.inside, MAX));
	/* The rest waits for them. */
	for (unsigned i = MAX; i < JOBS; i++)
		workers_push(workers, &jobs[i]);
	set_open(true);
	assert_true(wait_for(&gate.done, JOBS));
	assert_int_equal(gate.most, MAX);
	workers_free(workers);
}

static void test_the_queue_is_worked_off(void **state)
{
	struct workers *workers = *state;
	struct work jobs[JOBS];

	for (unsigned i = 0; i < JOBS; i++)
		workers_push(workers, &jobs[i]);
	set_open(true);
	workers_free(workers);
	assert_int_equal(gate.done, JOBS);
}

static const struct timespec pause_time = {.tv_nsec = 1000 * 1000};

static void hang_or_move(struct work *work)
{
	if (!((struct job *)work)->moves) {
		{
			HOLD(lock, &gate.lock);
			gate.stuck_tid = gettid();
			gate.inside = 1;
			pthread_cond_broadcast(&gate.changed);
		}
		pthread_mutex_lock(&never);
		pthread_mutex_unlock(&never);
		HOLD(lock, &gate.lock);
		gate.done = 1;
		pthread_cond_broadcast(&gate.changed);
		return;
	}
	for (bool open = false; !open;) {
		nanosleep(&pause_time, NULL);
		HOLD(lock, &gate.lock);
		gate.moved = gate.turns;
		open = gate.open;
		pthread_cond_broadcast(&gate.changed);
	}
}

static void give_turn(void)
{
	unsigned turns;

	{
		HOLD(lock, &gate.lock);
		turns = ++gate.turns;
	}
	assert_true(wait_for(&gate.moved, turns));
}

static void wait_until_stuck(void)
{
	_cleanup_free_ char *path = NULL;
	bool asleep = false;

	assert_true(wait_for(&gate.inside, 1));
	assert_true(asprintf(&path, "/proc/self/task/%d/stat", (int)gate.stuck_tid) > 0);
	for (int i = 0; !asleep && i < WAIT_S * 1000; i++) {
		_cleanup_free_ char *stat = NULL;
		size_t length;

		nanosleep(&pause_time, NULL);
		assert_int_equal(fileio_read(AT_FDCWD, path, 4096, &stat, &length), 0);
		asleep = strstr(stat, ") S ") != NULL;
	}
	assert_true(asleep);
}

/* After how long the threads are said to hang, as seen by somebody who looks every 20 s; 0: not within "most_ms". */
static int64_t time_to_hang(struct workers *workers, bool moves, int64_t from_ms, int64_t most_ms)
{
	for (int64_t ms = 0; ms <= most_ms; ms += 20 * 1000) {
		if (moves)
			give_turn();
		if (workers_hang(workers, from_ms + ms))
			return ms;
	}
	return 0;
}

static void test_hanging(void **state)
{
	struct job stuck = {.moves = false}, moving = {.moves = true};
	int64_t now_ms = process_now_ms(), hang_ms;
	struct workers *workers = NULL;

	(void)state;
	gate.open = false;
	gate.inside = gate.done = 0;
	assert_int_equal(workers_new(MAX, hang_or_move, &workers), 0);
	/* Without work there is nothing to hang at. */
	assert_int_equal(time_to_hang(workers, false, now_ms, 2 * WORKERS_ONE_STUCK_MS), 0);

	pthread_mutex_lock(&never);
	workers_push(workers, &stuck.work);
	wait_until_stuck();
	now_ms += 2 * WORKERS_ONE_STUCK_MS;
	hang_ms = time_to_hang(workers, false, now_ms, 2 * WORKERS_ALL_STUCK_MS);
	assert_in_range(hang_ms, WORKERS_ALL_STUCK_MS, WORKERS_ALL_STUCK_MS + 2 * WORKERS_LOOK_MS);

	/* Time that nobody looked is not counted. */
	now_ms += hang_ms + 2 * WORKERS_ONE_STUCK_MS;
	assert_false(workers_hang(workers, now_ms));

	/* Another one gets on: that may be what it waits for, but not for ever. */
	workers_push(workers, &moving.work);
	hang_ms = time_to_hang(workers, true, now_ms, 2 * WORKERS_ONE_STUCK_MS);
	assert_in_range(hang_ms, WORKERS_ONE_STUCK_MS, WORKERS_ONE_STUCK_MS + 2 * WORKERS_LOOK_MS);

	/* It goes on after all. */
	pthread_mutex_unlock(&never);
	assert_true(wait_for(&gate.done, 1));
	now_ms += hang_ms;
	assert_int_equal(time_to_hang(workers, true, now_ms, 2 * WORKERS_ONE_STUCK_MS), 0);
	set_open(true);
	workers_free(workers);
}

enum { NESTED = 3000 }; /* more than JSON_PARSER_MAX_DEPTH of jansson */

static void *parse_nested(void *argument)
{
	json_t *json = json_loads(argument, 0, NULL);

	json_decref(json);
	return json;
}

/* Half of the stack is enough for what recurses deepest, so that other compilers' frames have room. */
static void test_room_for_nested_documents(void **state _unused_)
{
	static const char *const opening[] = {"[", "{\"a\":"};
	pthread_attr_t attributes;

	assert_int_equal(pthread_attr_init(&attributes), 0);
	assert_int_equal(pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES / 2), 0);
	for (size_t i = 0; i < ELEMENTSOF(opening); i++) {
		_cleanup_text_ struct text document = TEXT_INIT;
		void *parsed = &document;
		pthread_t thread;

		for (int depth = 0; depth < NESTED; depth++)
			text_append(&document, opening[i]);
		assert_false(document.failed);
		assert_int_equal(pthread_create(&thread, &attributes, parse_nested, document.data), 0);
		assert_int_equal(pthread_join(thread, &parsed), 0);
		assert_null(parsed);
	}
	pthread_attr_destroy(&attributes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_to_begin_with),
		cmocka_unit_test(test_hanging),
		cmocka_unit_test(test_room_for_nested_documents),
		cmocka_unit_test_setup(test_as_many_as_are_busy, set_up),
		cmocka_unit_test_setup(test_the_queue_is_worked_off, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
