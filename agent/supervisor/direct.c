/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Supervision without systemd: HAProxy masters started by us (master.c), watched through pidfds.
 *
 * One epoll instance is supervisor_fd(). It holds, level-triggered, the pidfd of every running
 * master and one timer for restarts and for the size of the log files.
 *
 * An operation that can take long takes its pidfd out of the epoll instance first, so that the main thread does not spin.
 * What a busy unit has to report stays readable there (locks: common.h). An event is but a hint: whether the process has
 * ended is asked again under the unit's lock.
 */

#include "agent/supervisor/common.h"

#include <string.h>
#include <sys/epoll.h>

#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/supervisor/backoff.h"
#include "agent/supervisor/output.h"
#include "agent/supervisor/report.h"

enum {
	HOUSEKEEPING_MS = 60 * 1000, /* between two looks at the log files */
	EVENTS_MAX = 64,
};

struct unit {
	struct common_unit common; /* first; its lock guards what follows */
	struct master master;
	struct backoff backoff;
	bool stopped; /* on purpose: its end is no news */
};

struct direct {
	struct common_supervisor common; /* first; its lock guards what follows */
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
	return common_add_fd(&direct_of(u->common.base.supervisor)->common, u->master.pidfd, u);
}

static void unwatch(struct unit *u)
{
	struct direct *d = direct_of(u->common.base.supervisor);

	if (u->master.pidfd >= 0)
		epoll_ctl(d->common.epoll_fd, EPOLL_CTL_DEL, u->master.pidfd, NULL);
}

static void set_timer(struct direct *d, int64_t at_ms)
{
	int64_t left_ms = at_ms - process_now_ms();

	common_set_timer(&d->common, left_ms < 1 ? 1 : left_ms); /* 0 would disarm it */
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
	backoff_started(&u->backoff);
	u->common.pid = u->master.pid;
	return 0;
}

/* A master ended without being asked to. Returns the delay before its restart. */
static int note_end(struct unit *u)
{
	char how[96];
	int delay_ms = backoff_ended_ms(&u->backoff);

	master_describe_end(&u->master, how, sizeof(how));
	log_lb(LOG_ERR, u->master.spec.lb_id, "HAProxy (process %d) %s; restart in %d ms",
		(int)u->master.pid, how, delay_ms);
	return delay_ms;
}

