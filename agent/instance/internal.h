/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between instance.c (life), change.c (bursts), transaction.c (from one definition to the next), staged.c
 * (what HAProxy says of it beforehand), storing.c (what is kept of it), upload.c and
 * upload_reload.c (a controller's configuration), files.c (their files), handover.c and persistence.c (starting and
 * reloading HAProxy), runtime_apply.c and readback.c (changing it while it runs), leaving.c (servers that are gone from
 * the configuration and not from HAProxy) and old_workers.c. All are called with the instance's lock held, but for those
 * of change.c.
 */

#include "agent/base/lock.h"
#include "agent/base/process.h"
#include "agent/instance/instance.h"

/* Holds a mutex of the instance to the end of the scope. */
#define LOCK_SCOPE(mutex) HOLD(_held, mutex)

#define INSTANCE_CONFIG "haproxy.cfg"
#define INSTANCE_OWN_CONFIG "amphorad.cfg"

/* What a deletion leaves of the folder of definitions. */
#define INSTANCE_DELETED "definition.deleted"

enum { INSTANCE_CONFIG_LIMIT = 64 * 1024 * 1024 }; /* bytes of a haproxy.cfg that is read back */

/* What is on disk of a configuration, so that it can be put back. */
struct published {
	char *text; /* NULL: none */
	size_t length;
	struct rendered_file *files;
	size_t n_files;
};
#define PUBLISHED_INIT ((struct published){0})
void published_done(struct published *published);

/* amphorad.cfg, the second -f, beside what is rendered from a definition. */
int instance_own_config(struct instance *instance, const struct load_balancer *lb, char **ret, size_t *ret_length);
int instance_write_own_config(struct instance *instance, const struct load_balancer *lb, struct error *err);
/* The same beside an uploaded configuration. */
int instance_own_config_of_upload(
	struct instance *instance, const char *uploaded, size_t uploaded_length, char **ret, size_t *ret_length);
int instance_write_own_config_of_upload(
	struct instance *instance, const char *uploaded, size_t uploaded_length, struct error *err);
/* Whether HAProxy may send HTTP requests of its own with it: Lua scripts do, and ACME. */
bool instance_uses_http_client(const char *config, size_t length);
/* Writes a server state file without servers: without any, HAProxy warns. */
int instance_write_no_states(int dir_fd);
/* The configuration and its files below a folder, for as long as it takes to look at them. */
int instance_write_volatile(int dir_fd, const struct rendered *rendered);

/* staged.c: HAProxy's verdict on a configuration below staged/. One at a time: each step is about the same one. */
/* Starts a HAProxy that waits, where the configuration is so large that it is worth it: what it has to do before it reads is done
 * while the configuration is made. Whether it was started or not, instance_begin_check() follows, or the other one. */
void instance_expect_check(struct instance *instance);
void instance_expect_no_check(struct instance *instance);
int instance_begin_check(
	struct instance *instance, const struct load_balancer *lb, const struct rendered *rendered, struct error *err);
/* One of the two follows: to wait for the verdict, or to do without it. */
int instance_end_check(struct instance *instance, char **ret_verdict, struct error *err);
void instance_drop_check(struct instance *instance);
/* All of it at once. */
int instance_check_staged(struct instance *instance, const struct load_balancer *lb, const struct rendered *rendered,
	char **ret_verdict, struct error *err);
int instance_read_published(struct instance *instance, struct published *ret, struct error *err);
/* Replaces what is on disk. haproxy.cfg may be "pending": then a power cut may bring the old one back, from which the next start goes
 * to what is stored. Lists and certificates that are not in the new set are removed by instance_remove_unused_files(). */
int instance_publish(struct instance *instance, struct fileio_pending *pending, const char *text, size_t length, const struct rendered_file *files,
	size_t n_files, struct error *err);
void instance_remove_unused_files(struct instance *instance, const struct rendered *rendered);
/* Removes what interrupted writes left. */
void instance_remove_temporary(struct instance *instance);

