/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

enum { SUPERVISE_MS = 60 * 1000 }; /* the size of log files is looked at as often */

void keepalived_wake(struct keepalived *k)
{
	uint64_t one = 1;

	if (write(k->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warning("keepalived: eventfd: %m");
}

static int find_listeners(struct keepalived *k, struct error *err)
{
	_cleanup_closedir_ DIR *dir = opendir(k->lvs_dir);
	struct dirent *item;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : error_set_errno(err, -errno, "cannot read %s", k->lvs_dir);
	while (r == 0 && (item = readdir(dir))) {
		const char *id = text_after_prefix(item->d_name, LVS_NAME);
		struct service *service;
		char uuid[37];

		if (!id || strlen(id) != 36 + strlen(".conf") || !streq(id + 36, ".conf"))
			continue;
		memcpy(uuid, id, 36);
		uuid[36] = '\0';
		if (!text_is_uuid(uuid))
			continue;
		r = keepalived_ensure(k, uuid, &service, err);
		if (r == 0)
			keepalived_give_back(k, service);
	}
	return r;
}

static int find_vrrp(struct keepalived *k, struct error *err)
{
	_cleanup_free_ char *config = keepalived_config_file(k, VRRP_ID);
	struct service *service;
	int r;

	if (!config)
		return error_set_errno(err, -ENOMEM, "keepalived");
	if (access(config, F_OK) < 0)
		return 0;
	r = keepalived_ensure(k, VRRP_ID, &service, err);
	if (r == 0)
		keepalived_give_back(k, service);
	return r;
}

int keepalived_new(const struct keepalived_settings *settings, struct keepalived **ret, struct error *err)
{
	_cleanup_(keepalived_freep) struct keepalived *k = NULL;
	int r;

	k = calloc(1, sizeof(*k));
	if (!k)
		return error_set_errno(err, -ENOMEM, "keepalived");
	k->settings = settings;
	pthread_mutex_init(&k->table_lock, NULL);
	pthread_mutex_init(&k->change_lock, NULL);
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->wake_fd < 0)
		return error_set_errno(err, -errno, "keepalived");
	k->vrrp_dir = keepalived_file(settings->base_path, "vrrp", "");
	k->lvs_dir = keepalived_file(settings->base_path, "lvs", "");
	if (!k->vrrp_dir || !k->lvs_dir)
		return error_set_errno(err, -ENOMEM, "keepalived");
	r = find_vrrp(k, err);
	if (r == 0)
		r = find_listeners(k, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(k);
	return 0;
}

/* Restarts that are due; what to wait for. Returns until when. */
static int64_t supervise(struct keepalived *k, struct pollfd *polls, size_t max, size_t *ret_n)
{
	int64_t next = process_now_ms() + SUPERVISE_MS;
	struct service **services = NULL;
	size_t n = 0;

	if (keepalived_take_all(k, &services) < 0)
		services = NULL;
	for (size_t i = 0; services && services[i]; i++) {
		int pidfd;
		int64_t at = service_supervise(services[i], &pidfd);

		if (at < next)
			next = at;
		if (pidfd >= 0 && n < max)
			polls[n++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
		else if (pidfd >= 0)
			close(pidfd);
	}
	keepalived_give_back_all(k, services);
	*ret_n = n;
	return next;
}

static void *run(void *argument)
{
	struct keepalived *k = argument;
	struct pollfd polls[1 + 1024];

	while (!__atomic_load_n(&k->stopping, __ATOMIC_ACQUIRE)) {
		size_t n;
		int64_t left = supervise(k, polls + 1, ELEMENTSOF(polls) - 1, &n) - process_now_ms();
		uint64_t drained;

		polls[0] = (struct pollfd){.fd = k->wake_fd, .events = POLLIN};
		poll(polls, n + 1, left > 0 ? (int)left : 0);
		if (read(k->wake_fd, &drained, sizeof(drained)) < 0)
			drained = 0;
		for (size_t i = 1; i <= n; i++)
			close(polls[i].fd);
	}
	return NULL;
}

static int start_thread(struct keepalived *k, struct error *err)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&k->thread, NULL, run, k);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return error_set_errno(err, -r, "keepalived: cannot start a thread");
	pthread_setname_np(k->thread, "keepalived");
	k->supervising = true;
	return 0;
}

static int set_kernel_option(const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* a kernel without IPv6 */
	return fileio_write_all(fd, "1", 1);
}

/* In the namespace of the thread. */
static int allow_foreign_addresses(void *userdata)
{
	int r = set_kernel_option("/proc/sys/net/ipv4/ip_nonlocal_bind");

	(void)userdata;
	return r < 0 ? r : set_kernel_option("/proc/sys/net/ipv6/ip_nonlocal_bind");
}

/* The partner has the VIP: HAProxy has to listen on it all the same. */
void keepalived_prepare_namespace(const struct keepalived *k)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_close_ int namespace_fd = -1;
	int r;

	if (!k->settings->network_namespace)
		return; /* the machine's own settings are the operator's */
	r = namespace_open(k->settings->network_namespace, &namespace_fd, &problem);
	if (r == 0) {
		r = namespace_run(namespace_fd, allow_foreign_addresses, NULL);
		if (r < 0)
			error_set_errno(&problem, r, "ip_nonlocal_bind");
	}
	if (r < 0)
		log_warning("VRRP: HAProxy cannot listen on a VIP that the partner has: %s", error_message(&problem));
}

