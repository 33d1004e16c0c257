/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Supervision by systemd: one instance of amphora-haproxy@.service a load balancer. systemd starts
 * it at boot, restarts it and keeps what it writes in the journal; we ask over the system bus and
 * tell what happened.
 *
 * What is specific to a load balancer stands in the unit's environment file (environment.c). The
 * master's pid is the unit's main process; a reload is the signal that the direct supervisor sends,
 * too (master.c).
 *
 * One epoll instance is supervisor_fd(). It holds the connection that signals arrive on, a timer
 * and an eventfd with which other threads wake the main thread. A signal is but a hint that a unit
 * has changed: its state is then asked for, under the unit's lock, so that neither a late signal
 * nor one about an operation of ours is taken for news. Operations open a connection each, because
 * a connection belongs to one thread.
 *
 * The supervisor's lock (common.h) guards the connection for signals, too.
 *
 * Source: org.freedesktop.systemd1(5), systemd.service(5).
 */

#include "agent/supervisor/common.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/supervisor/journal.h"
#include "agent/supervisor/report.h"
#include "agent/supervisor/systemd_bus.h"
#include "agent/supervisor/systemd_unit.h"

enum {
	CALL_TIMEOUT_MS = 25 * 1000, /* the manager answers nobody while it reads its unit files */
	LOOK_TIMEOUT_MS = 1000,      /* of a call that the main thread waits for */
	RETRY_MS = 1000, /* when systemd or the bus does not answer */
};

struct unit {
	struct common_unit common; /* first; its lock guards what follows, but the unit's names, which never change */
	_Atomic bool changed;      /* not guarded: its state has to be looked at */
	struct systemd_unit unit;
	pid_t told;          /* the master that callers know of, 0: none */
	unsigned n_restarts; /* systemd's count when we last looked */
	unsigned n_ended;    /* and when HAProxy, or a try to restart it, last ended */
	unsigned failures;   /* such tries in a row */
	bool stopped;        /* on purpose: that it does not run is no news */
};

struct systemd {
	struct common_supervisor common; /* first */
	struct bus_watch watch;
	int wake_fd;
	struct sd_bus *bus; /* NULL while there is no connection; guarded by the supervisor's lock */
};

static struct systemd *systemd_of(struct supervisor *s)
{
	return (struct systemd *)s;
}

static struct unit *unit_of(struct supervisor_unit *u)
{
	return (struct unit *)u;
}

static struct unit *first(const struct systemd *d)
{
	return (struct unit *)d->common.units;
}

static struct unit *next(const struct unit *u)
{
	return (struct unit *)u->common.next;
}

static void enqueue(struct report_queue *queue, const struct unit *u, enum supervisor_event event,
	pid_t pid, int delay_ms)
{
	const struct supervisor_report report = {
		.event = event, .lb_id = u->unit.master.spec.lb_id, .pid = pid, .delay_ms = delay_ms};

	report_enqueue(queue, &report, NULL, u->unit.name, u->unit.since_us);
}

static void wake(struct systemd *d)
{
	eventfd_write(d->wake_fd, 1);
}

static void drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* What follows up to on_change() wants the unit's lock held. */

static int refresh(
	struct unit *u, struct sd_bus *bus, struct bus_unit_state *ret, struct error *err)
{
	int r = systemd_unit_refresh(&u->unit, bus, ret, err);

	u->common.pid = u->unit.master.pid;
	return r;
}

/* The state that callers know of from now on. */
static void settle(struct unit *u, const struct bus_unit_state *state)
{
	u->told = u->unit.master.pid;
	u->n_restarts = u->n_ended = state->restarts;
	u->failures = 0;
	u->stopped = state->ended;
}

static void report_end(
	struct unit *u, const struct bus_unit_state *state, struct report_queue *queue)
{
	log_lb(LOG_ERR, u->unit.master.spec.lb_id, "HAProxy (process %d) ended%s", (int)u->told,
		state->ended ? "; systemd does not restart it" : "; systemd restarts it");
	enqueue(queue, u, SUPERVISOR_EXITED, u->told, state->restart_delay_ms);
	u->told = 0;
	u->n_ended = state->restarts;
	u->stopped = state->ended; /* by someone else: until it is started again */
}

/* One line of the first failure, the second, the fourth and so on: systemd tries for ever. */
static void report_failure(
	struct unit *u, const struct bus_unit_state *state, struct report_queue *queue)
{
	unsigned failures = ++u->failures;

