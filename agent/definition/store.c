/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/tree.h"

#define FOLDER "definition"
#define FILE_FORMAT 1
#define ASIDE ".corrupt"
#define NAME_FORMAT "%010" PRId64 ".json"

enum {
	NAME_SIZE = 32,
	STORE_FILE_LIMIT = 4 * LIMIT_BODY_BYTES, /* every field is written, so it is larger than its document */
};

void stored_definition_done(struct stored_definition *stored)
{
	load_balancer_unref(stored->lb);
	*stored = STORED_DEFINITION_INIT;
}

void store_now(char ret[STORE_TIME_SIZE])
{
	time_t now = time(NULL);
	struct tm utc;

	gmtime_r(&now, &utc);
	strftime(ret, STORE_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
}

/* The revision that a file name stands for, or 0. */
static int64_t revision_of(const char *name)
{
	int64_t revision = 0;

	if (strspn(name, "0123456789") != 10 || !streq(name + 10, ".json"))
		return 0;
	for (size_t i = 0; i < 10; i++)
		revision = revision * 10 + name[i] - '0';
	return revision;
}

static int newest_first(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

static bool is_set_aside(const char *name)
{
	size_t length = strlen(name);

	return length > strlen(ASIDE) && streq(name + length - strlen(ASIDE), ASIDE);
}

/* *ret_any_aside tells whether files were set aside. */
static int list_revisions(int lb_dir_fd, int64_t **ret, size_t *ret_n, bool *ret_any_aside)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_free_ int64_t *revisions = NULL;
	bool any_aside = false;
	size_t n = 0;
	int fd;

	fd = openat(lb_dir_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		*ret = NULL;
		*ret_n = 0;
		*ret_any_aside = false;
		return 0;
	}
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close_keep_errno(fd);
		return -errno;
	}
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		int64_t revision = revision_of(entry->d_name), *grown;

		any_aside |= is_set_aside(entry->d_name);
		if (revision == 0)
			continue;
		grown = reallocarray(revisions, n + 1, sizeof(*revisions));
		if (!grown)
			return -ENOMEM;
		revisions = grown;
		revisions[n++] = revision;
	}
	if (n > 0)
		qsort(revisions, n, sizeof(*revisions), newest_first);
	*ret = TAKE_PTR(revisions);
	*ret_n = n;
	*ret_any_aside = any_aside;
	return 0;
}

int store_revisions(int lb_dir_fd, int64_t **ret, size_t *ret_n)
{
	bool any_aside;

	return list_revisions(lb_dir_fd, ret, ret_n, &any_aside);
}

static int copy_time(char target[STORE_TIME_SIZE], const json_t *json)
{
	const char *value = json_string_value(json);

	if (!value || strlen(value) != STORE_TIME_SIZE - 1 || text_has_control(value, strlen(value)))
		return -EBADMSG;
	memcpy(target, value, STORE_TIME_SIZE);
	return 0;
}

static int read_revision(int folder_fd, const char *lb_id, int64_t revision, struct stored_definition *ret,
	struct error *err)
{
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_free_ char *data = NULL;
	json_auto_t *file = NULL;
	json_error_t problem;
	char name[32];
	size_t length;
	int r;

	snprintf(name, sizeof(name), NAME_FORMAT, revision);
	r = fileio_read_own(folder_fd, name, STORE_FILE_LIMIT, &data, &length);
	if (r < 0)
		return error_set_errno(err, r, "%s", name);
	file = json_loadb(data, length, JSON_REJECT_DUPLICATES, &problem);
	if (!file)
		return error_set(err, ERROR_INVALID, NULL, "%s:%d: %s", name, problem.line, problem.text);
	if (json_integer_value(json_object_get(file, "format")) != FILE_FORMAT ||
		json_integer_value(json_object_get(file, "revision")) != revision ||
		copy_time(stored.created_at, json_object_get(file, "created_at")) < 0 ||
		copy_time(stored.updated_at, json_object_get(file, "updated_at")) < 0)
		return error_set(err, ERROR_INVALID, NULL, "%s: not a definition file of format %d", name,
			FILE_FORMAT);
	r = definition_parse_json(lb_id, json_object_get(file, "definition"), &definition_stored, &stored.lb, err);
	if (r == 0)
		r = definition_keep_secrets(stored.lb, NULL, err);
	if (r < 0)
		return error_wrap(err, r, "%s", name);
	stored.revision = revision;
	tree_set_missing_times(stored.lb, stored.created_at);
	*ret = stored;
	stored = STORED_DEFINITION_INIT;
	return 0;
}

