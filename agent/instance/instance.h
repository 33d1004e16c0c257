/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of one load balancer: stage -> check -> publish -> plan -> apply -> confirm | roll back.
 *
 * A change is one transaction. Its commit point is the stored definition (store.h), written after HAProxy was seen to run
 * what it says; anything that fails before leaves HAProxy, its files and the stored definition as they were. The file
 * "applied" says that HAProxy runs what is on disk: it is removed before the first byte is published and written again after
 * HAProxy's confirmation. So after a crash at any instant instance_converge() knows whether HAProxy has to be told again.
 *
 * Files of a load balancer, in <base_path>/<id>/: definition/ (store.h), haproxy.cfg, lists/, amphorad.cfg (the second
 * -f), servers-state, staged/, applied, <id>.pid, haproxy.log. Its sockets are in run_dir.
 *
 * Functions may be called from any thread; changes of one load balancer are serialised by its lock.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/definition/store.h"
#include "agent/haproxy/plan.h"
#include "agent/haproxy/runtime.h"
#include "agent/instance/named_files.h"
#include "agent/instance/lvs.h"
#include "agent/render/haproxy.h"
#include "agent/render/keepalived.h"
#include "agent/supervisor/supervisor.h"

/* Whose configuration HAProxy runs: ours, rendered from a definition, or one that a controller uploaded. */
enum instance_owner {
	OWNER_DEFINITION,
	OWNER_CONTROLLER,
};

struct keepalived;

/* What all instances share; outlives them. */
struct instance_settings {
	const char *base_path;
	const char *run_dir;
	const char *haproxy_cmd;
	const char *network_namespace; /* NULL: none */
	const char *haproxy_user;      /* NULL: as the agent */
	const char *haproxy_group;
	int64_t hard_stop_after_s;
	int64_t max_old_workers;
	bool runtime_updates; /* false: every change is a reload */
	struct haproxy_version version;
	struct render_settings render;
	const struct template *template;
	struct render_lvs_settings render_lvs;
	const struct template *lvs_template;
	struct keepalived *keepalived; /* NULL: no listeners of UDP and SCTP */
	struct supervisor *supervisor;
	/* Called right before a worker is replaced, and when it takes no more connections but is still there to be asked for its
	 * counters. May be NULL. */
	void (*before_reload)(void *userdata, const char *lb_id, const char *stats_socket, const char *master_socket);
	void (*after_reload)(void *userdata, const char *lb_id, const char *stats_socket, const char *master_socket);
	/* Called when HAProxy serves a configuration, after a start or a reload. May be NULL. */
	void (*after_start)(void *userdata, const char *lb_id, const char *config, size_t length);
	void *userdata;
};

/* How its changes came out since the agent was started; dry runs do not count. */
struct change_counts {
	uint64_t made[_PLAN_ACTION_MAX];
	uint64_t duration_ms[_PLAN_ACTION_MAX]; /* all together, from the request to the answer */
	uint64_t failed;
};

struct change;
struct instance;

/* A change: from the tree that is in force ("before", NULL: none is stored) to another one, a new reference. It may be called
 * more than once, on other trees, and must not change "before". */
typedef int (*instance_change_fn)(
	void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err);

/* Whether a tree may be, as far as others are concerned; NULL: the change is over. Called with the instance's lock held. */
typedef int (*instance_judge_fn)(
	void *userdata, const struct instance *instance, struct load_balancer *lb, struct error *err);

