/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/secret.h"
#include "agent/base/text.h"

/*
 * Reloads of uploaded configurations. "haproxy.cfg.running" is what HAProxy was last told, "running.json" which worker that
 * was and what the files that the configuration names were then. The first is removed before HAProxy is told something else
 * and written when that was confirmed: where it is missing while HAProxy runs, a reload was interrupted.
 */

#define CONFIG_RUNNING "haproxy.cfg.running"
#define RUNNING "running.json"

/* What was recorded counts for as long as the worker lives that it was recorded of. */
void instance_load_running(struct instance *instance)
{
	_cleanup_free_ char *text = NULL, *config = NULL;
	json_auto_t *record = NULL;
	json_int_t worker = 0, start_time = 0;
	json_t *files = NULL;
	uint64_t started = 0;
	size_t length;

	if (fileio_read_own(instance->dir_fd, CONFIG_RUNNING, INSTANCE_CONFIG_LIMIT, &config, &length) < 0)
		return;
	instance->told = true;
	if (fileio_read_own(instance->dir_fd, RUNNING, INSTANCE_CONFIG_LIMIT, &text, NULL) < 0)
		return;
	record = json_loads(text, 0, NULL);
	if (json_unpack(record, "{s:I, s:I, s:o}", "worker", &worker, "start_time", &start_time, "files", &files) < 0 ||
		worker <= 0 || process_start_time((pid_t)worker, &started) < 0 || started != (uint64_t)start_time ||
		named_files_read_record(files, &instance->running_files) < 0)
		return;
	instance->worker = (pid_t)worker;
	instance->running = TAKE_PTR(config);
	instance->running_length = length;
}

static int write_record(struct instance *instance)
{
	json_auto_t *record = NULL;
	_cleanup_free_ char *text = NULL;
	uint64_t start_time;
	json_t *files;
	int r;

	r = process_start_time(instance->worker, &start_time);
	if (r == 0)
		r = named_files_write_record(&instance->running_files, &files);
	if (r < 0)
		return r;
	record = json_pack("{s:I, s:I, s:o}", "worker", (json_int_t)instance->worker, "start_time",
		(json_int_t)start_time, "files", files);
	text = record ? json_dumps(record, JSON_COMPACT) : NULL;
	return text ? fileio_write_volatile(instance->dir_fd, RUNNING, text, strlen(text), 0600) : -ENOMEM;
}

/* Remembers what HAProxy was told; takes the files. Without it the next reload is a real one, no harm else. */
void instance_note_running(struct instance *instance, const char *text, size_t length, struct named_files *files)
{
	/* Secrets are not needed any more. */
	for (size_t i = 0; i < files->n_files; i++)
		if (files->files[i].kind == CFG_FILE_CERTIFICATE)
			secret_free(TAKE_PTR(files->files[i].content));
	named_files_done(&instance->running_files);
	instance->running_files = *files;
	*files = NAMED_FILES_INIT;
	if (instance_set_running(instance, text, length) < 0 || write_record(instance) < 0 ||
		fileio_write_volatile(instance->dir_fd, CONFIG_RUNNING, text, length, 0600) < 0)
		log_lb(LOG_WARNING, instance->id, "what HAProxy runs cannot be recorded");
	instance->told = true;
}

void instance_forget_running(struct instance *instance)
{
	unlinkat(instance->dir_fd, CONFIG_RUNNING, 0);
	instance->told = false;
}

/* What a reload is about. */
struct reloading {
	char *text;
	size_t length;
	struct named_files files;
	struct wanted wanted;
	struct plan plan;
	/* What ran before; NULL: not known. */
	char *last_good;
	size_t last_good_length;
};

static void reloading_done(struct reloading *reloading)
{
	free(reloading->text);
	named_files_done(&reloading->files);
	wanted_done(&reloading->wanted);
	plan_done(&reloading->plan);
	free(reloading->last_good);
}

