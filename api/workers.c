/* SPDX-License-Identifier: Apache-2.0 */
#include "api/workers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/fileio.h"
#include "agent/base/lock.h"
#include "agent/base/process.h"
#include "api/thread.h"

enum { STATUS_MAX = 16 * 1024 };
static const uint64_t unseen = UINT64_MAX;

struct worker {
	struct workers *workers;
	pthread_t thread;
	pid_t tid;         /* as in /proc */
	bool busy;
	int64_t moved_ms;  /* it was seen to get on; when it took its work at the earliest */
	uint64_t switches; /* as they were then, or "unseen" */
};

struct workers {
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t changed;
	struct work *first, *last;
	bool ending;
	unsigned waiting; /* threads, for work */
	unsigned queued;  /* work that none of them has taken yet */
	unsigned n, max;  /* threads that were started, that may be */
	int64_t looked_ms; /* workers_hang() did; 0: never */
	void (*run)(struct work *work);
	struct worker threads[];
};

static void begin(struct worker *own)
{
	own->moved_ms = process_now_ms();
	own->switches = unseen;
	own->busy = true;
}

static void *worker(void *argument)
{
	struct worker *own = argument;
	struct workers *workers = own->workers;

	pthread_mutex_lock(&workers->lock);
	own->tid = gettid();
	for (;;) {
		struct work *work = workers->first;

		if (!work) {
			if (workers->ending)
				break;
			workers->waiting++;
			pthread_cond_wait(&workers->changed, &workers->lock);
			workers->waiting--;
			continue;
		}
		workers->first = work->next;
		if (!workers->first)
			workers->last = NULL;
		workers->queued--;
		begin(own);
		pthread_mutex_unlock(&workers->lock);
		workers->run(work);
		pthread_mutex_lock(&workers->lock);
		own->busy = false;
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

static int add_thread(struct workers *workers)
{
	struct worker *added = &workers->threads[workers->n];
	int r;

	added->workers = workers;
	r = thread_start("http-worker", worker, added, &added->thread);
	if (r >= 0)
		workers->n++;
	return r;
}

int workers_new(unsigned max, void (*run)(struct work *work), struct workers **ret)
{
	_cleanup_(workers_freep) struct workers *workers = NULL;
	int r;

	workers = calloc(1, sizeof(*workers) + max * sizeof(workers->threads[0]));
	if (!workers)
		return -ENOMEM;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->changed, NULL);
	workers->run = run;
	workers->max = max;
	r = add_thread(workers);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(workers);
	return 0;
}

void workers_push(struct workers *workers, struct work *work)
{
	work->next = NULL;
	pthread_mutex_lock(&workers->lock);
	if (workers->last)
		workers->last->next = work;
	else
		workers->first = work;
	workers->last = work;
	workers->queued++;
	/* Without another thread it waits for one of those that are there. */
	if (workers->queued > workers->waiting && workers->n < workers->max)
		(void)add_thread(workers);
	pthread_cond_signal(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

void workers_free(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->ending = true;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->n; i++)
		pthread_join(workers->threads[i].thread, NULL);
	pthread_cond_destroy(&workers->changed);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

/* How often the thread has waited for something, and went on: proc(5), "voluntary_ctxt_switches". */
static uint64_t read_switches(pid_t tid)
{
	static const char name[] = "\nvoluntary_ctxt_switches:";
	_cleanup_free_ char *text = NULL;
	const char *found;
	char path[64];
	size_t length;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
	if (fileio_read(AT_FDCWD, path, STATUS_MAX, &text, &length) < 0)
		return unseen;
	found = strstr(text, name);
	return found ? strtoull(found + strlen(name), NULL, 10) : unseen;
}

/* Looks at a thread only if it is at the same work for some time. */
static void look(struct worker *one, int64_t now_ms)
{
	uint64_t switches;

	if (now_ms - one->moved_ms < WORKERS_LOOK_MS)
		return;
	switches = read_switches(one->tid);
	/* What cannot be seen is not judged. */
	if (switches == unseen || switches != one->switches)
		one->moved_ms = now_ms;
	one->switches = switches;
}

bool workers_hang(struct workers *workers, int64_t now_ms)
{
	int64_t oldest_ms = now_ms, newest_ms = 0;
	unsigned busy = 0;
	bool asleep;

	HOLD(lock, &workers->lock);
	/* The machine, or the caller, stood still itself: nobody else could get on, either. */
	asleep = workers->looked_ms == 0 || now_ms - workers->looked_ms > WORKERS_LOOK_MS;
	workers->looked_ms = now_ms;
	for (unsigned i = 0; i < workers->n; i++) {
		struct worker *one = &workers->threads[i];

		if (!one->busy)
			continue;
		if (asleep)
			one->moved_ms = now_ms;
		look(one, now_ms);
		busy++;
		oldest_ms = one->moved_ms < oldest_ms ? one->moved_ms : oldest_ms;
		newest_ms = one->moved_ms > newest_ms ? one->moved_ms : newest_ms;
	}
	return busy > 0 && (now_ms - newest_ms > WORKERS_ALL_STUCK_MS || now_ms - oldest_ms > WORKERS_ONE_STUCK_MS);
}
