/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/internal.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"

struct service *keepalived_take(struct keepalived *k, const char *listener_id)
{
	HOLD(lock, &k->table_lock);
	for (size_t i = 0; i < k->n_table; i++)
		if (streq(k->table[i].listener_id, listener_id)) {
			k->table[i].service->references++;
			return k->table[i].service;
		}
	return NULL;
}

void keepalived_give_back(struct keepalived *k, struct service *service)
{
	bool last;

	pthread_mutex_lock(&k->table_lock);
	last = --service->references == 0;
	pthread_mutex_unlock(&k->table_lock);
	if (last)
		service_free(service);
}

int keepalived_take_all(struct keepalived *k, struct service ***ret)
{
	struct service **services;

	HOLD(lock, &k->table_lock);
	services = calloc(k->n_table + 1, sizeof(*services));
	if (!services)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_table; i++) {
		services[i] = k->table[i].service;
		services[i]->references++;
	}
	*ret = services;
	return 0;
}

void keepalived_give_back_all(struct keepalived *k, struct service **services)
{
	for (size_t i = 0; services && services[i]; i++)
		keepalived_give_back(k, services[i]);
	free(services);
}

void keepalived_remove_entry(struct keepalived *k, const char *listener_id)
{
	struct service *service = NULL;

	pthread_mutex_lock(&k->table_lock);
	for (size_t i = 0; i < k->n_table; i++)
		if (streq(k->table[i].listener_id, listener_id)) {
			service = k->table[i].service;
			memmove(&k->table[i], &k->table[i + 1], (k->n_table - i - 1) * sizeof(*k->table));
			k->n_table--;
			break;
		}
	pthread_mutex_unlock(&k->table_lock);
	if (service)
		keepalived_give_back(k, service);
}

char *keepalived_file(const char *dir, const char *name, const char *extension)
{
	char *path;

	return asprintf(&path, "%s/%s%s", dir, name, extension) < 0 ? NULL : path;
}

static int name_of(const char *listener_id, char ret[static 64])
{
	int n = *listener_id ? snprintf(ret, 64, LVS_NAME "%s", listener_id) : snprintf(ret, 64, VRRP_NAME);

	return n < 64 ? 0 : -ENAMETOOLONG;
}

char *keepalived_config_file(const struct keepalived *k, const char *listener_id)
{
	char name[64];

	return name_of(listener_id, name) < 0 ? NULL : keepalived_file(*listener_id ? k->lvs_dir : k->vrrp_dir, name, ".conf");
}

static int make_service(const struct keepalived *k, const char *listener_id, struct service **ret, struct error *err)
{
	const struct keepalived_settings *settings = k->settings;
	const char *dir = *listener_id ? k->lvs_dir : k->vrrp_dir;
	char name[64], unit[80];
	_cleanup_free_ char *config = NULL, *pid = NULL, *vrrp_pid = NULL, *check_pid = NULL, *log = NULL, *env = NULL;
	struct keepalived_spec spec;

	if (name_of(listener_id, name) < 0)
		return error_set_errno(err, -ENAMETOOLONG, "%s", listener_id);
	config = keepalived_file(dir, name, ".conf");
	pid = keepalived_file(dir, name, ".pid");
	vrrp_pid = keepalived_file(dir, name, ".vrrp.pid");
	check_pid = keepalived_file(dir, name, ".check.pid");
	log = keepalived_file(dir, name, ".log");
	env = keepalived_file(dir, name, ".env");
	if (!config || !pid || !vrrp_pid || !check_pid || !log || !env)
		return error_set_errno(err, -ENOMEM, "%s", name);
	if (*listener_id)
		snprintf(unit, sizeof(unit), "octavia-keepalivedlvs@%s.service", listener_id);
	else
		snprintf(unit, sizeof(unit), VRRP_NAME ".service");
	spec = (struct keepalived_spec){
		.name = name,
		.command = settings->command,
		.config = config,
		.pid_file = pid,
		.vrrp_pid_file = vrrp_pid,
		.check_pid_file = check_pid,
		.log_file = log,
		.environment_file = env,
		.network_namespace = settings->network_namespace,
		.log_facility = settings->log_facility,
	};
	return service_new(&spec, settings->systemd ? unit : NULL, ret, err);
}

int keepalived_ensure(struct keepalived *k, const char *listener_id, struct service **ret, struct error *err)
{
	struct service *service = keepalived_take(k, listener_id);
	struct entry *grown;
	size_t at = 0;
	int r;

	if (service) {
		*ret = service;
		return 0;
	}
	r = make_service(k, listener_id, &service, err);
	if (r < 0)
		return r;
	HOLD(lock, &k->table_lock);
	grown = reallocarray(k->table, k->n_table + 1, sizeof(*grown));
	if (!grown) {
		service_free(service);
		return error_set_errno(err, -ENOMEM, "keepalived");
	}
	k->table = grown;
	while (at < k->n_table && strcmp(k->table[at].listener_id, listener_id) < 0)
		at++;
	memmove(&k->table[at + 1], &k->table[at], (k->n_table - at) * sizeof(*k->table));
	snprintf(k->table[at].listener_id, sizeof(k->table[at].listener_id), "%s", listener_id);
	k->table[at].service = service;
	k->n_table++;
	service->references++;
	*ret = service;
	return 0;
}

static char *stopped_mark(const struct keepalived *k, const struct service *service)
{
	return keepalived_file(k->settings->run_dir, service->spec.name, ".stopped");
}

bool keepalived_is_stopped(const struct keepalived *k, const struct service *service)
{
	_cleanup_free_ char *mark = stopped_mark(k, service);

	return mark && access(mark, F_OK) == 0;
}

void keepalived_set_stopped(const struct keepalived *k, const struct service *service, bool stopped)
{
	_cleanup_free_ char *mark = stopped_mark(k, service);

	if (!stopped && mark)
		unlink(mark);
	else if (!mark || fileio_write_volatile(AT_FDCWD, mark, "", 0, 0600) < 0)
		log_warning("%s: the next start of amphorad will start it again: no mark in %s", service->spec.name,
			k->settings->run_dir);
}
