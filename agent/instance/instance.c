/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/instance.h"

#include <fcntl.h>
#include <string.h>
#include <sys/un.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/instance/lvs.h"
#include "agent/instance/internal.h"

/* HAProxy binds a socket under its name and a suffix of up to 11 characters, and renames it. */
enum { SOCKET_NAME_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 12 };

void apply_result_done(struct apply_result *result)
{
	plan_done(&result->plan);
	free(result->verdict);
	rendered_done(&result->rendered);
	lvs_change_done(&result->lvs);
	load_balancer_unref(result->lb);
	*result = APPLY_RESULT_INIT;
}

static int make_paths(struct instance *instance)
{
	const struct instance_settings *s = instance->settings;

	if (asprintf(&instance->directory, "%s/%s", s->base_path, instance->id) < 0 ||
		asprintf(&instance->config_file, "%s/haproxy.cfg", instance->directory) < 0 ||
		asprintf(&instance->own_config, "%s/amphorad.cfg", instance->directory) < 0 ||
		asprintf(&instance->pid_file, "%s/%s.pid", instance->directory, instance->id) < 0 ||
		asprintf(&instance->log_file, "%s/haproxy.log", instance->directory) < 0 ||
		asprintf(&instance->stats_socket, "%s/%s.sock", s->run_dir, instance->id) < 0 ||
		asprintf(&instance->master_socket, "%s/%s.master", s->run_dir, instance->id) < 0)
		return -ENOMEM;
	return 0;
}

int instance_adopt(struct instance *instance, struct error *err)
{
	const struct instance_settings *s = instance->settings;
	struct supervisor_spec spec = {
		.lb_id = instance->id,
		.haproxy_cmd = s->haproxy_cmd,
		.directory = instance->directory,
		.config = instance->config_file,
		.own_config = instance->own_config,
		.master_socket = instance->master_socket,
		.pid_file = instance->pid_file,
		.log_file = instance->log_file,
		.peer_name = instance->peer_name,
		.network_namespace = s->network_namespace,
	};

	return s->supervisor->operations->adopt(s->supervisor, &spec, &instance->unit, err);
}

