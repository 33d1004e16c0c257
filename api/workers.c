/* SPDX-License-Identifier: Apache-2.0 */
#include "api/workers.h"

#include <pthread.h>
#include <stdbool.h>

#include "api/thread.h"

struct workers {
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t changed;
	struct work *first, *last;
	bool ending;
	unsigned waiting; /* threads, for work */
	unsigned queued;  /* work that none of them has taken yet */
	unsigned n, max;  /* threads that were started, that may be */
	void (*run)(struct work *work);
	pthread_t threads[];
};

static void *worker(void *argument)
{
	struct workers *workers = argument;

	pthread_mutex_lock(&workers->lock);
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
		pthread_mutex_unlock(&workers->lock);
		workers->run(work);
		pthread_mutex_lock(&workers->lock);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

static int add_thread(struct workers *workers)
{
	int r = thread_start("http-worker", worker, workers, &workers->threads[workers->n]);

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
		pthread_join(workers->threads[i], NULL);
	pthread_cond_destroy(&workers->changed);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}
