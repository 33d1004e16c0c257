/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Supervision without systemd: HAProxy masters started by us (master.c), watched through pidfds.
 *
 * One epoll instance is supervisor_fd(). It holds, level-triggered, the pidfd of every running
 * master and one timer for restarts and for the size of the log files.
 *
 * Locks. The supervisor's guards the list of units and their lives; it is held for moments only. A
 * unit's is held for as long as an operation on it takes, a stop included. Dispatch takes the first
 * and only tries the second: what a busy unit has to report stays readable in the epoll instance,
 * or is looked at again after BUSY_RETRY_MS. So whoever holds a unit's lock may take the
 * supervisor's, and nobody waits for a unit's while holding the supervisor's. An operation that can
 * take long takes its pidfd out of the epoll instance first, so that the main thread does not spin.
 * An event is but a hint: whether the process has ended is asked again under the unit's lock. The
 * callback is called with no lock held, so it may call any operation.
 */

#include "agent/supervisor/supervisor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/supervisor/master.h"
#include "agent/supervisor/output.h"
#include "agent/supervisor/report.h"

enum {
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS = 30 * 1000,
	STABLE_MS = 60 * 1000,       /* after a longer run the back-off begins anew */
	HOUSEKEEPING_MS = 60 * 1000, /* between two looks at the log files */
	BUSY_RETRY_MS = 50,
	EVENTS_MAX = 64,
};

struct unit {
	struct supervisor_unit base; /* first: the caller's handle */
	struct unit *next;           /* guarded by the supervisor's lock */
	_Atomic pid_t pid;           /* the master's, 0 while there is none */
	_Atomic unsigned restarts;

	pthread_mutex_t lock; /* guards what follows */
	struct master master;
	int64_t started_ms;    /* or adopted */
	unsigned failures;     /* ends in a row without a stable run between them */
	int64_t restart_at_ms; /* 0: no restart is pending */
	bool stopped;          /* on purpose: its end is no news */
};

struct direct {
	struct supervisor base; /* first */
	supervisor_callback on_event;
	void *userdata;
	int epoll_fd, timer_fd;
	pthread_mutex_t lock; /* guards what follows */
	struct unit *units;
	int64_t housekeeping_at_ms;
};

static struct direct *direct_of(struct supervisor *s)
{
	return (struct direct *)s;
}

static struct unit *unit_of(struct supervisor_unit *u)
{
	return (struct unit *)u;
}

static void enqueue(
	struct report_queue *queue, struct unit *u, enum supervisor_event event, int delay_ms)
{
	const struct supervisor_report report = {
		.event = event, .lb_id = u->master.spec.lb_id, .pid = u->master.pid, .delay_ms = delay_ms};
	char *messages = NULL;

	if (output_tail(u->master.spec.log_file, u->master.output_since, &messages) < 0)
		messages = NULL;
	report_enqueue(queue, &report, messages, NULL, 0);
}

static int watch(struct unit *u)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = u};
	struct direct *d = direct_of(u->base.supervisor);

	return epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, u->master.pidfd, &event) < 0 ? -errno : 0;
}

static void unwatch(struct unit *u)
{
	struct direct *d = direct_of(u->base.supervisor);

	if (u->master.pidfd >= 0)
		epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, u->master.pidfd, NULL);
}

static void set_timer(struct direct *d, int64_t at_ms)
{
	int64_t left = at_ms - process_now_ms();
	struct itimerspec spec = {0};

	if (left < 1)
		left = 1; /* 0 would disarm it */
	spec.it_value.tv_sec = (time_t)(left / 1000);
	spec.it_value.tv_nsec = (long)(left % 1000) * 1000000;
	timerfd_settime(d->timer_fd, 0, &spec, NULL);
}

/* What follows up to dispatch() wants the unit's lock held. */