	u->n_ended = state->restarts;
	u->unit.since_us = state->started_us;
	if ((failures & (failures - 1)) != 0)
		return;
	log_lb(LOG_ERR, u->unit.master.spec.lb_id, "HAProxy could not be restarted (%u times)",
		failures);
	enqueue(queue, u, SUPERVISOR_FAILED, 0, state->restart_delay_ms);
}

static void report_restart(
	struct unit *u, const struct bus_unit_state *state, struct report_queue *queue)
{
	u->unit.since_us = state->started_us;
	u->told = u->unit.master.pid;
	u->stopped = false;
	u->failures = 0;
	log_lb(LOG_NOTICE, u->unit.master.spec.lb_id, "HAProxy was restarted (process %d)",
		(int)u->told);
	enqueue(queue, u, SUPERVISOR_RESTARTED, u->told, 0);
}

static void compare(struct unit *u, const struct bus_unit_state *state, struct report_queue *queue)
{
	if (state->restarts > u->n_restarts)
		u->common.restarts += state->restarts - u->n_restarts;
	u->n_restarts = state->restarts;
	if (u->told != 0 && u->told != u->unit.master.pid)
		report_end(u, state, queue);
	if (state->up && u->unit.master.pid != 0 && u->unit.master.pid != u->told)
		report_restart(u, state, queue);
	/* A restart is counted when it is queued; it may still do well until the unit waits again. */
	else if ((state->waits || state->ended) && !u->stopped && state->restarts > u->n_ended)
		report_failure(u, state, queue);
}

/* Called by bus_process() in dispatch, with the supervisor's lock held. */
static void on_change(void *userdata, const char *path)
{
	struct systemd *d = userdata;

	for (struct unit *u = first(d); u; u = next(u))
		if (streq(u->unit.path, path))
			u->changed = true;
}

static int connect_bus(struct systemd *d, struct error *err)
{
	_cleanup_bus_ struct sd_bus *bus = NULL;
	int r;

	r = bus_open(LOOK_TIMEOUT_MS, &bus, err);
	if (r == 0)
		r = bus_watch_services(bus, &d->watch, err);
	if (r < 0)
		return r;
	r = common_add_fd(&d->common, bus_fd(bus), NULL);
	if (r < 0)
		return error_set_errno(err, r, "supervisor: epoll");
	d->bus = TAKE_PTR(bus);
	return 0;
}

static void disconnect(struct systemd *d, int r)
{
	log_error("the connection to systemd is lost: %s", strerror(-r));
	epoll_ctl(d->common.epoll_fd, EPOLL_CTL_DEL, bus_fd(d->bus), NULL);
	bus_close(TAKE_PTR(d->bus));
}

static int reconnect(struct systemd *d)
{
	int r = connect_bus(d, NULL);

	if (r < 0)
		return r;
	log_notice("connected to systemd again");
	for (struct unit *u = first(d); u; u = next(u))
		u->changed = true;
	return 0;
}

/* Looks at units that have changed. 0, 1 if one is busy, or a negative errno if the manager does
 * not tell: then some are left for later. */
static int look_at_units(struct systemd *d, struct report_queue *queue)
{
	int r, result = 0;

	for (struct unit *u = first(d); u; u = next(u)) {
		struct bus_unit_state state;

		if (!u->changed)
			continue;
		if (pthread_mutex_trylock(&u->common.lock) != 0) {
			if (result == 0)
				result = 1;
			continue;
		}
		u->changed = false;
		r = refresh(u, d->bus, &state, NULL);
		if (r == 0)
			compare(u, &state, queue);
		else
			u->changed = true;
		pthread_mutex_unlock(&u->common.lock);
		if (r < 0)
			result = r;
		if (r == -ETIMEDOUT)
			break; /* not one timeout after the other */
	}
	return result;
}

/* Handles what was received, and what was received while it asked for more: the socket does not
 * tell of that again. Returns when to come back, 0 for when something is received. */
static int look(struct systemd *d, struct report_queue *queue)
{
	int r, result = 0;

	r = bus_process(d->bus);
	if (r >= 0) {
		result = look_at_units(d, queue);
		r = bus_process(d->bus);
	}
	if (r < 0) {
		disconnect(d, r);
		return RETRY_MS;
	}
	for (struct unit *u = first(d); u && result == 0; u = next(u))
		result = u->changed;
	return result < 0 ? RETRY_MS : result > 0 ? BUSY_RETRY_MS : 0;
}

