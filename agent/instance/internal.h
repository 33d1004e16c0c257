/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Between instance.c (the transaction), upload.c (a controller's), files.c (their files) and handover.c (telling HAProxy).
 * All are called with the instance's lock held.
 */

#include "agent/base/lock.h"
#include "agent/instance/instance.h"

/* Holds a mutex of the instance to the end of the scope. */
#define LOCK_SCOPE(mutex) HOLD(_held, mutex)

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

/* Writes amphorad.cfg, the second -f. "lb" is what it is for, NULL for an uploaded configuration. */
int instance_write_own_config(struct instance *instance, const struct load_balancer *lb, struct error *err);
/* Writes a server state file without servers: without any, HAProxy warns. */
int instance_write_no_states(int dir_fd);
/* Writes the configuration below staged/ and lets HAProxy judge it. */
int instance_check_staged(struct instance *instance, const struct load_balancer *lb, const struct rendered *rendered,
	char **ret_verdict, struct error *err);
/* Names of the files beside haproxy.cfg (lists, certificates, amphorad.cfg) that differ from those on disk, or are new. */
int instance_changed_files(struct instance *instance, const struct load_balancer *lb, const struct rendered *rendered,
	char ***ret);
int instance_read_published(struct instance *instance, struct published *ret, struct error *err);
/* Replaces what is on disk. Lists and certificates that are not in the new set are removed by instance_remove_unused_files(). */
int instance_publish(struct instance *instance, const char *text, size_t length, const struct rendered_file *files,
	size_t n_files, struct error *err);
void instance_remove_unused_files(struct instance *instance, const struct rendered *rendered);
/* Removes what interrupted writes left. */
void instance_remove_temporary(struct instance *instance);

/* The "applied" record: HAProxy runs what is on disk, and that has this digest. */
int instance_forget_applied(struct instance *instance, struct error *err);
int instance_record_applied(struct instance *instance, const struct rendered *rendered, struct error *err);
bool instance_is_applied(struct instance *instance, const struct rendered *rendered);

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

/* instance.c, for upload.c */
int instance_adopt(struct instance *instance, struct error *err);
bool instance_haproxy_runs(struct instance *instance);
int instance_set_running(struct instance *instance, const char *text, size_t length);
void instance_set_trouble(struct instance *instance, const char *trouble);
int instance_remove_all(struct instance *instance, struct error *err);

/* upload.c: what the folder says of an uploaded configuration. */
int instance_load_uploaded(struct instance *instance, struct error *err);