static int spawn(struct unit *u, struct error *err)
{
	int r;

	r = master_spawn(&u->master, err);
	if (r < 0)
		return r;
	r = watch(u);
	if (r < 0) {
		master_stop(&u->master, 0, NULL);
		return error_set_errno(err, r, "watching HAProxy");
	}
	u->started_ms = process_now_ms();
	u->restart_at_ms = 0;
	u->pid = u->master.pid;
	return 0;
}

static int schedule_restart(struct unit *u)
{
	int delay_ms = BACKOFF_FIRST_MS;

	for (unsigned i = 0; i < u->failures && delay_ms < BACKOFF_MAX_MS; i++)
		delay_ms *= 2;
	if (delay_ms > BACKOFF_MAX_MS)
		delay_ms = BACKOFF_MAX_MS;
	u->failures++;
	u->restart_at_ms = process_now_ms() + delay_ms;
	return delay_ms;
}

/* A master ended without being asked to. Returns the delay before its restart. */
static int note_end(struct unit *u)
{
	char how[96];
	int delay_ms;

	if (process_now_ms() - u->started_ms > STABLE_MS)
		u->failures = 0;
	delay_ms = schedule_restart(u);
	master_describe_end(&u->master, how, sizeof(how));
	log_lb(LOG_ERR, u->master.spec.lb_id, "HAProxy (process %d) %s; restart in %d ms",
		(int)u->master.pid, how, delay_ms);
	return delay_ms;
}

static void forget(struct unit *u)
{
	unwatch(u);
	master_forget(&u->master);
	u->pid = 0;
}

static void check_end(struct unit *u, struct report_queue *queue)
{
	int delay_ms;

	if (u->master.pidfd < 0 || master_runs(&u->master))
		return;
	if (!u->stopped) {
		delay_ms = note_end(u);
		enqueue(queue, u, SUPERVISOR_EXITED, delay_ms);
	}
	forget(u);
}

static void check_restart(struct unit *u, struct report_queue *queue)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	int delay_ms;

	if (u->restart_at_ms == 0 || u->restart_at_ms > process_now_ms())
		return;
	if (spawn(u, &err) == 0) {
		u->restarts++;
		log_lb(LOG_NOTICE, u->master.spec.lb_id, "HAProxy was restarted (process %d)",
			(int)u->master.pid);
		enqueue(queue, u, SUPERVISOR_RESTARTED, 0);
		return;
	}
	delay_ms = schedule_restart(u);
	log_lb(LOG_ERR, u->master.spec.lb_id,
		"HAProxy could not be restarted: %s; next try in %d ms", error_message(&err),
		delay_ms);
	enqueue(queue, u, SUPERVISOR_FAILED, delay_ms);
}

static void trim_log(struct unit *u)
{
	int r = output_trim(u->master.spec.log_file, &u->master.output_since);

	if (r < 0)
		log_lb(LOG_WARNING, u->master.spec.lb_id, "%s: %s", u->master.spec.log_file,
			strerror(-r));
}

/* Restarts that are due, and the size of the log files. Returns when to look again. */
static int64_t check_units(struct direct *d, struct report_queue *queue)
{
	int64_t now = process_now_ms(), next;
	bool housekeeping = now >= d->housekeeping_at_ms;

	if (housekeeping)
		d->housekeeping_at_ms = now + HOUSEKEEPING_MS;
	next = d->housekeeping_at_ms;
	for (struct unit *u = d->units; u; u = u->next) {
		int64_t at_ms;

		if (pthread_mutex_trylock(&u->lock) != 0) {
			if (next > now + BUSY_RETRY_MS)
				next = now + BUSY_RETRY_MS;
			continue;
		}
		check_restart(u, queue);
		if (housekeeping)
			trim_log(u);
		at_ms = u->restart_at_ms;
		pthread_mutex_unlock(&u->lock);
		if (at_ms != 0 && at_ms < next)
			next = at_ms;
	}
	return next;
}

