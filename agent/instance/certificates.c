/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/certificates.h"

#include <string.h>

#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/instance/references.h"
#include "agent/instance/registry_internal.h"

enum { USERS_NAMED = 5 }; /* in an error; the others are counted */

void certificate_users_done(struct certificate_users *users)
{
	for (size_t i = 0; i < users->n; i++)
		free(users->items[i].name);
	free(users->items);
	*users = CERTIFICATE_USERS_INIT;
}

void certificate_change_done(struct certificate_change *change)
{
	for (size_t i = 0; i < change->n_applied; i++) {
		strv_free(change->applied[i].reasons);
		free(change->applied[i].trouble);
	}
	free(change->applied);
	*change = CERTIFICATE_CHANGE_INIT;
}

struct search {
	const char *name; /* NULL: any */
	const char *lb_id;
	struct certificate_users users;
};

static bool is_known(const struct search *search, const struct certificate_reference *reference, const char *name)
{
	for (size_t i = search->users.n; i > 0; i--) {
		const struct certificate_user *user = &search->users.items[i - 1];

		if (!streq(user->lb_id, search->lb_id))
			return false;
		if (streq(user->object_id, reference->object_id) && streq(user->field, reference->field) &&
			streq(user->name, name))
			return true;
	}
	return false;
}