static void forget(struct unit *u)
{
	unwatch(u);
	master_forget(&u->master);
	u->common.pid = 0;
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

	if (!backoff_is_due(&u->backoff))
		return;
	if (spawn(u, &err) == 0) {
		u->common.restarts++;
		log_lb(LOG_NOTICE, u->master.spec.lb_id, "HAProxy was restarted (process %d)",
			(int)u->master.pid);
		enqueue(queue, u, SUPERVISOR_RESTARTED, 0);
		return;
	}
	delay_ms = backoff_failed_ms(&u->backoff);
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
	for (struct common_unit *c = d->common.units; c; c = c->next) {
		struct unit *u = (struct unit *)c;
		int64_t at_ms;

		if (pthread_mutex_trylock(&c->lock) != 0) {
			if (next > now + BUSY_RETRY_MS)
				next = now + BUSY_RETRY_MS;
			continue;
		}
		check_restart(u, queue);
		if (housekeeping)
			trim_log(u);
		at_ms = u->backoff.restart_at_ms;
		pthread_mutex_unlock(&c->lock);
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

	pthread_mutex_lock(&d->common.lock);
	n = epoll_wait(d->common.epoll_fd, events, EVENTS_MAX, 0);
	for (int i = 0; i < n; i++) {
		struct unit *u = events[i].data.ptr;

		if (!u) {
			if (read(d->common.timer_fd, &expirations, sizeof(expirations)) < 0)
				continue; /* set anew meanwhile */
		} else if (pthread_mutex_trylock(&u->common.lock) == 0) {
			check_end(u, &queue);
			pthread_mutex_unlock(&u->common.lock);
		}
	}
	set_timer(d, check_units(d, &queue));
	pthread_mutex_unlock(&d->common.lock);
	report_deliver(&queue, d->common.on_event, d->common.userdata, NULL);
}

static void unit_free(struct unit *u)
{
	master_done(&u->master);
	common_unit_done(&u->common);
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
	common_unit_init(&u->common, s, &u->master);
	r = master_init(&u->master, spec, err);
	if (r < 0)
		return r;
	r = master_find(&u->master, err);
	if (r == 0)
		r = stop_elsewhere(&u->master, err);
	if (r < 0 && r != -ESRCH)
		return r;

	HOLD(lock, &d->common.lock);
	if (r == 0) {
		r = watch(u);
		if (r < 0)
			return error_set_errno(err, r, "watching HAProxy");
		backoff_started(&u->backoff);
		u->common.pid = u->master.pid;
		log_lb(LOG_NOTICE, spec->lb_id, "HAProxy runs already (process %d)",
			(int)u->master.pid);
	}
	common_link(&d->common, &u->common);
	*ret = &TAKE_PTR(u)->common.base;
	return 0;
}

static int direct_start(struct supervisor_unit *base, struct error *err)
{
	struct direct *d = direct_of(base->supervisor);
	struct unit *u = unit_of(base);
	int r;

	HOLD(unit_lock, &u->common.lock);
	if (master_runs(&u->master))
		return error_set_errno(err, -EALREADY, "HAProxy of %s runs", u->master.spec.lb_id);
	if (u->master.pidfd >= 0) {
		if (!u->stopped)
			note_end(u);
		forget(u);
	}
	u->backoff.failures = 0;
	r = spawn(u, err);
	if (r < 0) {
		/* A restart that was pending stays so, and dispatch may not know of it yet. */
		HOLD(lock, &d->common.lock);
		if (u->backoff.restart_at_ms != 0)
			set_timer(d, process_now_ms());
		return r;
	}
	u->stopped = false;
	return 0;
}

static int direct_reload(struct supervisor_unit *base, struct error *err)
{
	struct unit *u = unit_of(base);

	HOLD(unit_lock, &u->common.lock);
	return master_reload(&u->master, err);
}

static int direct_stop(struct supervisor_unit *base, int graceful_ms, struct error *err)
{
	struct unit *u = unit_of(base);
	int r;

	HOLD(unit_lock, &u->common.lock);
	u->stopped = true;
	u->backoff.restart_at_ms = 0;
	unwatch(u);
	r = master_stop(&u->master, graceful_ms, err);
	if (r < 0 && u->master.pidfd >= 0 && watch(u) < 0)
		log_lb(LOG_ERR, u->master.spec.lb_id, "HAProxy (process %d) is no longer watched",
			(int)u->master.pid);
	u->common.pid = u->master.pid;
	return r;
}

/* Nothing of ours is started at boot but amphorad. */
static int direct_disable(struct supervisor_unit *base, struct error *err)
{
	(void)base;
	(void)err;
	return 0;
}

static int direct_messages(struct supervisor_unit *base, char **ret_text)
{
	struct unit *u = unit_of(base);

	HOLD(unit_lock, &u->common.lock);
	return output_tail(u->master.spec.log_file, u->master.output_since, ret_text);
}

static void direct_release(struct supervisor_unit *base)
{
	struct unit *u = unit_of(base);
	struct direct *d;

	if (!u)
		return;
	d = direct_of(base->supervisor);
	pthread_mutex_lock(&d->common.lock);
	common_unlink(&d->common, &u->common);
	unwatch(u);
	pthread_mutex_unlock(&d->common.lock);
	unit_free(u);
}

static void direct_free(struct supervisor *s)
{
	if (!s)
		return;
	common_done(&direct_of(s)->common);
	free(s);
}
DEFINE_CLEANUP(struct supervisor *, direct_free);

static const struct supervisor_operations direct_operations = {
	.name = "direct",
	.adopt = direct_adopt,
	.start = direct_start,
	.reload = direct_reload,
	.stop = direct_stop,
	.disable = direct_disable,
	.pid = common_pid,
	.restarts = common_restarts,
	.messages = direct_messages,
	.release = direct_release,
	.fd = common_fd,
	.dispatch = direct_dispatch,
	.free = direct_free,
};

int supervisor_direct_new(
	supervisor_callback on_event, void *userdata, struct supervisor **ret, struct error *err)
{
	_cleanup_(direct_freep) struct supervisor *s = NULL;
	struct direct *d;
	int r;

	d = calloc(1, sizeof(*d));
	if (!d)
		return error_set_errno(err, -ENOMEM, "supervisor");
	s = &d->common.base;
	r = common_init(&d->common, &direct_operations, on_event, userdata, err);
	if (r < 0)
		return r;
	d->housekeeping_at_ms = process_now_ms() + HOUSEKEEPING_MS;
	set_timer(d, d->housekeeping_at_ms);
	*ret = TAKE_PTR(s);
	return 0;
}
