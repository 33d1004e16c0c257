/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/registry_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/definition/tree.h"

int registry_new(const struct instance_settings *settings, struct registry **ret, struct error *err)
{
	struct registry *registry = calloc(1, sizeof(*registry));

	if (!registry)
		return error_set_errno(err, -ENOMEM, "load balancers");
	registry->settings = settings;
	pthread_mutex_init(&registry->lock, NULL);
	pthread_mutex_init(&registry->certificates_lock, NULL);
	*ret = registry;
	return 0;
}

void registry_free(struct registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < registry->n_entries; i++) {
		instance_unref(registry->entries[i].instance);
		load_balancer_unref(registry->entries[i].pending);
	}
	free(registry->entries);
	pthread_mutex_destroy(&registry->lock);
	pthread_mutex_destroy(&registry->certificates_lock);
	free(registry);
}

/* The entry, or the place where it belongs. Called with the lock held. */
static bool find_entry(const struct registry *registry, const char *lb_id, size_t *ret_position)
{
	size_t low = 0, high = registry->n_entries;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(registry->entries[middle].instance->id, lb_id);

		if (order == 0) {
			*ret_position = middle;
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_position = low;
	return false;
}

static int insert_entry(struct registry *registry, size_t position, struct instance *instance)
{
	struct entry *grown = reallocarray(registry->entries, registry->n_entries + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	registry->entries = grown;
	memmove(grown + position + 1, grown + position, (registry->n_entries - position) * sizeof(*grown));
	grown[position] = (struct entry){instance, NULL};
	registry->n_entries++;
	return 0;
}

static void remove_entry(struct registry *registry, const char *lb_id)
{
	size_t position;

	if (!find_entry(registry, lb_id, &position))
		return;
	instance_unref(registry->entries[position].instance);
	load_balancer_unref(registry->entries[position].pending);
	registry->n_entries--;
	memmove(registry->entries + position, registry->entries + position + 1,
		(registry->n_entries - position) * sizeof(*registry->entries));
}

/* What a change under way wants must not collide with others, nor others with it. NULL: it is over. */
static int announce(void *userdata, const struct instance *instance, struct load_balancer *lb, struct error *err)
{
	struct registry *registry = userdata;
	size_t position;
	int r = 0;

	HOLD(held, &registry->lock);
	if (lb)
		r = registry_check_conflicts(registry, lb, err);
	if (r < 0 || !find_entry(registry, instance->id, &position) ||
		registry->entries[position].instance != instance)
		return r;
	load_balancer_unref(registry->entries[position].pending);
	registry->entries[position].pending = lb ? load_balancer_ref(lb) : NULL;
	return 0;
}

static int create_entry(struct registry *registry, const char *lb_id, enum instance_owner owner, size_t position,
	struct error *err)
{
	struct instance *instance;
	int r;

	r = instance_new(lb_id, owner, registry->settings, &instance, err);
	if (r < 0)
		return r;
	instance->judge = announce;
	instance->judge_userdata = registry;
	r = insert_entry(registry, position, instance);
	if (r < 0) {
		instance_unref(instance);
		return error_set_errno(err, r, "load balancers");
	}
	return 0;
}

/* Finds the instance, or creates it. */
static int open_definition(struct registry *registry, const char *lb_id, bool create, struct instance **ret,
	struct error *err)
{
	size_t position;
	int r = 0;

	if (!create)
		return registry_get(registry, lb_id, ret, err);
	HOLD(held, &registry->lock);
	if (!find_entry(registry, lb_id, &position))
		r = create_entry(registry, lb_id, OWNER_DEFINITION, position, err);
	if (r == 0)
		*ret = instance_ref(registry->entries[position].instance);
	return r;
}

/* Lets go of an instance that was deleted. */
static void forget(struct registry *registry, const struct instance *instance)
{
	size_t position;

	pthread_mutex_lock(&registry->lock);
	if (find_entry(registry, instance->id, &position) && registry->entries[position].instance == instance)
		remove_entry(registry, instance->id);
	pthread_mutex_unlock(&registry->lock);
}

/* An instance that was only created for a change that failed, or for a dry run, goes. */
static void discard_unstored(struct registry *registry, struct instance *instance)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	bool discarded = false;

	if (instance_discard_unstored(instance, &discarded, &problem) < 0)
		log_lb(LOG_ERR, instance->id, "%s", error_message(&problem));
	if (discarded)
		forget(registry, instance);
}

int registry_change(struct registry *registry, const char *lb_id, bool create, instance_change_fn make, void *userdata,
	const struct apply_options *options, struct apply_result *ret, struct error *err)
{
	/* An instance that is being deleted leaves the registry soon; then the change creates it anew. */
	for (;;) {
		_cleanup_instance_ struct instance *instance = NULL;
		int r;

		r = open_definition(registry, lb_id, create, &instance, err);
		if (r < 0)
			return r;
		r = instance_change(instance, make, userdata, options, ret, err);
		if (r < 0 || options->dry_run)
			discard_unstored(registry, instance);
		if (r != -ESHUTDOWN)
			return r;
		forget(registry, instance);
		if (create)
			error_done(err);
	}
}

static int give_tree(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	int r;

	if (!definition_lacks_secrets(userdata)) {
		*ret = load_balancer_ref(userdata);
		return 0;
	}
	r = tree_copy(userdata, &lb);
	if (r < 0)
		return error_set_errno(err, r, "definition");
	r = definition_keep_secrets(lb, before, err);
	if (r == 0)
		*ret = TAKE_PTR(lb);
	return r;
}

int registry_apply(struct registry *registry, struct load_balancer *lb, const struct apply_options *options,
	struct apply_result *ret, struct error *err)
{
	struct apply_options replacing = *options;

	replacing.replaces = true;
	return registry_change(registry, lb->id, true, give_tree, lb, &replacing, ret, err);
}

int registry_get(struct registry *registry, const char *lb_id, struct instance **ret, struct error *err)
{
	size_t position;
	bool found;

	pthread_mutex_lock(&registry->lock);
	found = find_entry(registry, lb_id, &position) && instance_is_stored(registry->entries[position].instance);
	if (found)
		*ret = instance_ref(registry->entries[position].instance);
	pthread_mutex_unlock(&registry->lock);
	return found ? 0 : error_set(err, ERROR_NOT_FOUND, NULL, "Load Balancer %s not found.", lb_id);
}

int registry_list(struct registry *registry, struct instance ***ret)
{
	struct instance **list;
	size_t n = 0;

	pthread_mutex_lock(&registry->lock);
	list = calloc(registry->n_entries + 1, sizeof(struct instance *));
	for (size_t i = 0; list && i < registry->n_entries; i++)
		if (instance_is_stored(registry->entries[i].instance))
			list[n++] = instance_ref(registry->entries[i].instance);
	pthread_mutex_unlock(&registry->lock);
	if (!list)
		return -ENOMEM;
	*ret = list;
	return 0;
}

void registry_list_free(struct instance **list)
{
	for (struct instance **item = list; item && *item; item++)
		instance_unref(*item);
	free(list);
}

int registry_delete(struct registry *registry, const char *lb_id, int64_t if_match, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	int r;

	r = registry_get(registry, lb_id, &instance, err);
	if (r == 0)
		r = instance_delete(instance, if_match, err);
	if (r < 0)
		return r;
	forget(registry, instance);
	return 0;
}

static int open_upload(struct registry *registry, const char *lb_id, struct instance **ret, struct error *err)
{
	size_t position;
	int r = 0;

	pthread_mutex_lock(&registry->lock);
	if (!find_entry(registry, lb_id, &position))
		r = create_entry(registry, lb_id, OWNER_CONTROLLER, position, err);
	if (r == 0)
		*ret = instance_ref(registry->entries[position].instance);
	pthread_mutex_unlock(&registry->lock);
	return r;
}

int registry_upload(struct registry *registry, const char *lb_id, const char *amphora_id, const char *text, size_t length,
	struct error *err)
{
	for (;;) { /* as in registry_change() */
		_cleanup_instance_ struct instance *instance = NULL;
		_cleanup_error_ struct error problem = ERROR_INIT;
		bool discarded = false;
		int r;

		r = open_upload(registry, lb_id, &instance, err);
		if (r < 0)
			return r;
		r = instance_upload(instance, amphora_id, text, length, err);
		if (r < 0 && instance_discard_unstored(instance, &discarded, &problem) < 0)
			log_lb(LOG_ERR, lb_id, "%s", error_message(&problem));
		if (discarded || r == -ESHUTDOWN)
			forget(registry, instance);
		if (r != -ESHUTDOWN)
			return r;
	}
}

int registry_remove_upload(struct registry *registry, const char *lb_id, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	int r;

	if (registry_get(registry, lb_id, &instance, NULL) < 0)
		return 0;
	r = instance_remove(instance, err);
	if (r < 0)
		return r;
	forget(registry, instance);
	return 0;
}

static int load_one(struct registry *registry, const char *lb_id, enum instance_owner owner, bool converge)
{
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	size_t position;
	int r;

	r = instance_new(lb_id, owner, registry->settings, &instance, &problem);
	if (r < 0) {
		log_lb(LOG_ERR, lb_id, "cannot be loaded: %s", error_message(&problem));
		return r;
	}
	if (converge && owner == OWNER_DEFINITION && instance_converge(instance, &problem) == -ENOENT)
		return 0; /* there was nothing stored */
	if (converge && owner == OWNER_CONTROLLER && instance_resume(instance, &problem) < 0)
		log_lb(LOG_ERR, lb_id, "HAProxy does not run: %s", error_message(&problem));
	instance->judge = announce;
	instance->judge_userdata = registry;
	HOLD(held, &registry->lock);
	find_entry(registry, lb_id, &position);
	r = insert_entry(registry, position, instance);
	if (r < 0)
		return r;
	TAKE_PTR(instance);
	return 0;
}

static bool has(int base_fd, const char *folder, const char *name)
{
	_cleanup_free_ char *path = NULL;

	return asprintf(&path, "%s/%s", folder, name) >= 0 && faccessat(base_fd, path, F_OK, 0) == 0;
}

/* A folder with a UUID for its name is a load balancer, and its content tells whose. */
static bool find_owner(int base_fd, const char *name, enum instance_owner *ret)
{
	if (!text_is_uuid(name))
		return false;
	*ret = has(base_fd, name, "definition") || has(base_fd, name, "definition.deleted") ? OWNER_DEFINITION
											     : OWNER_CONTROLLER;
	return *ret == OWNER_DEFINITION || has(base_fd, name, "haproxy.cfg");
}

int registry_load(struct registry *registry, bool converge, struct error *err)
{
	DIR *dir = opendir(registry->settings->base_path);

	if (!dir)
		return error_set_errno(err, -errno, "%s", registry->settings->base_path);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		enum instance_owner owner;

		if (find_owner(dirfd(dir), entry->d_name, &owner))
			load_one(registry, entry->d_name, owner, converge);
	}
	closedir(dir);
	return 0;
}

void registry_look_after(struct registry *registry)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;

	if (registry_list(registry, &instances) < 0)
		return;
	for (struct instance **instance = instances; *instance; instance++) {
		_cleanup_error_ struct error problem = ERROR_INIT;

		if (instance_retry(*instance, &problem) < 0)
			log_lb(LOG_WARNING, (*instance)->id, "HAProxy still does not run what is stored: %s",
				error_message(&problem));
		instance_look_after(*instance);
	}
}

int registry_stop_all(struct registry *registry, int graceful_ms, struct error *err)
{
	int first = 0;

	for (size_t i = 0; i < registry->n_entries; i++) {
		_cleanup_error_ struct error problem = ERROR_INIT;
		int r = instance_stop(registry->entries[i].instance, graceful_ms, &problem);

		if (r < 0 && first == 0)
			first = error_set_errno(err, r, "%s: %s", registry->entries[i].instance->id,
				error_message(&problem));
	}
	return first;
}
