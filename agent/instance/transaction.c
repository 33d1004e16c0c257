/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <stdarg.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/instance/lvs.h"

/*
 * From one definition to the next: render -> plan, and check meanwhile -> publish -> apply -> confirm | roll back -> store.
 * The plan is carried out over the Runtime API where it says so; whatever surprises there leads to a reload.
 */

int instance_check_revision(struct instance *instance, int64_t if_match, struct error *err)
{
	if (if_match >= 0 && if_match != instance->current.revision)
		return error_set(err, ERROR_STALE, NULL,
			"If-Match names revision %lld, the load balancer is at %lld: read it again",
			(long long)if_match, (long long)instance->current.revision);
	return 0;
}

void instance_add_reason(struct plan *plan, const char *format, ...)
{
	size_t n = strv_length(plan->reasons);
	char **grown = reallocarray(plan->reasons, n + 2, sizeof(*grown));
	va_list arguments;
	char *reason;
	int length;

	if (!grown)
		return;
	plan->reasons = grown;
	grown[n] = NULL;
	va_start(arguments, format);
	length = vasprintf(&reason, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	memmove(grown + 1, grown, (n + 1) * sizeof(*grown));
	grown[0] = reason;
}

int instance_make_plan(struct instance *instance, const struct wanted *wanted, struct plan *ret, struct error *err)
{
	_cleanup_(haproxy_answers_done) struct haproxy_answers answers = {0};
	const struct instance_settings *settings = instance->settings;
	bool runs = instance_haproxy_runs(instance);
	struct plan_input input = {
		.wanted = wanted->text,
		.wanted_length = wanted->length,
		.files = wanted->files,
		.n_files = wanted->n_files,
		.version = settings->version,
		.runtime_updates = settings->runtime_updates,
	};
	int r;

	if (runs && settings->runtime_updates)
		instance_ask_haproxy(instance, &answers);
	/* It may run something that we do not know (a rollback failed): everything counts as changed. */
	input.running = !runs ? NULL : instance->running ? instance->running : "";
	input.running_length = instance->running ? instance->running_length : 0;
	input.hard_maxconn = answers.hard_maxconn;
	input.servers_state = answers.servers_state;
	input.leaving = instance->leaving;
	input.n_leaving = instance->n_leaving;
	r = plan_make(&input, ret, err);
	if (r == 0 && runs && !instance->running)
		instance_add_reason(ret, "what HAProxy runs is not known");
	if (r < 0 || !runs || !instance->own_running || ret->action == PLAN_RELOAD)
		return r;
	if (!streq(instance->own_running, wanted->own_config)) {
		ret->action = PLAN_RELOAD;
		instance_add_reason(ret, "limits of old workers changed");
	}
	return 0;
}

/* Makes HAProxy run what was published. *ret_touched: some of it runs by now, whatever became of the rest. */
int instance_tell_haproxy(struct instance *instance, const struct wanted *wanted, struct plan *plan, bool *ret_touched,
	struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	pid_t planned_for = instance->worker;
	int r;

	*ret_touched = false;
	if (plan->action == PLAN_NONE || plan->action == PLAN_RUNTIME) {
		r = instance_await_worker(instance, err);
		if (r < 0)
			return r;
		if (planned_for != 0 && instance->worker != planned_for) {
			/* What this one read, and when, nobody knows. */
			plan->action = PLAN_RELOAD;
			instance_add_reason(plan, "HAProxy was started again meanwhile");
		}
	}
	if (plan->action == PLAN_NONE) {
		r = instance_set_leaving(instance, plan->leaving, plan->n_leaving);
		return r < 0 ? error_set_errno(err, r, "plan") : 0;
	}
	if (plan->action == PLAN_RUNTIME) {
		*ret_touched = true;
		if (instance_apply_at_runtime(instance, plan, wanted, &problem) == 0)
			return 0;
		log_lb(LOG_WARNING, instance->id, "a change at run time did not go as planned, HAProxy is reloaded: %s",
			error_message(&problem));
		plan->action = PLAN_RELOAD;
		instance_add_reason(plan, "at run time: %s", error_message(&problem));
	}
	r = instance_haproxy_runs(instance) ? instance_reload_haproxy(instance, wanted->text, wanted->length, err)
					    : instance_start_haproxy(instance, wanted->text, wanted->length, err);
	if (r < 0)
		return r;
	instance->has_old_workers = true;
	instance_limit_old_workers(instance);
	instance_clear_leaving(instance);
	free(instance->own_running);
	instance->own_running = strdup(wanted->own_config); /* NULL: it is not looked at */
	return 0;
}

struct transaction {
	struct rendered rendered;
	struct published before;
	struct wanted wanted; /* its strings are those of the two above, but for own_config */
	struct plan plan;
	struct lvs_change lvs;
	char *verdict;
	struct fileio_pending config; /* haproxy.cfg */
	struct storing storing;
};
#define TRANSACTION_INIT ((struct transaction){.config = FILEIO_PENDING_INIT, .storing = STORING_INIT})
#define _cleanup_transaction_ _cleanup_(transaction_done)

static void transaction_done(struct transaction *t)
{
	plan_done(&t->plan);
	lvs_change_done(&t->lvs);
	wanted_done(&t->wanted);
	published_done(&t->before);
	rendered_done(&t->rendered);
	free(t->verdict);
	fileio_pending_done(&t->config);
	storing_done(&t->storing);
}

void wanted_done(struct wanted *wanted)
{
	free(wanted->files);
	free(wanted->own_config);
	*wanted = (struct wanted){0};
}

static const char *content_of(const struct rendered_file *files, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(files[i].name, name))
			return files[i].content;
	return NULL;
}

