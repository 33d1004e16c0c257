/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/check.h"

/*
 * Load balancers whose configuration a controller uploads (Amphora API 1.0). Upload and reload are two requests, so what
 * is on disk may differ from what runs (upload_reload.c). A controller's "stop" holds until the machine starts again, as
 * with a unit that is enabled: its mark is in run_dir.
 *
 * Source: octavia/amphorae/backends/agent/api_server/loadbalancer.py.
 */

#define CONFIG_NEW "haproxy.cfg.new"
#define PEER_NAME "peer-name"

enum { PEER_NAME_LIMIT = 64 };

/* The name that Octavia gives a peer: base64 of SHA-1, as octavia.common.utils.base64_sha1_string() writes it, without '='. */
static int peer_name(const char *amphora_id, char **ret)
{
	gnutls_datum_t input, encoded;
	uint8_t hash[20];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA1, amphora_id, strlen(amphora_id), hash) < 0)
		return -EIO;
	input = (gnutls_datum_t){hash, sizeof(hash)};
	if (gnutls_base64_encode2(&input, &encoded) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < encoded.size; i++)
		switch (encoded.data[i]) {
		case '+':
			encoded.data[i] = '_';
			break;
		case '/':
			encoded.data[i] = '-';
			break;
		}
	/* HAProxy takes a leading '-' for an option. */
	if (encoded.data[0] == '-')
		encoded.data[0] = 'x';
	*ret = strndup((char *)encoded.data, strcspn((char *)encoded.data, "="));
	gnutls_free(encoded.data);
	return *ret ? 0 : -ENOMEM;
}

static char *stopped_mark(const struct instance *instance)
{
	char *path;

	return asprintf(&path, "%s/%s.stopped", instance->settings->run_dir, instance->id) < 0 ? NULL : path;
}

static bool is_peer_name(const char *name)
{
	return name[0] &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(name) &&
		name[0] != '-';
}

int instance_load_uploaded(struct instance *instance, struct error *err)
{
	_cleanup_free_ char *peer = NULL;

	(void)err;
	instance->uploaded = faccessat(instance->dir_fd, INSTANCE_CONFIG, F_OK, 0) == 0;
	/* May be missing: the configuration was uploaded to another agent. */
	if (fileio_read_own(instance->dir_fd, PEER_NAME, PEER_NAME_LIMIT, &peer, NULL) == 0 && is_peer_name(peer))
		instance->peer_name = TAKE_PTR(peer);
	instance_load_running(instance);
	return 0;
}

/* Without the "group" lines of the global section: an older controller writes them, and a second one is an error. */
static int without_group(const char *text, size_t length, char **ret, size_t *ret_length)
{
	_cleanup_text_ struct text kept = TEXT_INIT;
	const char *end = text + length;
	bool in_global = false;

	for (const char *line = text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *next = newline ? newline + 1 : end, *word = line;
		size_t word_length;

		while (word < next && (*word == ' ' || *word == '\t'))
			word++;
		for (word_length = 0; word + word_length < next && !strchr(" \t\r\n", word[word_length]);)
			word_length++;
		/* Sections begin in the first column in what controllers write. */
		if (word == line && word_length > 0 && *word != '#')
			in_global = word_length == 6 && memcmp(word, "global", 6) == 0;
		else if (in_global && word_length == 5 && memcmp(word, "group", 5) == 0) {
			line = next;
			continue;
		}
		text_append_bytes(&kept, line, (size_t)(next - line));
		line = next;
	}
	return text_finish(&kept, ret, ret_length);
}

/* From now on HAProxy is started under this name; one that runs keeps its own. */
static int set_peer_name(struct instance *instance, const char *name, struct error *err)
{
	const struct supervisor_operations *operations = instance->settings->supervisor->operations;
	char *copy;
	int r;

	if (streq_null(name, instance->peer_name))
		return 0;
	copy = strdup(name);
	if (!copy)
		return error_set_errno(err, -ENOMEM, "peer name");
	r = fileio_write(instance->dir_fd, PEER_NAME, name, strlen(name), 0600);
	if (r < 0) {
		free(copy);
		return error_set_errno(err, r, "cannot write %s/" PEER_NAME, instance->directory);
	}
	free(instance->peer_name);
	instance->peer_name = copy;
	operations->release(TAKE_PTR(instance->unit));
	return instance_adopt(instance, err);
}

static int refuse_definition(const struct instance *instance, struct error *err)
{
	return error_set(err, ERROR_CONFLICT, NULL,
		"load balancer %s has a definition; delete it before a controller takes over", instance->id);
}

/* Says so in the log too: whoever debugs a controller looks there. */
static int keep_failed(struct instance *instance, int r, const struct error *problem)
{
	if (renameat(instance->dir_fd, CONFIG_NEW, instance->dir_fd, INSTANCE_CONFIG_FAILED) < 0)
		log_lb(LOG_WARNING, instance->id, INSTANCE_CONFIG_FAILED " cannot be kept: %m");
	log_lb(LOG_ERR, instance->id, "uploaded configuration is refused and kept as %s/" INSTANCE_CONFIG_FAILED ": %s",
		instance->directory, error_message(problem));
	return r;
}

