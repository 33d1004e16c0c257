/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tools/config_drive/files.h"

#include <limits.h>
#include <string.h>

#include "agent/base/text.h"

static const char *const secret_folders[] = {"/etc/octavia/", "/etc/amphorad/", "/var/lib/octavia/", NULL};

void drive_file_done(struct drive_file *file)
{
	free(file->path);
	free(file->content);
	free(file->owner);
	*file = (struct drive_file){0};
}

void drive_files_done(struct drive_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		drive_file_done(&files->items[i]);
	free(files->items);
	*files = DRIVE_FILES_INIT;
}

mode_t drive_file_default_mode(const char *path)
{
	for (const char *const *folder = secret_folders; *folder; folder++)
		if (text_after_prefix(path, *folder))
			return 0600;
	return 0644;
}

static bool path_is_good(const char *path)
{
	size_t length = strlen(path);

	if (path[0] != '/' || length >= PATH_MAX || text_has_control(path, length))
		return false;
	while (*path) {
		size_t part = strcspn(++path, "/");

		if (part == 0 || part > NAME_MAX || (part <= 2 && strspn(path, ".") == part))
			return false;
		path += part;
	}
	return true;
}

int drive_files_add(struct drive_files *files, struct drive_file *file, const char *where, struct error *err)
{
	_cleanup_drive_file_ struct drive_file own = *file;
	struct drive_file *grown;

	*file = (struct drive_file){0};
	if (!own.path || !path_is_good(own.path))
		return error_set(err, ERROR_INVALID, where, "the path of a file has to be absolute, without \".\" and \"..\"");
	if (files->count >= DRIVE_FILES_MAX)
		return error_set(err, ERROR_TOO_LARGE, where, "there are more than %d files", DRIVE_FILES_MAX);
	if (own.length > DRIVE_CONTENT_MAX - files->bytes)
		return error_set(err, ERROR_TOO_LARGE, where, "the files are larger than %d bytes", DRIVE_CONTENT_MAX);
	grown = reallocarray(files->items, files->count + 1, sizeof(*grown));
	if (!grown)
		return error_set_errno(err, -ENOMEM, "%s", where);
	files->items = grown;
	files->bytes += own.length;
	files->items[files->count++] = own;
	own = (struct drive_file){0};
	return 0;
}