struct instance {
	char id[UUID_SIZE];
	enum instance_owner owner; /* never changes */
	const struct instance_settings *settings;
	unsigned references;
	pthread_mutex_t lock; /* one change at a time; everything below but the paths */
	/* "current", "changed_ms", "trouble", "deleted", "leaving" and "counts", which readers see during a change. */
	pthread_mutex_t view_lock;
	/* Changes that wait; "led": somebody makes some (change.c). */
	pthread_mutex_t queue_lock;
	pthread_cond_t queue_moves;
	struct change *queue;
	bool led;
	instance_judge_fn judge; /* set right after creation; may be NULL */
	void *judge_userdata;
	struct stored_definition current; /* lb is NULL before the first is stored */
	int64_t changed_ms; /* process_now_ms() when it became that */
	struct change_counts counts;
	char *trouble;                    /* why HAProxy does not run what is stored, or NULL */
	bool damaged;                     /* a definition was stored and cannot be read: HAProxy is left alone */
	bool uploaded;                    /* OWNER_CONTROLLER: there is a haproxy.cfg */
	bool told; /* OWNER_CONTROLLER: HAProxy was told something, and confirmed it */
	struct named_files running_files; /* OWNER_CONTROLLER: what "running" names, as HAProxy read it */
	bool deleted;
	char *peer_name;                  /* OWNER_CONTROLLER: HAProxy's -L, or NULL */
	struct supervisor_unit *unit;
	struct staged {
		struct process_job check; /* a HAProxy that reads what is staged, or waits for it */
		int gate_fd; /* it waits until this is closed; -1: it does not */
	} staged;
	char *running; /* the text that HAProxy runs, NULL if not known or not running */
	size_t running_length;
	char *own_running; /* the text of amphorad.cfg that it runs, NULL if not known */
	pid_t worker;      /* that was seen to run them, 0 if none was */
	bool has_old_workers; /* or may have: nobody looked since the last reload, or since our start */
	struct plan_leaving *leaving; /* servers in maintenance that wait for their deletion */
	size_t n_leaving;
	int dir_fd;
	/* Absolute paths. */
	char *directory, *config_file, *own_config, *stats_socket, *master_socket, *pid_file, *log_file;
};

struct apply_options {
	bool dry_run;
	int64_t if_match;       /* revision, or -1: any */
	bool replaces;          /* the tree does not depend on the one before */
};

struct apply_result {
	bool created;
	int64_t revision;
	struct plan plan;
	int64_t duration_ms;
	char *verdict;           /* HAProxy's, with dry_run */
	struct rendered rendered;/* with dry_run */
	struct lvs_change lvs;   /* the same: keepalived's part, what changes of it */
	struct load_balancer *lb;/* what is in force (or would be); a reference */
};

#define APPLY_RESULT_INIT ((struct apply_result){0})
#define _cleanup_apply_result_ _cleanup_(apply_result_done)
void apply_result_done(struct apply_result *result);

/* Opens or creates the folder and adopts a running HAProxy. One reference. */
int instance_new(const char *lb_id, enum instance_owner owner, const struct instance_settings *settings,
	struct instance **ret, struct error *err);
struct instance *instance_ref(struct instance *instance);
void instance_unref(struct instance *instance);
DEFINE_CLEANUP(struct instance *, instance_unref);
#define _cleanup_instance_ _cleanup_(instance_unrefp)

/* Makes HAProxy run the stored definition, at the agent's start. Failure is remembered as "trouble". -ENOENT if none is
 * stored: whatever an interrupted creation or deletion left is removed, and the instance is useless. */
int instance_converge(struct instance *instance, struct error *err);

/* Tries again what instance_converge() or instance_resume() failed to do; 0 if there is no trouble. What no attempt can mend
 * (a definition that cannot be read) is left alone. */
int instance_retry(struct instance *instance, struct error *err);

/* OWNER_CONTROLLER: starts HAProxy if it does not run and was not stopped by the controller since the machine started; ends a
 * reload that was interrupted. */
int instance_resume(struct instance *instance, struct error *err);

/* OWNER_CONTROLLER, Amphora API 1.0. An uploaded configuration is checked and replaces the one on disk; HAProxy is told by
 * instance_control(). "group" lines are left out of it: the group is this machine's matter. A refused one is kept as
 * haproxy.cfg.new-failed, ERROR_HAPROXY has HAProxy's words. */