/* The "applied" record: HAProxy runs what is on disk, and that has this digest. */
int instance_forget_applied(struct instance *instance, struct error *err);
int instance_record_applied(struct instance *instance, const struct rendered *rendered, struct error *err);
bool instance_is_applied(struct instance *instance, const struct rendered *rendered);

/* A change that waits for its turn, on the stack of its owner. */
struct change {
	instance_change_fn make; /* NULL: a reload of what a controller uploaded */
	void *userdata;
	const struct apply_options *options;
	struct apply_result *result;
	struct error *err;
	int64_t since_ms;
	int r;
	bool done;
	struct change *next;
};

/* Queues a change. NULL: another caller made it meanwhile. Otherwise the caller has to make all of the list, its own among
 * them, take instance->lock for that, and end with instance_led(). */
struct change *instance_lead(struct instance *instance, struct change *own);
void instance_led(struct instance *instance, struct change *group);

/* "action" counts where r is 0. */
void instance_count_change(struct instance *instance, int r, enum plan_action action, int64_t duration_ms);

/* What HAProxy is to run. */
struct wanted {
	const char *text;
	size_t length;
	struct plan_file *files; /* the array is owned, its strings are not */
	size_t n_files;
	char *own_config; /* owned */
};
void wanted_done(struct wanted *wanted);

/* What the running HAProxy says of itself; members that it did not tell are empty. */
struct haproxy_answers {
	unsigned hard_maxconn;
	char *servers_state;
};
void haproxy_answers_done(struct haproxy_answers *answers);
/* Notices a worker that is not the one which was told last: the supervisor started HAProxy again. It has no servers that leave,
 * and read the files as they were at that moment. */
void instance_ask_haproxy(struct instance *instance, struct haproxy_answers *ret);

/* Puts a reason in front of the others. Where there is no memory the plan is none the worse. */
void instance_add_reason(struct plan *plan, const char *format, ...) _printf_(2, 3);
int plan_copy_reasons(const struct plan *from, struct plan *to);

/* The plan with its reasons, from instance->running and instance->leaving. */
int instance_make_plan(struct instance *instance, const struct wanted *wanted, struct plan *ret, struct error *err);

/* Makes HAProxy run what is published, as the plan says; a plan that fails at run time becomes a reload, which the plan then
 * says. *ret_touched: HAProxy may run some of it, whatever came of the rest. ERROR_APPLY with HAProxy's words. */
int instance_tell_haproxy(struct instance *instance, const struct wanted *wanted, struct plan *plan, bool *ret_touched,
	struct error *err);

/* Calls after_start(), which the two that follow do themselves. */
void instance_tell_started(struct instance *instance, const char *config, size_t length);

/* Whether HAProxy could bind the addresses that the text adds to what it runs (trial.h). */
int instance_try_addresses(struct instance *instance, const char *wanted, size_t wanted_length, struct error *err);

/* Returns when its worker answers, at once if it does: the supervisor may be about to restart it. */
int instance_await_worker(struct instance *instance, struct error *err);
/* Starts or reloads and waits until HAProxy confirms. ERROR_APPLY with HAProxy's words. */
int instance_start_haproxy(struct instance *instance, const char *wanted, size_t wanted_length, struct error *err);
int instance_reload_haproxy(struct instance *instance, const char *wanted, size_t wanted_length, struct error *err);

/* persistence.c: the stick tables of a worker that is about to be replaced. */
struct saved_table {
	char *name, *dump;
};
struct saved_tables {
	char *state; /* "show servers state" */
	struct saved_table *tables;
	size_t n;
};
#define SAVED_TABLES_INIT ((struct saved_tables){0})
#define _cleanup_saved_tables_ _cleanup_(saved_tables_done)
void instance_save_tables(struct instance *instance, struct saved_tables *ret);
/* Tells them to the worker that answers now. */
void instance_restore_tables(struct instance *instance, const struct saved_tables *saved);
void saved_tables_done(struct saved_tables *saved);

/* Carries out the steps of a PLAN_RUNTIME plan and reads back. A failure says what was not as expected: the remedy is a
 * reload. */
int instance_apply_at_runtime(struct instance *instance, const struct plan *plan, const struct wanted *wanted,
	struct error *err);