int store_read_revision(
	int lb_dir_fd, const char *lb_id, int64_t revision, struct stored_definition *ret, struct error *err)
{
	_cleanup_close_ int folder_fd = openat(lb_dir_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char name[32];

	if (folder_fd < 0 && errno != ENOENT)
		return error_set_errno(err, -errno, FOLDER);
	snprintf(name, sizeof(name), NAME_FORMAT, revision);
	if (folder_fd < 0 || faccessat(folder_fd, name, F_OK, 0) < 0)
		return error_set(err, ERROR_NOT_FOUND, NULL, "Revision %" PRId64 " is not kept.", revision);
	return read_revision(folder_fd, lb_id, revision, ret, err);
}

static void set_aside(int folder_fd, const char *lb_id, int64_t revision, const struct error *problem)
{
	char name[32], aside[48];

	snprintf(name, sizeof(name), NAME_FORMAT, revision);
	snprintf(aside, sizeof(aside), "%s" ASIDE, name);
	log_lb(LOG_ERR, lb_id, "stored definition cannot be used, kept as %s: %s", aside,
		error_message(problem));
	if (fileio_rename(folder_fd, name, folder_fd, aside) < 0)
		log_lb(LOG_ERR, lb_id, "%s cannot be renamed: %m", name);
}

/* Failures that say nothing about the file. */
static bool is_about_us(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EACCES || r == -EPERM;
}

int store_read_current(int lb_dir_fd, const char *lb_id, struct stored_definition *ret, struct error *err)
{
	_cleanup_close_ int folder_fd = -1;
	_cleanup_free_ int64_t *revisions = NULL;
	bool any_aside = false;
	size_t n = 0;
	int r;

	r = list_revisions(lb_dir_fd, &revisions, &n, &any_aside);
	if (r < 0)
		return error_set_errno(err, r, FOLDER);
	if (n == 0 && !any_aside)
		return error_set(err, ERROR_NOT_FOUND, NULL, "no stored definition");
	folder_fd = openat(lb_dir_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (folder_fd < 0)
		return error_set_errno(err, -errno, FOLDER);
	fileio_remove_temporary(folder_fd);
	for (size_t i = 0; i < n; i++) {
		_cleanup_error_ struct error problem = ERROR_INIT;

		r = read_revision(folder_fd, lb_id, revisions[i], ret, &problem);
		if (r == 0)
			return 0;
		if (is_about_us(r))
			return error_set_errno(err, r, FOLDER);
		set_aside(folder_fd, lb_id, revisions[i], &problem);
	}
	error_set(err, ERROR_INTERNAL, NULL, "no stored definition can be used, see " FOLDER "/*" ASIDE);
	return -EBADMSG;
}

/* The times are digits and signs. */
static int make_file(const struct stored_definition *stored, char **ret, size_t *ret_length)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_printf(&text,
		"{\"format\":%d,\"revision\":%" PRId64 ",\"created_at\":\"%s\",\"updated_at\":\"%s\",\"definition\":{",
		FILE_FORMAT, stored->revision, stored->created_at, stored->updated_at);
	definition_append(stored->lb, true, &text);
	text_append(&text, "}}");
	return text_finish(&text, ret, ret_length);
}

static void name_of(int64_t revision, char ret[NAME_SIZE])
{
	snprintf(ret, NAME_SIZE, NAME_FORMAT, revision);
}

void store_pending_done(struct store_pending *pending)
{
	fileio_pending_done(&pending->file);
	if (pending->folder_fd >= 0)
		close(TAKE_FD(pending->folder_fd));
}

int store_prepare(int lb_dir_fd, const struct stored_definition *stored, struct store_pending *ret, struct error *err)
{
	_cleanup_close_ int folder_fd = -1;
	_cleanup_free_ char *file = NULL;
	char name[NAME_SIZE];
	size_t length;
	int r;

	r = make_file(stored, &file, &length);
	if (r < 0)
		return error_set_errno(err, r, "definition");
	r = fileio_open_dir(lb_dir_fd, FOLDER, 0700, &folder_fd);
	if (r < 0)
		return error_set_errno(err, r, "cannot open the folder of definitions");
	name_of(stored->revision, name);
	r = fileio_prepare(folder_fd, name, file, length, 0600, true, &ret->file);
	if (r < 0)
		return error_set_errno(err, r, "cannot write definition/%s", name);
	ret->folder_fd = TAKE_FD(folder_fd);
	return 0;
}

int store_commit(int lb_dir_fd, const struct stored_definition *stored, struct store_pending *pending, struct error *err)
{
	_cleanup_free_ int64_t *revisions = NULL;
	int folder_fd = pending->folder_fd;
	char name[NAME_SIZE];
	size_t n = 0;
	int r = fileio_commit(&pending->file, true);

	name_of(stored->revision, name);
	if (r < 0) {
		/* It may be in place, if only the fsync of the folder failed; what is refused must not be there later. */
		unlinkat(folder_fd, name, 0);
		return error_set_errno(err, r, "cannot write definition/%s", name);
	}
	/* The new revision is in force; old ones that cannot be removed are only untidy. */
	if (store_revisions(lb_dir_fd, &revisions, &n) == 0)
		for (size_t i = LIMIT_REVISIONS; i < n; i++) {
			name_of(revisions[i], name);
			if (unlinkat(folder_fd, name, 0) < 0)
				log_lb(LOG_WARNING, stored->lb->id, "old revision %s cannot be removed: %m", name);
		}
	return 0;
}

int store_write(int lb_dir_fd, const struct stored_definition *stored, struct error *err)
{
	_cleanup_(store_pending_done) struct store_pending pending = STORE_PENDING_INIT;
	int r = store_prepare(lb_dir_fd, stored, &pending, err);

	return r < 0 ? r : store_commit(lb_dir_fd, stored, &pending, err);
}