static void systemd_dispatch(struct supervisor *s)
{
	struct systemd *d = systemd_of(s);
	struct report_queue queue = REPORT_QUEUE_INIT;

	drain(d->common.timer_fd);
	drain(d->wake_fd);
	pthread_mutex_lock(&d->common.lock);
	if (d->bus || reconnect(d) == 0)
		common_set_timer(&d->common, look(d, &queue));
	else
		common_set_timer(&d->common, RETRY_MS);
	pthread_mutex_unlock(&d->common.lock);
	report_deliver(&queue, d->common.on_event, d->common.userdata, journal_read);
}

static void unit_free(struct unit *u)
{
	systemd_unit_done(&u->unit);
	common_unit_done(&u->common);
	free(u);
}
DEFINE_CLEANUP(struct unit *, unit_free);

static int unit_new(struct supervisor *s, const struct supervisor_spec *spec, struct unit **ret,
	struct error *err)
{
	_cleanup_(unit_freep) struct unit *u = NULL;
	int r;

	u = calloc(1, sizeof(*u));
	if (!u)
		return error_set_errno(err, -ENOMEM, "%s", spec->lb_id);
	common_unit_init(&u->common, s, &u->unit.master);
	r = systemd_unit_init(&u->unit, spec, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(u);
	return 0;
}

/* As the direct supervisor does. Until it is ready, it may still be on its way there. */
static int stop_elsewhere(
	struct unit *u, struct sd_bus *bus, struct bus_unit_state *state, struct error *err)
{
	int r;

	if (!state->up || !master_is_elsewhere(&u->unit.master))
		return 0;
	log_lb(LOG_NOTICE, u->unit.master.spec.lb_id,
		"HAProxy (process %d) runs in another network namespace than it shall: stopping it",
		(int)u->unit.master.pid);
	r = systemd_unit_stop(&u->unit, bus, 0, err);
	return r < 0 ? r : refresh(u, bus, state, err);
}

static int systemd_adopt(struct supervisor *s, const struct supervisor_spec *spec,
	struct supervisor_unit **ret, struct error *err)
{
	_cleanup_(unit_freep) struct unit *u = NULL;
	_cleanup_bus_ struct sd_bus *bus = NULL;
	struct systemd *d = systemd_of(s);
	struct bus_unit_state state;
	int r;

	r = unit_new(s, spec, &u, err);
	if (r == 0)
		r = bus_open(CALL_TIMEOUT_MS, &bus, err);
	if (r == 0)
		r = refresh(u, bus, &state, err);
	/* The next restart, which is not ours, shall be of what we were told now. */
	if (r == 0 && !state.ended)
		r = systemd_unit_configure(&u->unit, err);
	if (r == 0)
		r = stop_elsewhere(u, bus, &state, err);
	if (r < 0)
		return r;
	settle(u, &state);
	u->unit.since_us = state.started_us;
	if (u->common.pid != 0)
		log_lb(LOG_NOTICE, spec->lb_id, "HAProxy runs already (process %d)", (int)u->common.pid);

