/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/internal.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/keepalived/check_script.h"

#define UDP_CHECK "udp_check.sh"

enum {
	CONFIG_LIMIT = 16 * 1024 * 1024,
	SCRIPT_LIMIT = 64 * 1024,
};

/* Judged under another name, then published, if it is to be. */
static int stage(const struct service *service, const char *text, size_t length, bool publish, struct error *err)
{
	const char *slash = strrchr(service->spec.config, '/');
	_cleanup_free_ char *dir = strndup(service->spec.config, (size_t)(slash - service->spec.config));
	_cleanup_free_ char *staged = keepalived_file(dir ? dir : "", service->spec.name, ".conf.new");
	_cleanup_close_ int dir_fd = -1;
	const char *name;
	int r;

	if (!dir || !staged)
		return error_set_errno(err, -ENOMEM, "%s", service->spec.name);
	name = strrchr(staged, '/') + 1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return error_set_errno(err, -errno, "%s", dir);
	/* 0600: the password of VRRP is in it. */
	r = fileio_write(dir_fd, name, text, length, 0600);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s", staged);
	r = keepalived_process_test(&service->spec, staged, err);
	if (r == 0 && publish) {
		r = fileio_rename(dir_fd, name, dir_fd, slash + 1);
		if (r < 0)
			error_set_errno(err, r, "cannot write %s", service->spec.config);
	}
	if (r < 0 || !publish)
		unlinkat(dir_fd, name, 0);
	return r;
}

static int put(struct keepalived *k, const char *listener_id, const char *text, size_t length, bool publish,
	struct error *err)
{
	_cleanup_free_ char *config = keepalived_config_file(k, listener_id);
	struct service *service;
	int r;

	if (!config)
		return error_set_errno(err, -ENOMEM, "keepalived");
	if (text[strspn(text, " \t\r\n")] == '\0')
		return error_set(err, ERROR_INVALID, NULL, "the configuration is empty");
	if (memchr(text, '\0', length))
		return error_set(err, ERROR_INVALID, NULL, "the configuration has a NUL in it");
	r = keepalived_ensure(k, listener_id, &service, err);
	if (r < 0)
		return r;
	r = stage(service, text, length, publish, err);
	if (access(config, F_OK) < 0)
		keepalived_remove_entry(k, listener_id);
	keepalived_give_back(k, service);
	return r;
}

static int make_dirs(const char *path, struct error *err)
{
	int r = fileio_make_dirs(path, 0755);

	return r < 0 ? error_set_errno(err, r, "cannot create %s", path) : 0;
}

static bool has_listeners(struct keepalived *k)
{
	HOLD(lock, &k->table_lock);
	return k->n_table > 1 || (k->n_table == 1 && k->table[0].listener_id[0]);
}

/* With "change_lock". */
static int write_haproxy_check(struct keepalived *k, const char *leaving, struct error *err)
{
	_cleanup_strv_ char **sockets = NULL;
	bool any = false;
	int r;

	r = k->settings->list_sockets(k->settings->userdata, leaving, &sockets, &any);
	if (r < 0)
		return error_set_errno(err, r, "check script");
	return check_script_write_haproxy(k->vrrp_dir, sockets, any, has_listeners(k), err);
}

int keepalived_update_checks(struct keepalived *k, const char *leaving, struct error *err)
{
	HOLD(lock, &k->change_lock);
	if (!k->settings->active_standby && !check_script_is_installed(k->vrrp_dir))
		return 0;
	return write_haproxy_check(k, leaving, err);
}

int keepalived_put_vrrp(struct keepalived *k, const char *text, size_t length, struct error *err)
{
	int r;

	HOLD(lock, &k->change_lock);
	/* The script first: keepalived looks for it when it judges the configuration. */
	r = make_dirs(k->vrrp_dir, err);
	if (r == 0)
		r = check_script_install(k->vrrp_dir, err);
	if (r == 0)
		r = write_haproxy_check(k, NULL, err);
	if (r == 0)
		r = put(k, VRRP_ID, text, length, true, err);
	if (r == 0)
		log_notice("VRRP: configuration taken, %zu bytes", length);
	return r;
}

int keepalived_control_vrrp(struct keepalived *k, enum keepalived_action action, enum keepalived_action *ret_done,
	struct error *err)
{
	struct service *service = keepalived_take(k, VRRP_ID);
	bool started = false;
	int r;

	if (!service)
		return error_set(err, ERROR_NOT_FOUND, NULL, "VRRP is not configured");
	if (action != KEEPALIVED_STOP)
		keepalived_prepare_namespace(k);
	/* One that runs already has to take note of what was uploaded. */
	if (action == KEEPALIVED_START && service_runs(service))
		action = KEEPALIVED_RELOAD;
	keepalived_set_stopped(k, service, action == KEEPALIVED_STOP);
	if (action == KEEPALIVED_STOP)
		r = service_stop(service, err);
	else
		r = service_reload(service, &started, err);
	if (r == 0)
		*ret_done = started ? KEEPALIVED_START : action;
	keepalived_wake(k);
	keepalived_give_back(k, service);
	return r;
}

