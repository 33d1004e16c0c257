/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/service.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/keepalived/unit.h"
#include "agent/supervisor/journal.h"
#include "agent/supervisor/output.h"

enum {
	READY_TIMEOUT_MS = 20000,
	BUSY_RETRY_MS = 100,
};

static const size_t spec_strings[] = {
	offsetof(struct keepalived_spec, name),
	offsetof(struct keepalived_spec, command),
	offsetof(struct keepalived_spec, config),
	offsetof(struct keepalived_spec, pid_file),
	offsetof(struct keepalived_spec, vrrp_pid_file),
	offsetof(struct keepalived_spec, check_pid_file),
	offsetof(struct keepalived_spec, log_file),
	offsetof(struct keepalived_spec, environment_file),
	offsetof(struct keepalived_spec, network_namespace),
};

static char **string_of(struct keepalived_spec *spec, size_t i)
{
	return (char **)((char *)spec + spec_strings[i]);
}

static int copy_spec(struct service *service, const struct keepalived_spec *spec)
{
	service->spec.log_facility = spec->log_facility;
	for (size_t i = 0; i < ELEMENTSOF(spec_strings); i++) {
		const char *string = *(const char *const *)((const char *)spec + spec_strings[i]);

		if (!string)
			continue;
		*string_of(&service->spec, i) = strdup(string);
		if (!*string_of(&service->spec, i))
			return -ENOMEM;
	}
	return 0;
}

void service_free(struct service *service)
{
	if (!service)
		return;
	close_keep_errno(service->pidfd);
	for (size_t i = 0; i < ELEMENTSOF(spec_strings); i++)
		free(*string_of(&service->spec, i));
	free(service->unit);
	pthread_mutex_destroy(&service->lock);
	free(service);
}

static void forget(struct service *service)
{
	if (service->pidfd >= 0) {
		process_wait_exit(service->pidfd, 0); /* reaps a child of ours */
		close(TAKE_FD(service->pidfd));
	}
	service->pid = 0;
}

/* Whether one runs now; follows the one that systemd has started meanwhile. */
static bool look(struct service *service)
{
	if (service->pidfd >= 0 && !keepalived_process_has_ended(service->pidfd))
		return true;
	/* direct: only service_supervise() takes note of an end. */
	if (service->pidfd >= 0 && !service->unit)
		return false;
	forget(service);
	return keepalived_process_find(&service->spec, &service->pid, &service->pidfd) == 0;
}

int service_new(const struct keepalived_spec *spec, const char *unit, struct service **ret, struct error *err)
{
	_cleanup_service_ struct service *service = NULL;

	service = calloc(1, sizeof(*service));
	if (!service)
		return error_set_errno(err, -ENOMEM, "%s", spec->name);
	service->pidfd = -1;
	service->references = 1;
	pthread_mutex_init(&service->lock, NULL);
	service->unit = unit ? strdup(unit) : NULL;
	if (copy_spec(service, spec) < 0 || (unit && !service->unit))
		return error_set_errno(err, -ENOMEM, "%s", spec->name);
	if (look(service)) {
		log_notice("%s: keepalived runs already (process %d)", spec->name, (int)service->pid);
		service->wanted = true;
		backoff_started(&service->backoff);
	}
	*ret = TAKE_PTR(service);
	return 0;
}

bool service_runs(struct service *service)
{
	_cleanup_close_ int pidfd = -1;
	pid_t pid;

	/* The pid file, and not what we remember: that is under the lock of an operation that may take long. */
	return keepalived_process_find(&service->spec, &pid, &pidfd) == 0;
}

enum { WORDS_LINES = 10 }; /* before them it says how it was started */

static const char *last_lines(const char *text)
{
	const char *p = text + strlen(text);

	for (int n = 0; p > text; p--)
		if (p[-1] == '\n' && p[0] != '\0' && ++n == WORDS_LINES)
			return p;
	return p;
}

/* With what it said since it was started. */
static int failed(struct service *service, uint64_t since_us, const char *what, struct error *err)
{
	_cleanup_free_ char *words = NULL;

	if (service->unit) {
		journal_sync();
		journal_read(service->unit, since_us, &words);
	} else {
		output_tail(service->spec.log_file, 0, &words);
	}
	return error_set(err, ERROR_APPLY, NULL, "keepalived %s%s%s", what, words && *words ? ": " : "",
		words ? last_lines(words) : "");
}

static int start_direct(struct service *service, struct error *err)
{
	int r;

	forget(service);
	/* What a killed one left would make keepalived think that it runs. */
	keepalived_process_remove_files(&service->spec);
	r = keepalived_process_spawn(&service->spec, &service->pid, &service->pidfd, err);
	if (r < 0)
		return r;
	backoff_started(&service->backoff);
	return 0;
}

static void stop_failed(struct service *service)
{
	service->wanted = false;
	if (service->unit)
		unit_stop(service->unit, NULL);
	else if (service->pidfd >= 0)
		keepalived_process_stop(&service->spec, service->pidfd);
	forget(service);
}