/* The files of "now" beside those of "before". */
static int compare_files(const struct rendered_file *before, size_t n_before, const struct rendered_file *now, size_t n_now,
	struct wanted *wanted)
{
	wanted->files = calloc(n_before + n_now + 1, sizeof(*wanted->files));
	if (!wanted->files)
		return -ENOMEM;
	for (size_t i = 0; i < n_now; i++)
		wanted->files[wanted->n_files++] = (struct plan_file){
			now[i].name, content_of(before, n_before, now[i].name), now[i].content};
	for (size_t i = 0; i < n_before; i++)
		if (!content_of(now, n_now, before[i].name))
			wanted->files[wanted->n_files++] = (struct plan_file){before[i].name, before[i].content, NULL};
	return 0;
}

static bool same_files(const struct wanted *wanted)
{
	for (size_t i = 0; i < wanted->n_files; i++)
		if (!streq_null(wanted->files[i].before, wanted->files[i].after))
			return false;
	return true;
}

static bool is_published(const struct transaction *t)
{
	return t->before.text && streq(t->before.text, t->rendered.text) && same_files(&t->wanted);
}

/* Renders. */
static int begin(struct instance *instance, const struct load_balancer *lb, struct transaction *t, struct error *err)
{
	int r;

	r = render_haproxy(instance->settings->template, lb, &instance->settings->render, &t->rendered, err);
	if (r < 0)
		return r;
	if (instance_own_config(instance, lb, &t->wanted.own_config, NULL) < 0)
		return error_set_errno(err, -ENOMEM, "amphorad.cfg");
	t->wanted.text = t->rendered.text;
	t->wanted.length = t->rendered.length;
	return 0;
}

/* With "all", listeners of UDP and SCTP that have not changed are part of it. */
static int make_plan(struct instance *instance, const struct load_balancer *lb, bool all, struct transaction *t,
	struct error *err)
{
	int r;

	r = instance_read_published(instance, &t->before, err);
	if (r < 0)
		return r;
	r = compare_files(t->before.files, t->before.n_files, t->rendered.files, t->rendered.n_files, &t->wanted);
	if (r < 0)
		return error_set_errno(err, r, "configuration");
	r = instance_lvs_prepare(instance, lb, all, &t->lvs, err);
	return r < 0 ? r : instance_make_plan(instance, &t->wanted, &t->plan, err);
}

/* Writes what is going to be in force: what is left for later is to put it in its place. */
static int prepare(struct instance *instance, struct revised *trees, size_t n, struct transaction *t, struct error *err)
{
	int r = instance_prepare_store(instance, trees, n, &t->storing, err);

	if (r < 0 || (instance->running && streq(instance->running, t->rendered.text)))
		return r;
	r = fileio_prepare(instance->dir_fd, INSTANCE_CONFIG, t->rendered.text, t->rendered.length, 0600, true, &t->config);
	return r < 0 ? error_set_errno(err, r, "cannot write the configuration in %s", instance->directory) : 0;
}

/* The plan, what is going to be written and HAProxy's verdict: HAProxy reads while the others are made. What it runs already
 * it has seen. */
static int plan_and_check(struct instance *instance, struct revised *trees, size_t n, bool dry_run, struct transaction *t,
	struct error *err)
{
	bool is_new = dry_run || !instance->running || !streq(instance->running, t->rendered.text);
	const struct load_balancer *lb = trees[n - 1].lb;
	int r = 0;

	if (is_new)
		r = instance_begin_check(instance, lb, &t->rendered, err);
	if (r < 0)
		return r;
	r = make_plan(instance, lb, false, t, err);
	if (r == 0)
		r = instance_lvs_check(instance, &t->lvs, err);
	if (r == 0 && !dry_run)
		r = prepare(instance, trees, n, t, err);
	if (r < 0) {
		instance_drop_check(instance);
		return r;
	}
	if (is_new)
		return instance_end_check(instance, &t->verdict, err);
	if (t->plan.action == PLAN_NONE && is_published(t))
		return 0;
	return instance_check_staged(instance, lb, &t->rendered, &t->verdict, err);
}