int keepalived_begin(struct keepalived *k, struct error *err)
{
	struct service *vrrp = keepalived_take(k, VRRP_ID), **services = NULL;

	if (vrrp) {
		keepalived_prepare_namespace(k);
		keepalived_give_back(k, vrrp);
	}
	if (keepalived_take_all(k, &services) < 0)
		return error_set_errno(err, -ENOMEM, "keepalived");
	for (size_t i = 0; services[i]; i++) {
		_cleanup_error_ struct error problem = ERROR_INIT;

		if (!keepalived_is_stopped(k, services[i]) && service_begin(services[i], &problem) < 0)
			log_error("%s: %s", services[i]->spec.name, error_message(&problem));
	}
	keepalived_give_back_all(k, services);
	return k->settings->systemd ? 0 : start_thread(k, err);
}

void keepalived_free(struct keepalived *k)
{
	if (!k)
		return;
	__atomic_store_n(&k->stopping, true, __ATOMIC_RELEASE);
	if (k->supervising) {
		keepalived_wake(k);
		pthread_join(k->thread, NULL);
	}
	while (k->n_table > 0)
		keepalived_remove_entry(k, k->table[0].listener_id);
	free(k->table);
	close_keep_errno(k->wake_fd);
	pthread_mutex_destroy(&k->table_lock);
	pthread_mutex_destroy(&k->change_lock);
	free(k->vrrp_dir);
	free(k->lvs_dir);
	free(k);
}

int keepalived_stop_all(struct keepalived *k, struct error *err)
{
	struct service **services = NULL;
	int first = 0;

	if (keepalived_take_all(k, &services) < 0)
		return error_set_errno(err, -ENOMEM, "keepalived");
	for (size_t i = 0; services[i]; i++) {
		_cleanup_error_ struct error problem = ERROR_INIT;
		int r = service_stop(services[i], &problem);

		if (r < 0) {
			log_error("%s: %s", services[i]->spec.name, error_message(&problem));
			if (first == 0)
				first = error_set(err, problem.code, NULL, "%s", error_message(&problem));
		}
	}
	keepalived_give_back_all(k, services);
	return first;
}

void keepalived_listeners_free(struct keepalived_listener *listeners, size_t n)
{
	for (size_t i = 0; listeners && i < n; i++) {
		free(listeners[i].config_file);
		free(listeners[i].check_pid_file);
	}
	free(listeners);
}

int keepalived_list_lvs(struct keepalived *k, struct keepalived_listener **ret, size_t *ret_n)
{
	struct keepalived_listener *listeners;
	size_t n = 0;

	HOLD(lock, &k->table_lock);
	listeners = calloc(k->n_table + 1, sizeof(*listeners));
	if (!listeners)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_table; i++) {
		struct keepalived_listener *listener = &listeners[n];
		struct service *service = k->table[i].service;

		if (!k->table[i].listener_id[0])
			continue;
		n++;
		memcpy(listener->id, k->table[i].listener_id, sizeof(listener->id));
		listener->config_file = strdup(service->spec.config);
		listener->check_pid_file = strdup(service->spec.check_pid_file);
		listener->runs = service_runs(service);
		listener->has_pid_file = access(service->spec.pid_file, F_OK) == 0;
		if (!listener->config_file || !listener->check_pid_file) {
			keepalived_listeners_free(listeners, n);
			return -ENOMEM;
		}
	}
	*ret = listeners;
	*ret_n = n;
	return 0;
}