/* ERROR_APPLY names the first file of those that changed of which HAProxy has another content. */
int instance_compare_files(struct runtime_session *session, const struct wanted *wanted, struct error *err);

/* Servers that leave. */
int instance_set_leaving(struct instance *instance, const struct plan_leaving *leaving, size_t n);
void instance_clear_leaving(struct instance *instance);
/* Asks HAProxy which there are, after a start of the agent. ERROR_APPLY if its servers are not those of the text. */
int instance_find_leaving(struct instance *instance, const char *text, size_t length, struct error *err);
/* Deletes those that nobody uses any more. */
void instance_delete_leaving(struct instance *instance);
/* The same with other servers, in maintenance; sets ret_gone[i] for each that is not there any more. */
int instance_delete_idle(const struct instance *instance, struct runtime_session *session,
	const struct plan_leaving *servers, size_t n, bool *ret_gone, struct error *err);

/* A definition and the revision that it gets. */
struct revised {
	struct load_balancer *lb;
	int64_t revision;
};
/* The definition in force becomes the last one of "trees", by way of the others, which get their revisions too: everything
 * from rendering to storing. With "dry_run" nothing changes. The result lacks its duration. */
int instance_replace(struct instance *instance, struct revised *trees, size_t n, bool dry_run, struct apply_result *ret,
	struct error *err);
/* What HAProxy thinks of a tree that it will never run, because another one replaces it at once: it is refused all the same. */
int instance_check_tree(struct instance *instance, const struct load_balancer *lb, struct error *err);
/* Makes HAProxy run the stored definition. */
int instance_bring_to_stored(struct instance *instance, struct error *err);
/* storing.c: what is stored of a change. */
struct storing {
	struct stored_definition stored; /* the newest tree; once it is stored, the one that it replaced. lb is NULL: nothing changes */
	struct store_pending pending;
};
#define STORING_INIT ((struct storing){STORED_DEFINITION_INIT, STORE_PENDING_INIT})
/* Gives the trees their revisions, and writes the newest where it is in nobody's way. */
int instance_prepare_store(struct instance *instance, struct revised *trees, size_t n, struct storing *ret, struct error *err);
/* Puts it in its place: it is the current one. */
int instance_store(
	struct instance *instance, const struct revised *trees, size_t n, struct storing *storing, struct error *err);
void storing_done(struct storing *storing);
/* Takes what "stored" has, and gives what was there. */
void instance_set_current(struct instance *instance, struct stored_definition *stored);
int instance_check_revision(struct instance *instance, int64_t if_match, struct error *err);

/* Ends the oldest workers of more than there may be. */
void instance_limit_old_workers(struct instance *instance);
/* How many old workers may be left, for a load balancer that may say so itself. */
int64_t instance_max_old_workers(const struct instance *instance, const struct load_balancer *lb);

/* instance.c */
int instance_refuse_controller(const struct instance *instance, struct error *err);
int instance_adopt(struct instance *instance, struct error *err);
bool instance_haproxy_runs(struct instance *instance);
int instance_set_running(struct instance *instance, const char *text, size_t length);
void instance_set_trouble(struct instance *instance, const char *trouble);
int instance_remove_all(struct instance *instance, struct error *err);

/* What is uploaded, and what of it was refused by HAProxy. */
#define INSTANCE_CONFIG_FAILED "haproxy.cfg.new-failed"

/* upload_reload.c: what HAProxy was told of an uploaded configuration. */
void instance_load_running(struct instance *instance);
/* Takes the files. */
void instance_note_running(struct instance *instance, const char *text, size_t length, struct named_files *files);
void instance_forget_running(struct instance *instance);
/* Applies the difference between what HAProxy runs and what is on disk; what HAProxy refuses is taken back. */
int instance_reload_uploaded(struct instance *instance, struct plan *ret_plan, struct error *err);

/* upload.c: what the folder says of an uploaded configuration. */
int instance_load_uploaded(struct instance *instance, struct error *err);
int instance_start_uploaded(struct instance *instance, struct error *err);