/* Back to "before" from a HAProxy that runs all of "t": at run time where that can be done. */
static int return_to(struct instance *instance, const struct transaction *t, struct wanted *old, struct error *err)
{
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	bool touched;
	int r;

	r = compare_files(t->rendered.files, t->rendered.n_files, t->before.files, t->before.n_files, old);
	if (r < 0)
		return error_set_errno(err, r, "configuration");
	r = instance_make_plan(instance, old, &plan, err);
	return r < 0 ? r : instance_tell_haproxy(instance, old, &plan, &touched, err);
}

enum reach {
	REACH_NOT,  /* HAProxy was not told, or refused and goes on as it was */
	REACH_PART, /* it runs something in between */
	REACH_ALL,
};

/* Back to what was published before. 0: that is in force. */
static int roll_back(struct instance *instance, const struct transaction *t, enum reach reach)
{
	const struct published *before = &t->before;
	struct rendered old = {before->text, before->length, before->files, before->n_files};
	_cleanup_(wanted_done) struct wanted wanted = {.text = before->text, .length = before->length};
	bool tell = reach != REACH_NOT || !instance_haproxy_runs(instance);
	/* If it was not known what HAProxy runs, it is not known now. */
	bool known = tell || instance->running;
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	if (reach == REACH_PART)
		instance_set_running(instance, NULL, 0);
	r = instance_publish(instance, NULL, before->text, before->length, before->files, before->n_files, &problem);
	if (r == 0)
		r = instance_write_own_config(instance, instance->current.lb, &problem);
	if (r == 0)
		r = instance_own_config(instance, instance->current.lb, &wanted.own_config, NULL);
	if (r == 0 && !before->text)
		r = instance->settings->supervisor->operations->stop(instance->unit, 0, &problem);
	else if (r == 0 && tell)
		r = return_to(instance, t, &wanted, &problem);
	if (r == 0 && known)
		r = instance_set_running(instance, before->text, before->length);
	if (r == 0 && known && before->text) {
		instance_remove_unused_files(instance, &old);
		r = instance_record_applied(instance, &old, &problem);
	}
	if (r < 0) {
		log_lb(LOG_ERR, instance->id, "going back to the last configuration failed: %s",
			error_message(&problem));
		instance_set_trouble(instance, error_message(&problem));
		instance_set_running(instance, NULL, 0);
	}
	return r;
}

/* Says what became of HAProxy after a change that failed half-way; one that was never touched says so itself. */
static void say_rolled_back(struct error *err, int rolled_back)
{
	_cleanup_free_ char *message = NULL, *pointer = NULL;

	if (!err || !err->message)
		return;
	message = strdup(err->message);
	pointer = err->pointer ? strdup(err->pointer) : NULL;
	if (message)
		error_set(err, err->code, pointer, "%s\n%s", message,
			rolled_back == 0 ? "HAProxy runs the last good configuration again."
					 : "HAProxy could not be brought back to the last good configuration.");
}

/* publish -> apply -> confirm | roll back. */
static int run(struct instance *instance, const struct load_balancer *lb, struct transaction *t, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	bool touched = false;
	int r;

	r = instance_forget_applied(instance, err);
	if (r < 0)
		return r;
	r = instance_publish(instance, &t->config, t->rendered.text, t->rendered.length, t->rendered.files,
		t->rendered.n_files, err);
	if (r == 0)
		r = instance_write_own_config(instance, lb, err);
	if (r == 0)
		r = instance_tell_haproxy(instance, &t->wanted, &t->plan, &touched, err);
	if (r == 0 && instance_set_running(instance, t->rendered.text, t->rendered.length) < 0)
		r = error_set_errno(err, -ENOMEM, "configuration");
	if (r < 0) {
		int rolled_back = roll_back(instance, t, touched ? REACH_PART : REACH_NOT);

		if (touched)
			say_rolled_back(err, rolled_back);
		return r;
	}
	instance_remove_unused_files(instance, &t->rendered);
	/* Without the record the next start of the agent reloads once more, no harm else. */
	if (instance_record_applied(instance, &t->rendered, &problem) < 0)
		log_lb(LOG_WARNING, instance->id, "%s", error_message(&problem));
	return 0;
}