/* Good also beside what HAProxy starts with if it ends meanwhile: the configuration before, until the new one has passed. */
static int write_own_config(struct instance *instance, const char *text, size_t length, struct error *err)
{
	_cleanup_free_ char *before = NULL;
	size_t before_length = 0;

	if (instance->uploaded && instance_read_config(instance, &before, &before_length, NULL) == 0 &&
		instance_uses_http_client(before, before_length))
		return instance_write_own_config_of_upload(instance, before, before_length, err);
	return instance_write_own_config_of_upload(instance, text, length, err);
}

/* The new file gets to the disk while HAProxy judges it. Nothing at all would be valid beside our own configuration, which
 * has a socket. */
static int check_uploaded(struct instance *instance, const char *text, const char *peer, char **ret_verdict,
	struct error *err)
{
	const char *haproxy_cmd = instance->settings->haproxy_cmd;
	_cleanup_(process_job_done) struct process_job job = PROCESS_JOB_INIT;
	int r;

	if (text[strspn(text, " \t\r\n")] == '\0')
		return error_set(err, ERROR_HAPROXY, NULL, "the configuration is empty");
	r = haproxy_begin_check(
		haproxy_cmd, instance->directory, CONFIG_NEW, instance->own_config, peer, -1, &job, err);
	if (r < 0)
		return r;
	r = fileio_sync(instance->dir_fd, CONFIG_NEW);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s/" CONFIG_NEW, instance->directory);
	return haproxy_end_check(haproxy_cmd, &job, ret_verdict, err);
}

static void set_uploaded(struct instance *instance)
{
	LOCK_SCOPE(&instance->view_lock);
	instance->uploaded = true;
}

int instance_upload(struct instance *instance, const char *amphora_id, const char *text, size_t length,
	struct error *err)
{
	_cleanup_free_ char *kept = NULL, *peer = NULL, *verdict = NULL;
	size_t kept_length;
	int r;

	if (instance->owner != OWNER_CONTROLLER)
		return refuse_definition(instance, err);
	LOCK_SCOPE(&instance->lock);
	if (instance->deleted) {
		error_set(err, ERROR_NOT_FOUND, NULL, "No loadbalancer with UUID: %s", instance->id);
		return -ESHUTDOWN;
	}
	r = without_group(text, length, &kept, &kept_length);
	if (r == 0)
		r = peer_name(amphora_id, &peer);
	if (r < 0)
		return error_set_errno(err, r, "configuration");
	r = write_own_config(instance, kept, kept_length, err);
	if (r < 0)
		return r;
	r = fileio_write_volatile(instance->dir_fd, CONFIG_NEW, kept, kept_length, 0600);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s/" CONFIG_NEW, instance->directory);
	r = check_uploaded(instance, kept, peer, &verdict, err);
	if (r < 0)
		return keep_failed(instance, r, err);
	r = set_peer_name(instance, peer, err);
	if (r < 0)
		return r;
	r = fileio_rename(instance->dir_fd, CONFIG_NEW, instance->dir_fd, INSTANCE_CONFIG);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s", instance->config_file);
	set_uploaded(instance);
	log_lb(LOG_NOTICE, instance->id, "configuration uploaded, %zu bytes", kept_length);
	return 0;
}

int instance_start_uploaded(struct instance *instance, struct error *err)
{
	_cleanup_named_files_ struct named_files files = NAMED_FILES_INIT;
	_cleanup_free_ char *text = NULL, *mark = stopped_mark(instance);
	size_t length;
	int r;

	if (mark)
		unlink(mark);
	if (instance_haproxy_runs(instance))
		return 0;
	r = instance_read_config(instance, &text, &length, err);
	/* Read before HAProxy reads them: of two contents, the older one is taken for what runs. */
	if (r == 0)
		r = named_files_read(instance->dir_fd, text, length, &files, err);
	if (r == 0)
		r = instance_write_own_config_of_upload(instance, text, length, err);
	if (r == 0)
		r = instance_start_haproxy(instance, text, length, err);
	if (r < 0) {
		instance_set_trouble(instance, error_message(err));
		return r;
	}
	instance_clear_leaving(instance);
	instance_note_running(instance, text, length, &files);
	instance_set_trouble(instance, NULL);
	return 0;
}

static int stop(struct instance *instance, struct error *err)
{
	_cleanup_free_ char *mark = stopped_mark(instance);
	int r;

	r = instance->settings->supervisor->operations->stop(instance->unit, 0, err);
	if (r < 0)
		return r;
	if (!mark || fileio_write_volatile(AT_FDCWD, mark, "", 0, 0600) < 0)
		log_lb(LOG_WARNING, instance->id, "the next start of amphorad will start HAProxy again: no mark in %s",
			instance->settings->run_dir);
	instance_forget_running(instance);
	instance_clear_leaving(instance);
	return instance_set_running(instance, NULL, 0);
}

