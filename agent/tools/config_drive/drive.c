/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tools/config_drive/drive.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/tools/config_drive/cloud_config.h"
#include "agent/tools/config_drive/network_data.h"

#define MOUNT_POINT "/run/amphora-config-drive"

enum { USER_DATA_MAX = 1024 * 1024 };

/* VFAT has labels in capitals. */
static const char *const devices[] = {"/dev/disk/by-label/config-2", "/dev/disk/by-label/CONFIG-2", NULL};
static const char *const file_systems[] = {"iso9660", "vfat", NULL};

void drive_done(struct drive *drive)
{
	metadata_done(&drive->metadata);
	drive_files_done(&drive->files);
	strv_free(drive->ignored);
	*drive = DRIVE_INIT;
}

const char *drive_find_device(void)
{
	for (const char *const *device = devices; *device; device++)
		if (access(*device, F_OK) == 0)
			return *device;
	return NULL;
}

int drive_mount(const char *device, int *ret_fd, struct error *err)
{
	int fd, r = -ENODEV;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set_errno(err, -errno, "a mount namespace");
	if (mkdir(MOUNT_POINT, 0700) < 0 && errno != EEXIST)
		return error_set_errno(err, -errno, "%s", MOUNT_POINT);
	for (const char *const *type = file_systems; r < 0 && *type; type++)
		r = mount(device, MOUNT_POINT, *type, MS_RDONLY | MS_NODEV | MS_NOEXEC | MS_NOSUID, NULL) < 0 ? -errno : 0;
	if (r < 0)
		return error_set_errno(err, r, "mounting %s as ISO 9660 or VFAT", device);
	fd = open(MOUNT_POINT, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_set_errno(err, -errno, "%s", MOUNT_POINT);
	*ret_fd = fd;
	return 0;
}

static int open_folder(int root_fd, const char *path, int *ret_fd)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	*ret_fd = (int)fd;
	return 0;
}

static int read_injected(int root_fd, struct drive *drive, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (drive->metadata.n_files == 0)
		return 0;
	r = open_folder(root_fd, "openstack/content", &fd);
	if (r < 0)
		return error_set_errno(err, r, "openstack/content");
	for (size_t i = 0; i < drive->metadata.n_files; i++) {
		const struct metadata_file *from = &drive->metadata.files[i];
		_cleanup_drive_file_ struct drive_file file = {.mode = 0600};

		/* Octavia gives keys and the agent's configuration this way. */
		r = fileio_read_own(fd, from->content, DRIVE_CONTENT_MAX, &file.content, &file.length);
		if (r < 0)
			return error_set_errno(err, r, "openstack/content/%s", from->content);
		file.path = strdup(from->path);
		if (!file.path)
			return error_set_errno(err, -ENOMEM, "meta_data.json");
		r = drive_files_add(&drive->files, &file, "meta_data.json", err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Either may be missing. */
static int read_user_data(int folder_fd, struct drive *drive, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t length;
	int r = fileio_read_own(folder_fd, "user_data", USER_DATA_MAX, &data, &length);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? error_set_errno(err, r, "user_data")
		     : cloud_config_parse(data, length, &drive->files, &drive->ignored, err);
}

static int read_network_data(int folder_fd, const char *network_dir, struct drive *drive, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t length;
	int r = network_dir ? fileio_read_own(folder_fd, "network_data.json", NETWORK_DATA_MAX, &data, &length) : -ENOENT;

	if (r == -ENOENT)
		return 0;
	return r < 0 ? error_set_errno(err, r, "network_data.json")
		     : network_data_parse(data, length, network_dir, &drive->files, err);
}

int drive_read(int root_fd, const char *network_dir, struct drive *ret, struct error *err)
{
	_cleanup_drive_ struct drive drive = DRIVE_INIT;
	_cleanup_close_ int folder_fd = -1;
	_cleanup_free_ char *data = NULL;
	size_t length;
	int r;

	r = open_folder(root_fd, "openstack/latest", &folder_fd);
	if (r < 0)
		return error_set_errno(err, r, "openstack/latest");
	r = fileio_read_own(folder_fd, "meta_data.json", METADATA_MAX, &data, &length);
	if (r < 0)
		return error_set_errno(err, r, "meta_data.json");
	r = metadata_parse(data, length, &drive.metadata, err);
	if (r == 0)
		r = read_injected(root_fd, &drive, err);
	if (r == 0)
		r = read_user_data(folder_fd, &drive, err);
	if (r == 0)
		r = read_network_data(folder_fd, network_dir, &drive, err);
	if (r < 0)
		return r;
	*ret = drive;
	drive = DRIVE_INIT;
	return 0;
}
