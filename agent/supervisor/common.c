/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/common.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

int common_init(struct common_supervisor *s, const struct supervisor_operations *operations,
	supervisor_callback on_event, void *userdata, struct error *err)
{
	int r;

	s->base.operations = operations;
	s->on_event = on_event;
	s->userdata = userdata;
	pthread_mutex_init(&s->lock, NULL);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = s->timer_fd < 0 ? -errno : 0;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		r = -errno;
	if (r == 0)
		r = common_add_fd(s, s->timer_fd, NULL);
	return r < 0 ? error_set_errno(err, r, "supervisor") : 0;
}

void common_done(struct common_supervisor *s)
{
	while (s->units)
		s->base.operations->release(&s->units->base);
	close_keep_errno(s->timer_fd);
	close_keep_errno(s->epoll_fd);
	pthread_mutex_destroy(&s->lock);
}

int common_add_fd(struct common_supervisor *s, int fd, void *data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void common_set_timer(struct common_supervisor *s, int64_t delay_ms)
{
	struct itimerspec spec = {0};

	spec.it_value.tv_sec = (time_t)(delay_ms / 1000);
	spec.it_value.tv_nsec = (long)(delay_ms % 1000) * 1000000;
	timerfd_settime(s->timer_fd, 0, &spec, NULL);
}

void common_unit_init(struct common_unit *u, struct supervisor *s, struct master *master)
{
	u->base.supervisor = s;
	u->master = master;
	master->pidfd = -1;
	pthread_mutex_init(&u->lock, NULL);
}

void common_unit_done(struct common_unit *u)
{
	pthread_mutex_destroy(&u->lock);
}

void common_link(struct common_supervisor *s, struct common_unit *u)
{
	u->next = s->units;
	s->units = u;
}

void common_unlink(struct common_supervisor *s, const struct common_unit *u)
{
	for (struct common_unit **p = &s->units; *p; p = &(*p)->next)
		if (*p == u) {
			*p = u->next;
			return;
		}
}

/* Dispatch may not have seen an end yet (before the main loop runs, it never does), so whoever waits for HAProxy asks the
 * pidfd too. A unit that is busy answers from what is known. */
pid_t common_pid(struct supervisor_unit *base)
{
	struct common_unit *u = (struct common_unit *)base;
	pid_t pid = u->pid;

	if (pid != 0 && pthread_mutex_trylock(&u->lock) == 0) {
		if (!master_runs(u->master))
			pid = 0;
		pthread_mutex_unlock(&u->lock);
	}
	return pid;
}

unsigned common_restarts(struct supervisor_unit *u)
{
	return ((struct common_unit *)u)->restarts;
}

int common_fd(struct supervisor *s)
{
	return ((struct common_supervisor *)s)->epoll_fd;
}