static int start(struct service *service, struct error *err)
{
	uint64_t since_us = (uint64_t)process_now_ms() * 1000;
	int r;

	r = service->unit ? unit_start(&service->spec, service->unit, err) : start_direct(service, err);
	if (r < 0)
		return r;
	r = keepalived_process_wait_ready(
		&service->spec, service->unit ? -1 : service->pidfd, READY_TIMEOUT_MS);
	if (r < 0 || !look(service)) {
		failed(service, since_us, r == -ETIMEDOUT ? "does not get ready" : "ends at once", err);
		stop_failed(service);
		return error_code_to_errno(ERROR_APPLY);
	}
	service->wanted = true;
	service->backoff.failures = 0;
	log_notice("%s: keepalived was started (process %d)", service->spec.name, (int)service->pid);
	return 0;
}

int service_start(struct service *service, struct error *err)
{
	HOLD(lock, &service->lock);
	return look(service) ? 0 : start(service, err);
}

int service_begin(struct service *service, struct error *err)
{
	int r;

	HOLD(lock, &service->lock);
	if (look(service))
		return 0;
	if (service->unit)
		return unit_start(&service->spec, service->unit, err);
	r = start_direct(service, err);
	service->wanted = true;
	if (r < 0)
		backoff_failed_ms(&service->backoff);
	return r;
}

/* -ESRCH if it does not run. */
static int reload(struct service *service, struct error *err)
{
	uint64_t since_us = (uint64_t)process_now_ms() * 1000;
	int r;

	r = keepalived_process_wait_ready(&service->spec, service->pidfd, READY_TIMEOUT_MS);
	if (r == -ESRCH)
		return r;
	r = keepalived_process_reload(&service->spec, service->pidfd);
	/* It may need children that it had not, and ends if they fail. */
	if (r == 0)
		r = keepalived_process_wait_ready(&service->spec, service->pidfd, READY_TIMEOUT_MS);
	if (r == -ESRCH || r == -ETIMEDOUT)
		return failed(service, since_us, "cannot run the new configuration", err);
	return r < 0 ? error_set_errno(err, r, "%s: reload", service->spec.name) : 0;
}

int service_reload(struct service *service, bool *ret_started, struct error *err)
{
	bool started = false;
	int r;

	HOLD(lock, &service->lock);
	r = look(service) ? reload(service, err) : -ESRCH;
	if (r == -ESRCH) {
		started = true;
		r = start(service, err);
	}
	if (r == 0 && ret_started)
		*ret_started = started;
	return r;
}

int service_stop(struct service *service, struct error *err)
{
	int r = 0;

	HOLD(lock, &service->lock);
	service->wanted = false;
	service->backoff.restart_at_ms = 0;
	if (service->unit)
		r = unit_stop(service->unit, err);
	if (r == 0 && look(service)) {
		r = keepalived_process_stop(&service->spec, service->pidfd);
		if (r < 0)
			return error_set_errno(err, r, "%s: stop", service->spec.name);
	}
	if (r < 0)
		return r;
	forget(service);
	keepalived_process_remove_files(&service->spec);
	return 0;
}

int service_disable(struct service *service, struct error *err)
{
	int r;

	HOLD(lock, &service->lock);
	if (!service->unit)
		return 0;
	r = unit_disable(service->unit, err);
	if (r == 0 && unlink(service->spec.environment_file) < 0 && errno != ENOENT)
		log_warning("%s: %m", service->spec.environment_file);
	return r;
}

static void note_end(struct service *service)
{
	_cleanup_free_ char *words = NULL;
	pid_t pid = service->pid;

	forget(service);
	output_tail(service->spec.log_file, 0, &words);
	log_error("%s: keepalived (process %d) has ended; restart in %d ms; its last words: %s", service->spec.name,
		(int)pid, backoff_ended_ms(&service->backoff), words ? last_lines(words) : "");
}

static void restart(struct service *service)
{
	_cleanup_error_ struct error problem = ERROR_INIT;

	if (start_direct(service, &problem) == 0) {
		log_notice("%s: keepalived was started again (process %d)", service->spec.name, (int)service->pid);
		return;
	}
	log_error("%s: keepalived cannot be started again: %s; next try in %d ms", service->spec.name,
		error_message(&problem), backoff_failed_ms(&service->backoff));
}

int64_t service_supervise(struct service *service, int *ret_pidfd)
{
	int64_t next = INT64_MAX;

	*ret_pidfd = -1;
	if (service->unit)
		return next;
	if (pthread_mutex_trylock(&service->lock) != 0)
		return process_now_ms() + BUSY_RETRY_MS;
	if (service->wanted && service->pidfd >= 0 && keepalived_process_has_ended(service->pidfd))
		note_end(service);
	if (service->wanted && backoff_is_due(&service->backoff))
		restart(service);
	if (output_size(service->spec.log_file) > OUTPUT_FILE_MAX) {
		off_t since = 0;

		output_trim(service->spec.log_file, &since);
	}
	if (service->wanted && service->backoff.restart_at_ms != 0)
		next = service->backoff.restart_at_ms;
	else if (service->wanted && service->pidfd >= 0)
		*ret_pidfd = fcntl(service->pidfd, F_DUPFD_CLOEXEC, 3);
	pthread_mutex_unlock(&service->lock);
	return next;
}