static int plan_reload(struct instance *instance, struct reloading *reloading, struct error *err)
{
	struct wanted *wanted = &reloading->wanted;
	int r;

	r = instance_read_config(instance, &reloading->text, &reloading->length, err);
	if (r == 0)
		r = named_files_read(instance->dir_fd, reloading->text, reloading->length, &reloading->files, err);
	if (r < 0)
		return r;
	if (instance_own_config_of_upload(
		    instance, reloading->text, reloading->length, &wanted->own_config, NULL) < 0)
		return error_set_errno(err, -ENOMEM, "amphorad.cfg");
	wanted->text = reloading->text;
	wanted->length = reloading->length;
	if (named_files_compare(&instance->running_files, &reloading->files, &wanted->files, &wanted->n_files) < 0)
		return error_set_errno(err, -ENOMEM, "configuration");
	r = instance_make_plan(instance, wanted, &reloading->plan, err);
	if (r < 0)
		return r;
	if (reloading->files.other && reloading->plan.action != PLAN_RELOAD) {
		reloading->plan.action = PLAN_RELOAD;
		instance_add_reason(&reloading->plan, "what \"%s\" names is read by a reload alone",
			reloading->files.other);
	}
	if (instance->running) {
		reloading->last_good = strdup(instance->running);
		reloading->last_good_length = instance->running_length;
	}
	return 0;
}

/* HAProxy refused what was uploaded: what is on disk is again what it ran before, so that it also starts with it. */
static int go_back(struct instance *instance, struct reloading *reloading, bool touched, struct error *err)
{
	_cleanup_named_files_ struct named_files files = NAMED_FILES_INIT;
	_cleanup_free_ char *own_config = NULL;
	struct wanted wanted = {.text = reloading->last_good, .length = reloading->last_good_length};
	struct plan plan = {.action = PLAN_RELOAD};
	bool unused;
	int r;

	if (renameat(instance->dir_fd, INSTANCE_CONFIG, instance->dir_fd, INSTANCE_CONFIG_FAILED) < 0)
		return error_set_errno(err, -errno, "cannot rename %s", instance->config_file);
	r = fileio_write(instance->dir_fd, INSTANCE_CONFIG, wanted.text, wanted.length, 0600);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s", instance->config_file);
	if (instance_own_config_of_upload(instance, wanted.text, wanted.length, &own_config, NULL) < 0)
		return error_set_errno(err, -ENOMEM, "amphorad.cfg");
	wanted.own_config = own_config;
	r = instance_write_own_config_of_upload(instance, wanted.text, wanted.length, err);
	if (r == 0)
		r = named_files_read(instance->dir_fd, wanted.text, wanted.length, &files, err);
	if (r == 0 && touched)
		r = instance_tell_haproxy(instance, &wanted, &plan, &unused, err);
	if (r < 0)
		return r;
	if (!touched) { /* it runs the files that it read before */
		named_files_done(&files);
		files = instance->running_files;
		instance->running_files = NAMED_FILES_INIT;
	}
	instance_note_running(instance, wanted.text, wanted.length, &files);
	return 0;
}

static void say_gone_back(struct instance *instance, struct reloading *reloading, bool touched, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *message = strdup(error_message(err));
	int r;

	if (!reloading->last_good || !message)
		return;
	r = go_back(instance, reloading, touched, &problem);
	if (r < 0) {
		log_lb(LOG_ERR, instance->id, "going back to the last configuration failed: %s",
			error_message(&problem));
		instance_set_running(instance, NULL, 0);
	}
	error_set(err, err->code, NULL, "%s\n%s", message,
		r == 0 ? "The last good configuration is in force again; the refused one is kept as " INSTANCE_CONFIG_FAILED "."
		       : "The last good configuration could not be put back.");
}

int instance_reload_uploaded(struct instance *instance, struct plan *ret_plan, struct error *err)
{
	_cleanup_(reloading_done) struct reloading reloading = {0};
	bool touched = false;
	int r;

	r = plan_reload(instance, &reloading, err);
	if (r < 0)
		return r;
	if (reloading.plan.action != PLAN_NONE)
		instance_forget_running(instance);
	r = instance_write_own_config_of_upload(instance, reloading.text, reloading.length, err);
	if (r == 0)
		r = instance_tell_haproxy(instance, &reloading.wanted, &reloading.plan, &touched, err);
	if (r < 0 && !instance_haproxy_runs(instance)) {
		reloading.plan.action = PLAN_START;
		r = instance_start_uploaded(instance, err); /* it ended meanwhile */
	} else if (r < 0) {
		say_gone_back(instance, &reloading, touched, err);
		instance_set_trouble(instance, error_message(err));
	} else {
		instance_note_running(instance, reloading.text, reloading.length, &reloading.files);
		instance_set_trouble(instance, NULL);
	}
	if (r < 0)
		return r;
	*ret_plan = reloading.plan;
	reloading.plan = PLAN_INIT;
	return 0;
}