int instance_new(const char *lb_id, enum instance_owner owner, const struct instance_settings *settings,
	struct instance **ret, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	int r;

	instance = calloc(1, sizeof(*instance));
	if (!instance)
		return error_set_errno(err, -ENOMEM, "load balancer %s", lb_id);
	instance->references = 1;
	instance->dir_fd = -1;
	instance->staged = (struct staged){PROCESS_JOB_INIT, -1};
	instance->owner = owner;
	instance->settings = settings;
	instance->has_old_workers = true;
	snprintf(instance->id, sizeof(instance->id), "%s", lb_id);
	pthread_mutex_init(&instance->lock, NULL);
	pthread_mutex_init(&instance->view_lock, NULL);
	pthread_mutex_init(&instance->queue_lock, NULL);
	pthread_cond_init(&instance->queue_moves, NULL);
	r = make_paths(instance);
	if (r < 0)
		return error_set_errno(err, -ENOMEM, "load balancer %s", lb_id);
	if (strlen(instance->master_socket) > SOCKET_NAME_MAX)
		return error_set(err, ERROR_INTERNAL, NULL,
			"%s is longer than a socket name can be (%d): choose a shorter run_dir",
			instance->master_socket, (int)SOCKET_NAME_MAX);
	r = fileio_make_dir(AT_FDCWD, instance->directory, 0700);
	if (r < 0)
		return error_set_errno(err, r, "cannot create %s", instance->directory);
	instance->dir_fd = open(instance->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (instance->dir_fd < 0)
		return error_set_errno(err, -errno, "cannot open %s", instance->directory);
	/* An empty folder of definitions marks a load balancer that is being created (see instance_converge()). */
	if (owner == OWNER_DEFINITION)
		r = fileio_make_dir(instance->dir_fd, "definition", 0700);
	if (r < 0)
		return error_set_errno(err, r, "cannot create %s/definition", instance->directory);
	if (owner == OWNER_CONTROLLER) {
		r = instance_load_uploaded(instance, err);
		if (r < 0)
			return r;
	}
	r = instance_adopt(instance, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(instance);
	return 0;
}

struct instance *instance_ref(struct instance *instance)
{
	__atomic_add_fetch(&instance->references, 1, __ATOMIC_RELAXED);
	return instance;
}

void instance_unref(struct instance *instance)
{
	if (!instance || __atomic_sub_fetch(&instance->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	instance->settings->supervisor->operations->release(instance->unit);
	stored_definition_done(&instance->current);
	close_keep_errno(instance->dir_fd);
	pthread_mutex_destroy(&instance->lock);
	pthread_mutex_destroy(&instance->view_lock);
	pthread_mutex_destroy(&instance->queue_lock);
	pthread_cond_destroy(&instance->queue_moves);
	free(instance->trouble);
	free(instance->peer_name);
	free(instance->running);
	free(instance->own_running);
	plan_leaving_free(instance->leaving, instance->n_leaving);
	named_files_done(&instance->running_files);
	free(instance->directory);
	free(instance->config_file);
	free(instance->own_config);
	free(instance->stats_socket);
	free(instance->master_socket);
	free(instance->pid_file);
	free(instance->log_file);
	free(instance);
}

bool instance_haproxy_runs(struct instance *instance)
{
	return instance->settings->supervisor->operations->pid(instance->unit) != 0;
}

void instance_set_trouble(struct instance *instance, const char *trouble)
{
	LOCK_SCOPE(&instance->view_lock);
	free(instance->trouble);
	instance->trouble = trouble ? strdup(trouble) : NULL;
}

int instance_set_running(struct instance *instance, const char *text, size_t length)
{
	char *copy = NULL;

	if (text) {
		copy = malloc(length + 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	free(instance->running);
	instance->running = copy;
	instance->running_length = length;
	return 0;
}

static void mark_deleted(struct instance *instance)
{
	LOCK_SCOPE(&instance->view_lock);
	instance->deleted = true;
}

static int remove_lvs(struct instance *instance, struct error *err)
{
	_cleanup_lvs_change_ struct lvs_change change = LVS_CHANGE_INIT;
	int r;

	if (instance->owner != OWNER_DEFINITION)
		return 0;
	r = instance_lvs_prepare(instance, NULL, false, &change, err);
	return r < 0 ? r : instance_lvs_apply(instance, &change, err);
}

/* Ends a deletion or a creation that was interrupted, or does one: the folder of definitions is gone for the next start
 * from the rename on. */
int instance_remove_all(struct instance *instance, struct error *err)
{
	const struct supervisor_operations *operations = instance->settings->supervisor->operations;
	int r;

	r = fileio_rename(instance->dir_fd, "definition", instance->dir_fd, INSTANCE_DELETED);
	if (r < 0 && r != -ENOENT && r != -ENOTEMPTY && r != -EEXIST)
		return error_set_errno(err, r, "cannot remove the definition");
	/* Without its haproxy.cfg an uploaded load balancer is gone for the next start. */
	if (instance->owner == OWNER_CONTROLLER) {
		r = fileio_unlink(instance->dir_fd, "haproxy.cfg");
		if (r < 0)
			return error_set_errno(err, r, "cannot remove %s", instance->config_file);
	}
	mark_deleted(instance);
	r = remove_lvs(instance, err);
	if (r == 0)
		r = operations->stop(instance->unit, 0, err);
	if (r == 0)
		r = operations->disable(instance->unit, err);
	if (r < 0)
		return r;
	instance_set_running(instance, NULL, 0);
	instance_clear_leaving(instance);
	unlink(instance->stats_socket);
	r = fileio_remove_tree(AT_FDCWD, instance->directory);
	if (r < 0)
		return error_set_errno(err, r, "cannot remove %s", instance->directory);
	return 0;
}

static bool deletion_was_interrupted(struct instance *instance)
{
	return faccessat(instance->dir_fd, INSTANCE_DELETED, F_OK, 0) == 0;
}

/* What runs is better than nothing: it goes on until a definition is sent. */
static void set_damaged(struct instance *instance, const char *trouble)
{
	log_lb(LOG_ERR, instance->id, "%s; HAProxy, if it runs, goes on as it is", trouble);
	instance_set_trouble(instance, trouble);
	LOCK_SCOPE(&instance->view_lock);
	instance->damaged = true;
}

int instance_converge(struct instance *instance, struct error *err)
{
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	int r;

	LOCK_SCOPE(&instance->lock);
	instance_remove_temporary(instance);
	r = deletion_was_interrupted(instance) ? -ENOENT
					       : store_read_current(instance->dir_fd, instance->id, &stored, err);
	if (r == -ENOENT) {
		log_lb(LOG_NOTICE, instance->id, "removing what an interrupted creation or deletion left");
		r = instance_remove_all(instance, err);
		return r < 0 ? r : -ENOENT;
	}
	if (r < 0) {
		set_damaged(instance, error_message(err));
		return r;
	}
	instance_set_current(instance, &stored);
	r = instance_bring_to_stored(instance, err);
	if (r < 0) {
		log_lb(LOG_ERR, instance->id, "HAProxy does not run the stored definition: %s", error_message(err));
		instance_set_trouble(instance, error_message(err));
	}
	return r;
}

static bool is_worth_a_retry(struct instance *instance)
{
	LOCK_SCOPE(&instance->view_lock);
	return instance->trouble && !instance->damaged && !instance->deleted;
}

int instance_retry(struct instance *instance, struct error *err)
{
	int r;

	if (instance->owner == OWNER_CONTROLLER) /* what a reload did not bring is the controller's to try again */
		return is_worth_a_retry(instance) && !instance_haproxy_runs(instance) ? instance_resume(instance, err) : 0;
	LOCK_SCOPE(&instance->lock);
	if (!is_worth_a_retry(instance))
		return 0;
	r = instance_bring_to_stored(instance, err);
	instance_set_trouble(instance, r < 0 ? error_message(err) : NULL);
	return r;
}

int instance_refuse_controller(const struct instance *instance, struct error *err)
{
	return error_set(err, ERROR_CONFLICT, NULL,
		"Load Balancer %s is immutable here: a controller owns its configuration", instance->id);
}

int instance_delete(struct instance *instance, int64_t if_match, struct error *err)
{
	int r;

	if (instance->owner != OWNER_DEFINITION)
		return instance_refuse_controller(instance, err);
	LOCK_SCOPE(&instance->lock);
	if (instance->deleted || (!instance->current.lb && !instance->damaged))
		return error_set(err, ERROR_NOT_FOUND, NULL, "Load Balancer %s not found.", instance->id);
	r = instance_check_revision(instance, if_match, err);
	if (r < 0)
		return r;
	r = instance_remove_all(instance, err);
	if (r < 0)
		return r;
	log_lb(LOG_NOTICE, instance->id, "deleted");
	return 0;
}

int instance_stop(struct instance *instance, int graceful_ms, struct error *err)
{
	LOCK_SCOPE(&instance->lock);
	return instance->settings->supervisor->operations->stop(instance->unit, graceful_ms, err);
}

int instance_current(struct instance *instance, struct stored_definition *ret, char **ret_trouble)
{
	LOCK_SCOPE(&instance->view_lock);
	if (instance->deleted || !instance->current.lb)
		return -ENOENT;
	*ret = instance->current;
	load_balancer_ref(ret->lb);
	if (ret_trouble)
		*ret_trouble = instance->trouble ? strdup(instance->trouble) : NULL;
	return 0;
}

int64_t instance_unchanged_for_ms(struct instance *instance)
{
	LOCK_SCOPE(&instance->view_lock);
	return process_now_ms() - instance->changed_ms;
}

char *instance_trouble(struct instance *instance)
{
	LOCK_SCOPE(&instance->view_lock);
	return instance->trouble ? strdup(instance->trouble) : NULL;
}

void instance_count_change(struct instance *instance, int r, enum plan_action action, int64_t duration_ms)
{
	LOCK_SCOPE(&instance->view_lock);
	if (r < 0) {
		instance->counts.failed++;
		return;
	}
	instance->counts.made[action]++;
	instance->counts.duration_ms[action] += duration_ms > 0 ? (uint64_t)duration_ms : 0;
}

void instance_counts(struct instance *instance, struct change_counts *ret)
{
	LOCK_SCOPE(&instance->view_lock);
	*ret = instance->counts;
}

void instance_look_after(struct instance *instance)
{
	LOCK_SCOPE(&instance->lock);
	if (instance->deleted)
		return;
	instance_delete_leaving(instance);
	instance_limit_old_workers(instance);
}

int64_t instance_max_old_workers(const struct instance *instance, const struct load_balancer *lb)
{
	return lb && lb->max_old_workers ? lb->max_old_workers : instance->settings->max_old_workers;
}

bool instance_should_run(struct instance *instance)
{
	return instance->owner == OWNER_DEFINITION || instance_haproxy_runs(instance);
}

bool instance_is_stored(struct instance *instance)
{
	LOCK_SCOPE(&instance->view_lock);
	return !instance->deleted && (instance->uploaded || instance->damaged || instance->current.lb);
}

int instance_discard_unstored(struct instance *instance, bool *ret_discarded, struct error *err)
{
	LOCK_SCOPE(&instance->lock);
	*ret_discarded =
		!instance->uploaded && !instance->damaged && !instance->current.lb && !instance->deleted;
	if (!*ret_discarded)
		return 0;
	if (instance->owner == OWNER_CONTROLLER) {
		mark_deleted(instance);
		return 0;
	}
	return instance_remove_all(instance, err);
}

int instance_read_config(struct instance *instance, char **ret_text, size_t *ret_length, struct error *err)
{
	int r = fileio_read_own(AT_FDCWD, instance->config_file, INSTANCE_CONFIG_LIMIT, ret_text, ret_length);

	if (r < 0)
		return error_set_errno(err, r, "cannot read %s", instance->config_file);
	return 0;
}