bool keepalived_vrrp_is_fine(struct keepalived *k)
{
	struct service *service = keepalived_take(k, VRRP_ID);
	bool fine = !service || service_runs(service);

	if (service)
		keepalived_give_back(k, service);
	return fine;
}

/* lvs/check/udp_check.sh, whose path stands in the configurations of Octavia. */
static int install_udp_check(struct keepalived *k, struct error *err)
{
	_cleanup_free_ char *dir = keepalived_file(k->lvs_dir, "check", ""), *source = keepalived_file(k->settings->tools_dir, UDP_CHECK, "");
	_cleanup_free_ char *script = NULL, *now = NULL;
	_cleanup_close_ int dir_fd = -1;
	size_t length;
	int r;

	if (!dir || !source)
		return error_set_errno(err, -ENOMEM, UDP_CHECK);
	r = make_dirs(dir, err);
	if (r < 0)
		return r;
	r = fileio_read(AT_FDCWD, source, SCRIPT_LIMIT, &script, &length);
	if (r < 0)
		return error_set_errno(err, r, "%s (option tools_dir)", source);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return error_set_errno(err, -errno, "%s", dir);
	if (fileio_read_own(dir_fd, UDP_CHECK, SCRIPT_LIMIT, &now, NULL) == 0 && streq(now, script))
		return 0;
	r = fileio_write(dir_fd, UDP_CHECK, script, length, 0755);
	return r < 0 ? error_set_errno(err, r, "cannot write %s/" UDP_CHECK, dir) : 0;
}

/* With "change_lock". */
static int prepare_lvs(struct keepalived *k, struct error *err)
{
	int r = make_dirs(k->lvs_dir, err);

	return r < 0 ? r : install_udp_check(k, err);
}

int keepalived_check_lvs(struct keepalived *k, const char *listener_id, const char *text, size_t length, struct error *err)
{
	int r;

	HOLD(lock, &k->change_lock);
	r = prepare_lvs(k, err);
	return r < 0 ? r : put(k, listener_id, text, length, false, err);
}

int keepalived_put_lvs(struct keepalived *k, const char *listener_id, const char *text, size_t length, struct error *err)
{
	int r;

	HOLD(lock, &k->change_lock);
	r = prepare_lvs(k, err);
	if (r == 0)
		r = put(k, listener_id, text, length, true, err);
	if (r < 0)
		return r;
	log_notice("UDP listener %s: configuration taken, %zu bytes", listener_id, length);
	return k->settings->active_standby ? check_script_write_lvs(k->vrrp_dir, k->lvs_dir, err) : 0;
}

int keepalived_read_lvs(struct keepalived *k, const char *listener_id, char **ret_text, size_t *ret_length)
{
	_cleanup_free_ char *config = text_is_uuid(listener_id) ? keepalived_config_file(k, listener_id) : NULL;

	if (!config)
		return -ENOENT;
	return fileio_read_own(AT_FDCWD, config, CONFIG_LIMIT, ret_text, ret_length);
}

bool keepalived_has_lvs(struct keepalived *k, const char *listener_id)
{
	struct service *service = *listener_id ? keepalived_take(k, listener_id) : NULL;

	if (service)
		keepalived_give_back(k, service);
	return service != NULL;
}

int keepalived_control_lvs(struct keepalived *k, const char *listener_id, enum keepalived_action action,
	enum keepalived_action *ret_done, struct error *err)
{
	struct service *service = *listener_id ? keepalived_take(k, listener_id) : NULL;
	bool started = false;
	int r;

	if (!service)
		return error_set(err, ERROR_NOT_FOUND, NULL, "No UDP listener with UUID: %s", listener_id);
	keepalived_set_stopped(k, service, action == KEEPALIVED_STOP);
	switch (action) {
	case KEEPALIVED_STOP:
		r = service_stop(service, err);
		break;
	case KEEPALIVED_START:
		r = service_start(service, err);
		break;
	default:
		r = service_reload(service, &started, err);
	}
	if (r == 0)
		*ret_done = started ? KEEPALIVED_START : action;
	keepalived_wake(k);
	keepalived_give_back(k, service);
	if (r == 0 && action != KEEPALIVED_STOP && k->settings->after_start)
		k->settings->after_start(k->settings->userdata, listener_id);
	return r;
}

static void remove_files(const struct service *service)
{
	const char *const files[] = {service->spec.config, service->spec.log_file, service->spec.environment_file};

	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		int r = fileio_unlink(AT_FDCWD, files[i]);

		if (r < 0)
			log_warning("%s: %s", files[i], strerror(-r));
	}
}

int keepalived_remove_lvs(struct keepalived *k, const char *listener_id, struct error *err)
{
	struct service *service;
	int r;

	HOLD(lock, &k->change_lock);
	service = *listener_id ? keepalived_take(k, listener_id) : NULL;
	if (!service)
		return 0;
	r = service_stop(service, err);
	if (r == 0)
		r = service_disable(service, err);
	if (r == 0) {
		remove_files(service);
		keepalived_set_stopped(k, service, false);
		keepalived_remove_entry(k, listener_id);
	}
	keepalived_give_back(k, service);
	if (r == 0 && k->settings->after_remove)
		k->settings->after_remove(k->settings->userdata, listener_id);
	return r;
}
