/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/definition/limits.h"

/* The commit point of a change: the stored definition. Its file is written while HAProxy reads the configuration, and put in its
 * place when HAProxy was seen to run that. */

void instance_set_current(struct instance *instance, struct stored_definition *stored)
{
	struct stored_definition before;

	LOCK_SCOPE(&instance->view_lock);
	before = instance->current;
	instance->current = *stored;
	instance->changed_ms = process_now_ms();
	instance->damaged = false;
	*stored = before;
}

void storing_done(struct storing *storing)
{
	stored_definition_done(&storing->stored);
	store_pending_done(&storing->pending);
}

/* Gives each tree its revision: the next number, or that of the one before if it is the same. */
static int number_trees(struct instance *instance, struct revised *trees, size_t n, struct error *err)
{
	_cleanup_free_ int64_t *revisions = NULL;
	const struct load_balancer *before = instance->current.lb;
	int64_t last = instance->current.revision;
	size_t n_revisions = 0;
	int r;

	/* The newest is in force at the next start: it must be ours, also where those on disk could not be read. */
	r = store_revisions(instance->dir_fd, &revisions, &n_revisions);
	if (r < 0)
		return error_set_errno(err, r, "cannot read %s/definition", instance->directory);
	for (size_t i = 0; i < n; i++) {
		if (!before || !definition_equal(before, trees[i].lb)) {
			if (n_revisions > 0 && revisions[0] > last)
				last = revisions[0];
			last++;
		}
		trees[i].revision = last;
		before = trees[i].lb;
	}
	return 0;
}

static void describe(const struct instance *instance, const struct revised *tree, struct stored_definition *ret)
{
	ret->revision = tree->revision;
	ret->lb = load_balancer_ref(tree->lb);
	store_now(ret->updated_at);
	snprintf(ret->created_at, sizeof(ret->created_at), "%s",
		instance->current.lb ? instance->current.created_at : ret->updated_at);
}

int instance_prepare_store(struct instance *instance, struct revised *trees, size_t n, struct storing *ret, struct error *err)
{
	const struct revised *newest = &trees[n - 1];
	int r = number_trees(instance, trees, n, err);

	if (r < 0 || (instance->current.lb && newest->revision == instance->current.revision))
		return r;
	describe(instance, newest, &ret->stored);
	return store_prepare(instance->dir_fd, &ret->stored, &ret->pending, err);
}

/* The last one is what counts; those on the way to it are kept for whoever wants to go back to them. */
int instance_store(
	struct instance *instance, const struct revised *trees, size_t n, struct storing *storing, struct error *err)
{
	int64_t before = instance->current.revision;
	int r;

	/* What a deletion that failed left must not be ended by the next start any more. */
	r = fileio_remove_tree(instance->dir_fd, INSTANCE_DELETED);
	if (r < 0)
		return error_set_errno(err, r, "cannot remove %s/" INSTANCE_DELETED, instance->directory);
	r = store_commit(instance->dir_fd, &storing->stored, &storing->pending, err);
	if (r < 0)
		return r;
	for (size_t i = n > LIMIT_REVISIONS ? n - LIMIT_REVISIONS : 0; i + 1 < n; i++) {
		_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
		_cleanup_error_ struct error problem = ERROR_INIT;

		if (trees[i].revision == before || trees[i].revision == trees[i + 1].revision)
			continue;
		describe(instance, &trees[i], &stored);
		if (store_write(instance->dir_fd, &stored, &problem) < 0)
			log_lb(LOG_WARNING, instance->id, "revision %lld is not kept: %s", (long long)trees[i].revision,
				error_message(&problem));
	}
	instance_set_current(instance, &storing->stored);
	return 0;
}