static int control(struct instance *instance, enum instance_action action, struct control_result *ret, struct error *err)
{
	struct plan plan = {.action = PLAN_NONE};
	bool runs = instance_haproxy_runs(instance);
	int r;

	if (instance->deleted)
		return error_set(err, ERROR_NOT_FOUND, NULL, "No loadbalancer with UUID: %s", instance->id);
	if (action == INSTANCE_RELOAD && !runs)
		action = INSTANCE_START;
	if (action == INSTANCE_START && !runs)
		plan.action = PLAN_START;
	r = action == INSTANCE_START ? instance_start_uploaded(instance, err)
		: action == INSTANCE_STOP ? stop(instance, err)
					  : instance_reload_uploaded(instance, &plan, err);
	if (r < 0)
		return r;
	/* A controller expects its VIPs to be advertised whenever it asks for a start or a reload, also where that took none. */
	if (action != INSTANCE_STOP && (plan.action == PLAN_NONE || plan.action == PLAN_RUNTIME) && instance->running)
		instance_tell_started(instance, instance->running, instance->running_length);
	*ret = (struct control_result){.done = action, .plan = plan};
	return 0;
}

/* Reloads that wait for each other are one: what they ask for is on disk. */
static int control_together(struct instance *instance, struct change *group)
{
	_cleanup_(control_result_done) struct control_result result = CONTROL_RESULT_INIT;
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	LOCK_SCOPE(&instance->lock);
	r = control(instance, INSTANCE_RELOAD, &result, &problem);
	for (struct change *change = group; change; change = change->next) {
		struct control_result *copy = change->userdata;

		change->r = r;
		if (r < 0) {
			error_set(change->err, problem.code, problem.pointer, "%s", error_message(&problem));
			continue;
		}
		copy->done = result.done;
		copy->plan.action = result.plan.action;
		/* Words that are missing are no failure. */
		plan_copy_reasons(&result.plan, &copy->plan);
	}
	return r;
}

int instance_control(struct instance *instance, enum instance_action action, struct control_result *ret,
	struct error *err)
{
	struct control_result result = CONTROL_RESULT_INIT;
	struct change own = {.userdata = &result, .err = err, .since_ms = process_now_ms()}, *group;

	if (instance->owner != OWNER_CONTROLLER)
		return refuse_definition(instance, err);
	if (action != INSTANCE_RELOAD) {
		LOCK_SCOPE(&instance->lock);
		own.r = control(instance, action, &result, err);
	} else if ((group = instance_lead(instance, &own))) {
		control_together(instance, group);
		instance_led(instance, group);
	}
	if (action != INSTANCE_STOP)
		instance_count_change(instance, own.r, result.plan.action, process_now_ms() - own.since_ms);
	if (own.r == 0)
		*ret = result;
	return own.r;
}

void control_result_done(struct control_result *result)
{
	plan_done(&result->plan);
}

/* HAProxy runs: is it what was recorded, and who waits there for his last connections? */
static int take_over(struct instance *instance, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_plan_ struct plan plan = PLAN_INIT;

	if (!instance->told) {
		log_lb(LOG_NOTICE, instance->id, "a reload was interrupted: it is done again");
		return instance_reload_uploaded(instance, &plan, err);
	}
	if (instance->running &&
		instance_find_leaving(instance, instance->running, instance->running_length, &problem) < 0) {
		log_lb(LOG_NOTICE, instance->id, "HAProxy runs something else than it was told: %s",
			error_message(&problem));
		instance_set_running(instance, NULL, 0);
	}
	return 0;
}

int instance_resume(struct instance *instance, struct error *err)
{
	_cleanup_free_ char *mark = stopped_mark(instance);

	LOCK_SCOPE(&instance->lock);
	fileio_remove_temporary(instance->dir_fd);
	if (!instance->uploaded)
		return 0;
	if (instance_haproxy_runs(instance))
		return take_over(instance, err);
	return mark && access(mark, F_OK) == 0 ? 0 : instance_start_uploaded(instance, err);
}

int instance_remove(struct instance *instance, struct error *err)
{
	_cleanup_free_ char *mark = stopped_mark(instance), *socket = NULL;
	int r;

	if (instance->owner != OWNER_CONTROLLER)
		return refuse_definition(instance, err);
	LOCK_SCOPE(&instance->lock);
	r = instance->deleted ? 0 : instance_remove_all(instance, err);
	/* The socket that Octavia's configurations name. */
	if (r == 0 && asprintf(&socket, "%s/%s.sock", instance->settings->base_path, instance->id) >= 0)
		unlink(socket);
	if (r == 0 && mark)
		unlink(mark);
	return r;
}