static int note_user(void *userdata, const struct certificate_reference *reference)
{
	const char *name = certificate_reference_name(reference->reference);
	struct search *search = userdata;
	struct certificate_user *grown, *user;

	if (!name || (search->name && !streq(name, search->name)) || is_known(search, reference, name))
		return 0;
	grown = reallocarray(search->users.items, search->users.n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	search->users.items = grown;
	user = &grown[search->users.n];
	*user = (struct certificate_user){.object = reference->object, .field = reference->field, .name = strdup(name)};
	if (!user->name)
		return -ENOMEM;
	snprintf(user->lb_id, sizeof(user->lb_id), "%s", search->lb_id);
	snprintf(user->object_id, sizeof(user->object_id), "%s", reference->object_id);
	search->users.n++;
	return 0;
}

/* What is in force and what a change under way wants. Called with the registry's lock held. */
static int search_users(struct registry *registry, struct search *search)
{
	for (size_t i = 0; i < registry->n_entries; i++) {
		_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
		const struct entry *entry = &registry->entries[i];
		int r = 0;

		search->lb_id = entry->instance->id;
		if (instance_current(entry->instance, &stored, NULL) == 0)
			r = references_visit(stored.lb, note_user, search);
		if (r == 0 && entry->pending)
			r = references_visit(entry->pending, note_user, search);
		if (r < 0)
			return r;
	}
	return 0;
}

int registry_certificate_users(struct registry *registry, const char *name, struct certificate_users *ret, struct error *err)
{
	struct search search = {.name = name};
	int r;

	{
		HOLD(held, &registry->lock);
		r = search_users(registry, &search);
	}
	if (r < 0) {
		certificate_users_done(&search.users);
		return error_set_errno(err, r, "certificates");
	}
	*ret = search.users;
	return 0;
}

static int refuse_in_use(const char *name, const struct certificate_users *users, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	for (size_t i = 0; i < users->n && i < USERS_NAMED; i++)
		text_printf(&text, "%s%s %s of load balancer %s (%s)", i ? ", " : "", users->items[i].object,
			users->items[i].object_id, users->items[i].lb_id, users->items[i].field);
	if (users->n > USERS_NAMED)
		text_printf(&text, " and %zu more", users->n - USERS_NAMED);
	return error_set(err, ERROR_CONFLICT, NULL, "the certificate '%s' is in use by %s", name, text_peek(&text));
}

int registry_delete_certificate(struct registry *registry, const char *name, struct error *err)
{
	struct certificate_store *store = registry->settings->render.certificates;
	struct search search = {.name = name};
	int r;

	HOLD(changing, &registry->certificates_lock);
	/* Nobody can announce a definition until it is gone. */
	HOLD(held, &registry->lock);
	r = search_users(registry, &search);
	if (r < 0)
		r = error_set_errno(err, r, "certificates");
	else
		r = search.users.n > 0 ? refuse_in_use(name, &search.users, err) : certificate_store_delete(store, name, err);
	certificate_users_done(&search.users);
	if (r == 0)
		log_notice("certificate '%s' removed", name);
	return r;
}

static int same_tree(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err)
{
	if (!before)
		return error_set(err, ERROR_NOT_FOUND, NULL, "Load Balancer %s has no definition", (const char *)userdata);
	*ret = load_balancer_ref(before);
	return 0;
}

/* What is in force, with the certificates of now. */
static int apply_again(struct registry *registry, const char *lb_id, struct apply_result *ret, struct error *err)
{
	static const struct apply_options options = {.if_match = -1};

	return registry_change(registry, lb_id, false, same_tree, (void *)(uintptr_t)lb_id, &options, ret, err);
}

static bool is_in_trouble(struct registry *registry, const char *lb_id)
{
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *trouble = NULL;

	if (registry_get(registry, lb_id, &instance, NULL) < 0)
		return false;
	trouble = instance_trouble(instance);
	return trouble != NULL;
}

/* Takes what it wants of the result. */
static int note_applied(
	struct certificate_change *change, const char *lb_id, struct apply_result *result, const char *trouble)
{
	struct certificate_applied *grown, *applied;

	grown = reallocarray(change->applied, change->n_applied + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	change->applied = grown;
	applied = &grown[change->n_applied];
	*applied = (struct certificate_applied){.action = result->plan.action,
		.duration_ms = result->duration_ms,
		.trouble = trouble ? strdup(trouble) : NULL};
	if (trouble && !applied->trouble)
		return -ENOMEM;
	applied->reasons = TAKE_PTR(result->plan.reasons);
	snprintf(applied->lb_id, sizeof(applied->lb_id), "%s", lb_id);
	change->n_applied++;
	if (applied->action > change->action)
		change->action = applied->action;
	return 0;
}

static int refuse_for(const char *lb_id, const char *name, int r, const struct error *problem, struct error *err)
{
	/* The definition was good and the bundle is: they do not fit. */
	bool misfit = problem->code == ERROR_INVALID;

	error_set(err, misfit ? ERROR_CONFLICT : problem->code, NULL, "load balancer %s cannot use this as '%s'%s%s: %s",
		lb_id, name, problem->pointer ? ", " : "", problem->pointer ? problem->pointer : "", error_message(problem));
	return misfit ? error_code_to_errno(ERROR_CONFLICT) : r;
}

static int apply_to(struct registry *registry, const char *lb_id, const char *name, struct certificate_change *change,
	struct error *err)
{
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error problem = ERROR_INIT;
	bool was_in_trouble = is_in_trouble(registry, lb_id);
	int r;

	r = apply_again(registry, lb_id, &result, &problem);
	if (r < 0 && problem.code == ERROR_NOT_FOUND)
		return 0; /* deleted meanwhile, or never created */
	if (r < 0 && !was_in_trouble)
		return refuse_for(lb_id, name, r, &problem, err);
	if (note_applied(change, lb_id, &result, r < 0 ? error_message(&problem) : NULL) < 0)
		return error_set_errno(err, -ENOMEM, "certificate");
	return 0;
}

static int apply_to_users(struct registry *registry, const char *name, struct certificate_change *change, struct error *err)
{
	_cleanup_certificate_users_ struct certificate_users users = CERTIFICATE_USERS_INIT;
	int r;

	r = registry_certificate_users(registry, name, &users, err);
	for (size_t i = 0; r == 0 && i < users.n; i++)
		if (i == 0 || !streq(users.items[i].lb_id, users.items[i - 1].lb_id))
			r = apply_to(registry, users.items[i].lb_id, name, change, err);
	return r;
}

/* Those that took it already, and whoever began to use it meanwhile, go back as well. Each goes as far as it can: a load balancer
 * that cannot be brought back says so as its trouble, and then this is false. */
static bool put_back(struct registry *registry, const char *name, const struct certificate_backup *before)
{
	struct certificate_store *store = registry->settings->render.certificates;
	_cleanup_certificate_users_ struct certificate_users users = CERTIFICATE_USERS_INIT;
	_cleanup_error_ struct error problem = ERROR_INIT;
	bool all = true;

	if (certificate_store_restore(store, name, before, &problem) < 0 ||
		registry_certificate_users(registry, name, &users, &problem) < 0) {
		log_error("going back to the last certificate '%s' failed: %s", name, error_message(&problem));
		return false;
	}
	for (size_t i = 0; i < users.n; i++) {
		_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
		_cleanup_error_ struct error failure = ERROR_INIT;
		const char *lb_id = users.items[i].lb_id;

		if (i > 0 && streq(lb_id, users.items[i - 1].lb_id))
			continue;
		if (apply_again(registry, lb_id, &result, &failure) == 0 || failure.code == ERROR_NOT_FOUND)
			continue;
		log_lb(LOG_ERR, lb_id, "going back to the last certificate '%s' failed: %s", name, error_message(&failure));
		all = false;
	}
	return all;
}

static void say_outcome(struct error *err, bool all_back)
{
	_cleanup_free_ char *message = err && err->message ? strdup(err->message) : NULL;

	if (message)
		error_set(err, err->code, NULL, "%s\n%s", message,
			all_back ? "All load balancers go on with what they had."
				 : "Not every load balancer could be brought back to what it had; its trouble tells why.");
}

int registry_put_certificate(struct registry *registry, const char *name, const char *pem, size_t length,
	struct certificate_change *ret, struct error *err)
{
	struct certificate_store *store = registry->settings->render.certificates;
	_cleanup_certificate_backup_ struct certificate_backup before = CERTIFICATE_BACKUP_INIT;
	_cleanup_certificate_change_ struct certificate_change change = CERTIFICATE_CHANGE_INIT;
	int64_t started = process_now_ms();
	int r;

	HOLD(changing, &registry->certificates_lock);
	r = certificate_store_put(store, name, pem, length, &change.created, &change.changed, &before, err);
	if (r < 0)
		return r;
	/* Also where nothing changed: one that had missed an earlier content gets it. */
	r = apply_to_users(registry, name, &change, err);
	if (r < 0) {
		say_outcome(err, !change.changed || put_back(registry, name, &before));
		log_warning("certificate '%s' stays as it was: %s", name, error_message(err));
		return r;
	}
	change.duration_ms = process_now_ms() - started;
	log_notice("certificate '%s' %s: %zu load balancers, %s, %lld ms", name,
		change.created ? "created" : change.changed ? "replaced" : "sent again", change.n_applied,
		plan_action_name(change.action), (long long)change.duration_ms);
	*ret = change;
	change = CERTIFICATE_CHANGE_INIT;
	return 0;
}