/* Everything but the stage and the plan, for a change that is really made. */
static int commit(struct instance *instance, struct revised *trees, size_t n, struct transaction *t, struct error *err)
{
	bool runs_another = t->plan.action != PLAN_NONE || !is_published(t);
	struct load_balancer *lb = trees[n - 1].lb;
	int r;

	if (runs_another) {
		r = run(instance, lb, t, err);
		if (r < 0)
			return r;
	}
	r = instance_lvs_apply(instance, &t->lvs, err);
	if (r == 0 && t->storing.stored.lb) {
		r = instance_store(instance, trees, n, &t->storing, err);
		if (r < 0)
			instance_lvs_undo(instance, &t->lvs);
	}
	if (r < 0 && runs_another) {
		instance_forget_applied(instance, NULL);
		say_rolled_back(err, roll_back(instance, t, REACH_ALL));
	}
	if (r < 0)
		return r;
	instance_set_trouble(instance, NULL);
	return 0;
}

/* The plan tells what is done, be it HAProxy's part or keepalived's. */
static void add_lvs_to_plan(struct transaction *t)
{
	for (size_t i = 0; i < t->lvs.n; i++)
		instance_add_reason(&t->plan, "keepalived of listener %s: %s", t->lvs.items[i].id,
			!t->lvs.items[i].wanted   ? "the listener is gone"
			: !t->lvs.items[i].before ? "the listener is new"
						  : "the configuration changed");
	if (t->lvs.n > 0 && (t->plan.action == PLAN_NONE || t->plan.action == PLAN_RUNTIME))
		t->plan.action = PLAN_RELOAD;
}

int instance_replace(struct instance *instance, struct revised *trees, size_t n, bool dry_run, struct apply_result *ret,
	struct error *err)
{
	_cleanup_transaction_ struct transaction t = TRANSACTION_INIT;
	struct load_balancer *lb = trees[n - 1].lb;
	bool created = !instance->current.lb;
	int r;

	r = begin(instance, lb, &t, err);
	if (r == 0)
		r = plan_and_check(instance, trees, n, dry_run, &t, err);
	if (r == 0 && !dry_run)
		r = commit(instance, trees, n, &t, err);
	if (r < 0)
		return r;
	add_lvs_to_plan(&t);
	*ret = (struct apply_result){
		.created = created,
		.revision = instance->current.revision,
		.plan = t.plan,
		.verdict = TAKE_PTR(t.verdict),
		.rendered = t.rendered,
		.lvs = t.lvs,
		.lb = load_balancer_ref(lb),
	};
	t.plan = PLAN_INIT;
	t.rendered = RENDERED_INIT;
	t.lvs = LVS_CHANGE_INIT;
	return 0;
}

int instance_check_tree(struct instance *instance, const struct load_balancer *lb, struct error *err)
{
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_free_ char *verdict = NULL;
	int r;

	r = render_haproxy(instance->settings->template, lb, &instance->settings->render, &rendered, err);
	if (r == 0)
		r = instance_check_staged(instance, lb, &rendered, &verdict, err);
	return r < 0 ? r : instance_try_addresses(instance, rendered.text, rendered.length, err);
}

/* Whether HAProxy runs exactly this, told by the record and the files. */
static bool is_in_force(struct instance *instance, const struct transaction *t)
{
	_cleanup_error_ struct error problem = ERROR_INIT;

	if (!instance_haproxy_runs(instance) || !instance_is_applied(instance, &t->rendered) || !is_published(t))
		return false;
	if (instance_find_leaving(instance, t->rendered.text, t->rendered.length, &problem) == 0)
		return true;
	log_lb(LOG_NOTICE, instance->id, "HAProxy runs something else than it was told: %s", error_message(&problem));
	return false;
}

int instance_bring_to_stored(struct instance *instance, struct error *err)
{
	_cleanup_transaction_ struct transaction t = TRANSACTION_INIT;
	int r;

	r = begin(instance, instance->current.lb, &t, err);
	if (r == 0)
		r = make_plan(instance, instance->current.lb, true, &t, err);
	if (r == 0)
		r = instance_write_own_config(instance, instance->current.lb, err);
	if (r < 0)
		return r;
	if (is_in_force(instance, &t)) {
		log_lb(LOG_INFO, instance->id, "HAProxy runs revision %lld already",
			(long long)instance->current.revision);
		free(instance->own_running); /* of a try before, after which keepalived failed */
		instance->own_running = TAKE_PTR(t.wanted.own_config);
		r = instance_set_running(instance, t.rendered.text, t.rendered.length);
		return r < 0 ? r : instance_lvs_apply(instance, &t.lvs, err);
	}
	r = instance_check_staged(instance, instance->current.lb, &t.rendered, &t.verdict, err);
	if (r < 0)
		return r;
	t.plan.action = PLAN_RELOAD;
	r = run(instance, instance->current.lb, &t, err);
	if (r == 0)
		r = instance_lvs_apply(instance, &t.lvs, err);
	if (r < 0)
		return r;
	log_lb(LOG_NOTICE, instance->id, "HAProxy was brought to revision %lld", (long long)instance->current.revision);
	return 0;
}