static void direct_dispatch(struct supervisor *s)
{
	struct direct *d = direct_of(s);
	struct epoll_event events[EVENTS_MAX];
	struct report_queue queue = REPORT_QUEUE_INIT;
	uint64_t expirations;
	int n;

	pthread_mutex_lock(&d->lock);
	n = epoll_wait(d->epoll_fd, events, EVENTS_MAX, 0);
	for (int i = 0; i < n; i++) {
		struct unit *u = events[i].data.ptr;

		if (!u) {
			if (read(d->timer_fd, &expirations, sizeof(expirations)) < 0)
				continue; /* set anew meanwhile */
		} else if (pthread_mutex_trylock(&u->lock) == 0) {
			check_end(u, &queue);
			pthread_mutex_unlock(&u->lock);
		}
	}
	set_timer(d, check_units(d, &queue));
	pthread_mutex_unlock(&d->lock);
	report_deliver(&queue, d->on_event, d->userdata, NULL);
}

static void unit_free(struct unit *u)
{
	master_done(&u->master);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
DEFINE_CLEANUP(struct unit *, unit_free);

/* Of what the option said before, or of a namespace that was deleted: nobody reaches it there. 0, or -ESRCH if none is
 * left to adopt. */
static int stop_elsewhere(struct master *m, struct error *err)
{
	int r;

	if (!master_is_elsewhere(m))
		return 0;
	log_lb(LOG_NOTICE, m->spec.lb_id,
		"HAProxy (process %d) runs in another network namespace than it shall: stopping it",
		(int)m->pid);
	r = master_stop(m, 0, err);
	return r < 0 ? r : -ESRCH;
}

static int direct_adopt(struct supervisor *s, const struct supervisor_spec *spec,
	struct supervisor_unit **ret, struct error *err)
{
	_cleanup_(unit_freep) struct unit *u = NULL;
	struct direct *d = direct_of(s);
	int r;

	u = calloc(1, sizeof(*u));
	if (!u)
		return error_set_errno(err, -ENOMEM, "%s", spec->lb_id);
	u->base.supervisor = s;
	u->master.pidfd = -1;
	pthread_mutex_init(&u->lock, NULL);
	r = master_init(&u->master, spec, err);
	if (r < 0)
		return r;
	r = master_find(&u->master, err);
	if (r == 0)
		r = stop_elsewhere(&u->master, err);
	if (r < 0 && r != -ESRCH)
		return r;

	HOLD(lock, &d->lock);
	if (r == 0) {
		r = watch(u);
		if (r < 0)
			return error_set_errno(err, r, "watching HAProxy");
		u->started_ms = process_now_ms();
		u->pid = u->master.pid;
		log_lb(LOG_NOTICE, spec->lb_id, "HAProxy runs already (process %d)",
			(int)u->master.pid);
	}
	u->next = d->units;
	d->units = u;
	*ret = &TAKE_PTR(u)->base;
	return 0;
}

static int direct_start(struct supervisor_unit *base, struct error *err)
{
	struct direct *d = direct_of(base->supervisor);
	struct unit *u = unit_of(base);
	int r;

	HOLD(unit_lock, &u->lock);
	if (master_runs(&u->master))
		return error_set_errno(err, -EALREADY, "HAProxy of %s runs", u->master.spec.lb_id);
	if (u->master.pidfd >= 0) {
		if (!u->stopped)
			note_end(u);
		forget(u);
	}
	u->failures = 0;
	r = spawn(u, err);
	if (r < 0) {
		/* A restart that was pending stays so, and dispatch may not know of it yet. */
		HOLD(lock, &d->lock);
		if (u->restart_at_ms != 0)
			set_timer(d, process_now_ms());
		return r;
	}
	u->stopped = false;
	return 0;
}

static int direct_reload(struct supervisor_unit *base, struct error *err)
{
	struct unit *u = unit_of(base);

	HOLD(unit_lock, &u->lock);
	return master_reload(&u->master, err);
}

static int direct_stop(struct supervisor_unit *base, int graceful_ms, struct error *err)
{
	struct unit *u = unit_of(base);
	int r;

	HOLD(unit_lock, &u->lock);
	u->stopped = true;
	u->restart_at_ms = 0;
	unwatch(u);
	r = master_stop(&u->master, graceful_ms, err);
	if (r < 0 && u->master.pidfd >= 0 && watch(u) < 0)
		log_lb(LOG_ERR, u->master.spec.lb_id, "HAProxy (process %d) is no longer watched",
			(int)u->master.pid);
	u->pid = u->master.pid;
	return r;
}

/* Nothing of ours is started at boot but amphorad. */
static int direct_disable(struct supervisor_unit *base, struct error *err)
{
	(void)base;
	(void)err;
	return 0;
}

/* Dispatch may not have seen an end yet (before the main loop runs, it never does), so whoever waits for HAProxy asks the
 * pidfd too. A unit that is busy answers from what is known. */
static pid_t direct_pid(struct supervisor_unit *base)
{
	struct unit *u = unit_of(base);
	pid_t pid = u->pid;

	if (pid != 0 && pthread_mutex_trylock(&u->lock) == 0) {
		if (!master_runs(&u->master))
			pid = 0;
		pthread_mutex_unlock(&u->lock);
	}
	return pid;
}

static unsigned direct_restarts(struct supervisor_unit *u)
{
	return unit_of(u)->restarts;
}

static int direct_messages(struct supervisor_unit *base, char **ret_text)
{
	struct unit *u = unit_of(base);

	HOLD(unit_lock, &u->lock);
	return output_tail(u->master.spec.log_file, u->master.output_since, ret_text);
}

static void direct_release(struct supervisor_unit *base)
{
	struct unit *u = unit_of(base);
	struct direct *d;

	if (!u)
		return;
	d = direct_of(base->supervisor);
	pthread_mutex_lock(&d->lock);
	for (struct unit **p = &d->units; *p; p = &(*p)->next) {
		if (*p == u) {
			*p = u->next;
			break;
		}
	}
	unwatch(u);
	pthread_mutex_unlock(&d->lock);
	unit_free(u);
}

static int direct_fd(struct supervisor *s)
{
	return direct_of(s)->epoll_fd;
}

static void direct_free(struct supervisor *s)
{
	struct direct *d = direct_of(s);

	if (!d)
		return;
	while (d->units)
		direct_release(&d->units->base);
	close_keep_errno(d->timer_fd);
	close_keep_errno(d->epoll_fd);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
DEFINE_CLEANUP(struct supervisor *, direct_free);

static const struct supervisor_operations direct_operations = {
	.name = "direct",
	.adopt = direct_adopt,
	.start = direct_start,
	.reload = direct_reload,
	.stop = direct_stop,
	.disable = direct_disable,
	.pid = direct_pid,
	.restarts = direct_restarts,
	.messages = direct_messages,
	.release = direct_release,
	.fd = direct_fd,
	.dispatch = direct_dispatch,
	.free = direct_free,
};

int supervisor_direct_new(
	supervisor_callback on_event, void *userdata, struct supervisor **ret, struct error *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	_cleanup_(direct_freep) struct supervisor *s = NULL;
	struct direct *d;

	d = calloc(1, sizeof(*d));
	if (!d)
		return error_set_errno(err, -ENOMEM, "supervisor");
	s = &d->base;
	d->base.operations = &direct_operations;
	d->on_event = on_event;
	d->userdata = userdata;
	pthread_mutex_init(&d->lock, NULL);
	d->timer_fd = -1;
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll_fd < 0)
		return error_set_errno(err, -errno, "supervisor: epoll");
	d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->timer_fd < 0 || epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, d->timer_fd, &event) < 0)
		return error_set_errno(err, -errno, "supervisor: timer");
	d->housekeeping_at_ms = process_now_ms() + HOUSEKEEPING_MS;
	set_timer(d, d->housekeeping_at_ms);
	*ret = TAKE_PTR(s);
	return 0;
}
