/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "agent/base/fileio.h"
#include "agent/base/lock.h"
#include "api/workers.h"

/*
 * How many threads there are, and that nothing waits for one that may be started.
 */

enum { MAX = 3, JOBS = 10, WAIT_S = 20 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned inside, most, done; /* jobs */
	bool open;                   /* they may end */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_to_begin_with),
		cmocka_unit_test_setup(test_as_many_as_are_busy, set_up),
		cmocka_unit_test_setup(test_the_queue_is_worked_off, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