	HOLD(lock, &d->common.lock);
	u->changed = true; /* nobody listened since we asked */
	common_link(&d->common, &u->common);
	wake(d);
	*ret = &TAKE_PTR(u)->common.base;
	return 0;
}

/* After an operation, also after one that failed. Without an answer, dispatch asks again. */
static void settle_now(struct unit *u, struct sd_bus *bus)
{
	struct bus_unit_state state;

	if (refresh(u, bus, &state, NULL) == 0)
		settle(u, &state);
	else
		u->changed = true;
}

static int systemd_start(struct supervisor_unit *base, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_bus_ struct sd_bus *bus = NULL;
	struct unit *u = unit_of(base);
	int r;

	HOLD(unit_lock, &u->common.lock);
	if (master_runs(&u->unit.master))
		return error_set_errno(
			err, -EALREADY, "HAProxy of %s runs", u->unit.master.spec.lb_id);
	r = bus_open(CALL_TIMEOUT_MS, &bus, err);
	if (r < 0)
		return r;
	r = systemd_unit_start(&u->unit, bus, err);
	settle_now(u, bus);
	if (r < 0)
		return r;
	/* It serves. At boot amphorad itself would start it, only later. */
	if (bus_set_enabled(bus, u->unit.name, true, &problem) < 0)
		log_lb(LOG_WARNING, u->unit.master.spec.lb_id, "%s is not started at boot: %s",
			u->unit.name, error_message(&problem));
	return 0;
}

static int systemd_reload(struct supervisor_unit *base, struct error *err)
{
	_cleanup_bus_ struct sd_bus *bus = NULL;
	struct unit *u = unit_of(base);
	struct bus_unit_state state;
	int r;

	HOLD(unit_lock, &u->common.lock);
	if (!master_runs(&u->unit.master)) {
		r = bus_open(CALL_TIMEOUT_MS, &bus, err);
		if (r == 0)
			r = refresh(u, bus, &state, err);
		if (r < 0)
			return r;
	}
	systemd_unit_mark(&u->unit);
	return master_reload(&u->unit.master, err);
}

static int systemd_stop(struct supervisor_unit *base, int graceful_ms, struct error *err)
{
	_cleanup_bus_ struct sd_bus *bus = NULL;
	struct unit *u = unit_of(base);
	int r;

	HOLD(unit_lock, &u->common.lock);
	r = bus_open(CALL_TIMEOUT_MS, &bus, err);
	if (r < 0)
		return r;
	r = systemd_unit_stop(&u->unit, bus, graceful_ms, err);
	settle_now(u, bus);
	return r;
}

static int systemd_disable(struct supervisor_unit *base, struct error *err)
{
	_cleanup_bus_ struct sd_bus *bus = NULL;
	struct unit *u = unit_of(base);
	int r;

	HOLD(unit_lock, &u->common.lock);
	r = bus_open(CALL_TIMEOUT_MS, &bus, err);
	return r < 0 ? r : systemd_unit_disable(&u->unit, bus, err);
}

static int systemd_messages(struct supervisor_unit *base, char **ret_text)
{
	struct unit *u = unit_of(base);

	HOLD(unit_lock, &u->common.lock);
	return systemd_unit_messages(&u->unit, ret_text);
}

static void systemd_release(struct supervisor_unit *base)
{
	struct unit *u = unit_of(base);
	struct systemd *d;

	if (!u)
		return;
	d = systemd_of(base->supervisor);
	pthread_mutex_lock(&d->common.lock);
	common_unlink(&d->common, &u->common);
	pthread_mutex_unlock(&d->common.lock);
	unit_free(u);
}

static void systemd_free(struct supervisor *s)
{
	struct systemd *d = systemd_of(s);

	if (!d)
		return;
	common_done(&d->common);
	if (d->bus)
		bus_close(d->bus);
	close_keep_errno(d->wake_fd);
	free(d);
}
DEFINE_CLEANUP(struct supervisor *, systemd_free);

static const struct supervisor_operations systemd_operations = {
	.name = "systemd",
	.adopt = systemd_adopt,
	.start = systemd_start,
	.reload = systemd_reload,
	.stop = systemd_stop,
	.disable = systemd_disable,
	.pid = common_pid,
	.restarts = common_restarts,
	.messages = systemd_messages,
	.release = systemd_release,
	.fd = common_fd,
	.dispatch = systemd_dispatch,
	.free = systemd_free,
};

bool supervisor_systemd_is_running(void)
{
	/* As sd_booted(3) does it. */
	return access("/run/systemd/system/", F_OK) == 0;
}

int supervisor_systemd_new(
	supervisor_callback on_event, void *userdata, struct supervisor **ret, struct error *err)
{
	_cleanup_(systemd_freep) struct supervisor *s = NULL;
	struct systemd *d;
	int r;

	d = calloc(1, sizeof(*d));
	if (!d)
		return error_set_errno(err, -ENOMEM, "supervisor");
	s = &d->common.base;
	d->watch = (struct bus_watch){on_change, d};
	d->wake_fd = -1;
	r = common_init(&d->common, &systemd_operations, on_event, userdata, err);
	if (r < 0)
		return r;
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = d->wake_fd < 0 ? -errno : common_add_fd(&d->common, d->wake_fd, NULL);
	if (r < 0)
		return error_set_errno(err, r, "supervisor: eventfd");
	r = connect_bus(d, err);
	if (r < 0)
		return r;
	wake(d);
	*ret = TAKE_PTR(s);
	return 0;
}
