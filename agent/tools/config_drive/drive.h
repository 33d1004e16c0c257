/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A config drive of OpenStack: a small read-only disk with the label "config-2", ISO 9660 or VFAT, on which nova leaves what
 * an instance has to know ("Config drives" in nova's user guide). Whoever can write it is root of this machine anyway by what
 * it may ask for; its form is not trusted all the same.
 */

#include "agent/tools/config_drive/files.h"
#include "agent/tools/config_drive/metadata.h"

struct drive {
	struct metadata metadata;
	struct drive_files files; /* nova's first, then those of the user data, then the network's */
	char **ignored;           /* what of the user data was passed over */
};

#define DRIVE_INIT ((struct drive){0})
void drive_done(struct drive *drive);
#define _cleanup_drive_ _cleanup_(drive_done)

/* Where the drive is, as udev names it: a name of the caller's, or NULL if there is none. */
const char *drive_find_device(void);

/* Mounts the device read-only in a mount namespace of this process's own, which nobody else sees and which ends with it, and
 * opens its root. */
int drive_mount(const char *device, int *ret_fd, struct error *err);

/* Reads a drive whose root is open. Nothing outside of it is opened, whatever links are on it. "network_dir" is where files
 * of the network would go, NULL: without them. */
int drive_read(int root_fd, const char *network_dir, struct drive *ret, struct error *err);
