/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tools/config_drive/apply.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"

static bool is_this_machine(const char *root)
{
	return !*root;
}

bool drive_is_applied(const struct drive *drive, const char *root)
{
	_cleanup_free_ char *path = NULL, *id = NULL;

	if (asprintf(&path, "%s%s", root, INSTANCE_FILE) < 0) {
		path = NULL;
		return false;
	}
	if (fileio_read(AT_FDCWD, path, 4096, &id, NULL) < 0)
		return false;
	id[strcspn(id, "\n")] = '\0';
	return streq(id, drive->metadata.instance_id);
}

static int parse_number(const char *text, uint32_t *ret)
{
	int64_t value;

	if (strspn(text, "0123456789") != strlen(text) || text_to_int64(text, &value) < 0 || value > UINT32_MAX - 1)
		return -EINVAL;
	*ret = (uint32_t)value;
	return 0;
}

/* USER or USER:GROUP; without a group it stays root's, as with chown(1). */
static int find_owner(const struct drive_file *file, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
	_cleanup_free_ char *user = NULL;
	const char *group;

	if (!file->owner)
		return 0;
	user = strndup(file->owner, strcspn(file->owner, ":"));
	if (!user)
		return error_set_errno(err, -ENOMEM, "%s", file->path);
	group = strchr(file->owner, ':');
	if (*user && parse_number(user, ret_uid) < 0) {
		const struct passwd *entry = getpwnam(user);

		if (!entry)
			return error_set(err, ERROR_INVALID, file->path, "there is no user of that name here");
		*ret_uid = entry->pw_uid;
	}
	if (group && group[1] && parse_number(group + 1, ret_gid) < 0) {
		const struct group *entry = getgrnam(group + 1);

		if (!entry)
			return error_set(err, ERROR_INVALID, file->path, "there is no group of that name here");
		*ret_gid = entry->gr_gid;
	}
	return 0;
}

/* What the file has with "content" after it, if that is not so yet. */
static int append_to(const char *path, const struct drive_file *file, char **ret, size_t *ret_length)
{
	_cleanup_free_ char *before = NULL;
	_cleanup_text_ struct text text = TEXT_INIT;
	size_t length = 0;
	int r = fileio_read(AT_FDCWD, path, DRIVE_CONTENT_MAX, &before, &length);

	if (r < 0 && r != -ENOENT)
		return r;
	text_append_bytes(&text, before ? before : "", length);
	if (!before || length < file->length || memcmp(before + length - file->length, file->content, file->length) != 0)
		text_append_bytes(&text, file->content, file->length);
	return text_finish(&text, ret, ret_length);
}

int drive_write_file(const struct drive_file *file, const char *root, struct error *err)
{
	_cleanup_free_ char *path = NULL, *folder = NULL, *joined = NULL;
	struct fileio_owner owner = {.uid = (uid_t)-1, .gid = (gid_t)-1};
	const char *content = file->content;
	size_t length = file->length;
	int r;

	if (asprintf(&path, "%s%s", root, file->path) < 0) {
		path = NULL;
		return error_set_errno(err, -ENOMEM, "%s", file->path);
	}
	r = find_owner(file, &owner.uid, &owner.gid, err);
	if (r < 0)
		return r;
	folder = strndup(path, (size_t)(strrchr(path, '/') - path));
	r = !folder ? -ENOMEM : *folder ? fileio_make_dirs(folder, 0755) : 0;
	if (r == 0 && file->append) {
		r = append_to(path, file, &joined, &length);
		content = joined;
	}
	if (r == 0)
		r = fileio_write_owned(AT_FDCWD, path, content, length, file->mode, &owner);
	return r < 0 ? error_set_errno(err, r, "%s", file->path) : 0;
}

static int write_text(const char *path, const char *text, mode_t mode, const char *root, struct error *err)
{
	const struct drive_file file = {
		.path = (char *)path, .content = (char *)text, .length = strlen(text), .mode = mode};

	return drive_write_file(&file, root, err);
}

static int write_line(const char *path, const char *line, const char *root, struct error *err)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s\n", line) < 0) {
		text = NULL;
		return error_set_errno(err, -ENOMEM, "%s", path);
	}
	return write_text(path, text, 0644, root, err);
}

static int apply_hostname(const char *name, const char *root, struct error *err)
{
	int r = write_line("/etc/hostname", name, root, err);

	if (r == 0 && is_this_machine(root) && sethostname(name, strlen(name)) < 0)
		r = error_set_errno(err, -errno, "the host name");
	return r;
}

static int apply_keys(char *const *keys, const char *path, const char *root, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	STRV_FOREACH (key, keys)
		text_printf(&text, "%s\n", *key);
	if (text.failed)
		return error_set_errno(err, -ENOMEM, "%s", path);
	return write_text(path, text_peek(&text), 0600, root, err);
}

/* Goes on after a failure; the last one is the result. */
static void note(int r, struct error *err, int *result)
{
	if (r == 0)
		return;
	log_error("%s%s%s", err->pointer ? err->pointer : "", err->pointer ? ": " : "", error_message(err));
	*result = r;
}

int drive_apply(const struct drive *drive, const char *root, const char *authorized_keys, struct error *err)
{
	int result = 0;

	for (size_t i = 0; i < drive->files.count; i++) {
		_cleanup_error_ struct error problem = ERROR_INIT;

		note(drive_write_file(&drive->files.items[i], root, &problem), &problem, &result);
	}
	if (drive->metadata.hostname) {
		_cleanup_error_ struct error problem = ERROR_INIT;

		note(apply_hostname(drive->metadata.hostname, root, &problem), &problem, &result);
	}
	if (authorized_keys && drive->metadata.keys) {
		_cleanup_error_ struct error problem = ERROR_INIT;

		note(apply_keys(drive->metadata.keys, authorized_keys, root, &problem), &problem, &result);
	}
	if (result < 0)
		return error_set_errno(err, result, "not everything could be written");
	return write_line(INSTANCE_FILE, drive->metadata.instance_id, root, err);
}