int instance_upload(struct instance *instance, const char *amphora_id, const char *text, size_t length,
	struct error *err);

enum instance_action {
	INSTANCE_START,  /* nothing to do if it runs */
	INSTANCE_STOP,   /* nothing to do if it does not */
	INSTANCE_RELOAD, /* starts it if it does not run */
};

struct control_result {
	enum instance_action done; /* what was really done: a reload may have been a start */
	struct plan plan;          /* its action and reasons; a stop has none */
};
#define CONTROL_RESULT_INIT ((struct control_result){0})
void control_result_done(struct control_result *result);

/* A reload applies the difference between what HAProxy runs and what is on disk, at run time where it can. ERROR_APPLY has
 * HAProxy's words. */
int instance_control(struct instance *instance, enum instance_action action, struct control_result *ret,
	struct error *err);

/* OWNER_CONTROLLER: stops HAProxy and removes everything. */
int instance_remove(struct instance *instance, struct error *err);

/* Makes a change. Several that wait for each other are made at once, and each gets the revision and the tree that its own one
 * led to.
 * -ESHUTDOWN if the instance was deleted while the caller waited: it is of no use any more. */
int instance_change(struct instance *instance, instance_change_fn make, void *userdata,
	const struct apply_options *options, struct apply_result *ret, struct error *err);

/* A change is about to be asked for: what it needs, and what takes a while, begins now. Does nothing while another one is made.
 * The second one follows if the change failed, or is not going to be made. */
void instance_expect_change(struct instance *instance);
void instance_expect_no_change(struct instance *instance);

/* Stops HAProxy and removes everything. */
int instance_delete(struct instance *instance, int64_t if_match, struct error *err);

/* Stops HAProxy and keeps what is stored (amphorad --stop-all). */
int instance_stop(struct instance *instance, int graceful_ms, struct error *err);

/* A copy of what is stored (its lb is a new reference) and of the trouble (NULL if none; owned). -ENOENT when deleted or
 * not stored yet. */
int instance_current(struct instance *instance, struct stored_definition *ret, char **ret_trouble);

/* For how long the stored definition has been in force: what HAProxy said before is of another one. */
int64_t instance_unchanged_for_ms(struct instance *instance);

/* Why HAProxy does not run what is stored or uploaded, NULL if it does. Owned by the caller. */
char *instance_trouble(struct instance *instance);

/* A copy of the servers that are in no configuration any more and still in HAProxy, until their last connections are gone.
 * plan_leaving_free(). -ENOMEM only. */
int instance_leaving(struct instance *instance, struct plan_leaving **ret, size_t *ret_n);

struct worker_figures {
	pid_t pid;
	bool old; /* replaced; it serves the connections that it has */
	unsigned reloads; /* that it has lived through */
	int64_t uptime_s;
	uint64_t memory_bytes; /* 0: not known */
};
/* HAProxy's workers, as its master tells. The array is the caller's. */
int instance_workers(struct instance *instance, struct worker_figures **ret, size_t *ret_n, struct error *err);

void instance_counts(struct instance *instance, struct change_counts *ret);

/* Every few seconds: deletes servers whose last connections are gone, and bounds the number of old workers. Does nothing where
 * there are none. */
void instance_look_after(struct instance *instance);

/* Whether its HAProxy is expected to answer: not before a controller started it. */
bool instance_should_run(struct instance *instance);

bool instance_is_stored(struct instance *instance);

/* Ends an instance whose creation failed or was a dry run; *ret_discarded tells whether it was one. Its folder goes, except
 * that of a failed upload, which holds the refused configuration. */
int instance_discard_unstored(struct instance *instance, bool *ret_discarded, struct error *err);

/* The haproxy.cfg on disk. */
int instance_read_config(struct instance *instance, char **ret_text, size_t *ret_length, struct error *err);
