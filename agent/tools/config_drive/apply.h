/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Doing what a config drive says, once in the life of an instance: a later boot must not undo what the controller has changed
 * since, such as a renewed certificate.
 */

#include "agent/tools/config_drive/drive.h"

#define INSTANCE_FILE "/var/lib/amphora-config-drive/instance-id"

/* Paths are below "root", which is "" for this machine. */

/* Whether that was done for this instance already. */
bool drive_is_applied(const struct drive *drive, const char *root);

/* Writes one file with its folders, owner and mode, whole or not at all. Content that is to be appended and is the end of
 * the file already is not appended again: this may be the second try. */
int drive_write_file(const struct drive_file *file, const char *root, struct error *err);

/* Writes all of it, the host name, and, if "authorized_keys" is not NULL, the public keys into that file. What cannot be
 * written is logged, the rest is written all the same; the result is then an error, and the next boot tries again. */
int drive_apply(const struct drive *drive, const char *root, const char *authorized_keys, struct error *err);
