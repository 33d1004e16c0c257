/* SPDX-License-Identifier: Apache-2.0 */
#include "api/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "agent/base/process.h"
#include "api/thread.h"

enum {
	TICK_MS = 1000,
	LINGER_MS = 5000,
	LINGER_MAX = 64,   /* sockets; those over it are just closed */
	LINGER_READS = 16, /* of LINGER_BUFFER bytes, a socket's turn */
	LINGER_BUFFER = 16 * 1024,
};

struct kept {
	struct kept *previous, *next;
	int fd; /* the HTTP library's */
	bool stranger;
	int64_t deadline_ms;
};

struct lingering {
	int fd; /* owned */
	int64_t until_ms;
};

struct keeper {
	pthread_t thread;
	int wake_fd;
	pthread_mutex_t lock; /* protects what follows */
	bool ending;
	struct kept *first; /* the newest */
	size_t strangers, max_strangers;
	struct lingering lingering[LINGER_MAX]; /* others append, the thread removes */
	size_t n_lingering;
};

static void wake(struct keeper *keeper)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the thread is about to wake anyway.
	 */
	if (write(keeper->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* True when nothing more is to be expected. */
static bool discard_input(int fd)
{
	char buffer[LINGER_BUFFER];

	for (int i = 0; i < LINGER_READS; i++) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (n < 0)
			return errno != EAGAIN && errno != EINTR;
		if (n == 0)
			return true;
	}
	return false;
}

static void serve_lingering(struct keeper *keeper, int64_t now_ms)
{
	for (size_t i = 0; i < keeper->n_lingering;) {
		struct lingering *item = &keeper->lingering[i];

		if (!discard_input(item->fd) && now_ms < item->until_ms) {
			i++;
			continue;
		}
		close(item->fd);
		*item = keeper->lingering[--keeper->n_lingering];
	}
}

static void enforce_deadlines(struct keeper *keeper, int64_t now_ms)
{
	for (struct kept *kept = keeper->first; kept; kept = kept->next)
		if (kept->deadline_ms > 0 && now_ms >= kept->deadline_ms) {
			/* The library sees the end of the connection and closes it. */
			shutdown(kept->fd, SHUT_RDWR);
			kept->deadline_ms = 0;
		}
}

static void wait_for_events(struct pollfd *fds, size_t n, bool idle)
{
	uint64_t count;

	if (poll(fds, n, idle ? -1 : TICK_MS) > 0 && (fds[0].revents & POLLIN) &&
		read(fds[0].fd, &count, sizeof(count)) < 0)
		return;
}

static void *keep(void *argument)
{
	struct keeper *keeper = argument;
	struct pollfd fds[1 + LINGER_MAX] = {{.fd = keeper->wake_fd, .events = POLLIN}};

	pthread_mutex_lock(&keeper->lock);
	while (!keeper->ending) {
		size_t n = keeper->n_lingering;
		bool idle = !keeper->first && n == 0;
		int64_t now_ms;

		for (size_t i = 0; i < n; i++)
			fds[1 + i] =
				(struct pollfd){.fd = keeper->lingering[i].fd, .events = POLLIN};
		pthread_mutex_unlock(&keeper->lock);
		wait_for_events(fds, 1 + n, idle);
		now_ms = process_now_ms();
		pthread_mutex_lock(&keeper->lock);
		serve_lingering(keeper, now_ms);
		enforce_deadlines(keeper, now_ms);
	}
	pthread_mutex_unlock(&keeper->lock);
	return NULL;
}

int keeper_new(struct keeper **ret)
{
	_cleanup_free_ struct keeper *keeper = NULL;
	int r;

	keeper = calloc(1, sizeof(*keeper));
	if (!keeper)
		return -ENOMEM;
	keeper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (keeper->wake_fd < 0)
		return -errno;
	pthread_mutex_init(&keeper->lock, NULL);
	r = thread_start("http-keeper", keep, keeper, &keeper->thread);
	if (r < 0) {
		pthread_mutex_destroy(&keeper->lock);
		close(keeper->wake_fd);
		return r;
	}
	*ret = TAKE_PTR(keeper);
	return 0;
}

void keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return;
	pthread_mutex_lock(&keeper->lock);
	keeper->ending = true;
	pthread_mutex_unlock(&keeper->lock);
	wake(keeper);
	pthread_join(keeper->thread, NULL);
	while (keeper->first)
		keeper_remove(keeper, keeper->first);
	while (keeper->n_lingering > 0)
		close(keeper->lingering[--keeper->n_lingering].fd);
	pthread_mutex_destroy(&keeper->lock);
	close(keeper->wake_fd);
	free(keeper);
}

/* Makes room: the stranger that has been there for longest goes. A client that means it needs milliseconds. */
static void evict_stranger(struct keeper *keeper)
{
	struct kept *oldest = NULL;

	for (struct kept *kept = keeper->first; kept; kept = kept->next)
		if (kept->stranger)
			oldest = kept;
	if (!oldest)
		return;
	shutdown(oldest->fd, SHUT_RDWR);
	oldest->stranger = false;
	keeper->strangers--;
}

static void set_stranger(struct keeper *keeper, struct kept *kept, bool stranger)
{
	keeper->strangers += stranger;
	keeper->strangers -= kept->stranger;
	kept->stranger = stranger;
	if (stranger && keeper->strangers > keeper->max_strangers)
		evict_stranger(keeper);
}

void keeper_limit_strangers(struct keeper *keeper, size_t max)
{
	pthread_mutex_lock(&keeper->lock);
	keeper->max_strangers = max;
	pthread_mutex_unlock(&keeper->lock);
}

void keeper_set_stranger(struct keeper *keeper, struct kept *kept, bool stranger)
{
	if (!kept)
		return;
	pthread_mutex_lock(&keeper->lock);
	set_stranger(keeper, kept, stranger);
	pthread_mutex_unlock(&keeper->lock);
}

struct kept *keeper_add(struct keeper *keeper, int fd, int64_t deadline_ms)
{
	struct kept *kept;
	bool first;

	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return NULL;
	kept->fd = fd;
	kept->deadline_ms = deadline_ms;
	pthread_mutex_lock(&keeper->lock);
	first = !keeper->first;
	kept->next = keeper->first;
	if (kept->next)
		kept->next->previous = kept;
	keeper->first = kept;
	pthread_mutex_unlock(&keeper->lock);
	if (first)
		wake(keeper);
	return kept;
}

void keeper_set_deadline(struct keeper *keeper, struct kept *kept, int64_t deadline_ms)
{
	if (!kept)
		return;
	pthread_mutex_lock(&keeper->lock);
	kept->deadline_ms = deadline_ms;
	pthread_mutex_unlock(&keeper->lock);
}

void keeper_remove(struct keeper *keeper, struct kept *kept)
{
	if (!kept)
		return;
	pthread_mutex_lock(&keeper->lock);
	set_stranger(keeper, kept, false);
	if (kept->previous)
		kept->previous->next = kept->next;
	else
		keeper->first = kept->next;
	if (kept->next)
		kept->next->previous = kept->previous;
	pthread_mutex_unlock(&keeper->lock);
	free(kept);
}

void keeper_linger(struct keeper *keeper, int fd)
{
	_cleanup_close_ int copy = -1;

	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return;
	pthread_mutex_lock(&keeper->lock);
	if (keeper->n_lingering < LINGER_MAX)
		keeper->lingering[keeper->n_lingering++] =
			(struct lingering){TAKE_FD(copy), process_now_ms() + LINGER_MS};
	pthread_mutex_unlock(&keeper->lock);
	wake(keeper);
}
